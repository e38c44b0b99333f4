"""Programs on anyio: on trio they use this face, on asyncio the other one."""

from __future__ import annotations

import contextlib

import pytest

pytest.importorskip("trio")

anyio = pytest.importorskip("anyio")


@contextlib.asynccontextmanager
async def server(backend, handler):
    """What differs: how a server is run."""
    if backend == "trio":
        from .running import address_of, serving

        async with serving(handler) as running:
            yield address_of(running)
    else:
        from tidegate.asyncio.server import serve

        async with serve(handler, "127.0.0.1", 0) as running:
            yield running.sockets[0].getsockname()


def connect_of(backend):
    if backend == "trio":
        from tidegate.trio.client import connect
    else:
        from tidegate.asyncio.client import connect
    return connect


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(backend):
    async def echo(websocket):
        async for message in websocket:
            await websocket.send(message)

    async def main():
        connect = connect_of(backend)
        async with server(backend, echo) as (host, port):
            received = []

            async def talk(name):
                async with connect(f"ws://{host}:{port}/", proxy=None) as websocket:
                    for number in range(20):
                        await websocket.send(f"{name} {number}")
                        received.append(await websocket.recv())

            async with anyio.create_task_group() as group:
                for name in "abc":
                    group.start_soon(talk, name)
            assert sorted(received) == sorted(f"{name} {n}" for name in "abc" for n in range(20))

            async with connect(f"ws://{host}:{port}/", proxy=None) as websocket:
                # Cancelled by anyio, no message is lost.
                with anyio.move_on_after(0.01) as scope:
                    await websocket.recv()
                assert scope.cancelled_caught
                await websocket.send("still there")
                with anyio.fail_after(5):
                    assert await websocket.recv() == "still there"

                async def receive():
                    async for message in websocket:
                        received.append(message)

                async with anyio.create_task_group() as group:
                    group.start_soon(receive)
                    await websocket.send("in a group")
                    while received[-1] != "in a group":
                        await anyio.sleep(0.001)
                    group.cancel_scope.cancel()
                await websocket.send("and after")
                assert await websocket.recv() == "and after"

    anyio.run(main, backend=backend)
