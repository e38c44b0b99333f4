"""What comes while nobody receives is seen, whoever has received before."""

from __future__ import annotations

import contextlib
import socket

from tidegate.protocol import SERVER, Protocol
from tidegate.trio.connection import Connection

from .running import run, trio

TEXT, PING, PONG = 1, 9, 10


def masked(opcode, payload):
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


@contextlib.asynccontextmanager
async def served(**kwargs):
    """Give a server's connection, and the socket of its peer."""
    ours, theirs = socket.socketpair()
    async with trio.open_nursery() as nursery:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        connection = Connection(nursery, stream, Protocol(SERVER), **kwargs)
        connection.start()
        await trio.testing.wait_all_tasks_blocked()
        with theirs:
            yield connection, theirs
        connection.abort()


async def pong_from(sock):
    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(sock)
    frame = sock.recv(100)
    assert frame[0] == 0x80 | PONG
    return frame[2:]


@run
async def test_a_ping_behind_a_message_that_is_there_when_it_is_asked_for():
    async with served() as (connection, peer):
        peer.sendall(masked(TEXT, b"hello") + masked(PING, b"ping"))
        assert await connection.recv() == "hello"
        assert await pong_from(peer) == b"ping"


@run
async def test_a_ping_after_messages_that_filled_the_queue():
    async with served(max_queue=1) as (connection, peer):
        peer.sendall(masked(TEXT, b"hello") * 3)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            assert await connection.recv() == "hello"
        await trio.testing.wait_all_tasks_blocked()
        peer.sendall(masked(PING, b"ping"))
        assert await pong_from(peer) == b"ping"
