"""`tidegate serve`: a server for a handler, in this process or in several that are kept alive."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..asyncio.server import Limits, Server, ServerConnection, serve
from ..exceptions import ConnectionClosed
from ..frames import CloseCode
from ..metrics import LoopLag, Metrics, require_client
from ..protocol import LOGGERS, Side
from ..proxyprotocol import ProxyPolicy
from .pages import ASK, HEALTH_PATH, Health, numbers_line, serve_pages

__all__ = ["add_arguments", "run"]

# The options of a worker, as its supervisor gives them; see `tidegate.cli.workers`.
LISTENING = "--listening-sockets"
SUPERVISOR = "--supervisor-socket"

READY = b"ready\n"

# What the health page says of the end.
ENDING = "ending"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = (
        "Serves WebSocket connections with a handler, a coroutine function or a Listener. With "
        "--workers, in so many processes: one that dies is started again, SIGHUP replaces all of "
        "them by new ones, one after the other. SIGTERM closes the connections, one after the "
        "other, and ends."
    )
    parser.add_argument(
        "handler", nargs="?", metavar="MODULE:NAME", help="what to run for each connection"
    )
    parser.add_argument("--echo", action="store_true", help="send back what comes, instead")
    parser.add_argument(
        "--process-request",
        metavar="MODULE:NAME",
        help="function that is asked about each request before, as that of serve()",
    )
    parser.add_argument(
        "--lifespan",
        metavar="MODULE:NAME",
        help="function that gives what is to be entered, by 'async with', while this serves, in "
        "each worker: a Hub, or connections to a database",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8765, help="port to listen on (%(default)s)")
    parser.add_argument("--unix", metavar="PATH", help="listen on a Unix socket instead")
    parser.add_argument("--cert", metavar="PEM", help="certificate, for TLS")
    parser.add_argument("--key", metavar="PEM", help="its key, if it isn't in the same file")
    parser.add_argument(
        "--proxy-protocol",
        action="append",
        metavar="NETWORK",
        help="from whom a PROXY protocol header is believed; 'unix' for Unix sockets; may be "
        "repeated",
    )
    for option, of in (
        ("--max-connections", "connections of a process"),
        ("--max-connections-per-address", "the same, from one address"),
        ("--max-handshakes-per-second", "opening handshakes of a process per second"),
        ("--max-handshakes-per-second-per-address", "the same, from one address"),
    ):
        parser.add_argument(option, type=int, metavar="N", help=f"limit on {of}")
    parser.add_argument(
        "--max-size", type=int, default=2**20, metavar="BYTES", help="limit on a message"
    )
    parser.add_argument("--no-compression", action="store_true", help="don't accept compression")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="run in so many processes that are kept alive"
    )
    parser.add_argument(
        "--reload", action="store_true", help="replace the workers when a .py file here changes"
    )
    parser.add_argument(
        "--drain",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long ending may take (%(default)g)",
    )
    parser.add_argument(
        "--spread",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="over how long the closing of connections is spread then (%(default)g)",
    )
    parser.add_argument(
        "--notice",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="for how long before that the health page says that the end comes (%(default)g)",
    )
    parser.add_argument(
        "--health",
        metavar="PATH",
        help="answer GET and HEAD of this path: 200, or 503 when the end comes",
    )
    parser.add_argument(
        "--metrics",
        metavar="[HOST:]PORT",
        help="serve numbers for Prometheus, of all workers, at /metrics of another port, and a "
        "health page",
    )
    parser.add_argument(LISTENING, help=argparse.SUPPRESS)
    parser.add_argument(SUPERVISOR, type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve; give the exit status."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    # What each connection does is of no interest beside that of thousands.
    LOGGERS[Side.SERVER].setLevel(logging.WARNING)
    mistake = find_mistake(args)
    if mistake is not None:
        print(f"tidegate serve: {mistake}", file=sys.stderr)
        return 2
    args.spread = min(args.spread, args.drain)
    if args.listening_sockets is not None:
        sockets = [socket.socket(fileno=int(fd)) for fd in args.listening_sockets.split(",")]
        return run_worker(args, sockets)
    try:
        if args.workers is not None or args.reload:
            from .workers import supervise

            return supervise(args)
        with listening(args, 1) as slots:
            return run_worker(args, slots[0])
    except OSError as exc:
        print(f"tidegate serve: cannot listen: {exc}", file=sys.stderr)
        return 1


def find_mistake(args: argparse.Namespace) -> str | None:
    """Say what is wrong with the arguments together."""
    if args.echo == (args.handler is not None):
        return "give either MODULE:NAME or --echo"
    if args.key is not None and args.cert is None:
        return "--key is of no use without --cert"
    if args.workers is not None and args.workers < 1:
        return "--workers must be at least 1"
    if args.drain < 0 or args.spread < 0 or args.notice < 0:
        return "--drain, --spread and --notice can't be negative"
    if args.health is not None and not args.health.startswith("/"):
        return "--health is a path, which begins with /"
    if args.metrics is not None:
        try:
            args.metrics_address = address_of(args.metrics)
            require_client()
        except (ValueError, ImportError) as exc:
            return f"--metrics: {exc}"
    supervised = args.workers is not None or args.reload
    if sys.platform == "win32" and (supervised or args.unix is not None):
        return "--workers, --reload and --unix need a Unix system"
    if args.loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
        return "uvloop isn't installed: pip install 'tidegate[speedups]'"
    return None


def address_of(text: str) -> tuple[str, int]:
    """Give host and port.

    Raises:
        ValueError: if they aren't there.

    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} isn't [HOST:]PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


