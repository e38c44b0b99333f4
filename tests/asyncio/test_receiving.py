"""recv(): order, cancellation, concurrency, back-pressure; nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConcurrencyError, ConnectionClosed, ConnectionClosedError

from .connections import (
    BINARY,
    CONT,
    PING,
    PONG,
    TEXT,
    address,
    frame,
    pair,
    raw_client,
    raw_server,
    turns,
    until,
)

KINDS = pytest.mark.parametrize("kind", ["plain", "tls", "unix"])


async def test_message_that_comes_as_recv_is_cancelled_is_kept():
    async with pair() as (server, client):
        # The cancellation and the message in the same turn of the loop, in both orders.
        for number in range(100):
            receiving = asyncio.create_task(server.recv())
            await asyncio.sleep(0)
            if number % 2:
                receiving.cancel()
            await client.send(str(number))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            receiving.cancel()
            try:
                message = await receiving
            except asyncio.CancelledError:
                message = await server.recv()
            assert message == str(number)


async def test_time_outs_racing_messages():
    count = 2000
    async with pair(server={"max_queue": 4}) as (server, client):

        async def send():
            for number in range(count):
                await client.send(str(number))
                if random.random() < 0.2:
                    await asyncio.sleep(random.random() * 0.001)

        sending = asyncio.create_task(send())
        received = []
        while len(received) < count:
            how = random.random()
            try:
                if how < 0.3:
                    received.append(await asyncio.wait_for(server.recv(), how * 0.001))
                elif how < 0.6:
                    async with asyncio.timeout(how * 0.001):
                        received.append(await server.recv())
                elif how < 0.8:
                    task = asyncio.create_task(server.recv())
                    done, _ = await asyncio.wait([task], timeout=how * 0.001)
                    if not done:
                        task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        received.append(await task)
                else:
                    # Given up before it was awaited for the first time.
                    task = asyncio.create_task(server.recv())
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        received.append(await task)
            except TimeoutError:
                pass
        await sending
        assert received == [str(number) for number in range(count)]


async def test_ten_thousand_time_outs():
    messages = [str(number) for number in range(200)]
    async with pair() as (server, client):

        async def send():
            for message in messages:
                await client.send(message)
                await turns(50)

        sending = asyncio.create_task(send())
        received = []
        for _ in range(10_000):
            # Zero is over before the first message that has not come yet.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    received.append(await server.recv())
        await sending
        while len(received) < len(messages):
            received.append(await server.recv())
        assert received == messages


@KINDS
async def test_fragmented_message_survives_a_cancelled_recv(kind, certificates, tmp_path):
    async with pair(kind, certificates=certificates, path=tmp_path / "socket") as (server, client):
        go_on = asyncio.Event()

        async def fragments():
            yield "a"
            await go_on.wait()
            yield "b"

        sending = asyncio.create_task(client.send(fragments()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.recv(), 0.01)
        go_on.set()
        await sending
        await client.send("next")
        assert await server.recv() == "ab"
        assert await server.recv() == "next"


async def test_two_receivers():
    async with pair() as (server, client):
        first = asyncio.create_task(server.recv())
        await asyncio.sleep(0)
        with pytest.raises(ConcurrencyError):
            await server.recv()
        with pytest.raises(ConcurrencyError):
            await anext(aiter(server))
        with pytest.raises(ConcurrencyError):
            await anext(server.recv_streaming())
        # The first isn't disturbed, and afterwards another may follow.
        await client.send("one")
        assert await first == "one"
        await client.send("two")
        assert await server.recv() == "two"


async def test_messages_before_a_failure_are_received_first():
    async with raw_server() as (uri, peers), connect(uri, max_queue=2) as connection:
        peer = await peers.get()
        data = b"".join(frame(TEXT, str(number)) for number in range(10))
        peer.writer.write(data + frame(TEXT, b"\xff"))
        for number in range(10):
            assert await connection.recv() == str(number)
        with pytest.raises(ConnectionClosedError, match="1007"):
            receiving = asyncio.create_task(connection.recv())
            assert await peer.close_code() == 1007
            await peer.close()
            await receiving


async def test_failure_isnt_put_off_for_ever_when_nobody_receives():
    async with raw_server() as (uri, peers), connect(uri, close_timeout=0.01) as connection:
        peer = await peers.get()
        peer.writer.write(frame(TEXT, b"message") + frame(TEXT, b"\xff"))
        assert await peer.close_code() == 1007
        await peer.close()
        await connection.wait_closed()
        assert await connection.recv() == "message"


async def test_failure_is_told_even_if_the_peer_ends_the_stream_before_it():
    async with raw_server() as (uri, peers), connect(uri) as connection:
        peer = await peers.get()
        peer.writer.write(frame(TEXT, b"message") + frame(TEXT, b"\xff"))
        peer.writer.write_eof()
        assert await peer.close_code() == 1007
        await peer.close()
        await connection.wait_closed()
        assert await connection.recv() == "message"
        with pytest.raises(ConnectionClosedError, match="sent 1007"):
            await connection.recv()


async def test_messages_after_a_close_frame_are_not_delivered():
    async with raw_server() as (uri, peers), connect(uri) as connection:
        peer = await peers.get()
        peer.send(TEXT, b"before")
        peer.send_close(1000)
        peer.send(TEXT, b"after")
        await peer.close_code()
        await peer.close()
        assert [message async for message in connection] == ["before"]


async def test_control_frames_between_fragments():
    async with raw_server() as (uri, peers), connect(uri) as connection:
        peer = await peers.get()
        peer.send(TEXT, b"a", fin=False)
        peer.send(PING, b"ping")
        peer.send(CONT, b"b", fin=False)
        peer.send(PONG, b"unasked for")
        peer.send(CONT, b"c")
        assert await connection.recv() == "abc"
        assert await peer.receive() == (PONG, b"ping")
        await connection.send("still fine")
        assert await peer.receive() == (TEXT, b"still fine")
        await peer.finish()


@pytest.mark.parametrize("max_queue", [0, 1, 4, (4, 0), (4, 4), None])
async def test_reading_stops_when_the_queue_is_full(max_queue):
    async with raw_server() as (uri, peers), connect(uri, max_queue=max_queue) as connection:
        peer = await peers.get()
        count = 2000
        for number in range(count):
            peer.send(BINARY, number.to_bytes(2, "big") * 500)
        if max_queue is not None:
            high = max_queue[0] if isinstance(max_queue, tuple) else max_queue
            # What the receiver doesn't take stays in the network, and with the sender.
            await until(lambda: not connection.wants_input)
            reader = connection.protocol.frame_reader
            assert reader.held <= high + 1
        for number in range(count):
            assert await connection.recv() == number.to_bytes(2, "big") * 500
        await peer.finish()


async def test_memory_of_a_queue_is_bounded_by_its_length_and_the_size_of_messages():
    async with raw_server() as (uri, peers), connect(uri, max_queue=2, max_size=1000) as connection:
        peer = await peers.get()
        # Compressed or not, in fragments or not, there are never more than so many bytes.
        for _ in range(3000):
            peer.send(BINARY, b"x" * 100, fin=False)
            for _ in range(8):
                peer.send(CONT, b"y" * 100, fin=False)
            peer.send(CONT, b"z" * 100)
        await until(lambda: not connection.wants_input)
        reader = connection.protocol.frame_reader
        # One message more than may wait, each of ten fragments.
        assert reader.held <= 20
        # Besides them there is what was received at once and not yet looked at.
        assert reader.unread() <= 2 * 2**18
        for _ in range(3000):
            assert len(await connection.recv()) == 1000
        await peer.finish()


async def test_fragments_are_bounded_by_their_memory_not_their_number():
    async with raw_server() as (uri, peers), connect(uri, max_size=100_000) as connection:
        peer = await peers.get()
        peer.send(TEXT, b"a", fin=False)
        for _ in range(20_000):
            peer.send(CONT, b"b", fin=False)
            peer.send(CONT, b"", fin=False)
        peer.send(CONT, b"c")
        assert await connection.recv() == "a" + "b" * 20_000 + "c"
        peer.send(TEXT, b"a" * 50_000, fin=False)
        for _ in range(51):
            peer.send(CONT, b"b" * 1000, fin=False)
        with pytest.raises(ConnectionClosedError, match="1009"):
            receiving = asyncio.create_task(connection.recv())
            assert await peer.close_code() == 1009
            await peer.close()
            await receiving


async def test_streaming_gets_fragments_as_they_come():
    async with raw_server() as (uri, peers), connect(uri) as connection:
        peer = await peers.get()
        streaming = connection.recv_streaming()
        for fragment in ("one", "two", "three"):
            peer.send(TEXT if fragment == "one" else CONT, fragment.encode(), fin=False)
            assert await anext(streaming) == fragment
        peer.send(CONT, b"four")
        assert [piece async for piece in streaming] == ["four"]
        peer.send(TEXT, b"next")
        assert await connection.recv() == "next"
        await peer.finish()


async def test_streaming_that_is_cancelled_before_the_first_fragment():
    async with pair() as (server, client):
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    async for _ in server.recv_streaming():
                        raise AssertionError("nothing was sent")
        await client.send(["a", "b"])
        assert [piece async for piece in server.recv_streaming() if piece] == ["a", "b"]


async def test_streaming_that_is_given_up_in_the_middle():
    async with raw_server() as (uri, peers), connect(uri) as connection:
        peer = await peers.get()
        peer.send(TEXT, b"one", fin=False)
        streaming = connection.recv_streaming()
        assert await anext(streaming) == "one"
        await streaming.aclose()
        # Half a message can't be received by anybody else.
        with pytest.raises(ConcurrencyError):
            await connection.recv()
        await peer.finish()
        await connection.wait_closed()
        with pytest.raises(ConnectionClosed):
            await connection.recv()


async def test_streaming_of_a_connection_that_is_lost():
    async with raw_server() as (uri, peers), connect(uri) as connection:
        peer = await peers.get()
        peer.send(TEXT, b"one", fin=False)
        streaming = connection.recv_streaming()
        assert await anext(streaming) == "one"
        peer.writer.transport.abort()
        with pytest.raises(ConnectionClosedError):
            await anext(streaming)


@pytest.mark.parametrize("size", [2**16 - 1, 2**20, 10_000_000])
@KINDS
async def test_large_messages(kind, size, certificates, tmp_path):
    limits = {"max_size": None, "compression": None}
    async with pair(
        kind, certificates=certificates, path=tmp_path / "socket", server=limits, client=limits
    ) as (server, client):
        message = random.randbytes(1000) * (size // 1000 + 1)
        for one, other in ((server, client), (client, server)):
            sending = asyncio.create_task(one.send(message))
            assert await other.recv() == message
            await sending


async def test_recv_that_nobody_awaits_warns():
    async with pair() as (server, _):
        with pytest.warns(RuntimeWarning, match=r"coroutine 'ServerConnection.recv' was never aw"):
            server.recv()
        with pytest.warns(RuntimeWarning, match=r"coroutine 'ServerConnection.send' was never aw"):
            server.send("message")


async def test_recv_can_be_awaited_once():
    async with pair() as (server, client):
        await client.send("message")
        receiving = server.recv()
        assert await receiving == "message"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await receiving


async def test_operations_that_somebody_keeps_are_not_used_again():
    """Finished ones are, if nobody has them any more."""
    async with pair() as (server, client):
        kept = []
        for number in range(10):
            sending, receiving = client.send(str(number)), server.recv()
            await sending
            assert await receiving == str(number)
            kept += [sending, receiving]
            # These are not kept.
            await client.send("x")
            assert await server.recv() == "x"
        assert len({id(operation) for operation in kept}) == 20
        for operation in kept:
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await operation


async def test_what_is_received_stays_as_it_is():
    async with pair(client={"compression": None}) as (server, client):
        received = []
        for number in range(50):
            await client.send(bytes([number]) * (1000 * number))
            received.append(await server.recv())
        for number, message in enumerate(received):
            assert message == bytes([number]) * (1000 * number)
            assert type(message) is bytes


async def test_bytes_that_come_one_by_one():
    async with serve(echo, "127.0.0.1", 0) as server, raw_client(server) as peer:
        data = frame(TEXT, b"first", mask=True) + frame(BINARY, b"x" * 200, mask=True)
        for byte in data:
            peer.writer.write(bytes([byte]))
            await asyncio.sleep(0.0001)
        assert await peer.receive() == (TEXT, b"first")
        assert await peer.receive() == (BINARY, b"x" * 200)


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def test_frames_right_behind_the_handshake():
    received = asyncio.Queue()

    async def handler(connection):
        async for message in connection:
            received.put_nowait(message)

    from .connections import request

    async with serve(handler, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        # An impatient client doesn't wait for the answer.
        writer.write(request() + frame(TEXT, b"one", mask=True) + frame(TEXT, b"two", mask=True))
        await reader.readuntil(b"\r\n\r\n")
        assert [await received.get(), await received.get()] == ["one", "two"]
        writer.close()
        await writer.wait_closed()


async def test_address_of_both_ends(tmp_path):
    async with pair() as (server, client):
        assert server.remote_address == client.local_address
        assert address(server.server) == f"ws://127.0.0.1:{client.remote_address[1]}/"
    async with pair("unix", path=tmp_path / "socket") as (server, client):
        assert client.remote_address == str(tmp_path / "socket")
        assert server.local_address == str(tmp_path / "socket")
