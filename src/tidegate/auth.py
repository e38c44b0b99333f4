"""Names of the older API (deprecated): basic authentication. See `tidegate.basic_auth`."""

from __future__ import annotations

from .imports import lazy_import

__all__ = ["BasicAuthWebSocketServerProtocol", "basic_auth_protocol_factory"]  # noqa: F822

lazy_import(
    globals(),
    deprecated_aliases={
        "BasicAuthWebSocketServerProtocol": (".legacy.auth", "use tidegate.basic_auth"),
        "basic_auth_protocol_factory": (".legacy.auth", "use tidegate.basic_auth"),
    },
)
