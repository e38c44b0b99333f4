"""send(): flow control, cancellation, concurrency; a message is sent whole or not at all."""

from __future__ import annotations

import asyncio
import random

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConcurrencyError, ConnectionClosed

from .connections import (
    BINARY,
    CLOSE,
    CONT,
    TEXT,
    address,
    pair,
    raw_client,
    raw_server,
    turns,
    until,
)

KINDS = pytest.mark.parametrize("kind", ["plain", "tls", "unix"])

LARGE = b"x" * 1_000_000


async def fill(connection):
    """Send until the write buffer is over its limit; the peer must not read."""
    while not connection.full:
        sending = asyncio.create_task(connection.send(LARGE))
        await turns()
        if not sending.done():
            return sending
        await sending
    raise AssertionError("send() doesn't wait")


@KINDS
async def test_send_waits_at_the_write_limit(kind, certificates, tmp_path):
    async with pair(
        kind,
        certificates=certificates,
        path=tmp_path / "socket",
        server={"max_queue": 0, "max_size": None},
        client={"compression": None, "write_limit": 10_000},
    ) as (server, client):
        server.transport.pause_reading()
        sending = await fill(client)
        assert client.full
        assert client.buffered_amount > 10_000
        sent = client.buffered_amount
        await turns(20)
        assert not sending.done()
        assert client.buffered_amount == sent
        # Others wait, too.
        other = asyncio.create_task(client.send("next"))
        await turns(20)
        assert not other.done()
        server.transport.resume_reading()
        while (message := await server.recv()) != "next":
            assert message == LARGE
        await sending
        await other
        await until(lambda: client.buffered_amount == 0)


async def test_send_that_is_cancelled_while_it_waits_sends_a_whole_message():
    async with raw_server(limit=2**16) as (uri, peers), connect(uri, compression=None) as client:
        peer = await peers.get()
        peer.stop_reading()
        sending = await fill(client)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        # Those that wait already are cancelled, too.
        others = [asyncio.create_task(client.send(f"other {n}")) for n in range(10)]
        await turns()
        for other in others[::2]:
            other.cancel()
        await turns()
        peer.writer.transport.resume_reading()
        last = asyncio.create_task(client.send("last"))
        seen = set()
        while (received := await peer.receive()) != (TEXT, b"last"):
            assert received in {(BINARY, LARGE), *((TEXT, b"other %d" % n) for n in range(10))}
            assert received == (BINARY, LARGE) or received not in seen
            seen.add(received)
        assert {(TEXT, b"other %d" % n) for n in range(1, 10, 2)} <= seen
        await last
        await asyncio.gather(*others, return_exceptions=True)
        await peer.finish()


async def test_send_that_is_cancelled_before_it_begins_sends_nothing():
    async with pair() as (server, client):
        sending = asyncio.create_task(client.send("never"))
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await client.send("next")
        assert await server.recv() == "next"


async def test_cancellation_in_a_fragmented_message_closes_the_connection():
    async with raw_server() as (uri, peers), connect(uri, compression=None) as client:
        peer = await peers.get()

        async def fragments():
            yield "begun"
            await asyncio.sleep(3600)

        sending = asyncio.create_task(client.send(fragments()))
        assert await peer.receive() == (TEXT, b"begun")
        waiting = asyncio.create_task(client.send("waits for its turn"))
        await turns()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        # Nothing else can follow the unfinished message.
        assert await peer.receive() == (
            CLOSE,
            (1011).to_bytes(2, "big") + b"error in fragmented message",
        )
        await peer.close()
        with pytest.raises(ConnectionClosed, match="1011"):
            await waiting


async def test_cancellation_before_the_first_fragment_leaves_the_connection_alone():
    async with pair() as (server, client):

        async def fragments():
            await asyncio.sleep(3600)
            yield "never"

        sending = asyncio.create_task(client.send(fragments()))
        await turns()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await client.send("usable")
        assert await server.recv() == "usable"


@pytest.mark.parametrize("steps", range(12))
async def test_cancellation_at_every_step_of_a_fragmented_message(steps):
    async with pair() as (server, client):

        async def fragments():
            for number in range(4):
                await asyncio.sleep(0)
                yield str(number)

        sending = asyncio.create_task(client.send(fragments()))
        receiving = asyncio.create_task(server.recv())
        await turns(steps)
        sending.cancel()
        cancelled = False
        try:
            await sending
        except asyncio.CancelledError:
            cancelled = True
        if not cancelled:
            assert await receiving == "0123"
        elif client.state.name == "OPEN":
            # Nothing of it was sent.
            await client.send("next")
            assert await receiving == "next"
        else:
            with pytest.raises(ConnectionClosed):
                await receiving


