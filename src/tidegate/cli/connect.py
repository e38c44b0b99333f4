"""`tidegate connect`: an interactive client."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import time
from typing import Any

from ..asyncio.client import ClientConnection, connect
from ..bodies import text_of
from ..exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProtocolError,
    ProxyError,
    WebSocketException,
)
from ..frames import CloseCode, Opcode
from ..headers import validate_subprotocols
from ..hints import hint_of
from ..http11 import Request, Response
from ..printable import printable, without_password, without_user_info
from ..proxy.command import chosen_proxy, complete_uri, with_options
from ..proxy.tls import make_context as trusting
from ..typing import Subprotocol
from ..uri import parse_uri
from .commands import INTERRUPTED
from .consoles import Console, open_console
from .steps import Count, Expect, Script, Send, unhex

__all__ = ["add_arguments", "run", "talk"]

SLASH_COMMANDS = "/ping [TEXT], /pong [TEXT], /binary HEX, /close [CODE [REASON]]"

# Exit statuses. The end of a connection is normal if the server says so.
NORMAL, FAILED, MISTAKE, UNMET = 0, 1, 2, 3


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


def size(argument: str) -> int:
    """Read a number of bytes from the command line."""
    value = int(argument)
    if value < 0:
        raise ValueError
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = (
        "Connects to a WebSocket server. Each line of input is sent as a text message; each "
        "message that comes is printed. The end of the input (Ctrl-D) closes the connection. "
        "If input or output isn't a terminal, only messages go to the output, and all else to "
        "the standard error. With --send, --expect and --count, which are done in the order in "
        "which they are given, nobody has to type."
    )
    parser.epilog = (
        "The exit status is 0 if the connection was closed normally, and all came that was waited "
        "for; 1 if there was no connection, or it ended otherwise; 2 if an argument or the input "
        "makes no sense; 3 if something that was waited for didn't come; 130 after Ctrl-C."
    )
    parser.add_argument(
        "uri", metavar="URI", help="where to connect: ws://..., wss://... or HOST:PORT"
    )
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
        help="how long connecting may take, or all until the last --expect or --count is met; 0 "
        "for no limit (default: %(default)s)",
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
        "--send",
        dest="steps",
        type=Send,
        action="append",
        metavar="TEXT",
        help="send this message, and don't read the input; may be repeated",
    )
    group.add_argument(
        "--expect",
        dest="steps",
        type=Expect,
        action="append",
        metavar="REGEX",
        help="wait for a message that this matches somewhere; may be repeated",
    )
    group.add_argument(
        "--count",
        dest="steps",
        type=Count,
        action="append",
        metavar="N",
        help="wait for so many messages; may be repeated",
    )
    group.add_argument(
        "-b",
        "--binary",
        action="store_true",
        help="send binary messages, which are given in hexadecimal",
    )
    group.add_argument(
        "--max-size",
        type=size,
        default=2**20,
        metavar="BYTES",
        help="limit on a message that comes; 0 for none (default: %(default)s)",
    )
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
    group.add_argument("--no-history", action="store_true", help="forget at the end what was typed")


def run(args: argparse.Namespace) -> int:
    """Talk to a server; give the exit status."""
    script = Script(args.steps or ())
    with open_console(not script.sends, not args.no_history).opened() as console:
        return asyncio.run(talk(args, console, script))


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
    options: dict[str, Any] = {}
    uri = complete_uri(args.uri)
    if parse_uri(uri).secure:
        options["ssl"] = make_context(args)
    if args.proxy_ca is not None:
        options["proxy_ssl"] = trusting(args.proxy_ca, "proxy_ssl")
    if args.verbose:
        options["create_connection"] = verbose_connection(console)
    if args.subprotocol is not None:
        validate_subprotocols(args.subprotocol)
    return connect(
        uri,
        origin=args.origin,
        subprotocols=None if args.subprotocol is None else [*map(Subprotocol, args.subprotocol)],
        compression=None if args.no_compression else "deflate",
        additional_headers=args.header,
        proxy=chosen_proxy(args.proxy),
        open_timeout=args.timeout or None,
        max_size=args.max_size or None,
        # A script that waits no longer wants to know.
        close_timeout=min(10, args.timeout or 10) if args.steps else 10,
        **options,
    )


def verbose_connection(console: Console) -> type[ClientConnection]:
    """Make the class of connections that show the handshake, pings and pongs."""

    class VerboseConnection(ClientConnection):
        def process_event(self, event: Any) -> None:
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


async def talk(args: argparse.Namespace, console: Console, script: Script) -> int:
    """Connect, send what is typed, show what comes; give the exit status."""
    uri = shown(complete_uri(args.uri))
    begin = time.monotonic()
    connecting = None
    try:
        if args.binary:
            script.make_binary()
        connecting = make_connect(args, console)
        console.progress(f"Connecting to {uri}...")
        connection = await connecting
    except (OSError, ValueError, WebSocketException) as exc:
        console.remark(f"Failed to connect to {uri}: {explain(exc)}.")
        # Those of proxies have it in their text.
        if not isinstance(exc, ProxyError) and (hint := hint_of(exc)) is not None:
            console.remark(f"Hint: {with_options(hint)}.")
        return MISTAKE if connecting is None or is_mistake(exc) else FAILED
    console.remark(f"Connected to {uri}.")
    limit = max(0, begin + args.timeout - time.monotonic()) if args.timeout else None
    return await Conversation(args, console, script, connection).hold(limit)


def shown(uri: str) -> str:
    """Give a URI without what is secret in it."""
    try:
        parse_uri(uri)
    except InvalidURI:
        return without_user_info(uri)
    return without_password(uri)


def is_mistake(exc: Exception) -> bool:
    """Say whether it isn't for the network or the server that connecting failed."""
    if isinstance(exc, InvalidProxy):
        return True
    # Certificates are errors of values, too, and a redirect may lead to an invalid URI.
    others = (OSError, WebSocketException)
    return isinstance(exc, ValueError) and not isinstance(exc, others)


