"""Limits that can't be are refused where they are given, on both APIs and both sides."""

from __future__ import annotations

import math
import warnings

import pytest

import tidegate

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from tidegate.legacy.client import connect as connect_older
    from tidegate.legacy.server import serve as serve_older


async def handler(websocket):
    pass


CALLS = {
    "serve": lambda **kwargs: tidegate.serve(handler, "localhost", 0, **kwargs),
    "connect": lambda **kwargs: tidegate.connect("ws://localhost", **kwargs),
    "older serve": lambda **kwargs: serve_older(handler, "localhost", 0, **kwargs),
    "older connect": lambda **kwargs: connect_older("ws://localhost", **kwargs),
}
IMPOSSIBLE = [2**63, 2**64, -1, math.inf, -math.inf, math.nan, 1.5, "16", (), (1, 2, 3), (-1, None)]
IMPOSSIBLE += [(2**63, None), (None, 2**63), (math.nan, 1)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["max_size", "max_queue", "write_limit"])
@pytest.mark.parametrize("limit", IMPOSSIBLE, ids=repr)
async def test_refused_with_the_name(call, name, limit):
    with pytest.raises(ValueError, match=name):
        CALLS[call](**{name: limit})


@pytest.mark.parametrize("limit", [0, 1, 2**62, 2**63 - 1, None, (10, None), (10, 5)], ids=repr)
async def test_what_can_be(limit):
    async with tidegate.serve(handler, "localhost", 0, max_size=limit) as server:
        port = server.sockets[0].getsockname()[1]
        async with tidegate.connect(
            f"ws://localhost:{port}", max_size=limit, max_queue=limit
        ) as ws:
            await ws.wait_closed()
    assert ws.close_code == 1000
