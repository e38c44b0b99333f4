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
from tidegate.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from .connections import address, pair, raw_client, until


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


@pytest.mark.parametrize("transports", ["poller", "loop"])
async def test_stalled_receivers(transports, monkeypatch):
    """A24: they hold nobody up, and what waits for all of them is in memory once."""
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    monkeypatch.setattr("tidegate.core.link.DEAD_PEER_TIMEOUT", 0.02)
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


# What clients offer, which makes the frames for them differ.
OFFERS = [
    None,
    [ClientPerMessageDeflateFactory(server_max_window_bits=12)],
    [ClientPerMessageDeflateFactory(server_max_window_bits=10)],
    [ClientPerMessageDeflateFactory(server_max_window_bits=10, server_no_context_takeover=True)],
]


@contextlib.asynccontextmanager
async def audience(each):
    """Give the server's ends and the clients, so many of each kind."""
    async with serving() as (server, accepted), contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                connect(address(server), compression=None, extensions=extensions)
            )
            for extensions in OFFERS
            for _ in range(each)
        ]
        await until(lambda: len(accepted) == len(clients))
        yield accepted, clients


class Recorder:
    """In place of a transport: takes down what is written."""

    def __init__(self, transport):
        self.transport = transport
        self.written = []

    def write(self, data):
        self.written.append(data)
        self.transport.write(data)

    def writelines(self, data):
        self.written += data
        self.transport.writelines(data)

    def __getattr__(self, name):
        return getattr(self.transport, name)


def parameters(connection):
    """Give what makes the frames for one connection differ from those for others."""
    for extension in connection.protocol.extensions:
        return extension.local_max_window_bits, extension.local_no_context_takeover
    return None


async def test_what_is_made_is_made_once_per_set_of_parameters():
    each = 5
    message = "the tide is coming in " * 50
    async with audience(each) as (accepted, clients):
        transports = []
        for connection in accepted:
            transports.append(connection.transport)
            connection.transport = Recorder(connection.transport)
            connection.sink = None
        broadcast(accepted, message)
        frames = {}
        for connection, transport in zip(accepted, transports, strict=True):
            (frame,) = connection.transport.written
            frames.setdefault(parameters(connection), []).append(frame)
            connection.transport = transport
        assert {*frames} == {None, (12, False), (10, False), (10, True)}
        for kind, written in frames.items():
            assert len(written) == each
            # The same object, not only an equal one: nothing was done twice.
            assert {id(frame) for frame in written} == {id(written[0])}, kind
            assert (len(written[0]) < len(message) // 10) == (kind is not None)
        for client in clients:
            assert await client.recv() == message


async def test_broadcasts_among_other_messages():
    """What is compressed for all has to fit into the context of each."""
    async with audience(2) as (accepted, clients):
        for number in range(20):
            for place, connection in enumerate(accepted):
                if (number + place) % 3:
                    await connection.send(f"for {place} only, number {number} " * 10)
            broadcast(accepted, f"for all, number {number} " * 10)
            broadcast(accepted[::2], b"for some " * 20)
        closing = [asyncio.create_task(connection.close()) for connection in accepted]
        received = [[message async for message in client] for client in clients]
        await asyncio.wait(closing)
    # Which client is at the other end of which connection is what the messages say.
    for messages in received:
        own = [message for message in messages if "only" in str(message)]
        place = int(own[0].split()[1])
        expected = []
        for number in range(20):
            if (number + place) % 3:
                expected.append(f"for {place} only, number {number} " * 10)
            expected.append(f"for all, number {number} " * 10)
            if place % 2 == 0:
                expected.append(b"for some " * 20)
        assert messages == expected


async def test_mask_keys_are_not_shared(monkeypatch):
    """A client may broadcast to its servers (RFC 6455, section 5.3)."""
    # What is written to the poller's transports doesn't pass through Python.
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", "loop")
    async with pair() as (one_server, one), pair() as (other_server, other):
        one.transport = one_recorder = Recorder(one.transport)
        other.transport = other_recorder = Recorder(other.transport)
        broadcast([one, other], b"x" * 50)
        one.transport, other.transport = one_recorder.transport, other_recorder.transport
        assert one_recorder.written != other_recorder.written
        assert await one_server.recv() == await other_server.recv() == b"x" * 50


async def test_connections_that_are_not_open_are_left_out():
    async with pair() as (server, client):
        closing = asyncio.create_task(server.close())
        await until(lambda: server.state.name != "OPEN")
        broadcast([server], "late", raise_exceptions=True)
        await closing
        broadcast([server], "too late", raise_exceptions=True)
        assert [message async for message in client] == []


@pytest.mark.parametrize("message", [1, None, ["text"], {"text": 1}])
async def test_what_is_no_message(message):
    async with pair() as (server, _):
        with pytest.raises(TypeError, match="str or bytes"):
            broadcast([server], message)


async def test_receivers_that_are_lost_meanwhile():
    async with serving() as (server, accepted):
        async with connect(address(server)) as client:
            accepted[0].transport.abort()
            broadcast(accepted, "nobody there")
            with pytest.raises(ConnectionClosedError):
                await client.recv()
        broadcast(accepted, "closed")
        await asyncio.sleep(0)
