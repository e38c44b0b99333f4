"""Exceptions that only the older API has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..datastructures import Headers
from ..exceptions import InvalidHandshake, InvalidMessage, ProtocolError

if TYPE_CHECKING:
    from ..datastructures import HeadersLike
    from ..typing import StatusLike

__all__ = [
    "AbortHandshake",
    "InvalidMessage",
    "InvalidStatusCode",
    "RedirectHandshake",
    "WebSocketProtocolError",
]

WebSocketProtocolError = ProtocolError
"""What `ProtocolError` was called until version 7."""


class AbortHandshake(InvalidHandshake):
    """A server answers a request with an HTTP response rather than a WebSocket.

    Attributes:
        status: HTTP status.
        headers: the headers of the response.
        body: the body of the response.

    """

    def __init__(self, status: StatusLike, headers: HeadersLike, body: bytes = b"") -> None:
        super().__init__(status, headers, body)
        self.status = status
        self.headers = Headers(headers)
        self.body = body

    def __str__(self) -> str:
        return f"HTTP {self.status:d}, {len(self.headers)} headers, {len(self.body)} bytes"


class InvalidStatusCode(InvalidHandshake):
    """A server answered a handshake request with another status than 101.

    Attributes:
        status_code: the status.
        headers: the headers of the response.

    """

    def __init__(self, status_code: int, headers: Headers | None = None) -> None:
        super().__init__(status_code, headers)
        self.status_code = status_code
        self.headers = Headers() if headers is None else headers

    def __str__(self) -> str:
        return f"server rejected WebSocket connection: HTTP {self.status_code:d}"


class RedirectHandshake(InvalidHandshake):
    """A server answered a handshake request with a redirect.

    Attributes:
        uri: where to.

    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri

    def __str__(self) -> str:
        return f"redirect to {self.uri}"