async def test_a_hundred_tasks_that_send_at_once():
    async with pair(server={"max_queue": None}) as (server, client):

        async def fragments(number):
            for part in range(3):
                await asyncio.sleep(random.random() * 0.001)
                yield f"{number}.{part} "

        async def send(number):
            await asyncio.sleep(random.random() * 0.001)
            if number % 3 == 0:
                await client.send(fragments(number))
            elif number % 3 == 1:
                await client.send(f"{number}")
            else:
                await client.send([f"{number}", "!"])

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(send(number))
            received = [await server.recv() for _ in range(100)]
        expected = {
            0: lambda number: f"{number}.0 {number}.1 {number}.2 ",
            1: lambda number: f"{number}",
            2: lambda number: f"{number}!",
        }
        assert sorted(received) == sorted(expected[n % 3](n) for n in range(100))


async def test_control_frames_go_between_fragments():
    async with pair() as (server, client):
        go_on = asyncio.Event()

        async def fragments():
            yield "a"
            await go_on.wait()
            yield "b"

        sending = asyncio.create_task(client.send(fragments()))
        await turns()
        await (await client.ping())
        await (await server.ping())
        assert not sending.done()
        go_on.set()
        await sending
        assert await server.recv() == "ab"


async def test_close_during_a_fragmented_message():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()

        async def fragments():
            yield "a"
            await asyncio.sleep(3600)

        sending = asyncio.create_task(client.send(fragments()))
        await peer.receive()
        closing = asyncio.create_task(client.close())
        # It can't be closed normally any more.
        assert await peer.close_code() == 1011
        await peer.close()
        await closing
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


async def test_iterables_that_end_the_connection_and_wait_for_it():
    async with pair() as (_, client):

        async def fragments():
            yield "a"
            await client.close()
            yield "b"

        with pytest.raises(ConnectionClosed):
            await client.send(fragments())


async def test_buffers_may_be_changed_after_send_has_returned():
    async with raw_server() as (uri, peers), connect(uri, compression=None) as client:
        peer = await peers.get()
        peer.stop_reading()
        filling = await fill(client)
        sent = []
        # They wait in the write buffer while they are changed.
        for size in (10, 1000, 100_000):
            for make in (bytearray, lambda data: memoryview(bytearray(data))):
                data = make(bytes([size % 251]) * size)
                sent.append(bytes(data))
                task = asyncio.create_task(client.send(data))
                await turns()
                data[:] = b"!" * size
                task.cancel()
        filling.cancel()
        peer.writer.transport.resume_reading()
        received = []
        while len(received) < len(sent):
            _, data = await peer.receive()
            if data != LARGE:
                received.append(data)
        assert received == sent
        await peer.finish()


@pytest.mark.parametrize("side", ["server", "client"])
async def test_buffers_may_be_changed_after_send_on_both_sides(side):
    async with pair(server={"max_size": None}, client={"max_size": None}) as (server, client):
        one, other = (server, client) if side == "server" else (client, server)
        for compress in (True, False):
            data = bytearray(b"a" * 200_000)
            await one.send(data, compress=compress)
            data[:] = b"b" * 200_000
            assert await other.recv() == b"a" * 200_000


async def test_odd_memoryviews():
    async with pair() as (server, client):
        numbers = memoryview(bytes(range(240)))
        for view in (
            numbers[::2],
            numbers[::-1],
            numbers.cast("H"),
            numbers.cast("I"),
            numbers.cast("B", (10, 24)),
        ):
            for compress in (True, False):
                await client.send(view, compress=compress)
                assert await server.recv() == view.tobytes()
                await client.send([view, view], compress=compress)
                assert await server.recv() == view.tobytes() * 2


async def test_send_with_a_time_limit():
    async with raw_server() as (uri, peers), connect(uri, compression=None) as client:
        peer = await peers.get()
        await client.send("in time", timeout=10)
        assert await peer.receive() == (TEXT, b"in time")
        peer.stop_reading()
        filling = await fill(client)
        for message in ("late", b"late", ["late"]):
            with pytest.raises(TimeoutError):
                await client.send(message, timeout=0.001)
            if client.state.name != "OPEN":
                # A fragmented message that doesn't get through takes the connection with it.
                assert isinstance(message, list)
        filling.cancel()
        client.transport.abort()
        await peer.close()


async def test_time_limit_includes_waiting_for_another_message():
    async with pair() as (server, client):
        go_on = asyncio.Event()

        async def fragments():
            yield "a"
            await go_on.wait()

        sending = asyncio.create_task(client.send(fragments()))
        await turns()
        with pytest.raises(TimeoutError):
            await client.send("late", timeout=0.001)
        go_on.set()
        await sending
        await client.send("next")
        assert await server.recv() == "a"
        # Nothing of the late one was sent.
        assert await server.recv() == "next"


