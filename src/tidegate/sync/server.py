"""The server for threads: one for each connection."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from ..core.arguments import check_path, take_renamed
from ..core.broadcast import broadcast
from ..core.credentials import basic_auth as basic_auth_anywhere
from ..core.limits import Limits
from ..core.serving import Serving
from ..exceptions import ConnectionClosed, ProtocolError
from ..frames import Close, CloseCode
from ..http11 import SERVER
from ..imports import lazy_import
from ..protocol import CONNECTING, LOGGERS, OPEN, Side
from ..utils import get_socket_name
from .accepting import Door, tell
from .attendant import get_attendant
from .listening import inode_of, listen_tcp, listen_unix, remove_socket
from .server_connection import ServerConnection

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from ..core.acceptance import OpeningOptions
    from ..extensions.base import ServerExtensionFactory
    from ..http11 import Request, Response
    from ..proxyprotocol.forwarded import ForwardedPolicy
    from ..proxyprotocol.policy import ProxyPolicy
    from ..typing import LoggerLike, Origin, PathLike, Subprotocol
    from .server_connection import ProcessRequest, ProcessResponse

__all__ = ["Limits", "Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]

# How long to wait before accepting again when that fails, as where there are no descriptors left,
# in seconds.
PAUSE = 0.2


class Server:
    """A WebSocket server for threads, as `serve` returns it.

    It is a context manager that shuts the server down at its end.

    Args:
        sock: the socket that it listens on.
        handler: called with each accepted socket and its address, in a thread of its own.
        logger: where to log; the default is ``tidegate.server``.

    Attributes:
        socket: the socket that it listens on.

    """

    def __init__(
        self,
        sock: socket.socket,
        handler: Callable[[socket.socket, Any], None],
        logger: LoggerLike | None = None,
    ) -> None:
        self.socket = sock
        self.handler = handler
        self.logger: LoggerLike = LOGGERS[Side.SERVER] if logger is None else logger
        self.limits: Limits | None = None
        # Called before there is a thread for a socket: gives what to call in it, None if the socket
        # is refused.
        self.admit: Callable[[socket.socket, Any], Callable[[], None] | None] | None = None
        # Removes what listening made.
        self.clean_up: Callable[[], None] | None = None
        # A signal handler may shut the server down.
        self.lock = threading.RLock()
        self.all_connections: set[ServerConnection] = set()
        self.handler_threads: set[threading.Thread] = set()
        # Sockets of which there is no connection yet.
        self.arriving: set[socket.socket] = set()
        self.closing = False
        # The threads that accept connections, and what is notified when one stops to.
        self.acceptors: set[threading.Thread] = set()
        self.left = threading.Condition(self.lock)
        self.waker, self.wakee = socket.socketpair()
        sock.setblocking(False)
        self.logger.info("server listening on %s", get_socket_name(sock))

    @property
    def connections(self) -> set[ServerConnection]:
        """The connections that are open."""
        with self.lock:
            return {each for each in self.all_connections if each.state is OPEN}

    def is_serving(self) -> bool:
        """Whether the server accepts connections."""
        return not self.closing

    def fileno(self) -> int:
        """Give the descriptor of the socket that it listens on."""
        return self.socket.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

    def serve_forever(self) -> None:
        """Accept connections until the server is shut down, by another thread or a signal handler.

        ::

            with serve(...) as server:
                server.serve_forever()

        """
        with self.lock:
            if self.closing:
                return
            self.acceptors.add(threading.current_thread())
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self.socket, selectors.EVENT_READ)
                selector.register(self.wakee, selectors.EVENT_READ)
                while not self.closing:
                    selector.select()
                    if not self.closing:
                        self.accept()
        finally:
            self.stop_accepting()

    def stop_accepting(self) -> None:
        """Accept no more in this thread; close the sockets when none waits for them any more."""
        with self.lock:
            self.acceptors.discard(threading.current_thread())
            if self.closing and not self.acceptors:
                self.wakee.close()
                self.socket.close()
            self.left.notify_all()

    def wait_for_acceptors(self) -> None:
        """Wait until no thread accepts any more, but for this one, and those that a child lacks."""
        this = threading.current_thread()
        with self.lock:
            while any(each is not this and each.is_alive() for each in self.acceptors):
                self.left.wait()

    def accept(self) -> None:
        """Accept a connection, and serve it in a thread of its own."""
        try:
            sock, address = self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            # It is gone already.
            return
        except OSError as exc:
            if not self.closing:
                self.logger.error("accepting connections failed: %s", exc)
                time.sleep(PAUSE)
            return
        sock.setblocking(True)
        serve: Callable[[], None] | None = functools.partial(self.handler, sock, address)
        try:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            if self.admit is not None:
                serve = self.admit(sock, address)
                if serve is None:
                    return
            thread = threading.Thread(target=self.run, args=(sock, serve), daemon=True)
            with self.lock:
                self.arriving.add(sock)
                thread.start()
                self.handler_threads.add(thread)
        except Exception as exc:
            # There may be no memory for a thread.
            self.logger.error("serving a connection failed", exc_info=exc)
            self.arrived(sock)
            self.break_off(sock)

    def run(self, sock: socket.socket, serve: Callable[[], None]) -> None:
        """Serve a connection, in its thread."""
        try:
            serve()
        finally:
            self.arrived(sock)
            with self.lock:
                self.handler_threads.discard(threading.current_thread())

    def break_off(self, sock: socket.socket) -> None:
        """Let go of a socket, with its connection if there is one."""
        with self.lock:
            connections = [each for each in self.all_connections if each.socket is sock]
        for connection in connections:
            connection.break_off()
        sock.close()

    def arrived(self, sock: socket.socket) -> None:
        """Take note that there is a connection, or no socket any more."""
        with self.lock:
            self.arriving.discard(sock)

    def identify(
        self, connection: ServerConnection, options: OpeningOptions
    ) -> tuple[int, str] | None:
        """Count a connection for its client's address, or say with which response it's refused."""
        with self.lock:
            if connection not in self.all_connections or connection.counted is None:
                return None
            now = time.monotonic()
            address = connection.remote_address
            counted, refusal = options.identified(*connection.counted, address, now)
            connection.counted = (counted,)
            return refusal

    def connection_closed(self, connection: ServerConnection) -> None:
        """Forget a connection."""
        with self.lock:
            if connection in self.all_connections:
                self.all_connections.discard(connection)
                if self.limits is not None and connection.counted is not None:
                    self.limits.release(*connection.counted)

    def shutdown(
        self,
        close_connections: bool = True,
        code: CloseCode | int = CloseCode.GOING_AWAY,
        reason: str = "",
    ) -> None:
        """Shut the server down, and wait for its handlers.

        It stops listening, refuses the opening handshakes that are going on with 503, closes the
        connections, and waits until their handlers are done. It can't be called by a handler.

        Args:
            close_connections: whether to close the connections that are open.
            code: with which code.
            reason: with which reason.

        Raises:
            ProtocolError: if the code or the reason can't be sent.
            RuntimeError: if it is called in the thread of a handler.

        """
        if threading.current_thread() in self.handler_threads:
            raise RuntimeError("shutdown() waits for handlers, so a handler can't call it")
        if len(Close(code, reason).serialize()) > 125:
            raise ProtocolError("control frame too long")
        self.stop_listening()
        with self.lock:
            arriving = list(self.arriving)
            connections = list(self.all_connections)
            threads = list(self.handler_threads)
        for sock in arriving:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            if connection.protocol.state is CONNECTING:
                connection.refuse()
            elif close_connections:
                with connection.lock:
                    connection.start_closing(code, reason)
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.wait_closed()
        self.wait_for_acceptors()
        get_attendant().rest()
        self.logger.info("server closed")

    def stop_listening(self) -> None:
        """Accept no more connections."""
        with self.lock:
            if self.closing:
                return
            self.closing = True
        self.logger.info("server closing")
        self.waker.close()
        with self.lock:
            if not self.acceptors:
                self.stop_accepting()
        if self.clean_up is not None:
            self.clean_up()


def serve(
    handler: Callable[[ServerConnection], None],
    host: str | None = None,
    port: int | None = None,
    *,
    # TCP and TLS
    sock: socket.socket | None = None,
    ssl: ssl_module.SSLContext | None = None,
    # WebSocket
    origins: Sequence[Origin | re.Pattern[str] | None] | None = None,
    extensions: Sequence[ServerExtensionFactory] | None = None,
    subprotocols: Sequence[Subprotocol] | None = None,
    select_subprotocol: (
        Callable[[ServerConnection, Sequence[Subprotocol]], Subprotocol | None] | None
    ) = None,
    compression: str | None = "deflate",
    # HTTP
    process_request: ProcessRequest | None = None,
    process_response: ProcessResponse | None = None,
    server_header: str | None = SERVER,
    # Timeouts
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    # Limits
    max_size: int | tuple[int | None, int | None] | None = 2**20,
    max_queue: int | tuple[int | None, int | None] | None = 16,
    limits: Limits | None = None,
    # Proxies in front of the server
    proxy_protocol: ProxyPolicy | None = None,
    inside_tls: bool = False,
    forwarded: ForwardedPolicy | None = None,
    # Logging
    logger: LoggerLike | None = None,
    # Escape hatches
    create_connection: type[ServerConnection] | None = None,
    **kwargs: Any,
) -> Server:
    """Make a WebSocket server for threads, which listens.

    ::

        def handler(websocket):
            for message in websocket:
                websocket.send(message)

        with serve(handler, "localhost", 8765) as server:
            server.serve_forever()

    The connection is closed with code 1000 when the handler returns, with 1011 when it raises.

    Args:
        handler: called with each connection, a `ServerConnection`, in a thread of its own.
        host: the address to listen on; None for all of IPv4.
        port: the TCP port.
        sock: a socket that listens already, in place of ``host`` and ``port``.
        ssl: how to do TLS, None for none.
        origins: acceptable values of the Origin header, text or compiled patterns that must match
            all of it; None in the list accepts requests without the header. A defence against
            cross-site WebSocket hijacking for servers that trust cookies.
        extensions: extensions to negotiate, in the order in which they are tried.
        subprotocols: supported subprotocols, the preferred first.
        select_subprotocol: called with the connection and the subprotocols that the client offers;
            returns one of them, None to go on without, or raises `NegotiationError`.
        compression: ``"deflate"`` enables permessage-deflate, None disables it.
        process_request: called with the connection and the request before the response is made; a
            response that it returns ends the connection, None goes on.
        process_response: called with the connection, the request and the response; may change the
            response or return another.
        server_header: value of the Server header of responses; None for none.
        open_timeout: how long the opening handshake may take, in seconds; None for no limit.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        max_size: limit on incoming messages in bytes, after decompression; a tuple ``(message,
            fragment)`` also limits frames; None for no limit.
        max_queue: how many frames may wait to be received before reading stops, ``high`` or
            ``(high, low)``; None for no limit.
        limits: how many connections there may be, and how many may be opened per second. Without
            it, there are as many threads as clients want.
        proxy_protocol: from whom the connections begin with a PROXY protocol header; then the
            addresses of a connection are those in the header, and so are those that ``limits``
            counts.
        inside_tls: whether that header is the first thing inside TLS, instead of being before it.
        forwarded: from whom ``Forwarded`` and ``X-Forwarded-For`` headers are believed; then the
            remote address of a connection, from the request on, is the one that they say.
        logger: where to log; the default is ``tidegate.server``.
        create_connection: subclass of `ServerConnection` to use.
        **kwargs: given to `socket.create_server`: ``family``, ``backlog``, ``reuse_port``,
            ``dualstack_ipv6``.

    Raises:
        TypeError: if an argument of the older API is given, or a function or class can't be called
            as it will be; the message says what to write.
        ValueError: if an argument has a value that can't be used.

    """
    context = take_renamed(kwargs, "ssl_context", "ssl", ssl)
    serving = Serving(
        handler,
        ServerConnection,
        {
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "max_queue": max_queue,
        },
        kwargs,
        origins=origins,
        extensions=extensions,
        subprotocols=subprotocols,
        select_subprotocol=select_subprotocol,
        compression=compression,
        process_request=process_request,
        process_response=process_response,
        server_header=server_header,
        open_timeout=open_timeout,
        max_size=max_size,
        limits=limits,
        forwarded=forwarded,
        logger=logger,
        create_connection=create_connection,
    )
    door = Door(proxy_protocol, inside_tls, context, open_timeout)
    trusted = None if forwarded is None else forwarded.trusted
    if limits is None or not door.takes_time:
        arriving = None
    else:
        # Before the header, all come from the address of the load balancer.
        arriving = Limits(limits.connections) if proxy_protocol else limits.before_tls(trusted)

    def count(connection: ServerConnection) -> tuple[int, str] | None:
        """Add a connection to those of the server; say with which response it is refused."""
        address = serving.opening.counted(connection.remote_address)
        with server.lock:
            refusal = None if limits is None else limits.admit(address, time.monotonic())
            if refusal is None:
                connection.counted = (address,)
            server.all_connections.add(connection)
        return refusal

    def admit(accepted: socket.socket, address: Any) -> Callable[[], None] | None:
        """Say how to serve a socket; refuse it if there is no room, without a thread."""
        if door.takes_time:
            if arriving is not None:
                with server.lock:
                    refused = arriving.admit(address, time.monotonic()) is not None
                if refused:
                    # There can be no answer yet.
                    accepted.close()
                    return None
            return functools.partial(serve_socket, accepted, address)
        connection = serving.make_connection(accepted, server=server)
        refusal = count(connection)
        if refusal is not None:
            connection.open(serving.opening, refusal)
            return None
        return functools.partial(serve_connection, connection)

    def enter(accepted: socket.socket) -> ServerConnection:
        """Give the connection of a socket, whose opening handshake is to begin."""
        endpoints, layers, rest = door.let_in(accepted)
        connection: ServerConnection = serving.make_connection(accepted, server=server)
        connection.endpoints = endpoints
        if endpoints is not None and endpoints.header is not None:
            connection.protocol.announced = True
            connection.protocol.checks_health = endpoints.header.command == "LOCAL"
        connection.begin(layers, rest)
        return connection

    def serve_socket(accepted: socket.socket, address: Any) -> None:
        try:
            connection = enter(accepted)
            refusal = count(connection)
        except OSError as exc:
            accepted.close()
            tell(server.logger, address, exc)
            return
        except BaseException:
            accepted.close()
            raise
        finally:
            if arriving is not None:
                with server.lock:
                    arriving.release(address)
        serve_connection(connection, refusal)

    def serve_connection(
        connection: ServerConnection, refusal: tuple[int, str] | None = None
    ) -> None:
        server.arrived(connection.socket)
        try:
            connection.open(serving.opening, refusal)
            if connection.response is None or connection.response.status_code != 101:
                connection.wait_closed()
                return
            with connection:
                handler(connection)
        except Exception as exc:
            # The server's own end, whatever the code, is no failure of its handlers.
            if not (server.closing and isinstance(exc, ConnectionClosed)):
                connection.logger.error("connection handler failed", exc_info=True)
        finally:
            connection.break_off()

    clean_up = None
    if sock is None and kwargs.pop("unix", False):
        path = os.fspath(kwargs.pop("path"))
        sock = listen_unix(path, **kwargs)
        clean_up = functools.partial(remove_socket, path, inode_of(path))
    elif sock is None:
        sock = listen_tcp(host, port, **kwargs)
    server = Server(sock, serve_socket, logger)
    server.limits = limits
    server.admit = admit
    server.clean_up = clean_up
    return server


def unix_serve(
    handler: Callable[[ServerConnection], None],
    path: PathLike | None = None,
    **kwargs: Any,
) -> Server:
    """Make a WebSocket server for threads on a Unix socket.

    It is useful behind a reverse proxy on the same machine.

    Args:
        handler: called with each connection, in a thread of its own.
        path: file system path of the socket.
        **kwargs: the arguments of `serve`.

    """
    check_path(path, kwargs.get("sock"))
    return serve(handler, unix=True, path=path, **kwargs)


def basic_auth(
    realm: str = "",
    credentials: tuple[str, str] | Iterable[tuple[str, str]] | None = None,
    check_credentials: Callable[[str, str], bool] | None = None,
) -> Callable[[ServerConnection, Request], Response | None]:
    """Make a ``process_request`` that asks for user name and password (RFC 7617).

    ::

        serve(handler, process_request=basic_auth("sluices", ("keeper", "secret")))

    Who it is then stands in ``connection.username``. Nobody else must be able to read the
    connection: use TLS.

    Args:
        realm: what the credentials are for, ASCII.
        credentials: a pair of user name and password, or several.
        check_credentials: called with user name and password, says whether they are right.

    Raises:
        ValueError: if not exactly one of ``credentials`` and ``check_credentials`` is given.
        TypeError: if the credentials aren't pairs of text.

    """
    ask = basic_auth_anywhere(realm, credentials, check_credentials)

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        # Nothing in it waits, so it is done at once.
        answer: Any = ask(connection, request)
        try:
            answer.send(None)
        except StopIteration as done:
            response: Response | None = done.value
            return response
        answer.close()
        raise TypeError("check_credentials must be a function that isn't a coroutine function")

    return process_request


# What it was called first.
lazy_import(
    globals(),
    deprecated_aliases={
        "WebSocketServer": (".server:Server", "WebSocketServer was renamed to Server")
    },
)
