"""Messages there and back."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.asyncio.client import connect, unix_connect
from tidegate.asyncio.server import serve, unix_serve
from tidegate.exceptions import ConnectionClosedOK

MESSAGES = [
    "hello",
    b"bytes",
    "",
    b"",
    "é" * 1000,
    "x" * 125,
    "x" * 126,
    b"x" * 65535,
    b"x" * 65536,
    b"y" * 500_000,
    "z" * 1_000_000,
]


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


def address(server):
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_messages_come_back(compression):
    async with (
        serve(echo, "127.0.0.1", 0, compression=compression) as server,
        connect(address(server), compression=compression) as websocket,
    ):
        for message in MESSAGES:
            await websocket.send(message)
            assert await websocket.recv() == message
        for message in MESSAGES:
            await websocket.send(message)
        for message in MESSAGES:
            assert await websocket.recv() == message
    assert websocket.close_code == 1000
    with pytest.raises(ConnectionClosedOK):
        await websocket.recv()
    with pytest.raises(ConnectionClosedOK):
        await websocket.send("late")


async def test_tls(certificates):
    server_context, client_context = certificates
    async with serve(echo, "127.0.0.1", 0, ssl=server_context) as server:
        uri = address(server).replace("ws:", "wss:")
        async with connect(uri, ssl=client_context) as websocket:
            for message in MESSAGES:
                await websocket.send(message)
                assert await websocket.recv() == message


async def test_unix_socket(tmp_path):
    path = tmp_path / "socket"
    async with unix_serve(echo, path), unix_connect(path) as websocket:
        for message in MESSAGES:
            await websocket.send(message)
            assert await websocket.recv() == message


async def test_many_small_messages():
    async with (
        serve(echo, "127.0.0.1", 0, max_queue=None) as server,
        connect(address(server), max_queue=None) as websocket,
    ):

        async def send():
            for number in range(20_000):
                await websocket.send(str(number))

        task = asyncio.create_task(send())
        for number in range(20_000):
            assert await websocket.recv() == str(number)
        await task
