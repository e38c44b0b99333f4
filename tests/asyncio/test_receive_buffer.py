"""Where bytes are received: the loop's buffer, the payload itself, or a buffer of their own."""

from __future__ import annotations

import asyncio

from tidegate.asyncio.server import ServerConnection
from tidegate.protocol import OPEN
from tidegate.server import ServerProtocol
from tidegate.wire.kernels import frame_bytes


class Transport:
    """As little of a transport as a connection needs."""

    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data

    def get_extra_info(self, name):
        return None

    def set_write_buffer_limits(self, high, low):
        pass


def make_connection():
    connection = ServerConnection(ServerProtocol(state=OPEN, max_size=None), None)
    connection.connection_made(Transport())
    return connection


def receive(connection, data):
    """What a transport does with bytes."""
    buffer = memoryview(connection.get_buffer(-1))
    n = min(len(buffer), len(data))
    buffer[:n] = data[:n]
    connection.buffer_updated(n)
    return data[n:]


def masked(opcode, data):
    return frame_bytes(0x80 | opcode, data, True, 0x12345678)


async def test_payload_that_is_asked_for_and_then_arrives_elsewhere():
    connection = make_connection()
    payload = bytes(range(256)) * 1024
    frame = masked(2, payload)
    head, tail = frame[:1000], frame[1000:]
    assert receive(connection, head) == b""
    # A transport may ask for a buffer and then have nothing to put into it.
    connection.get_buffer(-1)
    connection.data_received(tail)
    assert await connection.recv() == payload
    while tail := receive(connection, masked(1, b"next")):
        pass
    assert await connection.recv() == "next"


async def test_connections_share_a_buffer_even_when_one_reads_within_the_other():
    one, other = make_connection(), make_connection()

    async def relay():
        received.append(await one.recv())
        # As a transport might do that reads when it is told to resume.
        receive(other, masked(1, b"inner"))
        received.append(await one.recv())

    received = []
    task = asyncio.create_task(relay())
    await asyncio.sleep(0)
    receive(one, masked(1, b"first") + masked(1, b"second"))
    await task
    assert received == ["first", "second"]
    assert await other.recv() == "inner"


async def test_large_payload_is_received_in_place():
    connection = make_connection()
    payload = bytes(range(256)) * 4096
    rest = masked(2, payload)
    sizes = []
    while rest:
        before = len(rest)
        rest = receive(connection, rest)
        sizes.append(before - len(rest))
    assert await connection.recv() == payload
    # After the first piece, no piece is larger than what was missing of the payload.
    assert sum(sizes) == len(payload) + 14
