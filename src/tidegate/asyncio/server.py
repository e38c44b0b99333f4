"""The asyncio server."""

from __future__ import annotations

import asyncio
import functools
import re
import socket
import sys
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from ..core.acceptance import CLOSING_DOWN
from ..core.broadcast import broadcast
from ..core.checks import describe
from ..core.credentials import basic_auth
from ..core.limits import Limits
from ..core.listener import Listener, attach, is_listener_factory
from ..core.serving import Serving
from ..core.tally import ServerStats, Tally
from ..exceptions import ConnectionClosed, ProtocolError
from ..frames import Close, CloseCode
from ..http11 import SERVER
from ..protocol import CONNECTING, LOGGERS, OPEN, Side
from ..utils import get_socket_name
from .draining import drain_server
from .options import refuse_unknown_server
from .server_connection import ServerConnection
from .transports import create_server, create_unix_server, tls_beginner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence
    from types import TracebackType

    from ..core.acceptance import ProcessRequest, ProcessResponse
    from ..extensions.base import ServerExtensionFactory
    from ..proxyprotocol.forwarded import ForwardedPolicy
    from ..proxyprotocol.gate import HeaderGate
    from ..proxyprotocol.policy import Endpoints, ProxyPolicy
    from ..typing import LoggerLike, Origin, PathLike, Subprotocol
    from .options import ServerOptions