async def test_compression_can_be_chosen_per_message():
    async with raw_server() as (uri, peers), connect(uri, compression=None) as client:
        peer = await peers.get()
        # Where it wasn't negotiated, there is none.
        await client.send("plain", compress=True)
        assert await peer.receive() == (TEXT, b"plain")
        await peer.finish()

    async def handler(connection):
        for message in ("x" * 1000, b"x" * 1000, ["x" * 1000, "x" * 1000]):
            for compress in (None, True, False):
                await connection.send(message, compress=compress)

    async with serve(handler, "127.0.0.1", 0) as server:
        offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        async with raw_client(server, headers=offer) as peer:
            for opcode in (TEXT, BINARY):
                for compressed in (True, True, False):
                    first, _ = header = await peer.reader.readexactly(2)
                    assert first & 0x0F == opcode
                    assert bool(first & 0x40) == compressed
                    length = header[1]
                    if length == 126:
                        length = int.from_bytes(await peer.reader.readexactly(2), "big")
                    data = await peer.reader.readexactly(length)
                    assert (len(data) < 100) == compressed
            for compressed in (True, True, False):
                opcodes = []
                while True:
                    first, length = await peer.reader.readexactly(2)
                    if length == 126:
                        length = int.from_bytes(await peer.reader.readexactly(2), "big")
                    await peer.reader.readexactly(length)
                    opcodes.append(first & 0x0F)
                    # Only the first frame tells of compression.
                    assert bool(first & 0x40) == (compressed and len(opcodes) == 1)
                    if first & 0x80:
                        break
                assert opcodes[0] == TEXT
                assert set(opcodes[1:]) == {CONT}
            await peer.finish()

    async with pair() as (server, client):
        for number in range(20):
            message = f"message {number} " * 50
            await server.send(message, compress=bool(number % 2))
            assert await client.recv() == message


async def test_buffered_amount():
    async with pair() as (_, client):
        assert client.buffered_amount == 0
        await client.send("small")
        await turns()
        assert client.buffered_amount == 0
    assert client.buffered_amount == 0


async def test_what_send_returned_from_is_on_its_way():
    async with pair() as (_, client):
        written = []
        write = client.transport.write

        class Transport:
            def write(self, data):
                written.append(data)
                write(data)

            def __getattr__(self, name):
                return getattr(type(client.transport), name)

        real, client.transport = client.transport, Transport()
        client.sink = None
        try:
            sending = client.send("message")
            assert not written
            with pytest.raises(StopIteration):
                sending.send(None)
            assert len(written) == 1
            for number in range(10):
                with pytest.raises(StopIteration):
                    client.send("more").send(None)
                assert len(written) == 2 + number
        finally:
            client.transport = real


async def test_nothing_is_sent_after_close():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        closing = asyncio.create_task(client.close())
        await turns()
        tasks = [
            asyncio.create_task(operation)
            for operation in (
                client.send("late"),
                client.send(b"late"),
                client.send(["late"]),
                client.ping(),
                client.pong(),
            )
        ]
        assert await peer.receive() == (CLOSE, (1000).to_bytes(2, "big"))
        peer.send_close()
        await peer.close()
        for task in tasks:
            with pytest.raises(ConnectionClosed):
                await task
        assert await peer.reader.read() == b""
        await closing


async def test_ping_with_a_payload_in_use():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        await client.ping(b"same")
        with pytest.raises(ConcurrencyError):
            await client.ping(b"same")
        await client.ping(b"other")
        await peer.finish()


async def test_surrogates_cannot_be_sent_and_do_no_harm():
    async with pair() as (server, client):
        for message in ("\ud800", ["a", "\udfff"]):
            with pytest.raises(UnicodeEncodeError):
                await client.send(message)
            if isinstance(message, list):
                break
            await client.send("usable")
            assert await server.recv() == "usable"
        with pytest.raises(ConnectionClosed):
            await server.recv()


async def test_subclasses_of_str_and_bytes():
    class Text(str):
        pass

    class Binary(bytes):
        pass

    async with pair() as (server, client):
        await client.send(Text("text"))
        assert await server.recv() == "text"
        await client.send(Binary(b"binary"))
        assert await server.recv() == b"binary"


async def test_server_under_many_clients():
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:

        async def talk(number):
            async with connect(address(server)) as connection:
                for step in range(20):
                    await connection.send(f"{number} {step}")
                    assert await connection.recv() == f"{number} {step}"

        await asyncio.gather(*(talk(number) for number in range(50)))
