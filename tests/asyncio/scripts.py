"""Sends random scripts to connections, and compares what they make of them with the protocol."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosed
from tidegate.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from tidegate.utils import accept_key

from ..protocol.comparing import library, receive, unmasked
from ..wire.scripts import Script, make_script
from .connections import CLOSE, CONT, TEXT, address, request

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


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
            task = asyncio.create_task(connection.recv())
            for _ in range(rng.randint(0, 2)):
                await asyncio.sleep(0)
            task.cancel()
            try:
                received.append(await task)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
            continue
        received.append(await connection.recv())


async def send(address: Any, script: Script, rng: random.Random) -> bytes | None:
    """Open a connection as a client, send a script; give what comes back, None if it is reset."""
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


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, script: Script, rng: random.Random
) -> bytes | None:
    """Open a connection as a server, send a script; give what comes back."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = head.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_key(key)}",
        ]
        if script.deflate is not None:
            bits, alone = script.deflate
            extension = f"permessage-deflate; server_max_window_bits={bits}"
            extension += "; server_no_context_takeover" * alone
            lines.append(f"Sec-WebSocket-Extensions: {extension}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        for chunk in script.chunks:
            writer.write(chunk)
            if rng.random() < 0.3:
                await asyncio.sleep(0)
        writer.write_eof()
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
    script = make_script(seed)
    received: list[Any] = []
    options = {
        "compression": None,
        "max_size": (script.max_size, script.max_frame_size),
        "max_queue": rng.choice([0, 1, 16, None]),
        "ping_interval": None,
    }
    run = run_server if script.mask else run_client
    exc, sent = await run(script, rng, received, options)
    expected = receive(library("tidegate"), script)
    assert received == messages_of(expected["events"]), seed
    assert (type(exc).__name__, str(exc)) == expected["close_exc"], seed
    assert sent in (expected["sent"], None), (seed, sent, expected["sent"])


async def run_server(
    script: Script, rng: random.Random, received: list[Any], options: dict[str, Any]
) -> tuple[ConnectionClosed, bytes | None]:
    """Send a script to a server."""
    ended = asyncio.get_running_loop().create_future()

    async def handler(connection: Any) -> None:
        try:
            await receive_all(connection, rng, received)
        except ConnectionClosed as exc:
            ended.set_result(exc)

    if script.deflate is not None:
        bits, alone = script.deflate
        options["extensions"] = [
            ServerPerMessageDeflateFactory(
                client_max_window_bits=bits, client_no_context_takeover=alone
            )
        ]
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        sent = await send(server.sockets[0].getsockname(), script, rng)
        return await ended, sent


async def run_client(
    script: Script, rng: random.Random, received: list[Any], options: dict[str, Any]
) -> tuple[ConnectionClosed, bytes | None]:
    """Send a script to a client."""
    ended = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.set_result(await answer(reader, writer, script, rng))

    if script.deflate is not None:
        bits, alone = script.deflate
        options["extensions"] = [
            ClientPerMessageDeflateFactory(
                server_max_window_bits=bits, server_no_context_takeover=alone
            )
        ]
    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        connection = await connect(address(server), **options)
        try:
            await receive_all(connection, rng, received)
        except ConnectionClosed as exc:
            sent = await ended
            return exc, None if sent is None else unmasked([sent])
    raise AssertionError("it doesn't end")
