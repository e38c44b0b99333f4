"""One connection that is flooded doesn't keep the event loop from the others."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve

from .connections import CONT, PING, TEXT, address, frame, raw_client, until


class Turns:
    """Counts the turns of the event loop."""

    def __init__(self):
        self.count = 0
        self.handle = None

    def __enter__(self):
        self.turn()
        return self

    def __exit__(self, *_):
        self.handle.cancel()

    def turn(self):
        self.count += 1
        self.handle = asyncio.get_running_loop().call_soon(self.turn)


async def consume(connection):
    async for _ in connection:
        pass


async def leave_alone(connection):
    await connection.wait_closed()


FLOODS = {
    "messages that are received": (consume, frame(TEXT, b"", mask=True), 40_000),
    "messages that nobody receives": (leave_alone, frame(TEXT, b"", mask=True), 40_000),
    "pings": (consume, frame(PING, b"", mask=True), 40_000),
    "pings that nobody waits behind": (leave_alone, frame(PING, b"", mask=True), 40_000),
    "fragments": (
        consume,
        frame(TEXT, b"a", fin=False, mask=True) + frame(CONT, b"b", mask=True),
        20_000,
    ),
    "fragments of one message": (consume, frame(CONT, b"a", fin=False, mask=True), 40_000),
    "fragments that nobody waits for": (
        leave_alone,
        frame(CONT, b"a", fin=False, mask=True),
        40_000,
    ),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_the_loop_gets_its_turn_in_a_flood(name):
    handler, data, count = FLOODS[name]
    accepted = asyncio.Queue()

    async def accept(connection):
        accepted.put_nowait(connection)
        await handler(connection)

    async with (
        serve(accept, "127.0.0.1", 0, max_queue=16) as server,
        raw_client(server) as peer,
    ):
        connection = await accepted.get()
        reader = connection.protocol.frame_reader
        frames = count * (2 if name == "fragments" else 1)
        before = reader.frames_read
        most = 0
        begun = frame(TEXT, b"", fin=False, mask=True) if "fragments " in name else b""
        peer.writer.write(begun + data * count)
        with Turns() as turns:
            seen, last = before, turns.count
            while not (reader.frames_read - before >= frames or not connection.wants_input):
                await asyncio.sleep(0)
                if turns.count > last:
                    most = max(most, reader.frames_read - seen)
                    seen, last = reader.frames_read, turns.count
        # So many would take some milliseconds; without a limit it would be all of them at once.
        assert most < 20_000
        connection.transport.abort()


async def test_others_are_served_during_a_flood():
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with (
        serve(echo, "127.0.0.1", 0) as server,
        raw_client(server) as peer,
        connect(address(server)) as other,
    ):

        async def flood():
            data = frame(TEXT, b"x", mask=True) * 40_000
            while True:
                peer.writer.write(data)
                await peer.writer.drain()

        async def swallow():
            while await peer.reader.read(2**18):
                pass

        tasks = [asyncio.create_task(flood()), asyncio.create_task(swallow())]
        with Turns() as turns:
            most = 0
            for number in range(50):
                before = turns.count
                await other.send(str(number))
                assert await other.recv() == str(number)
                most = max(most, turns.count - before)
        # There and back, each of which needs a turn or two.
        assert most <= 12
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        peer.writer.transport.abort()


async def test_messages_keep_their_order_when_the_loop_gets_its_turn():
    received = []

    async def collect(connection):
        async for message in connection:
            received.append(message)

    async with serve(collect, "127.0.0.1", 0) as server, raw_client(server) as peer:
        count = 20_000
        peer.writer.write(
            b"".join(
                frame(PING, b"", mask=True) + frame(TEXT, str(number), mask=True)
                for number in range(count)
            )
        )

        async def swallow():
            while await peer.reader.read(2**18):
                pass

        task = asyncio.create_task(swallow())
        await until(lambda: len(received) == count)
        assert received == [str(number) for number in range(count)]
        peer.writer.transport.abort()
        await asyncio.wait([task])
        task.exception()
