"""Text is checked as it arrives: 1007 at the first wrong byte, whatever was still to come."""

from __future__ import annotations

import zlib

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosedError

from .connections import CLOSE, CONT, PING, PONG, TEXT, frame, raw_client, raw_server, turns

# The beginning of a message, which ends with the first wrong byte: for each of its frames the
# opcode, the payload as far as it comes, how much was to follow, and whether it is the last.
BEGINNINGS = {
    "in a frame": [(TEXT, b"x" * 20 + b"\xff", 100_000, True)],
    "in the middle of a character": [(TEXT, b"\xe2\x82x", 1000, True)],
    "a surrogate": [(TEXT, b"\xed\xa0", 1000, True)],
    "beyond Unicode": [(TEXT, b"\xf4\x90", 1000, True)],
    "overlong": [(TEXT, b"\xc0", 1, True)],
    "in a fragment": [(TEXT, b"one \xc3", 0, False), (CONT, b"(", 50, False)],
    "at the end of a fragment": [(TEXT, b"one ", 0, False), (CONT, b"\xff", 0, False)],
    "behind a ping": [(TEXT, b"\xe2", 0, False), (PING, b"?", 0, True), (CONT, b"(", 0, False)],
    "at the end of a message": [(TEXT, b"one ", 0, False), (CONT, b"\xc3", 0, True)],
}


def beginning(where, *, mask):
    """Give the bytes of the beginning of a message."""
    data = b""
    for opcode, payload, missing, fin in BEGINNINGS[where]:
        whole = frame(opcode, payload + bytes(missing), fin=fin, mask=mask)
        data += whole[: len(whole) - missing]
    return data


async def closing_of(peer, data):
    """Send all but a byte, then that one; give what comes that is no pong, and its code."""
    for piece in (data[:-1], data[-1:]):
        peer.writer.write(piece)
        await peer.writer.drain()
        await turns()
    while True:
        opcode, data = await peer.receive()
        if opcode != PONG:
            return opcode, int.from_bytes(data[:2])


@pytest.mark.parametrize("where", BEGINNINGS)
@pytest.mark.parametrize("streaming", [False, True])
async def test_server(where, streaming):
    errors = []

    async def handler(connection):
        try:
            if streaming:
                async for _ in connection.recv_streaming():
                    pass
            else:
                await connection.recv()
        except ConnectionClosedError as exc:
            errors.append(exc)

    data = beginning(where, mask=True)
    async with (
        serve(handler, "127.0.0.1", 0, compression=None) as server,
        raw_client(server) as peer,
    ):
        assert await closing_of(peer, data) == (CLOSE, 1007)
        await peer.close()
    assert errors[0].sent.code == 1007
    assert isinstance(errors[0].__cause__, UnicodeDecodeError)


@pytest.mark.parametrize("where", BEGINNINGS)
async def test_client(where):
    data = beginning(where, mask=False)
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        assert await closing_of(peer, data) == (CLOSE, 1007)
        await peer.close()
        with pytest.raises(ConnectionClosedError, match="1007"):
            await client.recv()


@pytest.mark.parametrize("fin", [False, True])
async def test_compressed(fin):
    """Fragment by fragment: what a frame holds is known when all of it is there."""
    compressor = zlib.compressobj(wbits=-12)
    data = compressor.compress(b"good " * 100 + b"\xff") + compressor.flush(zlib.Z_SYNC_FLUSH)
    async with (
        serve(lambda connection: connection.recv(), "127.0.0.1", 0) as server,
        raw_client(
            server,
            headers="Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12\r\n",
        ) as peer,
    ):
        peer.writer.write(frame(TEXT, data[:-4], fin=fin, mask=True, rsv=0x40))
        assert await peer.close_code() == 1007
