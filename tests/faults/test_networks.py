"""What networks do to connections."""

from __future__ import annotations

import pytest

from tidegate.exceptions import ConnectionClosed, ConnectionClosedError, InvalidHandshake

from ..faces.drivers import uri_of
from .relay import Coalesce, Delay, HalfClose, Relay, Reset, Split, Stall

# Bytes of an opening handshake are fewer, those of the messages below are more.
OPENED = 2000

BRIEF = {"close_timeout": 0.3, "ping_interval": None}


class Recorder:
    """A handler that sends back what comes, and remembers it and how it ended."""

    def __init__(self):
        self.messages = []
        self.ends = []

    async def __call__(self, connection):
        try:
            async for message in connection:
                self.messages.append(message)
                await connection.send(message)
            self.ends.append(None)
        except ConnectionClosed as exc:
            self.ends.append(exc)

    async def ended(self, face):
        """Wait for the end of a connection."""
        while not self.ends:
            await face.sleep(0.005)
        return self.ends[0]


def sent():
    """Messages of every kind, numbered."""
    for number in range(30):
        yield f"{number} é" * (number % 7 + 1)
        yield number.to_bytes(2, "big") * (1 + 40 * (number % 5))


async def all_gone(face, running):
    """Wait until a server has no connections."""
    while running.connections:
        await face.sleep(0.005)


@pytest.mark.parametrize("fault", [Split, Coalesce, Delay])
@pytest.mark.parametrize("compression", ["deflate", None])
async def test_bytes_that_come_otherwise(face, fault, compression):
    """Nothing is lost, doubled or out of order; the closing handshake is clean for both."""
    recorder = Recorder()
    async with face.serve(recorder, **BRIEF) as (address, running):
        with Relay(address, fault(), fault()) as relay:
            async with face.connect(uri_of(relay.address), compression=compression) as connection:
                for message in sent():
                    await connection.send(message)
                    assert await face.recv(connection, 20) == message
                await face.ping(connection)
                # All that was sent before a pong was received before it.
                assert recorder.messages == list(sent())
            assert await recorder.ended(face) is None
            await all_gone(face, running)


@pytest.mark.parametrize("after", [0, 1, 20, 100])
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("fault", [Stall, Reset, HalfClose])
async def test_opening_handshakes_that_break(face, fault, direction, after):
    """The program is told, in time, by an exception of ours or of the operating system."""
    recorder = Recorder()
    # Only who stalls has to be waited for.
    limits = (0.3, 0.4) if fault is Stall else (20, 20)
    async with face.serve(recorder, open_timeout=limits[1], **BRIEF) as (address, running):
        with Relay(address, **{direction: fault(after)}) as relay:
            with pytest.raises((InvalidHandshake, OSError)):
                async with face.connect(uri_of(relay.address), open_timeout=limits[0]):
                    pass
            assert fault is Stall or relay.struck.is_set()
        await all_gone(face, running)
    assert recorder.messages == []


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("fault", [Stall, Reset, HalfClose])
async def test_connections_that_break(face, fault, direction):
    """What a pong has acknowledged was delivered, and what was delivered is what was sent first."""
    recorder = Recorder()
    messages = [f"{number} ".encode() * 30 for number in range(200)]
    acknowledged = 0
    received = []
    keepalive = {"close_timeout": 0.3, "ping_interval": 0.2, "ping_timeout": 0.2}
    async with face.serve(recorder, **keepalive) as (address, running):
        with Relay(address, **{direction: fault(OPENED + 3001)}) as relay:
            async with face.connect(
                uri_of(relay.address), compression=None, **keepalive
            ) as connection:
                with pytest.raises(ConnectionClosedError) as info:
                    for number, message in enumerate(messages):
                        await connection.send(message)
                        received.append(await face.recv(connection, 20))
                        if number % 5 == 4:
                            await face.ping(connection, 20)
                            acknowledged = number + 1
            assert info.value.rcvd is None or fault is not Reset
            end = await recorder.ended(face)
            # Who lets one direction end decently is still told, on the other.
            assert end is None or isinstance(end, ConnectionClosed)
        await all_gone(face, running)
    assert acknowledged > 0
    assert recorder.messages == messages[: len(recorder.messages)]
    assert len(recorder.messages) >= acknowledged
    assert received == messages[: len(received)]
    assert len(received) >= acknowledged


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_closing_handshakes_that_stall(face, direction):
    """`close_timeout` ends it for both."""
    recorder = Recorder()
    async with face.serve(recorder, **BRIEF) as (address, running):
        # The closing handshake comes behind the 1,000 bytes that are sent last.
        with Relay(address) as relay:
            async with face.connect(uri_of(relay.address), **BRIEF) as connection:
                await connection.send("x")
                assert await face.recv(connection, 20) == "x"
                place = 0 if direction == "up" else 1
                relay.faults[place].strike = Stall().strike
                await face.close(connection)
        assert recorder.messages == ["x"]
        await recorder.ended(face)
        await all_gone(face, running)