__all__ = ["Limits", "Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]

# What is about TLS among the arguments of loop.create_server().
TLS_ARGUMENTS = ("ssl", "ssl_handshake_timeout", "ssl_shutdown_timeout")


class Server:
    """A WebSocket server, as `serve` returns it.

    It is an asynchronous context manager that closes the server at its end, and has the methods of
    `asyncio.Server`.

    Args:
        create_server: coroutine function that makes the `asyncio.Server`.
        handler: coroutine function that is run for each connection.
        logger: where to log; the default is ``tidegate.server``.

    """

    def __init__(
        self,
        create_server: Callable[[], Awaitable[asyncio.Server]],
        handler: Callable[[ServerConnection], Awaitable[None]] | type[Listener],
        logger: LoggerLike | None = None,
    ) -> None:
        self.create_server = create_server
        self.handler = handler
        self.logger: LoggerLike = LOGGERS[Side.SERVER] if logger is None else logger
        self.limits: Limits | None = None
        self.tally = Tally()
        self.server: asyncio.Server | None = None
        self.gate: HeaderGate | None = None
        # All connections, from the accepted socket to the lost one.
        self.all_connections: set[ServerConnection] = set()
        self.handler_tasks: set[asyncio.Task[None]] = set()
        self.closing = False
        self.close_task: asyncio.Task[None] | None = None
        self._closed: asyncio.Future[None] | None = None

    @property
    def connections(self) -> set[ServerConnection]:
        """The connections that are open."""
        return {connection for connection in self.all_connections if connection.state is OPEN}

    @property
    def stats(self) -> ServerStats:
        """What the server has done so far, and what it does now."""
        return self.tally.stats(self.all_connections, self.limits)

    def start_handler(self, connection: ServerConnection) -> None:
        """Run the handler for a connection that is open, or give it a listener."""
        if is_listener_factory(self.handler):
            attach(connection, cast("type[Listener]", self.handler))
            return
        coroutine: Any = self._run_handler(connection)
        # What is told of the task is then about the program's function, not ours.
        coroutine.__qualname__ = describe(getattr(connection, "handler", self.handler))
        task = connection.loop.create_task(coroutine)
        self.handler_tasks.add(task)
        task.add_done_callback(self.handler_tasks.discard)

    async def _run_handler(self, connection: ServerConnection) -> None:
        try:
            async with connection:
                await cast("Any", self.handler)(connection)
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            if self.closing and isinstance(exc, ConnectionClosed):
                # The server's own end, whatever the code, is no failure of its handlers.
                return
            connection.logger.error("connection handler failed", exc_info=True)

    def connection_closed(self, connection: ServerConnection, address: Any) -> None:
        """Forget a connection, which came from ``address``."""
        self.all_connections.discard(connection)
        if self.limits is not None:
            self.limits.release(address)

    def close(
        self,
        close_connections: bool = True,
        code: CloseCode | int = CloseCode.GOING_AWAY,
        reason: str = "",
    ) -> None:
        """Close the server.

        It stops listening, refuses the opening handshakes that are going on with 503, closes the
        connections, and waits until their handlers are done. Wait for all that with `wait_closed`.

        Called again, it closes the connections that were left open the first time.

        Args:
            close_connections: whether to close the connections that are open.
            code: with which code.
            reason: with which reason.

        Raises:
            ProtocolError: if the code or the reason can't be sent.

        """
        # An error here is better than one in the task.
        if len(Close(code, reason).serialize()) > 125:
            raise ProtocolError("control frame too long")
        if self.close_task is None:
            self.close_task = self.get_loop().create_task(
                self._close(close_connections, code, reason)
            )
        elif close_connections:
            for connection in list(self.all_connections):
                if connection.protocol.state is OPEN:
                    connection.start_closing(code, reason)

    async def _close(self, close_connections: bool, code: CloseCode | int, reason: str) -> None:
        self.logger.info("server closing")
        self.closing = True
        assert self.server is not None
        self.server.close()
        if self.gate is not None:
            self.gate.close()
            await self.gate.wait_closed()
        # What was accepted just before gets its turn, and the same answer as the others.
        await asyncio.sleep(0)
        for connection in list(self.all_connections):
            if connection.protocol.state is CONNECTING:
                connection.refuse(*CLOSING_DOWN)
            elif close_connections:
                connection.start_closing(code, reason)
        waits: list[Any] = [
            asyncio.ensure_future(connection.wait_closed()) for connection in self.all_connections
        ]
        if waits:
            await asyncio.wait(waits)
        if sys.version_info >= (3, 12, 1) and close_connections:
            # Before, it returned too early or waited for ever.
            await self.server.wait_closed()
        while self.handler_tasks:
            await asyncio.wait(list(self.handler_tasks))
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
        self.logger.info("server closed")

    async def drain(
        self,
        timeout: float = 30.0,
        code: CloseCode | int = CloseCode.SERVICE_RESTART,
        reason: str = "",
        spread: float = 0.0,
    ) -> int:
        """Close the server within a time, and its connections not all at once.

        It stops listening, refuses the opening handshakes that are going on with 503, and closes
        one connection after the other, so that their clients don't all come to another server in
        the same moment. What isn't over when the time is up is ended hard: connections are aborted,
        handlers are cancelled.

        Args:
            timeout: how long all of it may take, in seconds.
            code: with which code to close connections; 1012 tells clients that they may come again.
            reason: with which reason.
            spread: over how many seconds to spread the closing of connections.

        Returns:
            How many connections were aborted.

        Raises:
            ProtocolError: if the code or the reason can't be sent.
            ValueError: if ``spread`` is longer than ``timeout``.

        """
        return await drain_server(self, timeout, code, reason, spread)

    async def wait_closed(self) -> None:
        """Wait until the server is closed: all its connections, and their handlers.

        It waits for a `close` that comes later, too.
        """
        if self._closed is None:
            self._closed = self.get_loop().create_future()
            if self.close_task is not None and self.close_task.done():
                self._closed.set_result(None)
        await asyncio.shield(self._closed)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the server."""
        assert self.server is not None
        return self.server.get_loop()

    def is_serving(self) -> bool:
        """Whether the server accepts connections."""
        return not self.closing and self.server is not None and self.server.is_serving()

    async def start_serving(self) -> None:
        """Start to accept connections, when ``start_server=False`` was given to `serve`."""
        assert self.server is not None
        await self.server.start_serving()

    async def serve_forever(self) -> None:
        """Accept connections until it is cancelled, then close the server.

        ::

            server = await serve(...)
            await server.serve_forever()

        """
        assert self.server is not None
        try:
            if not self.server.is_serving():
                await self.server.start_serving()
            await self.wait_closed()
        except asyncio.CancelledError:
            await self._end()
            raise

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets that the server listens on."""
        assert self.server is not None
        return tuple(self.server.sockets)

    async def _start(self) -> Self:
        if self.server is not None:
            # What was awaited can be a context manager still.
            return self
        self.server = await self.create_server()
        for sock in self.server.sockets:
            self.logger.info("server listening on %s", get_socket_name(sock))
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self._start().__await__()

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        """Close the server, unless the program did, in its own way."""
        if self.close_task is None:
            self.close()
        await self.wait_closed()


def serve(
    handler: Callable[[ServerConnection], Awaitable[None]] | type[Listener],
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    # WebSocket
    origins: Sequence[Origin | re.Pattern[str] | None] | None = None,
    extensions: Sequence[ServerExtensionFactory] | None = None,
    subprotocols: Sequence[Subprotocol] | None = None,
    select_subprotocol: (
        Callable[[ServerConnection, Sequence[Subprotocol]], Subprotocol | None] | None
    ) = None,
    compression: str | None = "deflate",
    # HTTP
    process_request: ProcessRequest[ServerConnection] | None = None,
    process_response: ProcessResponse[ServerConnection] | None = None,
    server_header: str | None = SERVER,
    # Timeouts
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    # Limits
    max_size: int | tuple[int | None, int | None] | None = 2**20,
    max_queue: int | tuple[int | None, int | None] | None = 16,
    write_limit: int | tuple[int, int | None] = 2**15,
    coalesce: bool = True,
    limits: Limits | None = None,
    # Proxies in front of the server
    proxy_protocol: ProxyPolicy | None = None,
    inside_tls: bool = False,
    forwarded: ForwardedPolicy | None = None,
    # Logging
    logger: LoggerLike | None = None,
    # Escape hatches
    create_connection: type[ServerConnection] | None = None,
    **kwargs: Unpack[ServerOptions],
) -> Server:
    """Start a WebSocket server.

    ::

        async def handler(websocket):
            async for message in websocket:
                await websocket.send(message)

        async with serve(handler, "localhost", 8765) as server:
            await server.serve_forever()

    The connection is closed with code 1000 when the handler returns, with 1011 when it raises.

    Args:
        handler: coroutine function that gets each connection, a `ServerConnection`; or a subclass
            of `Listener`, of which each connection gets one.
        host: the address, or addresses, to listen on; None for all.
        port: the TCP port.
        origins: acceptable values of the Origin header, text or compiled patterns that must match
            all of it; None in the list accepts requests without the header. A defence against
            cross-site WebSocket hijacking for servers that trust cookies.
        extensions: extensions to negotiate, in the order in which they are tried.
        subprotocols: supported subprotocols, the preferred first.
        select_subprotocol: called with the connection and the subprotocols that the client offers;
            returns one of them, None to go on without, or raises `NegotiationError`.
        compression: ``"deflate"`` enables permessage-deflate, None disables it.
        process_request: called with the connection and the request before the response is made; a
            response that it returns ends the connection, None goes on. May be a coroutine function.
        process_response: called with the connection, the request and the response; may change the
            response or return another. May be a coroutine function.
        server_header: value of the Server header of responses; None for none.
        open_timeout: how long the opening handshake may take, in seconds; None for no limit.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        max_size: limit on incoming messages in bytes, after decompression; a tuple ``(message,
            fragment)`` also limits frames; None for no limit.
        max_queue: how many frames may wait to be received before reading stops, ``high`` or
            ``(high, low)``; None for no limit.
        write_limit: size of the write buffer in bytes from which on ``send`` waits, ``high`` or
            ``(high, low)``.
        coalesce: whether the answers to messages that came together go out together, when the last
            of them was taken; False has each `send` write at once.
        limits: how many connections there may be, and how many may be opened per second.
        proxy_protocol: from whom the connections begin with a PROXY protocol header; then the
            addresses of a connection are those in the header, and so are those that ``limits``
            counts.
        inside_tls: whether that header is the first thing inside TLS, instead of being before it.
        forwarded: from whom ``Forwarded`` and ``X-Forwarded-For`` headers are believed; then the
            remote address of a connection, from the request on, is the one that they say.
        logger: where to log; the default is ``tidegate.server``.
        create_connection: subclass of `ServerConnection` to use.
        **kwargs: given to `asyncio.loop.create_server`: ``ssl``, ``sock``, ``reuse_port``,
            ``start_server`` (as ``start_serving``), and so on.

    Returns:
        A `Server`, to be awaited or used with ``async with``.

    Raises:
        TypeError: if an argument of the older API is given, or a function or class can't be called
            as it will be; the message says what to write.
        ValueError: if an argument has a value that can't be used.

    """
    refuse_unknown_server(kwargs, serve)
    for_loop: dict[str, Any] = {**kwargs}
    connection_options: dict[str, Any] = {
        "ping_interval": ping_interval,
        "ping_timeout": ping_timeout,
        "close_timeout": close_timeout,
        "max_queue": max_queue,
        "write_limit": write_limit,
    }
    if not coalesce:
        # Subclasses needn't know this argument unless it is used.
        connection_options["coalesce"] = False
    serving = Serving(
        handler,
        ServerConnection,
        connection_options,
        for_loop,
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
    if "start_server" in for_loop:
        for_loop["start_serving"] = for_loop.pop("start_server")
    if for_loop.get("ssl") is not None and open_timeout is not None:
        # A client that never begins TLS is one that doesn't do the opening handshake.
        for_loop.setdefault("ssl_handshake_timeout", open_timeout)
    tls_later: dict[str, Any] = {}
    if proxy_protocol is not None and not inside_tls and for_loop.get("ssl") is not None:
        tls_later = {name: for_loop.pop(name) for name in TLS_ARGUMENTS if name in for_loop}

    def factory(endpoints: Endpoints | None = None) -> ServerConnection:
        connection: ServerConnection = serving.make_connection(server=server)
        if endpoints is not None:
            connection.endpoints = endpoints
        connection.begin(serving.opening)
        return connection

    if for_loop.pop("unix", False):
        listen: Any = functools.partial(create_unix_server, path=for_loop.pop("path"), **for_loop)
    else:
        listen = functools.partial(create_server, host=host, port=port, **for_loop)

    async def start() -> asyncio.Server:
        loop = asyncio.get_running_loop()
        trusted = None if forwarded is None else forwarded.trusted
        before_tls = None if limits is None else limits.before_tls(trusted)
        if proxy_protocol is None:
            return cast("asyncio.Server", await listen(loop, factory, limits=before_tls))
        from ..proxyprotocol.gate import HeaderGate

        server.gate = HeaderGate(
            proxy_protocol,
            factory,
            begin_tls=tls_beginner(loop, tls_later),
            limits=before_tls,
            **tls_later,
        )
        accepted = None if limits is None else limits.before_header()
        return cast(
            "asyncio.Server",
            await listen(loop, server.gate, limits=accepted),
        )

    server = Server(start, handler, logger)
    server.limits = limits
    server.tally.policy = proxy_protocol
    return server


def unix_serve(
    handler: Callable[[ServerConnection], Awaitable[None]] | type[Listener],
    path: PathLike | None = None,
    **kwargs: Any,
) -> Server:
    """Start a WebSocket server on a Unix socket.

    It is useful behind a reverse proxy on the same machine.

    Args:
        handler: as for `serve`.
        path: file system path of the socket.
        **kwargs: the arguments of `serve`.

    """
    return serve(handler, unix=True, path=path, **kwargs)
