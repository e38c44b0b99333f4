"""WebSocket on trio: `client.connect`, `server.serve`, and what they give."""

from __future__ import annotations

from ..imports import lazy_import

lazy_import(globals(), submodules=["client", "connection", "router", "server"])
