"""Runs a test on trio, and fails one that leaves something behind."""

from __future__ import annotations

import contextlib
import functools
import gc

import pytest

trio = pytest.importorskip("trio")

from tidegate.trio.client import connect  # noqa: E402
from tidegate.trio.server import serve  # noqa: E402


def run(function):
    """Have an ``async def`` test run on trio."""

    @functools.wraps(function)
    def test(*args, **kwargs):
        trio.run(run_strictly, functools.partial(function, *args, **kwargs))
        gc.collect()

    # pytest looks for the arguments there, and would take it for one of asyncio's.
    return test


async def run_strictly(function, timeout=60):
    """Run a test; fail if it leaves tasks."""
    before = trio.lowlevel.current_statistics().tasks_living
    with trio.fail_after(timeout):
        await function()
    # Those whose connections are closed come to their ends.
    for _ in range(10):
        if trio.lowlevel.current_statistics().tasks_living <= before:
            break
        await trio.sleep(0.01)
    assert trio.lowlevel.current_statistics().tasks_living == before, "tasks are left"


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@contextlib.asynccontextmanager
async def serving(handler=echo, **kwargs):
    """Run a server on a free port of loopback."""
    kwargs.setdefault("host", "127.0.0.1")
    async with trio.open_nursery() as nursery:
        server = await nursery.start(functools.partial(serve, handler, 0, **kwargs))
        async with server:
            yield server


def address_of(server):
    """Where a server listens."""
    return server.listeners[0].socket.getsockname()[:2]


def connecting(server, path="/", **kwargs):
    """Connect to a server."""
    host, port = address_of(server)
    scheme = "ws" if kwargs.get("ssl") is None else "wss"
    kwargs.setdefault("proxy", None)
    return connect(f"{scheme}://localhost:{port}{path}", host=host, port=port, **kwargs)


@contextlib.asynccontextmanager
async def pair(handler=None, *, server=None, **kwargs):
    """Give both ends of a connection, the client's first; `server` has arguments of the server."""
    ends = []
    done = trio.Event()

    async def keep(websocket):
        ends.append(websocket)
        await done.wait()

    async with (
        serving(keep if handler is None else handler, **(server or {})) as running,
        connecting(running, **kwargs) as client,
    ):
        try:
            while handler is None and not ends:
                await trio.sleep(0.001)
            yield client, *ends
        finally:
            done.set()
