"""What connections and servers count, on every face."""

from __future__ import annotations

import contextlib
import socket

import pytest

from tidegate import Limits
from tidegate.core import tally
from tidegate.exceptions import ConnectionClosed, InvalidStatus
from tidegate.proxyprotocol import ProxyPolicy

from .drivers import echo, pair, uri_of


async def until(face, condition):
    """Wait until something is so."""
    for _ in range(2000):
        if condition():
            return
        await face.sleep(0.005)
    raise AssertionError("it never was so")


async def test_messages_and_bytes(face):
    async with pair(face, server={"compression": None}, compression=None) as (ours, theirs):
        await ours.send("abc")
        await theirs.recv()
        await theirs.send(b"0" * 1000)
        await ours.recv()
        await theirs.send(["a", "b", "c"])
        await ours.recv()
        await face.broadcast([theirs], "all")
        await ours.recv()
        # Headers of 2 bytes, and keys of 4 from the client; 4 frames for the one in fragments.
        assert (theirs.stats.messages_received, theirs.stats.messages_sent) == (1, 3)
        assert (theirs.stats.bytes_received, theirs.stats.bytes_sent) == (9, 1004 + 11 + 5)
        assert (ours.stats.messages_received, ours.stats.messages_sent) == (3, 1)
        assert (ours.stats.bytes_received, ours.stats.bytes_sent) == (1004 + 11 + 5, 9)


@pytest.mark.parametrize("size", [125, 300_000])
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_both_ends_count_alike(face, size, compression):
    async with (
        face.serve(echo, compression=compression) as (address, server),
        face.connect(uri_of(address), compression=compression) as connection,
    ):
        for _ in range(5):
            await connection.send("a" * size)
            await connection.recv()
        ours, theirs = connection.stats, server.stats
        assert ours.messages_received == theirs.messages_sent == 5
        assert ours.messages_sent == theirs.messages_received == 5
        assert ours.bytes_received == theirs.bytes_sent > 5 * (size // 1100)
        assert ours.bytes_sent == theirs.bytes_received > 5 * (size // 1100)
        if compression is None:
            assert ours.bytes_received >= 5 * size


async def test_waiting(face):
    async with pair(face) as (ours, theirs):
        for _ in range(3):
            await ours.send("a")
        await until(face, lambda: theirs.stats.waiting == 3 or theirs.stats.messages_received == 0)
        # Threads may not have read what nobody asked for.
        await theirs.recv()
        await theirs.recv()
        await theirs.recv()
        assert theirs.stats.waiting == 0
        assert theirs.stats.messages_received == 3


async def test_connections_and_codes(face):
    async with face.serve(echo) as (address, server):
        assert server.stats.connections == server.stats.opened == 0
        for code in 1000, 4001, 4001:
            async with face.connect(uri_of(address)) as connection:
                assert server.stats.connections == 1
                await connection.send("hello")
                await connection.recv()
                await face.close(connection, code)
            await until(face, lambda: server.stats.connections == 0)
        with socket.create_connection(address) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n")
            await until(face, lambda: server.stats.opening == 1)
            sock.sendall(b"\r\n")
            await until(face, lambda: server.stats.opening == 0)
        stats = server.stats
        assert stats.opened == 3
        assert stats.closed == {1000: 1, 4001: 2}
        assert stats.responses == {400: 1}
        assert stats.refused == stats.proxy == {}
        # What those did that are gone still counts.
        assert (stats.messages_received, stats.messages_sent) == (3, 3)


async def test_codes_of_this_side_and_of_nobody(face):
    async def handler(connection):
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()
            await face.close(connection, 1001)

    async with face.serve(handler) as (address, server):
        async with face.connect(uri_of(address)) as connection:
            await connection.send("enough")
            with pytest.raises(ConnectionClosed):
                await connection.recv()
        with socket.create_connection(address) as sock:
            sock.sendall(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            await until(face, lambda: server.stats.opened == 2)
        await until(face, lambda: server.stats.connections == 0)
        assert server.stats.closed == {1001: 1, 1006: 1}


async def test_codes_of_peers_are_bounded(face, monkeypatch):
    """As many as there are would be as many numbers in what reads them."""
    monkeypatch.setattr(tally, "MOST_FREE_CODES", 3)
    async with face.serve(echo) as (address, server):
        for code in range(3000, 3005):
            async with face.connect(uri_of(address)) as connection:
                await face.close(connection, code)
        async with face.connect(uri_of(address)):
            pass
        await until(face, lambda: server.stats.connections == 0)
        assert server.stats.closed == {3000: 1, 3001: 1, 3002: 1, 0: 2, 1000: 1}


async def test_limits(face):
    async with (
        face.serve(echo, limits=Limits(connections=1)) as (address, server),
        face.connect(uri_of(address)) as connection,
    ):
        for _ in range(3):
            with pytest.raises(InvalidStatus, match="503"):
                async with face.connect(uri_of(address)):
                    pass
        assert server.stats.refused == {"connections": 3}
        assert server.stats.responses == {503: 3}
        assert server.stats.connections == 1
        await connection.send("still here")
        await connection.recv()


async def test_proxy_headers(face):
    policy = ProxyPolicy(trusted=["192.0.2.1"], untrusted="reject")
    async with face.serve(echo, proxy_protocol=policy) as (address, server):
        with socket.create_connection(address) as sock, contextlib.suppress(ConnectionError):
            await face.blocking(sock.recv, 1)
        await until(face, lambda: server.stats.proxy["rejected"] == 1)
        assert server.stats.opened == 0


async def test_requests_that_cannot_be_read(face):
    async with face.serve(echo) as (address, server):
        with socket.create_connection(address) as sock:
            sock.sendall(b"nonsense\r\n\r\n")
            await face.blocking(sock.recv, 100)
        assert server.stats.responses == {400: 1}
