"""Messages in all their forms, on every face."""

from __future__ import annotations

import pytest

from tidegate.exceptions import ConcurrencyError, ConnectionClosedError

from . import raw
from .drivers import echo, pair, uri_of


@pytest.mark.parametrize(
    "message",
    [
        "",
        "héllo",
        "x" * 70_000,
        b"",
        b"\x00\xff",
        bytearray(b"ab"),
        memoryview(b"abc"),
        b"y" * 70_000,
    ],
    ids=lambda message: f"{type(message).__name__} of {len(message)}",
)
async def test_echo(face, message):
    async with face.serve(echo) as (address, _), face.connect(uri_of(address)) as connection:
        for _ in range(3):
            await connection.send(message)
            received = await connection.recv()
            assert received == message
            assert isinstance(received, str) == isinstance(message, str)


async def test_text_as_binary_and_back(face):
    async with pair(face) as (client, server):
        await client.send("é", text=False)
        assert await server.recv() == "é".encode()
        await client.send("é".encode(), text=True)
        assert await server.recv() == "é"
        await client.send("é")
        assert await server.recv(decode=False) == "é".encode()
        await client.send("é".encode())
        assert await server.recv(decode=True) == "é"


async def test_bytes_that_are_no_text(face):
    async with pair(face) as (client, server):
        await client.send(b"\xff")
        with pytest.raises(ConnectionClosedError):
            await server.recv(decode=True)
        with pytest.raises(ConnectionClosedError) as raised:
            await client.recv()
        assert raised.value.rcvd.code == 1007


@pytest.mark.parametrize("fragments", [["a", "b", "c"], [b"a", b"b"], ["x" * 40_000] * 3])
async def test_fragments(face, fragments):
    async with pair(face) as (client, server):
        await client.send(fragments)
        assert await server.recv() == fragments[0][:0].join(fragments)
        await client.send(iter(fragments))
        received = [piece async for piece in server.recv_streaming()]
        assert received[0] == fragments[0]
        assert received[0][:0].join(received) == received[0][:0].join(fragments)
        # No fragments are no message.
        await client.send([])
        await client.send("next")
        assert await server.recv() == "next"


async def test_streaming_text(face):
    """A character may be in two fragments."""
    async with pair(face) as (client, server):
        await client.send(["é".encode()[:1], "é".encode()[1:]], text=True)
        assert "".join([piece async for piece in server.recv_streaming()]) == "é"


@pytest.mark.parametrize("message", [{"a": 1}, 1, None, 1.5], ids=["dict", "int", "None", "float"])
async def test_what_cannot_be_sent(face, message):
    async with pair(face) as (client, server):
        with pytest.raises(TypeError):
            await client.send(message)
        await client.send("still open")
        assert await server.recv() == "still open"


def broken():
    yield "a"
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("fragments", "error"),
    [
        (lambda: ["a", b"b"], TypeError),
        (lambda: [1], TypeError),
        (lambda: ["a", 1], TypeError),
        (broken, ZeroDivisionError),
    ],
    ids=["mixed", "number first", "number", "raises"],
)
async def test_fragments_that_cannot_be_sent(face, fragments, error):
    async with pair(face) as (client, server):
        with pytest.raises(error):
            await client.send(fragments())
        with pytest.raises(ConnectionClosedError) as raised:
            await server.recv()
        assert raised.value.rcvd.code == 1011


async def test_what_was_received_before_the_close_stays(face):
    async with pair(face) as (client, server):
        for number in range(5):
            await client.send(str(number))
        await face.close(client)
        assert [message async for message in server] == list("01234")


async def test_half_a_message_taken(face):
    async with pair(face) as (client, server):
        async with face.meanwhile(client.send, ["a", "b"]):
            streaming = server.recv_streaming()
            assert await anext(streaming) == "a"
            await streaming.aclose()
        with pytest.raises(ConcurrencyError):
            await server.recv()


async def test_nothing_is_sent_into_a_fragmented_message(face):
    """A second message waits for the end of the first."""
    go_on = []

    async def slow():
        yield "a"
        while not go_on:
            await face.sleep(0.001)
        yield "b"

    async with pair(face) as (client, server):
        if face.name not in ("asyncio", "trio"):
            pytest.skip("no asynchronous iterables")
        async with face.meanwhile(client.send, slow()):
            streaming = server.recv_streaming()
            assert await anext(streaming) == "a"
            async with face.meanwhile(client.send, "other"):
                await face.sleep(0.01)
                go_on.append(True)
                assert [piece async for piece in streaming] == ["b", ""]
        assert await server.recv() == "other"


async def test_a_slow_receiver_slows_the_sender_down(face):
    """Nobody receives: what isn't read stays with the sender, and isn't sent without end."""
    done = []

    async with pair(face, server={"max_queue": 2}, compression=None) as (client, server):

        async def send():
            for _ in range(300):
                await client.send(b"x" * 100_000)
            done.append(True)

        async with face.meanwhile(send):
            await face.sleep(0.2)
            assert not done
            assert client.buffered_amount < 1_000_000
            for _ in range(300):
                assert len(await server.recv()) == 100_000
        assert done


async def test_compressed_or_not(face):
    async with pair(face) as (client, server):
        for compress in (True, False, None):
            await client.send("x" * 1000, compress=compress)
            assert await server.recv() == "x" * 1000


async def test_a_send_with_a_time_limit(face):
    async with pair(face, server={"max_queue": 1}, compression=None) as (client, server):
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                await client.send(b"x" * 100_000, timeout=0.05)
        # It is as it was.
        assert len(await server.recv()) == 100_000


async def test_broadcast(face):
    everybody = set()

    async def handler(connection):
        everybody.add(connection)
        await connection.wait_closed()

    async with (
        face.serve(handler) as (address, server),
        face.connect(uri_of(address)) as one,
        face.connect(uri_of(address), compression=None) as other,
    ):
        while len(server.connections) < 2 or len(everybody) < 2:
            await face.sleep(0.001)
        await face.broadcast(server.connections, "hello")
        assert await one.recv() == await other.recv() == "hello"
        await face.broadcast(server.connections, b"bytes")
        assert await one.recv() == await other.recv() == b"bytes"
        with pytest.raises(TypeError):
            await face.broadcast(server.connections, ["no"])


async def test_a_message_that_comes_byte_by_byte(face):
    def script(sock):
        for byte in raw.frame(1, "é".encode() * 3, mask=False):
            sock.sendall(bytes([byte]))

    async with (
        raw.server(face, script) as address,
        face.connect(uri_of(address), close_timeout=0.1) as connection,
    ):
        assert await connection.recv() == "ééé"


async def test_the_answer_comes_in_parts(face):
    """It is larger than what is read at once, and nobody has received before."""
    async with (
        face.serve(echo, compression=None) as (address, _),
        face.connect(uri_of(address), compression=None) as connection,
    ):
        for _ in range(2):
            await connection.send(b"0" * 1_000_000)
            assert len(await face.recv(connection, 10)) == 1_000_000
