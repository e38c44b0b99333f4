"""A42: event loops in other states: debug mode, and tasks that begin at once."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosed, ConnectionClosedOK

from .connections import address, turns

MODES = ["debug"] + (["eager", "eager and debug"] if sys.version_info >= (3, 12) else [])

pytestmark = [
    pytest.mark.parametrize("mode", MODES),
    pytest.mark.parametrize("transports", ["poller", "loop"]),
]


@pytest.fixture(autouse=True)
def choose_transports(transports, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)


def enter(mode):
    """Change the loop that runs."""
    loop = asyncio.get_running_loop()
    if "debug" in mode:
        loop.set_debug(True)
        # Asked for nothing but what goes wrong.
        loop.slow_callback_duration = 3600
    if "eager" in mode:
        loop.set_task_factory(asyncio.eager_task_factory)
        nothing = asyncio.sleep(0)
        try:
            loop.create_task(nothing).cancel()
        except TypeError:
            nothing.close()
            loop.set_task_factory(None)
            pytest.skip("this uvloop has other arguments for a task factory than this Python")


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def test_messages(mode):
    enter(mode)
    async with serve(echo, "127.0.0.1", 0) as server, connect(address(server)) as client:
        for number in range(200):
            await client.send(f"{number} " * (number % 50))
        for number in range(200):
            assert await client.recv() == f"{number} " * (number % 50)
        await client.send(["in ", "three ", "pieces"])
        assert [piece async for piece in client.recv_streaming()] == ["in three pieces"]
        await (await client.ping())


async def test_tasks_that_receive_and_send(mode):
    enter(mode)
    async with serve(echo, "127.0.0.1", 0) as server, connect(address(server)) as client:
        receiving = asyncio.create_task(client.recv())
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(client.send(str(number)))
        received = [await receiving] + [await client.recv() for _ in range(19)]
        assert sorted(received, key=int) == [str(number) for number in range(20)]
        both = asyncio.gather(client.recv(), client.send("gathered"))
        assert (await both)[0] == "gathered"
        await client.send("waited for")
        assert await asyncio.wait_for(client.recv(), 10) == "waited for"


async def test_time_outs_racing_messages(mode):
    """A01, A02: nothing is lost, in these modes either."""
    enter(mode)

    async def count(connection):
        for number in range(300):
            await connection.send(str(number))
            if number % 3 == 0:
                await asyncio.sleep(0)
        await connection.wait_closed()

    async with serve(count, "127.0.0.1", 0) as server, connect(address(server)) as client:
        received = []
        while len(received) < 300:
            task = asyncio.create_task(client.recv())
            await asyncio.sleep(0)
            if len(received) % 2:
                task.cancel()
            try:
                received.append(await task)
            except asyncio.CancelledError:
                continue
        assert received == [str(number) for number in range(300)]


async def test_closing(mode):
    """A08, A09"""
    enter(mode)
    async with serve(echo, "127.0.0.1", 0) as server:
        client = await connect(address(server))
        receiving = asyncio.create_task(client.recv())
        await turns()
        await asyncio.gather(*(asyncio.create_task(client.close()) for _ in range(3)))
        with pytest.raises(ConnectionClosedOK):
            await receiving
        with pytest.raises(ConnectionClosed):
            await client.send("late")


async def test_server_that_closes(mode):
    enter(mode)
    server = await serve(echo, "127.0.0.1", 0)
    clients = [await connect(address(server)) for _ in range(5)]
    receiving = [asyncio.create_task(client.recv()) for client in clients]
    await turns()
    server.close()
    await server.wait_closed()
    for task in receiving:
        with pytest.raises(ConnectionClosedOK):
            await task
    assert {client.close_code for client in clients} == {1001}
