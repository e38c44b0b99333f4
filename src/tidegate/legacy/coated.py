"""Connections of `tidegate.asyncio` that a protocol of the older API is the coat of.

The transport calls the connection and the program calls the coat, so that the names which a
program's subclass gives to its own attributes are free: the coat has those of the older API only.
The connection knows its coat until it is closed, so that both are freed without the garbage
collector.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..asyncio.client import ClientConnection
from ..asyncio.connection import Connection
from ..asyncio.server import ServerConnection
from ..asyncio.waiting import ensure_open
from ..core.acceptance import Answer
from ..frames import CloseCode
from ..http11 import USER_AGENT, Request, Response

if TYPE_CHECKING:
    from ..datastructures import HeadersLike
    from .client import WebSocketClientProtocol
    from .protocol import WebSocketCommonProtocol
    from .server import WebSocketServerProtocol


# How long a peer that is given up may take to receive what was sent to it before, in seconds.
MOST_FAREWELL = 1.0


class Coated(Connection):
    """A connection with a coat."""

    coat: WebSocketCommonProtocol | None = None

    def connection_made(self, transport: Any) -> None:
        assert self.coat is not None
        self.coat.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.coat is not None:
            self.coat.connection_lost(exc)

    # What the coat calls

    def begin_with(self, transport: Any) -> None:
        """Begin with a transport."""
        super().connection_made(transport)

    def end_with(self, exc: Exception | None) -> None:
        """End because of an error, or None."""
        self.coat = None
        super().connection_lost(exc)

    async def ensure_open(self) -> None:
        """Raise if nothing can be sent; see `WebSocketCommonProtocol.ensure_open`."""
        await ensure_open(self)

    def fail(self, code: int, reason: str) -> None:
        """Fail the connection; see `WebSocketCommonProtocol.fail_connection`."""
        if self.ended or self.transport is None:
            return
        self.protocol.fail(code, reason)
        self.follow(None)
        if code == CloseCode.ABNORMAL_CLOSURE:
            # There is no closing handshake to wait for.
            self.transport.close()
            self.farewell(MOST_FAREWELL)


class CoatedServerConnection(Coated, ServerConnection):
    """A server's connection, whose handler does the opening handshake, too."""

    coat: WebSocketServerProtocol | None
    _request_waiter: asyncio.Future[None] | None = None

    async def read_request(self) -> Request:
        """Give the opening handshake request, when it is there.

        Raises:
            InvalidHandshake: if it is malformed.
            ConnectionError: if the connection is lost before.

        """
        if self.request is None and not self.ended:
            self._request_waiter = self.loop.create_future()
            await self._request_waiter
        if self.request is None:
            raise self.protocol.handshake_exc or ConnectionError(
                "connection closed during opening handshake"
            )
        return self.request

    def send_response(self, response: Response) -> None:
        """Send a response, unless there is one already; what isn't 101 ends the connection."""
        self._respond(Answer(response))

    def process_event(self, event: Any) -> None:
        self.request = event
        self._wake_handler()

    def end_with(self, exc: Exception | None) -> None:
        super().end_with(exc)
        self._wake_handler()

    def start_handler(self) -> None:
        """Do nothing: it runs already."""

    def _wake_handler(self) -> None:
        waiter, self._request_waiter = self._request_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class CoatedClientConnection(Coated, ClientConnection):
    """A client's connection, whose coat does the opening handshake."""

    coat: WebSocketClientProtocol | None

    async def handshake(
        self,
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
    ) -> None:
        coat = self.coat
        if coat is None:
            raise ConnectionError("connection closed during opening handshake")
        await coat.handshake(
            self.protocol.uri,
            origin=coat.origin,
            available_extensions=coat.available_extensions,
            available_subprotocols=coat.available_subprotocols,
            extra_headers=additional_headers,
        )

    async def shake_hands(self, headers: HeadersLike | None, user_agent: str | None) -> None:
        """Do the opening handshake; see `ClientConnection.handshake`."""
        await super().handshake(headers, user_agent)
