"""Messages: what can be sent, what is received, what is refused."""

from __future__ import annotations

import asyncio

from .libraries import alike, described, outcome, pair

SENT = [
    "text",
    "",
    "é" * 100,
    b"bytes",
    b"",
    bytearray(b"bytearray"),
    memoryview(b"memoryview"),
]


@alike
async def test_types_of_messages(lib):
    facts = []
    async with pair(lib) as (server, client):
        for one, other in ((server, client), (client, server)):
            for message in SENT:
                await one.send(message)
                facts.append(await other.recv())
    return facts


@alike
async def test_text_argument(lib):
    facts = []
    async with pair(lib) as (server, client):
        for message in ("text", b"bytes", bytearray(b"array"), ["a", "b"], [b"a", b"b"]):
            for text in (None, True, False):
                await client.send(message, text=text)
                facts.append(await server.recv())
    return facts


@alike
async def test_decode_argument(lib):
    facts = []
    async with pair(lib) as (server, client):
        for message in ("text é", b"bytes", ["frag", "ments"], [b"frag", b"ments"]):
            for decode in (None, True, False):
                await client.send(message)
                facts.append(await outcome(server.recv(decode=decode)))
    return facts


async def pieces(connection, decode):
    received = []
    try:
        async for piece in connection.recv_streaming(decode):
            received.append(piece)
    except Exception as exc:
        received.append(described(exc))
    return received


@alike
async def test_bytes_that_cannot_be_decoded(lib):
    facts = []
    for message in (b"\xff", b"ab\xe9", [b"ab", b"\xff", b"c"]):
        for receive in (
            lambda server: outcome(server.recv(decode=True)),
            lambda server: pieces(server, True),
        ):
            async with pair(lib) as (server, client):
                await client.send(message)
                facts.append(await receive(server))
                facts.append(await outcome(server.send("x")))
                facts.append(await outcome(client.recv()))
    return facts


@alike
async def test_what_is_no_message(lib):
    facts = []
    async with pair(lib) as (server, client):
        for wrong in (None, 1, 2.5, {"a": 1}, object, lib):
            exc = await outcome(client.send(wrong))
            facts.append(exc)
        await client.send("usable")
        facts.append(await server.recv())
    for wrong in ([1], [None], ["a", b"b"], [b"a", "b"]):
        async with pair(lib) as (server, client):
            facts.append(await outcome(client.send(wrong)))
    return facts


@alike
async def test_iterables(lib):
    async def async_items(items):
        for item in items:
            await asyncio.sleep(0)
            yield item

    facts = []
    async with pair(lib) as (server, client):
        for items in (
            ["a", "b"],
            [b"a", b"b"],
            ["a"],
            ["", ""],
            [b"a", bytearray(b"b")],
            ("é", ""),
        ):
            for make in (list, iter, async_items):
                await client.send(make(items))
                facts.append(await server.recv())
        # An empty iterable sends nothing.
        for make in (list, iter, async_items):
            await client.send(make([]))
        await client.send("after")
        facts.append(await server.recv())
    return facts


@alike
async def test_an_iterable_that_fails(lib):
    def failing():
        yield "a"
        raise ValueError("broken")

    facts = []
    async with pair(lib) as (server, client):
        facts.append(await outcome(client.send(failing())))
        facts.append(await outcome(client.send("more")))
        await server.wait_closed()
        # What the server says to an unfinished message is another question.
        facts.append((await outcome(server.recv())).split(";")[0])
        facts += [client.close_code, client.close_reason, server.close_code, server.close_reason]
    return facts


@alike
async def test_recv_streaming(lib):
    facts = []
    async with pair(lib) as (server, client):
        for message in ("whole", b"whole", ["a", "é", "c"], [b"a", b"b"], ["", "x", ""]):
            for decode in (None, True, False):
                await client.send(message)
                # Empty fragments are not worth mentioning.
                facts.append([piece async for piece in server.recv_streaming(decode) if piece])
        await client.send("next")
        facts.append(await server.recv())
    return facts


@alike
async def test_character_in_two_fragments(lib):
    facts = []
    async with pair(lib) as (server, client):
        character = "é".encode()
        await client.send([character[:1], character[1:]], text=True)
        facts.append([piece async for piece in server.recv_streaming() if piece])
        await client.send([character[:1], character[1:]], text=True)
        facts.append(await server.recv())
    return facts


@alike
async def test_concurrent_receiving(lib):
    facts = []
    async with pair(lib) as (server, client):
        first = asyncio.create_task(server.recv())
        await asyncio.sleep(0)
        facts.append(await outcome(server.recv()))
        facts.append(await outcome(anext(server.recv_streaming())))
        await client.send("message")
        facts.append(await first)

        streaming = server.recv_streaming()
        second = asyncio.ensure_future(anext(streaming))
        await asyncio.sleep(0)
        facts.append(await outcome(server.recv()))
        facts.append(await outcome(anext(server.recv_streaming())))
        await client.send(["a", "b"])
        facts.append(await second)
        facts.append([piece async for piece in streaming if piece])
        await client.send("usable")
        facts.append(await server.recv())
    return facts


@alike
async def test_messages_before_the_end_can_be_received(lib):
    facts = []
    async with pair(lib) as (server, client):
        for number in range(3):
            await client.send(str(number))
        await client.close()
        await server.wait_closed()
        facts += [await outcome(server.recv()) for _ in range(5)]
        facts.append([message async for message in server])
    return facts


@alike
async def test_iteration_ends_when_closed_normally(lib):
    facts = []
    for code in (1000, 1001, 1002, 1011, 3000):
        async with pair(lib) as (server, client):
            await client.send("message")
            await client.close(code, "why")
            received = []
            try:
                async for message in server:
                    received.append(message)
            except lib.exceptions.ConnectionClosed as exc:
                received.append(described(exc))
            facts.append(received)
    return facts


@alike
async def test_too_big(lib):
    facts = []
    for max_size, message in (
        (10, "x" * 10),
        (10, "x" * 11),
        (10, b"x" * 100_000),
        (10, ["x" * 6, "x" * 6]),
        ((100, 10), "x" * 10),
        ((100, 10), "x" * 11),
        ((100, 10), ["x" * 10] * 9),
        ((None, 10), ["x" * 10] * 11),
        ((10, None), "x" * 11),
        (None, "x" * 2_000_000),
    ):
        for compression in (None, "deflate"):
            async with pair(
                lib,
                server={"max_size": max_size, "compression": compression},
                client={"compression": compression},
            ) as (server, client):
                # Whether it fails while sending is a question of time.
                await outcome(client.send(message))
                received = await outcome(server.recv())
                if len(received) > 1000:
                    received = len(received)
                facts.append((max_size, compression, received))
                if not isinstance(received, int) and "Error" in received:
                    if compression and isinstance(message, list):
                        # Which of the sizes is told differs.
                        facts[-1] = received.split("frame")[0]
                        continue
                    facts.append(await outcome(client.recv()))
                    facts += [client.close_code, client.close_reason]
    return facts


@alike
async def test_text_that_isnt_utf8(lib):
    facts = []
    for message in (b"\xff", b"ab\xe9", [b"\xff", b"ab"]):
        async with pair(lib, client={"compression": None}) as (server, client):
            await outcome(client.send(message, text=True))
            facts.append(await outcome(server.recv()))
            facts.append(await outcome(client.recv()))
    return facts
