"""broadcast(): nobody waits for a slow receiver, and a message is made once for all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tracemalloc

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import broadcast, serve
from tidegate.exceptions import ConnectionClosedError
from tidegate.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
)

from .connections import address, raw_client, until


@contextlib.asynccontextmanager
async def serving(**kwargs):
    """Run a server; give it, and the list of its connections."""
    accepted = []

    async def handler(connection):
        accepted.append(connection)
        await connection.wait_closed()

    sock = socket.create_server(("127.0.0.1", 0))
    # Connections inherit it: what isn't read soon waits here rather than in the operating system.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
    async with serve(handler, sock=sock, **kwargs) as server:
        yield server, accepted


@pytest.mark.parametrize("transports", ["poller", "aiofastnet", "loop"])
async def test_stalled_receivers(transports, monkeypatch):
    """A24: they hold nobody up, and what waits for all of them is in memory once."""
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    monkeypatch.setattr("tidegate.asyncio.pings.DEAD_PEER_TIMEOUT", 0.02)
    size, count = 1_000_000, 10
    async with (
        serving(compression=None, ping_interval=None) as (server, accepted),
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(count):
            peer = await stack.enter_async_context(raw_client(server))
            peer.stop_reading()
        stalled = list(accepted)
        reader = await stack.enter_async_context(connect(address(server), max_size=None))
        # More than the operating system takes for them.
        for _ in range(8):
            broadcast(accepted, b"x" * size)
            assert len(await reader.recv()) == size
        assert all(connection.buffered_amount > size for connection in stalled)
        tracemalloc.start()
        broadcast(stalled, b"y" * size)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # asyncio's own transports copied what they couldn't send before Python 3.12.
        assert used < 4 * size or (transports == "loop" and sys.version_info < (3, 12))
        # Keepalive ends them, and what waited for them goes.
        for connection in stalled:
            connection.ping_interval = connection.ping_timeout = 0.01
            connection.start_keepalive()
        await until(lambda: all(connection.state.name == "CLOSED" for connection in stalled))
        await until(lambda: not any(connection.buffered_amount for connection in stalled))
        broadcast(accepted, "for those who are left")
        assert await reader.recv() == "for those who are left"


OFFERS = [
    None,
    [ClientPerMessageDeflateFactory(server_max_window_bits=12)],
    [ClientPerMessageDeflateFactory(server_max_window_bits=10)],
    [ClientPerMessageDeflateFactory(server_max_window_bits=10, server_no_context_takeover=True)],
]


async def test_a_message_is_made_once_for_all_with_the_same_parameters():
    async with (
        serving() as (server, accepted),
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [
            await stack.enter_async_context(
                connect(address(server), compression=None, extensions=extensions)
            )
            for extensions in OFFERS
            for _ in range(5)
        ]
        await until(lambda: len(accepted) == len(clients))
        # Messages of one connection before, between and after those of all.
        for number in range(3):
            message = f"a message that is worth it, the {number}th, " * 10
            await accepted[3 * number].send(message)
            assert await clients[3 * number].recv() == message
            broadcast(accepted, message)
            for client in clients:
                assert await client.recv() == message
        made = {}
        for connection in accepted:
            connection.protocol.frame_writer.write_shared(1, b"shared", made)
            connection.flush()
        assert len(made) == 3
        for client in clients:
            assert await client.recv() == "shared"


async def test_receivers_that_are_lost_meanwhile():
    async with serving() as (server, accepted):
        async with connect(address(server)) as client:
            accepted[0].transport.abort()
            broadcast(accepted, "nobody there")
            with pytest.raises(ConnectionClosedError):
                await client.recv()
        broadcast(accepted, "closed")
        await asyncio.sleep(0)
