"""The API that `websockets` had until version 13, on the engine of `tidegate.asyncio`."""

from __future__ import annotations

import warnings

from ..imports import lazy_import

TYPE_CHECKING = False

if TYPE_CHECKING:
    from .auth import BasicAuthWebSocketServerProtocol, basic_auth_protocol_factory
    from .client import WebSocketClientProtocol, connect, unix_connect
    from .exceptions import (
        AbortHandshake,
        InvalidStatusCode,
        RedirectHandshake,
        WebSocketProtocolError,
    )
    from .framing import Frame, encode_data, parse_close, prepare_data, serialize_close
    from .handshake import build_request, build_response, check_request, check_response
    from .http import read_request, read_response
    from .protocol import WebSocketCommonProtocol
    from .server import WebSocketServer, WebSocketServerProtocol, broadcast, serve, unix_serve

__all__ = [
    "AbortHandshake",
    "BasicAuthWebSocketServerProtocol",
    "Frame",
    "InvalidStatusCode",
    "RedirectHandshake",
    "WebSocketClientProtocol",
    "WebSocketCommonProtocol",
    "WebSocketProtocolError",
    "WebSocketServer",
    "WebSocketServerProtocol",
    "basic_auth_protocol_factory",
    "broadcast",
    "build_request",
    "build_response",
    "check_request",
    "check_response",
    "connect",
    "encode_data",
    "parse_close",
    "prepare_data",
    "read_request",
    "read_response",
    "serialize_close",
    "serve",
    "unix_connect",
    "unix_serve",
]

warnings.warn(
    "tidegate.legacy is the older API: use tidegate.asyncio; "
    "docs/moving-from-websockets.md says what each name is called there",
    DeprecationWarning,
    stacklevel=2,
)

lazy_import(
    globals(),
    {
        "BasicAuthWebSocketServerProtocol": ".auth",
        "basic_auth_protocol_factory": ".auth",
        "WebSocketClientProtocol": ".client",
        "connect": ".client",
        "unix_connect": ".client",
        "AbortHandshake": ".exceptions",
        "InvalidStatusCode": ".exceptions",
        "RedirectHandshake": ".exceptions",
        "WebSocketProtocolError": ".exceptions",
        "Frame": ".framing",
        "encode_data": ".framing",
        "parse_close": ".framing",
        "prepare_data": ".framing",
        "serialize_close": ".framing",
        "build_request": ".handshake",
        "build_response": ".handshake",
        "check_request": ".handshake",
        "check_response": ".handshake",
        "read_request": ".http",
        "read_response": ".http",
        "WebSocketCommonProtocol": ".protocol",
        "WebSocketServer": ".server",
        "WebSocketServerProtocol": ".server",
        "broadcast": ".server",
        "serve": ".server",
        "unix_serve": ".server",
    },
    submodules=[
        "auth",
        "client",
        "exceptions",
        "framing",
        "handshake",
        "http",
        "protocol",
        "server",
    ],
)
