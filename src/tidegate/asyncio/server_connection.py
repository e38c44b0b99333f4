"""The server's end of a connection, and how it does the opening handshake."""

from __future__ import annotations

import asyncio
import dataclasses
import http
import inspect
from typing import TYPE_CHECKING, Any, cast

from ..http11 import Request, Response
from ..protocol import CONNECTING, OPEN
from ..server import ServerProtocol
from ..utils import without_frames
from .connection import Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from ..core.limits import Limits
    from ..proxyprotocol.forwarded import ForwardedPolicy, ForwardedRequest
    from ..typing import StatusLike
    from .server import Server

    ProcessRequest = Callable[
        ["ServerConnection", Request], Awaitable[Response | None] | Response | None
    ]
    ProcessResponse = Callable[
        ["ServerConnection", Request, Response], Awaitable[Response | None] | Response | None
    ]

__all__ = ["ServerConnection"]

# How long closing may take after a response that isn't 101, in seconds, whatever close_timeout is;
# and after one for which the request wasn't waited for.
CLOSE_TIMEOUT = 10.0
REFUSAL_TIMEOUT = 1.0

CLOSING_DOWN = (503, "The server is shutting down.\n")


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


def wrong_result(function: str, response: Any) -> TypeError:
    """The exception for a function of the program that returns something else than a response."""
    kind = type(response).__name__
    return TypeError(f"{function} must return a Response or None, not {kind}")
