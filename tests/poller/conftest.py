"""uvloop's own transports differ in details: the yardstick is asyncio's."""

from __future__ import annotations

import asyncio
from pathlib import Path

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if not is_uvloops(item)]


def is_uvloops(item):
    params = getattr(getattr(item, "callspec", None), "params", {})
    factory = params.get("loop_factory", asyncio.new_event_loop)
    is_ours = HERE in item.path.parents
    return is_ours and params.get("kind") == "loop" and factory is not asyncio.new_event_loop
