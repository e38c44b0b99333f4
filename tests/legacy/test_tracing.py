"""Spans of OpenTelemetry of the older API; those of the others are tested in tests/faces."""

from __future__ import annotations

import pytest

from tidegate import tracing
from tidegate.legacy.client import connect
from tidegate.legacy.server import serve

from ..faces.test_tracing import spans  # noqa: F401
from .peers import echo, port_of


@pytest.mark.asyncio_only
async def test_opening_and_closing(spans):  # noqa: F811
    async def handler(websocket):
        assert tracing.context_of(websocket) is not None
        await echo(websocket)

    async with (
        serve(handler, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}/") as websocket,
    ):
        await websocket.send("hello")
        await websocket.recv()
    found = spans.get_finished_spans()
    assert sorted(span.name for span in found) == ["WebSocket close"] * 2 + ["WebSocket open"] * 2
    assert len({span.context.trace_id for span in found}) == 1
