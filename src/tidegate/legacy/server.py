"""The server of the older API."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from ..asyncio.options import refuse_unknown_server
from ..asyncio.server import Server
from ..asyncio.transports import create_server, create_unix_server
from ..core.arguments import (
    check_extensions,
    check_headers,
    check_limits,
    check_origins,
    check_seconds,
)
from ..core.checks import check_function
from ..extensions.permessage_deflate import enable_server_permessage_deflate
from ..frames import CloseCode
from ..headers import validate_subprotocols
from ..http11 import SERVER
from .checks import (
    adapt_handler,
    check_factory,
    refuse_newer_arguments,
    take_older_arguments,
    warn_of_path,
)
from .coated import CoatedServerConnection
from .deprecations import warn_once
from .protocol import broadcast
from .server_protocol import HeadersLikeOrCallable, HTTPResponse, WebSocketServerProtocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence
    from types import TracebackType

    from ..extensions.base import ServerExtensionFactory
    from ..typing import LoggerLike, PathLike, Subprotocol
    from .server_protocol import Origins, ProcessRequest, SelectSubprotocol

__all__ = [
    "HTTPResponse",
    "HeadersLikeOrCallable",
    "Serve",
    "WebSocketServer",
    "WebSocketServerProtocol",
    "broadcast",
    "serve",
    "unix_serve",
]


class WebSocketServer(Server):
    """A WebSocket server, as awaiting `serve` gives it.

    It has the methods of `asyncio.Server`, and closes the connections when it is closed.

    Args:
        logger: where to log; the default is ``tidegate.server``. The event loop stood here once.

    Attributes:
        websockets: the connections, those in the opening handshake included.

    """

    def __init__(
        self, logger: LoggerLike | asyncio.AbstractEventLoop | None = None, **kwargs: Any
    ) -> None:
        if isinstance(logger, asyncio.AbstractEventLoop) or "loop" in kwargs:
            kwargs.pop("loop", None)
            warn_once("WebSocketServer(loop)", "leave out the loop")
            logger = None
        super().__init__(never_created, never_handled, logger, **kwargs)
        self.websockets: set[WebSocketServerProtocol] = set()

    def close(  # type: ignore[override]
        self,
        close_connections: bool = True,
        code: CloseCode | int = CloseCode.GOING_AWAY,
        reason: str = "",
    ) -> Awaitable[None]:
        """Close the server; see `tidegate.asyncio.server.Server.close`.

        Args:
            close_connections: whether to close the connections that are open.
            code: with which code.
            reason: with which reason.

        Returns:
            What can be awaited in place of `wait_closed`, and needn't be.

        Raises:
            ProtocolError: if the code or the reason can't be sent.

        """
        super().close(close_connections, code, reason)
        for websocket in self.websockets:
            websocket.hurry_up()
        return Closing(self)

    @property
    def connections(self) -> set[Any]:
        """The connections that are open."""
        return {websocket for websocket in self.websockets if websocket.open}

    def register(self, protocol: WebSocketServerProtocol) -> None:
        """Take note of a connection."""
        self.websockets.add(protocol)
        protocol._coated.tally = self.tally
        protocol._coated.protocol.on_refusal = self.tally.refused
        self.all_connections.add(protocol._coated)
        self.handler_tasks.add(protocol.handler_task)
        protocol.handler_task.add_done_callback(self.handler_tasks.discard)

    def unregister(self, protocol: WebSocketServerProtocol) -> None:
        """Take note of the end of a connection."""
        self.websockets.discard(protocol)
        self.all_connections.discard(protocol._coated)

    def wrap(self, server: asyncio.Server) -> None:
        """Use a server whose protocol factory makes protocols with this as ``ws_server``."""
        self.server = server


class Closing:
    """What closing a server gives to those who wait for it at once.

    Args:
        server: the server.

    """

    def __init__(self, server: WebSocketServer) -> None:
        self.server = server

    def __await__(self) -> Generator[Any, None, None]:
        return self.server.wait_closed().__await__()


async def never_created() -> asyncio.Server:
    """Stand for what `serve` gives a server later."""
    raise RuntimeError("a WebSocketServer is made by serve()")


async def never_handled(connection: Any) -> None:
    """Stand for the handler of a server whose protocols have one each."""


class Serve:
    """Start a WebSocket server.

    ::

        async with serve(handler, "localhost", 8765) as server:
            await server.serve_forever()

    Await it to get the server without the context manager. The connection is closed with code
    1000 when the handler returns, with 1011 when it raises.

    Args:
        ws_handler: coroutine function of the connection, a `WebSocketServerProtocol`; it may take
            the path of the request as well (deprecated).
        host: the address, or addresses, to listen on; None for all.
        port: the TCP port.
        create_protocol: subclass of `WebSocketServerProtocol` to use, or a function with its
            arguments.
        logger: where to log; the default is ``tidegate.server``.
        compression: ``"deflate"`` enables permessage-deflate, None disables it.
        origins: acceptable values of the Origin header; None in the list accepts requests without.
        extensions: extensions to negotiate, in the order in which they are tried.
        subprotocols: supported subprotocols, the preferred first.
        extra_headers: headers to add to the response: a mapping, pairs of name and value, or a
            function of path and request headers that gives them.
        server_header: value of the Server header of responses; None for none.
        process_request: coroutine function of path and request headers that returns None to go on
            or ``(status, headers, body)`` to answer with that.
        select_subprotocol: function of the client's and the server's subprotocols that gives one.
        open_timeout: how long the opening handshake may take, in seconds; None for no limit.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; 10 by default.
        max_size: limit on incoming messages in bytes, after decompression; None for no limit.
        max_queue: how many messages may wait to be received before reading stops; None for no
            limit.
        read_limit: accepted for programs that give it; see `WebSocketCommonProtocol`.
        write_limit: size of the write buffer in bytes from which on ``send`` waits.
        **kwargs: given to `asyncio.loop.create_server`: ``ssl``, ``sock``, ``reuse_port`` and so
            on; with ``path``, of a Unix socket, to `asyncio.loop.create_unix_server`. Deprecated:
            ``klass`` is ``create_protocol``, ``timeout`` is ``close_timeout``, ``legacy_recv`` has
            ``recv`` return None at the end, ``loop`` is the running loop.

    Raises:
        TypeError: if an argument is of the newer API, or a function or class can't be called as
            it will be.

    """

    def __init__(
        self,
        ws_handler: Callable[..., Awaitable[Any]],
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        create_protocol: Callable[..., WebSocketServerProtocol] | None = None,
        logger: LoggerLike | None = None,
        compression: str | None = "deflate",
        origins: Origins | None = None,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        extra_headers: HeadersLikeOrCallable | None = None,
        server_header: str | None = SERVER,
        process_request: ProcessRequest | None = None,
        select_subprotocol: SelectSubprotocol | None = None,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = None,
        max_size: int | None = 2**20,
        max_queue: int | None = 2**5,
        read_limit: int = 2**16,
        write_limit: int = 2**16,
        **kwargs: Any,
    ) -> None:
        refuse_newer_arguments("serve", "WebSocketServerProtocol", kwargs)
        refuse_unknown_server(kwargs, Serve)
        older = take_older_arguments("serve", kwargs)
        klass = older.pop("klass", None)
        create_protocol = create_protocol or klass or WebSocketServerProtocol
        handler = adapt_handler(ws_handler)
        warn_of_path(handler)
        check_function(
            "process_request", process_request, ("path", "request_headers"), "connection"
        )
        check_function(
            "select_subprotocol",
            select_subprotocol,
            ("client_subprotocols", "server_subprotocols"),
            "connection",
        )
        if callable(extra_headers):
            check_function("extra_headers", extra_headers, ("path", "request_headers"))
        else:
            # Headers that can't be sent are found now.
            check_headers(extra_headers=extra_headers or ())
        check_origins(origins)
        check_extensions(extensions)
        if subprotocols is not None:
            validate_subprotocols(subprotocols)
        if compression == "deflate":
            extensions = enable_server_permessage_deflate(extensions)
        elif compression is not None:
            raise ValueError(f"unsupported compression: {compression}")
        check_limits(max_size=max_size, max_queue=max_queue, write_limit=write_limit)
        check_seconds(
            open_timeout=open_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
        )
        if kwargs.get("ssl") is not None and open_timeout is not None:
            # A client that never begins TLS is one that doesn't do the opening handshake.
            kwargs.setdefault("ssl_handshake_timeout", open_timeout)

        self.ws_server = WebSocketServer(logger)
        options = {
            "origins": origins,
            "extensions": extensions,
            "subprotocols": subprotocols,
            "extra_headers": extra_headers,
            "process_request": process_request,
            "select_subprotocol": select_subprotocol,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "max_size": max_size,
            "max_queue": max_queue,
            "read_limit": read_limit,
            "write_limit": write_limit,
            "host": host,
            "port": port,
            "secure": kwargs.get("ssl") is not None,
            **older,
        }
        # A factory that was written before these existed doesn't know them.
        if logger is not None:
            options["logger"] = logger
        if server_header != SERVER:
            options["server_header"] = server_header
        if open_timeout != 10:
            options["open_timeout"] = open_timeout
        check_factory(create_protocol, WebSocketServerProtocol, (handler, self.ws_server), options)

        make = functools.partial(create_protocol, handler, self.ws_server, **options)

        def factory() -> CoatedServerConnection:
            # The transport calls it directly; the coat is between it and the program only.
            protocol = make()
            return protocol._coated

        path = kwargs.pop("path", None)
        if kwargs.pop("unix", False) or path is not None:
            listen: Any = functools.partial(create_unix_server, path=path, **kwargs)
        else:
            listen = functools.partial(create_server, host=host, port=port, **kwargs)
        loop = older.get("loop")

        async def start() -> asyncio.Server:
            running = asyncio.get_running_loop()
            if loop is not None and loop is not running:
                raise RuntimeError("loop= is another event loop than the one that runs")
            server: asyncio.Server = await listen(running, factory)
            return server

        self.ws_server.create_server = start

    def __await__(self) -> Generator[Any, None, WebSocketServer]:
        return self.ws_server.__await__()

    async def __aenter__(self) -> WebSocketServer:
        return await self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ws_server.close()
        await self.ws_server.wait_closed()


serve = Serve


def unix_serve(
    ws_handler: Callable[..., Awaitable[Any]], path: PathLike | None = None, **kwargs: Any
) -> Serve:
    """Start a WebSocket server on a Unix socket.

    It is useful behind a reverse proxy on the same machine.

    Args:
        ws_handler: coroutine function of the connection.
        path: file system path of the socket.
        **kwargs: the arguments of `serve`.

    """
    return serve(ws_handler, path=path, unix=True, **kwargs)
