"""The server's end of a connection of the older API, and how it does the opening handshake."""

from __future__ import annotations

import asyncio
import http
import inspect
from typing import TYPE_CHECKING, Any

from ..core.checks import describe
from ..datastructures import Headers, HeadersLike
from ..exceptions import InvalidMethod, InvalidProtocol, WebSocketException
from ..frames import CloseCode
from ..headers import parse_subprotocol
from ..http11 import SERVER, Response
from ..protocol import LOGGERS, Side
from ..server import (
    ServerProtocol,
    check_head,
    check_origin,
    http_date,
    negotiate_extensions,
)
from ..typing import StatusLike
from .checks import adapt_handler
from .coated import CoatedServerConnection
from .deprecations import warn_once
from .exceptions import AbortHandshake
from .handshake import build_response, check_request
from .http import with_surrogates
from .protocol import WebSocketCommonProtocol

if TYPE_CHECKING:
    import re
    from collections.abc import Awaitable, Callable, Sequence

    from ..extensions.base import Extension, ServerExtensionFactory
    from ..typing import LoggerLike, Origin, Subprotocol
    from .server import WebSocketServer

    Origins = Sequence[Origin | re.Pattern[str] | None]

__all__ = ["HTTPResponse", "HeadersLikeOrCallable", "WebSocketServerProtocol"]

HTTPResponse = tuple[StatusLike, HeadersLike, bytes]
"""What ``process_request`` returns to answer with an HTTP response: status, headers, body."""

if TYPE_CHECKING:
    HeadersLikeOrCallable = HeadersLike | Callable[[str, Headers], HeadersLike]
    ProcessRequest = Callable[[str, Headers], Awaitable[HTTPResponse | None]]
    SelectSubprotocol = Callable[[Sequence[Subprotocol], Sequence[Subprotocol]], Subprotocol]
else:
    HeadersLikeOrCallable = Any


