"""Names of the older API (deprecated): headers of the opening handshake."""

from __future__ import annotations

from .imports import lazy_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .legacy.handshake import build_request, build_response, check_request, check_response

__all__ = ["build_request", "build_response", "check_request", "check_response"]

CLIENT = "use tidegate.client.ClientProtocol"
SERVER = "use tidegate.server.ServerProtocol"

lazy_import(
    globals(),
    deprecated_aliases={
        "build_request": (".legacy.handshake", CLIENT),
        "check_response": (".legacy.handshake", CLIENT),
        "build_response": (".legacy.handshake", SERVER),
        "check_request": (".legacy.handshake", SERVER),
        "accept": (".utils:accept_key", "use tidegate.utils.accept_key"),
        "GUID": (".utils", "use tidegate.utils.GUID"),
    },
)
