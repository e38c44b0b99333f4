"""The server's end of a connection, and how it does the opening handshake."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

import trio

from ..core.acceptance import CLOSING_DOWN, Answer, OpeningOptions, acceptance, respond
from ..http11 import Request, Response
from ..protocol import OPEN
from ..server import ServerProtocol
from .connection import Connection
from .way import Way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..proxyprotocol.forwarded import ForwardedPolicy, ForwardedRequest
    from ..typing import StatusLike
    from .server import Server

__all__ = ["ServerConnection"]


class ServerConnection(Connection):
    """The server's end of a connection on trio. See `Connection`.

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
    # The remote address while the connection counts, in a tuple since a Unix socket's may be None.
    address: tuple[Any] | None = None

    def __init__(
        self,
        nursery: trio.Nursery | None,
        stream: trio.abc.Stream | Way,
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
            nursery,
            stream,
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

    async def handshake(self, options: OpeningOptions) -> None:
        """Do the opening handshake; it may end the connection instead of opening it.

        Args:
            options: how the server does this.

        """
        self.start()
        header = self.proxy_header
        if header is not None:
            self.protocol.announced = True
            self.protocol.checks_health = header.command == "LOCAL"
        refusal = self.admit(options)
        if refusal is not None:
            self.answer(Answer(self.protocol.reject(*refusal)), options)
            return
        while self.request is None and not self.ended and self.protocol.handshake_exc is None:
            await self.wait_for_opening()
        if self.request is None:
            # It can't be read, or the peer is gone.
            return
        if options.forwarded is not None:
            self.resolve_forwarded(options.forwarded, self.request)
            refusal = self.identify(options)
            if refusal is not None:
                self.answer(Answer(self.protocol.reject(*refusal)), options)
                return
        answer = await self.ask(self.request, options)
        self.answer(answer, options)

    def admit(self, options: OpeningOptions) -> tuple[int, str] | None:
        """Say whether there is room for one more connection; if not, with which response."""
        if not self.server.is_serving():
            return CLOSING_DOWN
        if options.limits is not None:
            counted = options.counted(self.remote_address)
            refusal = options.limits.admit(counted, trio.current_time())
            if refusal is not None:
                return refusal
        self.address = (options.counted(self.remote_address),)
        self.server.all_connections.add(self)
        return None

    def identify(self, options: OpeningOptions) -> tuple[int, str] | None:
        """Count for the client's address; if that can't be, say with which response."""
        if self.address is None:
            return None
        counted, refusal = options.identified(
            *self.address, self.remote_address, trio.current_time()
        )
        self.address = (counted,)
        return refusal

    def process_event(self, event: Any) -> None:
        if self.request is None:
            assert isinstance(event, Request)
            self.request = event

    def resolve_forwarded(self, policy: ForwardedPolicy, request: Request) -> None:
        """Find out who sent the request to the proxies that it came through."""
        # Imported here because most programs don't need it.
        from ..proxyprotocol.policy import Endpoints

        self.forwarded = policy.resolve(self.remote_address, request.headers)
        remote_address = self.forwarded.remote_address
        self.endpoints = (
            Endpoints(remote_address, self.local_address, self.peer_address)
            if self.endpoints is None
            else dataclasses.replace(self.endpoints, remote_address=remote_address)
        )

    async def ask(self, request: Request, options: OpeningOptions) -> Answer:
        """Ask the program what to answer to a request."""
        steps = acceptance(self, request, options, self.server.is_serving)
        result: Any = None
        exc: Exception | None = None
        try:
            while True:
                question = steps.send(result) if exc is None else steps.throw(exc)
                result = exc = None
                try:
                    result = question.ask(self)
                    if inspect.isawaitable(result):
                        self.asked()
                        result = await result
                except Exception as raised:
                    exc = raised
        except StopIteration as stop:
            answer: Answer = stop.value
            return answer
        finally:
            # Its traceback refers to this frame.
            del exc

    def refuse(self, status: int, text: str) -> None:
        """Refuse an opening handshake that isn't done, whatever the program is about to say."""
        self.answer(Answer(self.protocol.reject(status, text)), None)

    def answer(self, answer: Answer, options: OpeningOptions | None) -> None:
        """Send the response, which ends the opening handshake."""
        waited = self.address is not None or self.request is not None
        response = respond(self, answer, options, waited)
        if response is None:
            return
        self.response = response
        if self.protocol.state is OPEN:
            self.flush()
            self.received()

    def finished(self) -> None:
        """The connection is gone: it counts no more."""
        super().finished()
        if self.address is not None:
            self.server.connection_closed(self, *self.address)
            self.address = None
