"""Names of the older API (deprecated): headers, and HTTP on an `asyncio.StreamReader`."""

from __future__ import annotations

from .imports import lazy_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .datastructures import Headers, MultipleValuesError
    from .http11 import USER_AGENT
    from .legacy.http import read_request, read_response

__all__ = [
    "USER_AGENT",
    "Headers",
    "MultipleValuesError",
    "read_request",
    "read_response",
]

lazy_import(
    globals(),
    deprecated_aliases={
        "Headers": (".datastructures", "use tidegate.Headers"),
        "MultipleValuesError": (".datastructures", "use tidegate.MultipleValuesError"),
        "USER_AGENT": (".http11", "use tidegate.http11.USER_AGENT"),
        "PYTHON_VERSION": (".http11", "use tidegate.http11.PYTHON_VERSION"),
        "build_host": (".headers", "use tidegate.headers.build_host"),
        "read_request": (".legacy.http", "use tidegate.http11.Request.parse"),
        "read_response": (".legacy.http", "use tidegate.http11.Response.parse"),
    },
)
