"""`tidegate connect`: an interactive client."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import typing as t

from ..asyncio.client import ClientConnection, connect
from ..exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidStatus,
    ProtocolError,
    ProxyError,
    WebSocketException,
)
from ..frames import Opcode
from ..headers import validate_subprotocols
from ..hints import hint_of
from ..http11 import Request, Response
from ..printable import printable, text_of, without_password
from ..proxy.command import chosen_proxy, with_options
from ..typing import Subprotocol
from ..uri import parse_uri
from .commands import INTERRUPTED
from .consoles import Console, open_console

__all__ = ["add_arguments", "run", "talk"]

SLASH_COMMANDS = "/ping [TEXT], /pong [TEXT], /close [CODE [REASON]]"


def header(argument: str) -> tuple[str, str]:
    """Read a header from the command line."""
    name, colon, value = argument.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{argument!r} isn't like 'Name: value'")
    return name.strip(), value.strip()


def seconds(argument: str) -> float:
    """Read a time from the command line."""
    value = float(argument)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = (
        "Connects to a WebSocket server. Each line of input is sent as a text message; each "
        "message that comes is printed. The end of the input (Ctrl-D) closes the connection. "
        "If input or output isn't a terminal, only messages go to the output, and all else to "
        "the standard error."
    )
    parser.add_argument("uri", metavar="URI", help="where to connect: ws://... or wss://...")
    group = parser.add_argument_group("opening handshake")
    group.add_argument(
        "-H",
        "--header",
        type=header,
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="a header to add to the request; may be repeated",
    )
    group.add_argument("-o", "--origin", help="the value of the Origin header")
    group.add_argument(
        "-s",
        "--subprotocol",
        action="append",
        metavar="NAME",
        help="a subprotocol to offer; may be repeated, the preferred first",
    )
    group.add_argument("--no-compression", action="store_true", help="don't offer compression")
    group.add_argument(
        "--timeout",
        type=seconds,
        default=10,
        metavar="SECONDS",
        help="how long connecting may take (default: %(default)s)",
    )
    group = parser.add_argument_group("network")
    group.add_argument(
        "--proxy",
        action="append",
        metavar="URL",
        help="use this proxy instead of looking for one: a URL, several joined by '->', or none; "
        "may be repeated, to try one after the other",
    )
    group.add_argument(
        "-k", "--insecure", action="store_true", help="don't check the server's certificate"
    )
    group.add_argument("--ca", metavar="PEM", help="certificates to trust for the server")
    group.add_argument("--proxy-ca", metavar="PEM", help="certificates to trust for proxies")
    group.add_argument("--cert", metavar="PEM", help="a certificate to show to the server")
    group.add_argument("--key", metavar="PEM", help="its private key, if it isn't in that file")
    group = parser.add_argument_group("conversation")
    group.add_argument(
        "--wait",
        type=seconds,
        default=0,
        metavar="SECONDS",
        help="how long to receive after the end of the input, unless the server closes",
    )
    group.add_argument("--slash", action="store_true", help=f"understand {SLASH_COMMANDS}")
    group.add_argument(
        "-v", "--verbose", action="store_true", help="show the handshake, pings and pongs, too"
    )


def run(args: argparse.Namespace) -> int:
    """Talk to a server; give the exit status."""
    with open_console().opened() as console:
        return asyncio.run(talk(args, console))


def make_context(args: argparse.Namespace) -> ssl.SSLContext:
    """Make the TLS context that the arguments describe."""
    context = ssl.create_default_context()
    files = args.ca
    try:
        if args.ca is not None:
            context = ssl.create_default_context(cafile=args.ca)
        if args.cert is not None:
            files = " and ".join(filter(None, [args.cert, args.key]))
            context.load_cert_chain(args.cert, args.key)
    except OSError as exc:
        # OpenSSL doesn't say which file it was.
        raise ValueError(f"{exc.strerror or exc}: {files}") from exc
    if args.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def make_connect(args: argparse.Namespace, console: Console) -> connect:
    """Prepare a connection as the arguments describe it."""
    options: dict[str, t.Any] = {}
    if parse_uri(args.uri).secure:
        options["ssl"] = make_context(args)
    if args.proxy_ca is not None:
        options["proxy_ssl"] = args.proxy_ca
    if args.verbose:
        options["create_connection"] = verbose_connection(console)
    if args.subprotocol is not None:
        validate_subprotocols(args.subprotocol)
    return connect(
        args.uri,
        origin=args.origin,
        subprotocols=None if args.subprotocol is None else [*map(Subprotocol, args.subprotocol)],
        compression=None if args.no_compression else "deflate",
        additional_headers=args.header,
        proxy=chosen_proxy(args.proxy),
        open_timeout=args.timeout or None,
        **options,
    )


def verbose_connection(console: Console) -> type[ClientConnection]:
    """Make the class of connections that show the handshake, pings and pongs."""

    class VerboseConnection(ClientConnection):
        def process_event(self, event: t.Any) -> None:
            super().process_event(event)
            if self.request is not None and self.response is not None:
                console.remark(handshake_text(self.request, self.response))

        def control_received(self, opcode: int, data: bytes) -> None:
            if opcode != Opcode.CLOSE:
                console.remark(f"{Opcode(opcode).name.lower()}: {data!r}")
            super().control_received(opcode, data)

    return VerboseConnection


def handshake_text(request: Request, response: Response) -> str:
    """Give the opening handshake in lines, those of the request marked with ``>``."""
    sent = [f"GET {request.path} HTTP/1.1", *lines_of(request)]
    received = [f"HTTP/1.1 {response.status_code} {response.reason_phrase}", *lines_of(response)]
    return "\n".join([*(f"> {line}" for line in sent), *(f"< {line}" for line in received)])


def lines_of(message: Request | Response) -> list[str]:
    """Give the headers in lines."""
    return [
        f"{name}: {'***' if 'authorization' in name.lower() else value}"
        for name, value in message.headers.raw_items()
    ]


async def talk(args: argparse.Namespace, console: Console) -> int:
    """Connect, send what is typed, show what comes; give the exit status."""
    uri = without_password(args.uri)
    try:
        connection = await make_connect(args, console)
    except (OSError, ValueError, WebSocketException) as exc:
        console.remark(f"Failed to connect to {uri}: {explain(exc)}.")
        # Those of proxies have it in their text.
        if not isinstance(exc, ProxyError) and (hint := hint_of(exc)) is not None:
            console.remark(f"Hint: {with_options(hint)}.")
        return 1
    console.remark(f"Connected to {uri}.")
    receiving = asyncio.create_task(show_messages(connection, console))
    sending = asyncio.create_task(send_lines(connection, console, args.slash))
    interrupted = False
    try:
        await asyncio.wait([receiving, sending], return_when=asyncio.FIRST_COMPLETED)
        if args.wait and not console.interrupted:
            await asyncio.wait([receiving], timeout=args.wait)
    except asyncio.CancelledError:
        # It is Ctrl-C that cancels; the second one comes as KeyboardInterrupt.
        interrupted = True
    sending.cancel()
    await asyncio.wait([sending])
    await connection.close()
    closed = await receiving
    console.close()
    console.remark(farewell(closed))
    if interrupted or console.interrupted:
        return INTERRUPTED
    return 0 if isinstance(closed, ConnectionClosedOK) else 1


async def show_messages(connection: ClientConnection, console: Console) -> ConnectionClosed:
    """Show messages until the connection is closed; give the exception that says how."""
    try:
        while True:
            console.show_message(await connection.recv())
    except ConnectionClosed as exc:
        return exc


async def send_lines(connection: ClientConnection, console: Console, slash: bool) -> None:
    """Send what is typed until its end, or that of the connection."""
    # The receiver sees how the connection was closed.
    with contextlib.suppress(ConnectionClosed):
        while (line := await console.read_line()) is not None:
            if slash and line.startswith("/"):
                await obey(line, connection, console)
            else:
                await connection.send(line)


async def obey(line: str, connection: ClientConnection, console: Console) -> None:
    """Do what a line says that begins with a slash."""
    command, _, rest = line.partition(" ")
    try:
        if command == "/ping":
            pong = asyncio.ensure_future(await connection.ping(rest or None))
            pong.add_done_callback(lambda pong: show_latency(pong, console))
        elif command == "/pong":
            await connection.pong(rest)
        elif command == "/close":
            code, _, reason = rest.partition(" ")
            if code and not code.isdecimal():
                raise ValueError(f"{code} isn't a close code")
            await connection.close(int(code or 1000), reason)
        else:
            console.remark(f"There is no {command}, only {SLASH_COMMANDS}.")
    except (ValueError, ConcurrencyError, ProtocolError) as exc:
        console.remark(f"{command} failed: {exc}.")


def show_latency(pong: asyncio.Future[float], console: Console) -> None:
    """Show the answer to a ping."""
    if not pong.cancelled() and pong.exception() is None:
        console.remark(f"The answer to the ping took {pong.result() * 1000:.3g} ms.")


def explain(exc: Exception) -> str:
    """Say why connecting failed."""
    text = with_options(str(exc).rstrip(".")) or type(exc).__name__
    if isinstance(exc, InvalidStatus) and exc.response.body:
        text += f" ({printable(text_of(exc.response.body))})"
    return text


def farewell(exc: ConnectionClosed) -> str:
    """Say how the connection was closed."""
    if exc.rcvd is not None:
        return f"Connection closed: {exc.rcvd}."
    cause = "" if exc.__cause__ is None else f" ({exc.__cause__})"
    return f"Connection lost: {exc}{cause}."