# Listening


@contextlib.contextmanager
def listening(args: argparse.Namespace, count: int) -> Iterator[list[list[socket.socket]]]:
    """Bind sockets for so many processes; give those of each.

    Each has sockets of its own where the system shares a port's connections out among them; they
    stay when a process dies, and so do the connections that wait to be accepted. Elsewhere all have
    the same ones.

    Raises:
        OSError: if the address can't be used.

    """
    with contextlib.ExitStack() as stack:
        if args.unix is not None:
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            remove_stale(args.unix)
            sock.bind(args.unix)
            stack.callback(remove_quietly, args.unix)
            yield [[sock]] * count
            return
        shares = count > 1 and hasattr(socket, "SO_REUSEPORT") and sys.platform == "linux"
        slots: list[list[socket.socket]] = []
        addresses = dict.fromkeys(
            (family, sockaddr)
            for family, _, _, _, sockaddr in socket.getaddrinfo(
                args.host, args.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        )
        port = args.port
        for _ in range(count if shares else 1):
            sockets: list[socket.socket] = []
            for family, sockaddr in addresses:
                sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
                if shares:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
                sock.bind((sockaddr[0], port, *sockaddr[2:]))
                # Any port that is free: the same one for all.
                port = sock.getsockname()[1]
                sockets.append(sock)
            slots.append(sockets)
        yield slots if shares else slots * count


def remove_stale(path: str) -> None:
    """Remove a Unix socket on which nobody listens any more."""
    with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def remove_quietly(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


# A worker


def run_worker(args: argparse.Namespace, sockets: list[socket.socket]) -> int:
    """Serve on sockets, until a signal or the supervisor's end; give the exit status."""
    factory = None
    if args.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    try:
        program = Program(
            echo if args.echo else load(args.handler),
            None if args.process_request is None else load(args.process_request),
            None if args.lifespan is None else load(args.lifespan),
        )
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(work(args, program, sockets))
    except Exception as exc:
        # Before it serves; what handlers raise ends their connections.
        plain = isinstance(exc, (Unusable, OSError, TypeError, ValueError))
        logging.error(
            "cannot serve: %s", str(exc) or type(exc).__name__, exc_info=None if plain else exc
        )
        return 1
    return 0


class Program(NamedTuple):
    """What the command line names.

    Args:
        handler: as `serve` takes it.
        process_request: the same.
        lifespan: gives what is to be entered while there is a server.

    """

    handler: Any
    process_request: Any
    lifespan: Any


class Unusable(Exception):
    """What the command line names isn't there."""


def load(name: str) -> Any:
    """Import a handler.

    Raises:
        Unusable: if there is none of this name.
        Exception: whatever its module raises.

    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise Unusable(f"{name!r} isn't MODULE:NAME")
    sys.path.insert(0, os.getcwd())
    try:
        thing: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module_name}.".startswith(f"{exc.name}."):
            raise
        raise Unusable(f"there is no module {exc.name!r}") from None
    for part in attribute.split("."):
        try:
            thing = getattr(thing, part)
        except AttributeError:
            raise Unusable(f"module {module_name!r} has no {attribute!r}") from None
    return thing


def make_context(args: argparse.Namespace) -> ssl.SSLContext | None:
    """Make the TLS context that the command line asks for."""
    if args.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.cert, args.key)
    return context


async def echo(websocket: ServerConnection) -> None:
    """Send back what comes."""
    with contextlib.suppress(ConnectionClosed):
        async for message in websocket:
            await websocket.send(message)


async def work(args: argparse.Namespace, program: Program, sockets: list[socket.socket]) -> None:
    """Serve, until a signal or the supervisor's end, and drain."""
    context = make_context(args)
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    supervisor: asyncio.StreamWriter | None = None
    if args.supervisor_socket is None:
        signals = [signal.SIGINT, signal.SIGTERM]
    else:
        # Ctrl-C reaches all processes of a terminal; the supervisor decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signals = [signal.SIGTERM]
    for number in signals:
        add_handler(loop, number, told)
    policy = None
    if args.proxy_protocol:
        policy = ProxyPolicy(trusted=args.proxy_protocol)
    limits = Limits(
        connections=args.max_connections,
        connections_per_address=args.max_connections_per_address,
        handshakes_per_second=args.max_handshakes_per_second,
        handshakes_per_second_per_address=args.max_handshakes_per_second_per_address,
    )
    health = Health(args.health or HEALTH_PATH, lambda: ENDING if told.is_set() else None)
    process_request = program.process_request
    if args.health is not None:
        process_request = health.before(process_request)
    lag: LoopLag | None = None
    async with contextlib.AsyncExitStack() as stack:
        if program.lifespan is not None:
            await stack.enter_async_context(program.lifespan())
        servers: list[Server] = []
        if args.metrics is not None:
            lag = LoopLag()
            stack.callback(lag.stop)
            if args.supervisor_socket is None:
                # Until the very end, so that there is somebody to say that it comes.
                collector = Metrics(lag=lag)
                collector.servers = servers
                pages = serve_pages(args.metrics_address, health, collector)
                await stack.enter_async_context(pages)
        for sock in sockets:
            server = serve(
                program.handler,
                sock=sock,
                ssl=context,
                proxy_protocol=policy,
                limits=limits,
                process_request=process_request,
                max_size=args.max_size,
                compression=None if args.no_compression else "deflate",
                backlog=1024,
            )
            servers.append(await stack.enter_async_context(server))
        watcher: asyncio.Task[None] | None = None
        if args.supervisor_socket is not None:
            sock = socket.socket(fileno=args.supervisor_socket)
            reader, supervisor = await asyncio.open_unix_connection(sock=sock)
            supervisor.write(READY)
            answer = functools.partial(numbers_line, servers, lag)
            watcher = loop.create_task(watch(reader, supervisor, answer, told))
        logging.info("serving on %s", ", ".join(text_of(sock, context) for sock in sockets))
        await told.wait()
        logging.info("ending")
        if args.notice:
            await asyncio.sleep(args.notice)
        count = sum(len(server.connections) for server in servers)
        aborted = await asyncio.gather(
            *(
                server.drain(args.drain, CloseCode.SERVICE_RESTART, spread=args.spread)
                for server in servers
            )
        )
        logging.info("ended; of %d connections, %d had to be aborted", count, sum(aborted))
        if watcher is not None and supervisor is not None:
            watcher.cancel()
            if lag is not None:
                # What was done at the end counts, too.
                supervisor.write(numbers_line(servers, lag))
            supervisor.close()


def add_handler(loop: asyncio.AbstractEventLoop, number: int, told: asyncio.Event) -> None:
    """Have a signal end the server; a second one, this process."""

    def handle() -> None:
        told.set()
        if sys.platform != "win32":
            loop.remove_signal_handler(number)

    try:
        loop.add_signal_handler(number, handle)
    except NotImplementedError:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(told.set))


async def watch(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Callable[[], bytes],
    told: asyncio.Event,
) -> None:
    """Answer the supervisor, and end the server when it has ended, in whatever way."""
    with contextlib.suppress(OSError):
        while await reader.readline() == ASK:
            writer.write(answer())
    told.set()


def text_of(sock: socket.socket, context: ssl.SSLContext | None) -> str:
    """Say where a socket listens."""
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{'ws' if context is None else 'wss'}://{host}:{name[1]}/"