class WebSocketServerProtocol(WebSocketCommonProtocol):
    """The server's end of a connection. See `WebSocketCommonProtocol`.

    `serve` makes them. A subclass, given to it as ``create_protocol``, can override
    `process_request` and `select_subprotocol`.

    Args:
        ws_handler: coroutine function of the connection, or of the connection and the path.
        ws_server: the server; it is told of the connection with ``register`` and ``unregister``,
            and asked with ``is_serving`` whether to go on.
        logger: where to log; the default is ``tidegate.server``.
        origins: acceptable values of the Origin header; None in the list accepts requests without.
        extensions: extensions to negotiate, in the order in which they are tried.
        subprotocols: supported subprotocols, the preferred first.
        extra_headers: headers to add to the response, or a function of path and request headers
            that gives them.
        server_header: value of the Server header of responses; None for none.
        process_request: coroutine function that `process_request` calls.
        select_subprotocol: function that `select_subprotocol` calls.
        open_timeout: how long the opening handshake may take, in seconds; None for no limit.
        **kwargs: the arguments of `WebSocketCommonProtocol`.

    """

    is_client = False
    side = "server"

    _coated: CoatedServerConnection
    # While the opening handshake is going on.
    _opening_limit: asyncio.Timeout | None = None
    handler_task: asyncio.Task[None]

    def __init__(
        self,
        ws_handler: Callable[..., Awaitable[Any]],
        ws_server: WebSocketServer,
        *,
        logger: LoggerLike | None = None,
        origins: Origins | None = None,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        extra_headers: HeadersLikeOrCallable | None = None,
        server_header: str | None = SERVER,
        process_request: ProcessRequest | None = None,
        select_subprotocol: SelectSubprotocol | None = None,
        open_timeout: float | None = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(logger=logger, **kwargs)
        # None in the list of origins means the same as "" did once.
        if origins is not None and "" in origins:
            origins = [origin or None for origin in origins]
        self.ws_handler = adapt_handler(ws_handler)
        self.ws_server = ws_server
        self.origins = origins
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self.extra_headers = extra_headers
        self.server_header = server_header
        self._process_request = process_request
        self._select_subprotocol = select_subprotocol
        self.open_timeout = open_timeout

    @classmethod
    def default_logger(cls) -> LoggerLike:
        return LOGGERS[Side.SERVER]

    def coated(self, max_size: int | None, logger: LoggerLike, **options: Any) -> Any:
        protocol = ServerProtocol(max_size=max_size, logger=logger)
        # The coat tells the server of the connection, which needs no server of its own then.
        return CoatedServerConnection(protocol, None, **options)  # type: ignore[arg-type]

    def connection_made(self, transport: Any) -> None:
        """Begin with a transport: run `handler` in a task."""
        super().connection_made(transport)
        coroutine: Any = self.handler()
        if type(self).handler is WebSocketServerProtocol.handler:
            # What is told of the task is then about the program's function, not ours.
            coroutine.__qualname__ = describe(self.ws_handler.function)
        self.handler_task = self.loop.create_task(coroutine)
        self.ws_server.register(self)

    def hurry_up(self) -> None:
        """Give the opening handshake no more time than closing has, because the server closes."""
        limit, seconds = self._opening_limit, self.close_timeout
        if limit is None or limit.expired() or seconds is None:
            return
        latest = self.loop.time() + seconds
        when = limit.when()
        if when is None or when > latest:
            limit.reschedule(latest)

    async def handler(self) -> None:
        """Do the opening handshake, run the connection handler and close the connection."""
        try:
            if await self._shake_hands():
                await self._run_handler()
        finally:
            self.ws_server.unregister(self)

    async def _shake_hands(self) -> bool:
        """Do the opening handshake; say whether the connection is open then."""
        try:
            async with asyncio.timeout(self.open_timeout) as limit:
                self._opening_limit = limit
                if not self.ws_server.is_serving():
                    # It was accepted just before.
                    self.hurry_up()
                try:
                    await self.handshake(
                        origins=self.origins,
                        available_extensions=self.available_extensions,
                        available_subprotocols=self.available_subprotocols,
                        extra_headers=self.extra_headers,
                    )
                finally:
                    self._opening_limit = None
            return True
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        except Exception as exc:
            if limit.expired():
                if not self.closed:
                    self.logger.info("opening handshake timed out")
                    self.transport.abort()
            elif self.closed:
                # It was refused because the server closes, or lost: there is nobody to tell but
                # the log, if it is a mistake of the program.
                if not isinstance(exc, (ConnectionError, WebSocketException)):
                    self.logger.error("opening handshake failed", exc_info=exc)
            elif not isinstance(exc, ConnectionError):
                self._refuse(exc)
        await self.wait_closed()
        return False

    async def _run_handler(self) -> None:
        try:
            await self.ws_handler(self)
        except asyncio.CancelledError:
            await self.close(CloseCode.INTERNAL_ERROR)
            raise
        except Exception:
            self.logger.error("connection handler failed", exc_info=True)
            await self.close(CloseCode.INTERNAL_ERROR)
        else:
            await self.close()

    def _refuse(self, exc: Exception) -> None:
        """Answer that the opening handshake failed."""
        if isinstance(exc, AbortHandshake):
            self.write_http_response(exc.status, exc.headers, exc.body)
        else:
            self._send_response(self._coated.protocol.refuse(exc))

    # The opening handshake

    async def handshake(
        self,
        origins: Origins | None = None,
        available_extensions: Sequence[ServerExtensionFactory] | None = None,
        available_subprotocols: Sequence[Subprotocol] | None = None,
        extra_headers: HeadersLikeOrCallable | None = None,
    ) -> str:
        """Do the opening handshake.

        Args:
            origins: acceptable values of the Origin header; None in the list accepts requests
                without.
            available_extensions: extensions to negotiate, in the order in which they are tried.
            available_subprotocols: supported subprotocols, the preferred first.
            extra_headers: headers to add to the response, or a function of path and request
                headers that gives them.

        Returns:
            The path of the request.

        Raises:
            InvalidHandshake: if the connection can't be opened; the subclass says why.

        """
        path, request_headers = await self.read_http_request()
        request = self._coated.request
        assert request is not None
        early: Any = self.process_request(path, request_headers)
        if inspect.isawaitable(early):
            early = await early
        else:
            warn_once("process_request as a function", "declare it with async def")
        if not self.ws_server.is_serving():
            early = http.HTTPStatus.SERVICE_UNAVAILABLE, [], b"The server is shutting down.\n"
        if early is not None:
            raise AbortHandshake(*checked_response(early))

        if request.method != "GET":
            raise InvalidMethod(request.method)
        if request.protocol != "HTTP/1.1":
            raise InvalidProtocol(request.protocol)
        check_head(request_headers)
        protocol = self._coated.protocol
        key = check_request(request_headers)
        protocol.origin = self.origin = self.process_origin(request_headers, origins)
        extensions_header, extensions = self.process_extensions(
            request_headers, available_extensions
        )
        protocol.extensions = self.extensions = extensions
        subprotocol = self.process_subprotocol(request_headers, available_subprotocols)
        protocol.subprotocol = self.subprotocol = subprotocol

        headers = Headers()
        build_response(headers, key)
        if extensions_header is not None:
            headers["Sec-WebSocket-Extensions"] = extensions_header
        if subprotocol is not None:
            headers["Sec-WebSocket-Protocol"] = subprotocol
        if callable(extra_headers):
            extra_headers = extra_headers(path, request_headers)
        if extra_headers is not None:
            headers.update(extra_headers)
        headers.setdefault("Date", http_date())
        self._send_response(Response(101, "Switching Protocols", headers))
        if not self.open:
            raise ConnectionError("connection closed during opening handshake")
        return path

    async def read_http_request(self) -> tuple[str, Headers]:
        """Read the request; give its path and its headers.

        Raises:
            InvalidHandshake: if it is malformed.
            ConnectionError: if the connection is lost before.

        """
        request = await self._coated.read_request()
        self.path = request.path
        self.request_headers = with_surrogates(request.headers)
        return self.path, self.request_headers

    def write_http_response(
        self, status: StatusLike, headers: HeadersLike, body: bytes | None = None
    ) -> None:
        """Answer with an HTTP response, which ends the connection unless it is 101.

        Args:
            status: HTTP status.
            headers: headers of the response; those that every response needs are added.
            body: body of the response.

        """
        status = http.HTTPStatus(status)
        response = Response(status.value, status.phrase, Headers(headers), body or b"")
        response.headers.setdefault("Date", http_date())
        if status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            response.headers.setdefault("Content-Length", str(len(response.body)))
            response.headers.setdefault("Content-Type", "text/plain")
            response.headers.setdefault("Connection", "close")
        self._send_response(response)

    def _send_response(self, response: Response) -> None:
        if self.server_header is not None:
            response.headers.setdefault("Server", self.server_header)
        self.response_headers = response.headers
        request = self._coated.request
        if request is not None and request.method == "HEAD":
            # RFC 9110, section 9.3.2
            response.body = b""
        self._coated.send_response(response)

    async def process_request(self, path: str, request_headers: Headers) -> HTTPResponse | None:
        """Answer a request with an HTTP response, or go on.

        A subclass may override it, for example for a health check or to authenticate. It should
        be quick: the connection isn't open, and ``open_timeout`` runs.

        Args:
            path: path and query of the request.
            request_headers: headers of the request.

        Returns:
            None to go on, or status, headers and body of the response that ends the connection.

        """
        if self._process_request is None:
            return None
        response: Any = self._process_request(path, request_headers)
        if inspect.isawaitable(response):
            return await response  # type: ignore[no-any-return]
        warn_once("process_request as a function", "declare it with async def")
        return response  # type: ignore[no-any-return]

    @staticmethod
    def process_origin(headers: Headers, origins: Origins | None = None) -> Origin | None:
        """Give the Origin header (RFC 6455, section 10.2).

        Args:
            headers: headers of the request.
            origins: the acceptable values; None accepts all.

        Raises:
            InvalidOrigin: if it isn't acceptable.

        """
        return check_origin(headers, origins)

    @staticmethod
    def process_extensions(
        headers: Headers, available_extensions: Sequence[ServerExtensionFactory] | None
    ) -> tuple[str | None, list[Extension]]:
        """Negotiate extensions (RFC 6455, section 9.1).

        Args:
            headers: headers of the request.
            available_extensions: extensions in the order in which they are tried.

        Returns:
            The value of the response's header, None if no extension is used, and the extensions.

        Raises:
            InvalidHandshake: if the request's header is malformed.

        """
        return negotiate_extensions(headers, available_extensions)

    def process_subprotocol(
        self, headers: Headers, available_subprotocols: Sequence[Subprotocol] | None
    ) -> Subprotocol | None:
        """Negotiate a subprotocol (RFC 6455, section 1.9).

        Args:
            headers: headers of the request.
            available_subprotocols: supported subprotocols, the preferred first.

        Returns:
            The subprotocol, None to go on without.

        Raises:
            InvalidHandshake: if the request's header is malformed.

        """
        offered = [
            subprotocol
            for value in headers.get_all("Sec-WebSocket-Protocol")
            for subprotocol in parse_subprotocol(value)
        ]
        if not offered or not available_subprotocols:
            return None
        return self.select_subprotocol(offered, available_subprotocols)

    def select_subprotocol(
        self,
        client_subprotocols: Sequence[Subprotocol],
        server_subprotocols: Sequence[Subprotocol],
    ) -> Subprotocol | None:
        """Pick one of the subprotocols that the client offers.

        It is the one with the best place in both lists together. A subclass may override that,
        for example to refuse clients that offer none that suits.

        Args:
            client_subprotocols: what the client offers.
            server_subprotocols: what this server supports.

        Returns:
            The subprotocol, None to go on without.

        """
        if self._select_subprotocol is not None:
            return self._select_subprotocol(client_subprotocols, server_subprotocols)
        return min(
            (name for name in server_subprotocols if name in client_subprotocols),
            key=lambda name: client_subprotocols.index(name) + server_subprotocols.index(name),
            default=None,
        )


def checked_response(response: Any) -> HTTPResponse:
    """Check what ``process_request`` returned.

    Raises:
        TypeError: if it isn't status, headers and body.

    """
    if not isinstance(response, tuple) or len(response) != 3:
        raise TypeError(
            "process_request must return None or (status, headers, body), not "
            f"{type(response).__name__}"
        )
    status, headers, body = response
    if not isinstance(body, (bytes, bytearray)):
        raise TypeError(f"the body of a response must be bytes, not {type(body).__name__}")
    return http.HTTPStatus(status), headers, bytes(body)
