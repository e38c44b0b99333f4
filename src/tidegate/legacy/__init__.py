"""The API that `websockets` had until version 13, on the engine of `tidegate.asyncio`."""

from __future__ import annotations

import warnings

warnings.warn(
    "tidegate.legacy is the older API: use tidegate.asyncio; "
    "docs/moving-from-websockets.md says what each name is called there",
    DeprecationWarning,
    stacklevel=2,
)
