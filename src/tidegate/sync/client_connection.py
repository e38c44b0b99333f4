"""The client's end of a connection for threads, and how it does the opening handshake."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..client import ClientProtocol
from ..core.dialling import raise_opening_error, send_request
from ..http11 import USER_AGENT, Response
from ..protocol import CONNECTING, OPEN
from .connection import Connection

if TYPE_CHECKING:
    from ..datastructures import HeadersLike
    from ..proxy import Passage

__all__ = ["ClientConnection"]


class ClientConnection(Connection):
    """The client's end of a connection for threads. See `Connection`.

    Attributes:
        proxy: how the connection went through the proxy, with the route, the proxy's answer and
            the time of each step; None without a proxy.

    """

    protocol: ClientProtocol
    proxy: Passage | None = None

    def handshake(
        self,
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        timeout: float | None = None,
    ) -> None:
        """Do the opening handshake.

        Args:
            additional_headers: headers to add to the request.
            user_agent_header: value of the User-Agent header; None for none.
            timeout: how long it may take, in seconds; None for no limit.

        Raises:
            InvalidHandshake: if the server doesn't accept the connection.
            ConnectionError: if the connection is lost meanwhile.
            TimeoutError: if it takes longer than ``timeout``.

        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.lock:
            send_request(self, additional_headers, user_agent_header)
            while self.protocol.state is CONNECTING and self.protocol.handshake_exc is None:
                if not self.read_once(deadline):
                    raise TimeoutError("timed out during opening handshake")
            if self.protocol.state is OPEN and self.opening:
                self.opened()
                self.received()
                self.attendant.look(self)
        raise_opening_error(self)

    def process_event(self, event: Any) -> None:
        """Take in the response of the opening handshake."""
        if self.response is None:
            assert isinstance(event, Response)
            self.response = event
