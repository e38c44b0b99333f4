"""Pings, and what they find out, on every face."""

from __future__ import annotations

import pytest

from tidegate.exceptions import ConcurrencyError, ConnectionClosedError
from tidegate.protocol import State

from . import raw
from .drivers import pair, uri_of


async def test_ping_while_nobody_receives(face):
    async with pair(face) as (client, server):
        for connection in (client, server, client):
            await face.ping(connection)
            assert connection.latency > 0


async def test_ping_beside_messages(face):
    async with pair(face) as (client, server):
        for _ in range(3):
            await client.send("hello")
            assert await server.recv() == "hello"
            await face.ping(client)
            await face.ping(server)


async def test_ping_while_messages_wait(face):
    """They fill the queue of the other side, which answers nevertheless when it reads on."""
    async with pair(face, server={"max_queue": 2}) as (client, server):
        for number in range(10):
            await client.send(str(number))

        async with face.meanwhile(face.ping, client):
            for number in range(10):
                assert await server.recv() == str(number)


async def test_the_same_ping_twice(face):
    async with (
        raw.server(face, lambda sock: None) as address,
        face.connect(uri_of(address), close_timeout=0.1) as client,
    ):
        await client.ping(b"same")
        with pytest.raises(ConcurrencyError):
            await client.ping(b"same")


async def test_pong(face):
    async with pair(face) as (client, server):
        await client.pong()
        await client.pong("text")
        with pytest.raises(TypeError):
            await client.pong(1)
        with pytest.raises(TypeError):
            await client.ping(1)
        await client.send("hello")
        assert await server.recv() == "hello"


async def test_keepalive_answers(face):
    async with pair(face, ping_interval=0.01, ping_timeout=5) as (client, server):
        await face.sleep(0.1)
        assert client.state is server.state is State.OPEN
        assert client.latency > 0


async def test_keepalive_finds_a_dead_peer(face):
    async with (
        raw.server(face, lambda sock: None) as address,
        face.connect(
            uri_of(address), ping_interval=0.05, ping_timeout=0.05, close_timeout=0.2
        ) as connection,
    ):
        with pytest.raises(ConnectionClosedError, match="keepalive ping timeout"):
            await connection.recv()


async def test_keepalive_finds_a_dead_peer_while_nobody_receives(face):
    async with (
        raw.server(face, lambda sock: None) as address,
        face.connect(
            uri_of(address), ping_interval=0.05, ping_timeout=0.05, close_timeout=0.2
        ) as connection,
    ):
        await connection.wait_closed()
        assert connection.close_code == 1006
        with pytest.raises(ConnectionClosedError, match="keepalive ping timeout"):
            await connection.send("no")


async def test_pings_are_answered_while_nobody_receives(face):
    answers = []

    def script(sock):
        for payload in (b"one", b"two"):
            sock.sendall(raw.frame(9, payload, mask=False))
            head = sock.recv(2)
            assert head == b"\x8a\x83"
            key, data = sock.recv(4), sock.recv(3)
            answers.append(bytes(a ^ b for a, b in zip(key, data, strict=False)))

    async with (
        raw.server(face, script) as address,
        face.connect(uri_of(address), close_timeout=0.1),
    ):
        while len(answers) < 2:
            await face.sleep(0.001)
    assert answers == [b"one", b"two"]
