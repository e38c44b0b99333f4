"""Names of the older API (deprecated): basic authentication. See `tidegate.basic_auth`."""

from __future__ import annotations

from .imports import lazy_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .legacy.auth import BasicAuthWebSocketServerProtocol, basic_auth_protocol_factory

__all__ = ["BasicAuthWebSocketServerProtocol", "basic_auth_protocol_factory"]

lazy_import(
    globals(),
    deprecated_aliases={
        "BasicAuthWebSocketServerProtocol": (".legacy.auth", "use tidegate.basic_auth"),
        "basic_auth_protocol_factory": (".legacy.auth", "use tidegate.basic_auth"),
    },
)
