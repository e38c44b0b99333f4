"""Sends random scripts to a server, and compares what it makes of them with the state machine."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosed
from tidegate.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from ..protocol.comparing import library, receive
from ..wire.scripts import Script, make_script
from .connections import CLOSE, CONT, TEXT, request

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def script_for_server(seed: int) -> Script:
    """Give the first script that is a client's, from a seed on."""
    while not (script := make_script(seed)).mask:
        seed += 1
    return script


def messages_of(events: list[Any]) -> list[str | bytes]:
    """Give the messages that are complete in these frames."""
    messages: list[str | bytes] = []
    kind, parts = TEXT, b""
    for opcode, data, fin in events:
        if opcode < CLOSE:
            kind = kind if opcode == CONT else opcode
            parts += data
            if fin:
                messages.append(parts.decode() if kind == TEXT else parts)
                parts = b""
    return messages


async def receive_all(connection: Any, rng: random.Random, received: list[Any]) -> None:
    """Receive in one of several ways, until the connection is closed."""
    way = rng.choice(["plain", "cancelled", "streaming", "slow"])
    while True:
        if way == "streaming":
            parts = [part async for part in connection.recv_streaming()]
            received.append(parts[0][:0].join(parts))
            continue
        if way == "slow":
            await asyncio.sleep(rng.choice([0, 0.001]))
        if way == "cancelled":
            task = asyncio.create_task(receive_one(connection))
            for _ in range(rng.randint(0, 2)):
                await asyncio.sleep(0)
            task.cancel()
            try:
                received.append(await task)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
            continue
        received.append(await connection.recv())


async def receive_one(connection: Any) -> Any:
    return await connection.recv()


async def send(address: Any, script: Script, rng: random.Random) -> bytes | None:
    """Send a script by hand; give what comes back, None if the connection is reset."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request(headers="" if script.deflate is None else OFFER))
        early = rng.random() < 0.2
        if not early:
            # Otherwise frames come with the request.
            await reader.readuntil(b"\r\n\r\n")
        for chunk in script.chunks:
            writer.write(chunk)
            if rng.random() < 0.3:
                await asyncio.sleep(0)
        writer.write_eof()
        if early:
            await reader.readuntil(b"\r\n\r\n")
        return await reader.read()
    except OSError:
        return None
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass


async def check_script(seed: int) -> None:
    """A connection gives the same messages, and the same end, as the state machine."""
    rng = random.Random(seed)
    script = script_for_server(seed)
    expected = receive(library("tidegate"), script)
    received: list[Any] = []
    ended = asyncio.get_running_loop().create_future()

    async def handler(connection: Any) -> None:
        try:
            await receive_all(connection, rng, received)
        except ConnectionClosed as exc:
            ended.set_result(exc)

    extensions = None
    if script.deflate is not None:
        bits, alone = script.deflate
        extensions = [
            ServerPerMessageDeflateFactory(
                client_max_window_bits=bits, client_no_context_takeover=alone
            )
        ]
    async with serve(
        handler,
        "127.0.0.1",
        0,
        compression=None,
        extensions=extensions,
        max_size=(script.max_size, script.max_frame_size),
        max_queue=rng.choice([0, 1, 16, None]),
        ping_interval=None,
    ) as server:
        sent = await send(server.sockets[0].getsockname(), script, rng)
        exc = await ended
    assert received == messages_of(expected["events"]), seed
    assert (type(exc).__name__, str(exc)) == expected["close_exc"], seed
    assert sent in (expected["sent"], None), (seed, sent, expected["sent"])