class Conversation:
    """What is said on a connection.

    Args:
        args: the arguments of the command.
        console: where lines come from, and messages go to.
        script: what to do beside that, or instead.
        connection: the connection.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        console: Console,
        script: Script,
        connection: ClientConnection,
    ) -> None:
        self.args = args
        self.console = console
        self.script = script
        self.connection = connection
        # Set when this side has nothing more to do.
        self.over = asyncio.Event()
        # Whether there was something in the input that can't be sent.
        self.is_mistaken = False

    async def hold(self, limit: float | None) -> int:
        """Send and show until the end, close the connection; give the exit status.

        Args:
            limit: how long the script may take, in seconds; None for no limit.
        """
        args, console, script = self.args, self.console, self.script
        is_scripted = bool(script.left)
        receiving = asyncio.create_task(self.receive())
        helpers: list[asyncio.Task[None]] = [asyncio.create_task(self.wait())]
        if not script.sends:
            helpers.append(asyncio.create_task(self.send_lines()))
        late = interrupted = False
        try:
            ended, _ = await asyncio.wait(
                [receiving, helpers[0]],
                timeout=limit if is_scripted else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            late = not ended
            if args.wait and not (late or console.interrupted or self.is_mistaken):
                await asyncio.wait([receiving], timeout=args.wait)
        except asyncio.CancelledError:
            # It is Ctrl-C that cancels; the second one comes as KeyboardInterrupt.
            interrupted = True
        # What comes from now on comes too late.
        missing = str(script.left[0]) if script.left else None
        for task in helpers:
            task.cancel()
        await asyncio.wait(helpers)
        await self.connection.close()
        closed = await receiving
        console.close()
        console.remark(farewell(closed))
        if interrupted or console.interrupted:
            return INTERRUPTED
        if self.is_mistaken:
            return MISTAKE
        if missing is not None:
            within = f" within {args.timeout:g} seconds" if late else ""
            console.remark(f"What didn't come{within}: {missing}.")
            return UNMET
        if script.awaits or isinstance(closed, ConnectionClosedOK):
            return NORMAL
        return FAILED

    async def wait(self) -> None:
        """Wait until this side has nothing more to do."""
        await self.over.wait()

    async def receive(self) -> ConnectionClosed:
        """Show messages until the connection is closed; give the exception that says how."""
        try:
            if self.script.left:
                await self.script.run(self.connection, self.console)
                self.over.set()
            while True:
                self.console.show_message(await self.connection.recv())
        except ConnectionClosed as exc:
            return exc

    async def send_lines(self) -> None:
        """Send what is typed until its end, or that of the connection."""
        console = self.console
        # The receiver sees how the connection was closed.
        with contextlib.suppress(ConnectionClosed):
            while True:
                try:
                    line = await console.read_line()
                    if line is None:
                        break
                    if self.args.slash and line.startswith("/"):
                        await obey(line, self.connection, console)
                    else:
                        await self.connection.send(unhex(line) if self.args.binary else line)
                except ValueError as exc:
                    console.remark(f"Not sent: {exc}.")
                    if not console.interactive:
                        self.is_mistaken = True
                        break
            # A script goes on when a file ends, but not when somebody leaves.
            if console.interactive or self.is_mistaken or not self.script.left:
                self.over.set()


async def obey(line: str, connection: ClientConnection, console: Console) -> None:
    """Do what a line says that begins with a slash."""
    command, _, rest = line.partition(" ")
    try:
        if command == "/ping":
            pong = asyncio.ensure_future(await connection.ping(rest or None))
            pong.add_done_callback(lambda pong: show_latency(pong, console))
        elif command == "/pong":
            await connection.pong(rest)
        elif command == "/binary":
            await connection.send(unhex(rest))
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
    sent = exc.sent
    if sent is not None and sent.code == CloseCode.MESSAGE_TOO_BIG and not exc.rcvd_then_sent:
        return f"Connection closed: {sent}; a message was larger than --max-size allows."
    if exc.rcvd is not None:
        return f"Connection closed: {exc.rcvd}."
    cause = "" if exc.__cause__ is None else f" ({exc.__cause__})"
    return f"Connection lost: {exc}{cause}."
