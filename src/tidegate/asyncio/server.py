"""The asyncio server."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import hmac
import http
import inspect
import re
import socket
import sys
from typing import TYPE_CHECKING, Any, Self, cast

from ..datastructures import Headers
from ..exceptions import InvalidHeader, ProtocolError
from ..extensions.permessage_deflate import enable_server_permessage_deflate
from ..frames import Close, CloseCode
from ..headers import (
    build_www_authenticate_basic,
    parse_authorization_basic,
    validate_subprotocols,
)
from ..http11 import SERVER, Request, Response
from ..protocol import CONNECTING, LOGGERS, OPEN, Side
from ..server import ServerProtocol
from ..utils import get_socket_name, without_frames
from .arguments import check_limits, refuse_older_arguments
from .broadcast import broadcast
from .checks import check_connection_class, check_function, check_handler
from .connection import Connection
from .limits import Limits
from .listener import Listener, attach, is_listener_factory
from .transports import connect_accepted_socket, create_server, create_unix_server

if TYPE_CHECKING:
    from collections.abc import (
        Awaitable,
        Callable,
        Coroutine,
        Generator,
        Iterable,
        Mapping,
        Sequence,
    )
    from types import TracebackType

    from ..extensions.base import ServerExtensionFactory
    from ..proxyprotocol.forwarded import ForwardedPolicy, ForwardedRequest
    from ..proxyprotocol.gate import HeaderGate
    from ..proxyprotocol.policy import Endpoints, ProxyPolicy
    from ..typing import LoggerLike, Origin, PathLike, StatusLike, Subprotocol

    ProcessRequest = Callable[
        ["ServerConnection", Request], Awaitable[Response | None] | Response | None
    ]
    ProcessResponse = Callable[
        ["ServerConnection", Request, Response], Awaitable[Response | None] | Response | None
    ]

__all__ = ["Limits", "Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]

# How long closing may take after a response that isn't 101, in seconds, whatever close_timeout is;
# and after one for which the request wasn't waited for.
CLOSE_TIMEOUT = 10.0
REFUSAL_TIMEOUT = 1.0

CLOSING_DOWN = (503, "The server is shutting down.\n")


# What is about TLS among the arguments of loop.create_server().
TLS_ARGUMENTS = ("ssl", "ssl_handshake_timeout", "ssl_shutdown_timeout")


class ServerConnection(Connection):
    """The server's end of a connection on asyncio. See `Connection`.

    Attributes:
        server: the server that accepted it.
        username: who it is, when `basic_auth` is used.
        forwarded: what trusted proxies said about the request, when ``forwarded`` was given to
            `serve` and the request has come.

    """

    protocol: ServerProtocol
    username: str
    forwarded: ForwardedRequest | None = None
    handler: Callable[..., Awaitable[None]]
    handler_kwargs: Mapping[str, Any]
    _opening_task: asyncio.Task[None] | None = None
    _opening: OpeningOptions | None = None
    # The remote address while the connection counts, in a tuple since a Unix socket's may be None.
    _address: tuple[Any] | None = None

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
    ) -> None:
        super().__init__(
            protocol,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
        )
        self.server = server

    def respond(self, status: StatusLike, text: str) -> Response:
        """Make a plain text response, for ``process_request`` to refuse a connection.

        Args:
            status: HTTP status.
            text: body, sent in UTF-8.

        """
        return self.protocol.reject(status, text)

    # The opening handshake. It needs a task only when the program's functions are asynchronous.

    def begin(self, options: OpeningOptions) -> None:
        """Say how to do the opening handshake, before the transport exists."""
        self._opening = options

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        options = self._opening
        if options is None:
            return
        refusal = options.admit(self)
        if refusal is not None:
            self._respond(self.protocol.reject(*refusal))
            return
        self._address = (self.remote_address,)
        self.server.all_connections.add(self)
        if options.open_timeout is not None:
            self.hub.call_at(self.loop.time() + options.open_timeout, self, "opening_timed_out")

    def opening_timed_out(self) -> None:
        """Give up on a peer that didn't do the opening handshake in time."""
        if self.opening and not self.ended:
            self.logger.debug("! opening handshake timed out")
            if self._opening_task is not None:
                self._opening_task.cancel()
            self.transport.abort()

    def process_event(self, event: Any) -> None:
        if self.request is None:
            assert isinstance(event, Request)
            self.request = event
            assert self._opening is not None
            if self._opening.forwarded is not None:
                self._resolve_forwarded(self._opening.forwarded, event)
            self._process_request()

    def _resolve_forwarded(self, policy: ForwardedPolicy, request: Request) -> None:
        """Find out who sent the request to the proxies that it came through."""
        # Imported here, like the gate below, because most programs don't need it.
        from ..proxyprotocol.policy import Endpoints

        self.forwarded = policy.resolve(self.remote_address, request.headers)
        remote_address = self.forwarded.remote_address
        self.endpoints = (
            Endpoints(remote_address, self.local_address, self.peer_address)
            if self.endpoints is None
            else dataclasses.replace(self.endpoints, remote_address=remote_address)
        )

    def _process_request(self) -> None:
        options, request = self._opening, self.request
        assert options is not None and request is not None
        try:
            response = None
            if options.process_request is not None:
                response = options.process_request(self, request)
                if inspect.isawaitable(response):
                    self._go_on(self._finish_process_request(response))
                    return
        except Exception as exc:
            self._opening_failed("process_request", exc)
            return
        self._accept(cast("Response | None", response))

    async def _finish_process_request(self, awaitable: Awaitable[Response | None]) -> None:
        try:
            response = await awaitable
        except Exception as exc:
            self._opening_failed("process_request", exc)
        else:
            self._accept(response)

    def _accept(self, response: Response | None) -> None:
        """Make the response, unless ``process_request`` did, and show it to the program."""
        options = self._opening
        if options is None or self.protocol.eof_sent:
            # Meanwhile the connection was lost, or refused because the server closes.
            return
        if not isinstance(response, (Response, type(None))):
            self._opening_failed("process_request", wrong_result("process_request", response))
            return
        if response is None:
            assert self.request is not None
            if self.server.is_serving():
                response = self.protocol.accept(self.request)
            else:
                response = self.protocol.reject(*CLOSING_DOWN)
        self._add_server_header(response)
        if options.process_response is None:
            self._respond(response)
            return
        try:
            assert self.request is not None
            other = options.process_response(self, self.request, response)
            if inspect.isawaitable(other):
                self._go_on(self._finish_process_response(other, response))
                return
        except Exception as exc:
            self._opening_failed("process_response", exc)
            return
        self._respond_with(other, response)

    async def _finish_process_response(
        self, awaitable: Awaitable[Response | None], response: Response
    ) -> None:
        try:
            other = await awaitable
        except Exception as exc:
            self._opening_failed("process_response", exc)
        else:
            self._respond_with(other, response)

    def _respond_with(self, other: Response | None, response: Response) -> None:
        """Send the response that ``process_response`` gave, if it did."""
        if other is None:
            self._respond(response)
        elif isinstance(other, Response):
            self._respond(other)
        else:
            self._opening_failed("process_response", wrong_result("process_response", other))

    def _add_server_header(self, response: Response) -> None:
        if self._opening is not None and self._opening.server_header is not None:
            response.headers.setdefault("Server", self._opening.server_header)

    def _go_on(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Go on with the opening handshake in a task."""
        self._opening_task = self.loop.create_task(self._run_opening(coroutine))

    async def _run_opening(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        finally:
            # It may have been followed by another one.
            if self._opening_task is asyncio.current_task():
                self._opening_task = None

    def _opening_failed(self, function: str, exc: Exception) -> None:
        """Answer that this side made a mistake."""
        self.logger.error("%s failed", function, exc_info=exc)
        if function == "process_response":
            # That a WebSocket connection was possible makes it a rejection, for the log.
            self.protocol.handshake_exc = without_frames(exc)
        response = self.protocol.reject(
            http.HTTPStatus.INTERNAL_SERVER_ERROR,
            "The opening handshake failed because of an error in the server. Its log tells more.\n",
        )
        self._add_server_header(response)
        self._respond(response)
        self.protocol.handshake_exc = without_frames(exc)

    def _respond(self, response: Response) -> None:
        """Send the response, which ends the opening handshake."""
        if self.ended or self.protocol.state is not CONNECTING or self.protocol.eof_sent:
            return
        self.response = response
        try:
            self.protocol.send_response(response)
        except Exception as exc:
            # It has something in it that can't be sent.
            self._opening_failed("opening handshake", exc)
            return
        # It refers to this connection, which refers to it.
        self.protocol._select_subprotocol = None
        if self.protocol.state is OPEN:
            self._opening = None
            self.opened()
            self.start_handler()
        else:
            # A time limit for those who don't read it, or never close the connection.
            waited = self._address is not None or self.request is not None
            self.closing_started(CLOSE_TIMEOUT if waited else REFUSAL_TIMEOUT)

    def start_handler(self) -> None:
        """Have the handler run, the connection being open."""
        self.server.start_handler(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._opening_task is not None:
            self._opening_task.cancel()
        if self._address is not None:
            self.server.connection_closed(self, *self._address)
            self._address = None
        super().connection_lost(exc)
        self._opening = None


class OpeningOptions:
    """How a server does opening handshakes."""

    def __init__(
        self,
        process_request: ProcessRequest | None,
        process_response: ProcessResponse | None,
        server_header: str | None,
        open_timeout: float | None,
        limits: Limits | None,
        forwarded: ForwardedPolicy | None,
    ) -> None:
        self.process_request = process_request
        self.process_response = process_response
        self.server_header = server_header
        self.open_timeout = open_timeout
        self.limits = limits
        self.forwarded = forwarded

    def admit(self, connection: ServerConnection) -> tuple[int, str] | None:
        """Say whether there is room for one more connection; if not, with which response."""
        server = connection.server
        if not server.is_serving():
            return CLOSING_DOWN
        if self.limits is None:
            return None
        return self.limits.admit(connection.remote_address, connection.loop.time())


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

    def start_handler(self, connection: ServerConnection) -> None:
        """Run the handler for a connection that is open, or give it a listener."""
        if is_listener_factory(self.handler):
            attach(connection, cast("type[Listener]", self.handler))
            return
        task = connection.loop.create_task(self._run_handler(connection))
        self.handler_tasks.add(task)
        task.add_done_callback(self.handler_tasks.discard)

    async def _run_handler(self, connection: ServerConnection) -> None:
        try:
            async with connection:
                await cast("Any", self.handler)(connection)
        except asyncio.CancelledError:
            raise
        except Exception:
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
            for connection in self.connections:
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
                connection._respond(connection.protocol.reject(*CLOSING_DOWN))
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
    write_limit: int | tuple[int, int | None] = 2**15,
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
    refuse_older_arguments("serve", kwargs)
    if not is_listener_factory(handler):
        check_handler(handler)
    check_function("process_request", process_request, ("connection", "request"), "path")
    check_function("process_response", process_response, ("connection", "request", "response"))
    check_function(
        "select_subprotocol",
        select_subprotocol,
        ("connection", "subprotocols"),
        "client_subprotocols",
    )
    check_connection_class(create_connection, ServerConnection)
    if subprotocols is not None:
        validate_subprotocols(subprotocols)
    if compression == "deflate":
        extensions = enable_server_permessage_deflate(extensions)
    elif compression is not None:
        raise ValueError(f"unsupported compression: {compression}")
    check_limits(max_queue=max_queue, write_limit=write_limit)
    if server_header is not None:
        Headers(Server=server_header)
    connection_class = ServerConnection if create_connection is None else create_connection
    if "start_server" in kwargs:
        kwargs["start_serving"] = kwargs.pop("start_server")
    if kwargs.get("ssl") is not None and open_timeout is not None:
        # A client that never begins TLS is one that doesn't do the opening handshake.
        kwargs.setdefault("ssl_handshake_timeout", open_timeout)
    tls_later: dict[str, Any] = {}
    if proxy_protocol is not None and not inside_tls and kwargs.get("ssl") is not None:
        tls_later = {name: kwargs.pop(name) for name in TLS_ARGUMENTS if name in kwargs}
    options = OpeningOptions(
        process_request, process_response, server_header, open_timeout, limits, forwarded
    )

    def factory(endpoints: Endpoints | None = None) -> ServerConnection:
        protocol = ServerProtocol(
            origins=origins,
            extensions=extensions,
            subprotocols=subprotocols,
            max_size=max_size,
            logger=logger,
        )
        connection = connection_class(
            protocol,
            server,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
        )
        if endpoints is not None:
            connection.endpoints = endpoints
        if select_subprotocol is not None:
            select = select_subprotocol

            def select_for_protocol(
                protocol: ServerProtocol, subprotocols: Sequence[Subprotocol]
            ) -> Subprotocol | None:
                return select(connection, subprotocols)

            protocol._select_subprotocol = select_for_protocol
        connection.begin(options)
        return connection

    if kwargs.pop("unix", False):
        listen: Any = functools.partial(create_unix_server, path=kwargs.pop("path"), **kwargs)
    else:
        listen = functools.partial(create_server, host=host, port=port, **kwargs)

    async def start() -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if proxy_protocol is None:
            return cast("asyncio.Server", await listen(loop, factory))
        from ..proxyprotocol.gate import HeaderGate

        server.gate = HeaderGate(
            proxy_protocol,
            factory,
            connect_accepted_socket=functools.partial(connect_accepted_socket, loop),
            **tls_later,
        )
        return cast("asyncio.Server", await listen(loop, server.gate, tls_later=bool(tls_later)))

    server = Server(start, handler, logger)
    server.limits = limits
    return server


def unix_serve(
    handler: Callable[[ServerConnection], Awaitable[None]],
    path: PathLike | None = None,
    **kwargs: Any,
) -> Server:
    """Start a WebSocket server on a Unix socket.

    It is useful behind a reverse proxy on the same machine.

    Args:
        handler: coroutine function that gets each connection.
        path: file system path of the socket.
        **kwargs: the arguments of `serve`.

    """
    return serve(handler, unix=True, path=path, **kwargs)


def wrong_result(function: str, response: Any) -> TypeError:
    """The exception for a function of the program that returns something else than a response."""
    kind = type(response).__name__
    return TypeError(f"{function} must return a Response or None, not {kind}")


def is_credentials(credentials: Any) -> bool:
    """Say whether this is a user name and a password."""
    try:
        username, password = credentials
    except (TypeError, ValueError):
        return False
    return isinstance(username, str) and isinstance(password, str)


def basic_auth(
    realm: str = "",
    credentials: tuple[str, str] | Iterable[tuple[str, str]] | None = None,
    check_credentials: Callable[[str, str], Awaitable[bool] | bool] | None = None,
) -> Callable[[ServerConnection, Request], Awaitable[Response | None]]:
    """Make a ``process_request`` that asks for user name and password (RFC 7617).

    ::

        serve(handler, process_request=basic_auth("sluices", ("keeper", "secret")))

    Who it is then stands in ``connection.username``. Nobody else must be able to read the
    connection: use TLS.

    Args:
        realm: what the credentials are for, ASCII.
        credentials: a pair of user name and password, or several.
        check_credentials: called with user name and password, says whether they are right; may be
            a coroutine function.

    Raises:
        ValueError: if not exactly one of ``credentials`` and ``check_credentials`` is given.
        TypeError: if the credentials aren't pairs of text.

    """
    if (credentials is None) == (check_credentials is None):
        raise ValueError("provide either credentials or check_credentials")
    if credentials is not None:
        check_credentials = credentials_checker(credentials)
    check = check_credentials
    assert check is not None

    async def process_request(connection: ServerConnection, request: Request) -> Response | None:
        try:
            username, password = parse_authorization_basic(request.headers["Authorization"])
        except LookupError:
            return unauthorized(connection, "Missing credentials\n")
        except InvalidHeader:
            return unauthorized(connection, "Unsupported credentials\n")
        valid = check(username, password)
        if inspect.isawaitable(valid):
            valid = await valid
        if not valid:
            return unauthorized(connection, "Invalid credentials\n")
        connection.username = username
        return None

    def unauthorized(connection: ServerConnection, text: str) -> Response:
        response = connection.respond(http.HTTPStatus.UNAUTHORIZED, text)
        response.headers["WWW-Authenticate"] = build_www_authenticate_basic(realm)
        return response

    return process_request


def credentials_checker(
    credentials: tuple[str, str] | Iterable[tuple[str, str]],
) -> Callable[[str, str], bool]:
    """Make a function that says whether a user name and a password are among those given.

    Raises:
        TypeError: if the credentials aren't pairs of text.

    """
    try:
        pairs = [credentials] if is_credentials(credentials) else list(cast("Any", credentials))
    except TypeError:
        pairs = [None]
    if not all(is_credentials(pair) for pair in pairs):
        raise TypeError(f"invalid credentials argument: {credentials}")
    known = [(f"{user}".encode(), f"{password}".encode()) for user, password in pairs]

    def check_credentials(username: str, password: str) -> bool:
        # All are compared, wholly, so that the time tells nothing of either (CVE-2021-33880 was
        # this mistake elsewhere).
        given = encoded(username), encoded(password)
        right = False
        for user, secret in known:
            same_user = hmac.compare_digest(user, given[0])
            same_secret = hmac.compare_digest(secret, given[1])
            right |= same_user & same_secret
        return right

    return check_credentials


def encoded(text: str) -> bytes:
    """The bytes of a header's text, also where they were not UTF-8."""
    return text.encode("utf-8", "surrogateescape")
