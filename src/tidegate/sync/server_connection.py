"""The server's end of a connection for threads, and how it does the opening handshake."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ..core.acceptance import CLOSING_DOWN, Answer, OpeningOptions, acceptance, respond
from ..http11 import SERVER, Request, Response
from ..protocol import CONNECTING, OPEN
from ..server import ServerProtocol
from .connection import Connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from ..core.acceptance import PlainProcessRequest, PlainProcessResponse
    from ..proxyprotocol.forwarded import ForwardedPolicy, ForwardedRequest
    from ..typing import StatusLike
    from .server import Server

__all__ = ["ServerConnection"]


class ServerConnection(Connection):
    """The server's end of a connection for threads. See `Connection`.

    Attributes:
        server: the server that accepted it.
        username: who it is, when `basic_auth` is used.
        forwarded: what trusted proxies said about the request, when ``forwarded`` was given to
            `serve` and the request has come.

    """

    protocol: ServerProtocol
    username: str
    forwarded: ForwardedRequest | None = None
    handler: Callable[..., None]
    handler_kwargs: Mapping[str, Any]
    # The address that counts among the server's limits, in a tuple since it may be None.
    counted: tuple[Any] | None = None
    _opening: OpeningOptions | None = None

    def __init__(
        self,
        sock: socket.socket,
        protocol: ServerProtocol,
        server: Server,
        *,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_queue: int | tuple[int | None, int | None] | None = 16,
    ) -> None:
        super().__init__(
            sock,
            protocol,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
        )
        self.server = server

    def respond(self, status: StatusLike, text: str) -> Response:
        """Make a plain text response, for ``process_request`` to refuse a connection.

        Args:
            status: HTTP status.
            text: body, sent in UTF-8.

        """
        return self.protocol.reject(status, text)

    def handshake(
        self,
        process_request: PlainProcessRequest[ServerConnection] | None = None,
        process_response: PlainProcessResponse[ServerConnection] | None = None,
        server_header: str | None = SERVER,
        timeout: float | None = None,
    ) -> None:
        """Do the opening handshake.

        Args:
            process_request: called with the connection and the request before the response is made.
            process_response: called with the connection, the request and the response.
            server_header: value of the Server header; None for none.
            timeout: how long it may take, in seconds; None for no limit.

        Raises:
            InvalidHandshake: if the connection isn't accepted.
            ConnectionError: if it is lost meanwhile.

        """
        options = OpeningOptions(
            process_request, process_response, server_header, timeout, None, None
        )
        self.open(options)
        if self.protocol.handshake_exc is not None:
            raise self.protocol.handshake_exc

    def open(self, options: OpeningOptions, refusal: tuple[int, str] | None = None) -> None:
        """Do the opening handshake; the connection is open then, or on its way to its end.

        Args:
            options: how.
            refusal: what to answer without having heard anything, None to go on.

        """
        with self.lock:
            self._opening = options
            self.life.open_timeout = options.open_timeout
            self.life.begin()
            self.settle()
            if refusal is not None:
                self.answer(Answer(self.protocol.reject(*refusal)), False)
                return
            while self.request is None and self.opening and not self.ended:
                if self.protocol.close_expected():
                    return
                self.read_once(None)
            request = self.request
            if request is None or self.ended:
                return
            if options.forwarded is not None:
                self.resolve_forwarded(options.forwarded, request)
            self.asked()
            self.settle()
        refusal = None if self.server is None else self.server.identify(self, options)
        # The program takes the time that it needs, and may close the server meanwhile.
        answer = (
            self.ask(request, options)
            if refusal is None
            else Answer(self.protocol.reject(*refusal))
        )
        with self.lock:
            self.answer(answer, True)

    def ask(self, request: Request, options: OpeningOptions) -> Answer:
        """Ask the program about a request."""
        steps = acceptance(self, request, options, self.is_wanted)
        try:
            question = next(steps)
            while True:
                try:
                    result = question.ask(self)
                except Exception as exc:
                    question = steps.throw(exc)
                else:
                    question = steps.send(result)
        except StopIteration as stop:
            answer: Answer = stop.value
            return answer

    def is_wanted(self) -> bool:
        """Whether the server, if there is one, still accepts connections."""
        return self.server is None or self.server.is_serving()

    def answer(self, answer: Answer, waited: bool) -> None:
        """Send the response, which ends the opening handshake; the lock is held."""
        response = respond(self, answer, self._opening, waited)
        if response is None:
            return
        self.response = response
        self._opening = None
        self.flush()
        if self.protocol.state is OPEN:
            self.received()
        self.attendant.look(self)

    def refuse(self) -> None:
        """Refuse an opening handshake that isn't done, because the server closes."""
        with self.lock:
            if self.protocol.state is CONNECTING and not self.ended:
                waited = self.request is not None
                self.answer(Answer(self.protocol.reject(*CLOSING_DOWN)), waited)

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

    def process_event(self, event: Any) -> None:
        """Take in the request of the opening handshake."""
        if self.request is None:
            assert isinstance(event, Request)
            self.request = event

    def gone(self) -> None:
        """Tell the server that there is no connection any more."""
        self._opening = None
        if self.server is not None:
            self.server.connection_closed(self)
