"""tidegate: a WebSocket client and server library for networks as they really are."""

from __future__ import annotations

import os as _os

from .version import version as __version__

# The extensions know themselves by the name they were compiled under, so a copy of the package
# under another name runs from source.
if _os.environ.get("TIDEGATE_NO_EXTENSIONS") or __name__ != "tidegate":
    from ._uncompiled import prefer_source as _prefer_source

    _prefer_source(__name__)

__all__ = ["__version__"]
