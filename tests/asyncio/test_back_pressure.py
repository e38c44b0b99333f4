"""Who sends waits for who receives, in both directions, on every kind of connection."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.exceptions import ConnectionClosedError

from .connections import pair, turns, until

KINDS = pytest.mark.parametrize("kind", ["plain", "tls", "unix"])
SIDES = pytest.mark.parametrize("side", ["server", "client"])

SIZE = 100_000
COUNT = 400


def message_of(number):
    return f"{number} ".ljust(SIZE)


async def settled(value):
    """Wait until a value doesn't change any more, and give it."""
    last, since = value(), 0
    while since < 10:
        await asyncio.sleep(0.005)
        last, since = (last, since + 1) if value() == last else (value(), 0)
    return last


@KINDS
@SIDES
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_sender_waits_for_the_receiver(kind, side, compression, certificates, tmp_path):
    async with pair(
        kind,
        certificates=certificates,
        path=tmp_path / "socket",
        server={"compression": compression},
        client={"compression": compression},
    ) as (server, client):
        one, other = (server, client) if side == "server" else (client, server)
        sent = 0

        async def send():
            nonlocal sent
            for number in range(COUNT):
                # What is compressed doesn't fill anything.
                await one.send(message_of(number), compress=False)
                sent += 1

        sending = asyncio.create_task(send())
        # Nobody receives: after the queue there, buffers of the network and the one here it ends.
        await until(lambda: not other.wants_input)
        stopped = await settled(lambda: sent)
        assert stopped < COUNT // 2
        assert one.buffered_amount < 2**15 + 3 * SIZE
        assert other.protocol.frame_reader.held <= 16 + 1
        # A message taken is room for another one, and nothing is lost or out of order.
        for number in range(COUNT):
            assert await other.recv() == message_of(number)
        await sending
        assert sent == COUNT
        await until(lambda: one.buffered_amount == 0)


@KINDS
async def test_both_directions_at_once(kind, certificates, tmp_path):
    """Neither end waits for its own messages to be taken before it takes those of the other."""
    async with pair(kind, certificates=certificates, path=tmp_path / "socket") as (server, client):

        async def send(connection):
            for number in range(COUNT):
                await connection.send(message_of(number), compress=False)

        async def receive(connection):
            for number in range(COUNT):
                assert await connection.recv() == message_of(number)
                if number % 50 == 0:
                    await turns()

        await asyncio.gather(
            *(each(connection) for each in (send, receive) for connection in (server, client))
        )


@SIDES
async def test_one_direction_that_is_stuck_does_not_stop_the_other(side):
    async with pair(server={"compression": None}) as (server, client):
        one, other = (server, client) if side == "server" else (client, server)

        async def send():
            for number in range(COUNT):
                await one.send(message_of(number))

        sending = asyncio.create_task(send())
        await until(lambda: not other.wants_input and one.full)
        # The other direction isn't concerned.
        for number in range(50):
            await other.send(message_of(number))
            assert await one.recv() == message_of(number)
        assert not sending.done()
        for number in range(COUNT):
            assert await other.recv() == message_of(number)
        await sending


@SIDES
async def test_streaming_receives_with_back_pressure(side):
    """One large message in many fragments: they don't pile up at a slow receiver."""
    async with pair(server={"compression": None, "max_size": None}, client={"max_size": None}) as (
        server,
        client,
    ):
        one, other = (server, client) if side == "server" else (client, server)
        made = 0

        async def fragments():
            nonlocal made
            for number in range(COUNT):
                made += 1
                yield message_of(number)

        sending = asyncio.create_task(one.send(fragments()))
        streaming = other.recv_streaming()
        first = await anext(streaming)
        stopped = await settled(lambda: made)
        assert stopped < COUNT // 2
        pieces = [first, *[piece async for piece in streaming]]
        await sending
        assert "".join(pieces) == "".join(message_of(number) for number in range(COUNT))


@SIDES
async def test_buffered_amount_says_what_waits(side):
    # uvloop tells only once of a connection that was reset, and there is more to read before.
    quick = {"compression": None, "close_timeout": 0.05}
    async with pair(server=quick, client=quick) as (server, client):
        one, other = (server, client) if side == "server" else (client, server)
        assert one.buffered_amount == 0
        other.transport.pause_reading()
        sending = asyncio.create_task(one.send("x" * 50_000_000))
        await turns()
        waiting = await settled(lambda: one.buffered_amount)
        assert 10_000_000 < waiting < 50_001_000
        one.transport.abort()
        with pytest.raises(ConnectionClosedError):
            await sending
        assert one.buffered_amount == 0
        other.transport.resume_reading()
