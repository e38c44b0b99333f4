"""The headers of the opening handshake, for programs that do HTTP themselves.

A server checks a request with `check_request` and builds the response's headers with
`build_response`. A client builds the request's headers with `build_request` and checks the
response with `check_response`. Method, status, HTTP version, ``Host`` and ``Origin`` are left to
the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..client import check_response_headers
from ..server import check_request_headers
from ..utils import accept_key, generate_key

if TYPE_CHECKING:
    from ..datastructures import Headers

__all__ = ["build_request", "build_response", "check_request", "check_response"]


def build_request(headers: Headers) -> str:
    """Add what asks for a WebSocket to the headers of a request (RFC 6455, section 4.1).

    Args:
        headers: the headers, which are changed.

    Returns:
        The key, to be given to `check_response`.

    """
    key = generate_key()
    headers["Upgrade"] = "websocket"
    headers["Connection"] = "Upgrade"
    headers["Sec-WebSocket-Key"] = key
    headers["Sec-WebSocket-Version"] = "13"
    return key


def check_request(headers: Headers) -> str:
    """Check that the headers of a request ask for a WebSocket (RFC 6455, section 4.2.1).

    Args:
        headers: the headers.

    Returns:
        The key, to be given to `build_response`.

    Raises:
        InvalidHandshake: if they don't; the answer to that is HTTP 400 Bad Request.

    """
    return check_request_headers(headers)


def build_response(headers: Headers, key: str) -> None:
    """Add what agrees to a WebSocket to the headers of a response (RFC 6455, section 4.2.2).

    Args:
        headers: the headers, which are changed.
        key: what `check_request` gave.

    """
    headers["Upgrade"] = "websocket"
    headers["Connection"] = "Upgrade"
    headers["Sec-WebSocket-Accept"] = accept_key(key)


def check_response(headers: Headers, key: str) -> None:
    """Check that the headers of a response agree to a WebSocket (RFC 6455, section 4.1).

    Args:
        headers: the headers.
        key: what `build_request` gave.

    Raises:
        InvalidHandshake: if they don't.

    """
    check_response_headers(headers, key)
