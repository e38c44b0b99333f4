"""The server's end of a connection, and how it does the opening handshake."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

from ..core.acceptance import (
    CLOSING_DOWN,
    Answer,
    OpeningOptions,
    acceptance,
    default_response,
    respond,
)
from ..http11 import Request, Response
from ..protocol import OPEN
from ..server import ServerProtocol
from .connection import Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping

    from ..core.acceptance import Question
    from ..proxyprotocol.forwarded import ForwardedPolicy, ForwardedRequest
    from ..typing import StatusLike
    from .server import Server

__all__ = ["ServerConnection"]


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
    _acceptance: Generator[Question, Any, Answer] | None = None
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
        coalesce: bool = True,
    ) -> None:
        super().__init__(
            protocol,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
            coalesce=coalesce,
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
        self.life.open_timeout = options.open_timeout

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self._opening is None:
            return
        refusal = self._admit(self._opening)
        if refusal is not None:
            self._respond(Answer(self.protocol.reject(*refusal)))
            return
        # Without limits, nobody counts.
        counts = self._opening.limits is not None
        self._address = (self._opening.counted(self.remote_address) if counts else None,)
        self.server.all_connections.add(self)

    def _admit(self, options: OpeningOptions) -> tuple[int, str] | None:
        """Say whether there is room for one more connection; if not, with which response."""
        if not self.server.is_serving():
            return CLOSING_DOWN
        if options.limits is None:
            return None
        return options.limits.admit(options.counted(self.remote_address), self.loop.time())

    def process_event(self, event: Any) -> None:
        if self.request is None:
            assert isinstance(event, Request)
            self.request = event
            options = self._opening
            assert options is not None
            if options.forwarded is not None:
                self._resolve_forwarded(options.forwarded, event)
                refusal = self._identify(options)
                if refusal is not None:
                    self._respond(Answer(self.protocol.reject(*refusal)))
                    return
            is_serving = self.server.is_serving
            if options.asks:
                self._acceptance = acceptance(self, event, options, is_serving)
                self._go_on(None, None)
            else:
                self._respond(Answer(default_response(self, event, options, is_serving())))

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

    def _identify(self, options: OpeningOptions) -> tuple[int, str] | None:
        """Count for the client's address; if that can't be, say with which response."""
        if self._address is None:
            return None
        counted, refusal = options.identified(*self._address, self.remote_address, self.loop.time())
        self._address = (counted,)
        return refusal

    def _go_on(self, result: Any, exc: Exception | None) -> None:
        """Give the program's answer to its question, and ask the next one."""
        steps = self._acceptance
        if steps is None:
            return
        try:
            question = steps.send(result) if exc is None else steps.throw(exc)
            while True:
                try:
                    result = question.ask(self)
                except Exception as raised:
                    question = steps.throw(raised)
                    continue
                if inspect.isawaitable(result):
                    self.asked()
                    self._opening_task = self.loop.create_task(self._wait_for_answer(result))
                    return
                question = steps.send(result)
        except StopIteration as stop:
            self._acceptance = None
            self._respond(stop.value)

    async def _wait_for_answer(self, awaitable: Awaitable[Response | None]) -> None:
        try:
            result = await awaitable
        except asyncio.CancelledError:
            self._opening_task = None
            self.transport.abort()
            raise
        except Exception as exc:
            self._opening_task = None
            self._go_on(None, exc)
        else:
            self._opening_task = None
            self._go_on(result, None)

    def refuse(self, status: int, text: str) -> None:
        """Refuse an opening handshake that isn't done, whatever the program is about to say."""
        self._respond(Answer(self.protocol.reject(status, text)))

    def _respond(self, answer: Answer) -> None:
        """Send the response, which ends the opening handshake."""
        waited = self._address is not None or self.request is not None
        response = respond(self, answer, self._opening, waited)
        if response is None:
            return
        self.response = response
        self._acceptance = None
        if self.protocol.state is OPEN:
            self._opening = None
            self.flush()
            self.start_handler()
            self.received()

    def start_handler(self) -> None:
        """Have the handler run, the connection being open."""
        self.server.start_handler(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._acceptance = None
        if self._opening_task is not None:
            self._opening_task.cancel()
        if self._address is not None:
            self.server.connection_closed(self, *self._address)
            self._address = None
        super().connection_lost(exc)
        self._opening = None
