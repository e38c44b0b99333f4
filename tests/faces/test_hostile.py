"""What no decent peer sends, on every face: the same answer from each."""

from __future__ import annotations

import zlib

import pytest

from tidegate.exceptions import ConnectionClosedError

from . import raw
from .drivers import echo, uri_of

# What is wrong -> the bytes, how the connection is closed, and what is said about it.
HOSTILE = {
    "reserved bits": (b"\xf1\x00", 1002, "reserved bits must be 0"),
    "unknown opcode": (b"\x83\x00", 1002, "invalid opcode"),
    "large control frame": (b"\x89\x7e\x00\x7e" + bytes(126), 1002, "control frame too long"),
    "fragmented control frame": (b"\x09\x00", 1002, "fragmented control frame"),
    "continuation of nothing": (b"\x80\x00", 1002, "unexpected continuation frame"),
    "message in a message": (b"\x01\x00\x01\x00", 1002, "expected a continuation frame"),
    "no UTF-8": (b"\x81\x01\xff", 1007, "invalid start byte at position 0"),
    "large message": (
        b"\x82\x7f" + (2**40).to_bytes(8, "big"),
        1009,
        "frame with 1099511627776 bytes exceeds limit of 1048576 bytes",
    ),
    "close with a single byte": (b"\x88\x01\x03", 1002, "close frame too short"),
    "close with a forbidden code": (b"\x88\x02\x03\xed", 1002, "invalid status code"),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_from_a_server(face, what):
    data, code, words = HOSTILE[what]
    answers = []

    def script(sock):
        sock.sendall(data)
        answers.append(raw.read_all(sock))

    async with (
        raw.server(face, script) as address,
        face.connect(uri_of(address), close_timeout=0.5) as connection,
    ):
        with pytest.raises(ConnectionClosedError) as raised:
            await connection.recv()
        assert raised.value.sent.code == code
        assert f") {words}; no close frame received" in str(raised.value)
    assert answers[0][0] == 0x88


def masked(data):
    """The same frame from a client: with a key of zeros."""
    size = 2 + {126: 2, 127: 8}.get(data[1] & 0x7F, 0)
    frame = data[0:1] + bytes([data[1] | 0x80]) + data[2:size] + bytes(4)
    return frame + data[size:]


@pytest.mark.parametrize("what", [name for name in HOSTILE if name != "message in a message"])
async def test_from_a_client(face, what):
    data, code, _ = HOSTILE[what]
    async with face.serve(echo) as (address, _):
        answer = await face.blocking(raw.exchange, address, masked(data))
        assert raw.close_code(answer) == code


async def test_from_a_client_without_a_mask(face):
    async with face.serve(echo) as (address, _):
        assert raw.close_code(await face.blocking(raw.exchange, address, b"\x81\x00")) == 1002


async def test_a_decompression_bomb(face):
    def script(sock):
        compressor = zlib.compressobj(wbits=-15)
        data = compressor.compress(bytes(50_000_000)) + compressor.flush(zlib.Z_SYNC_FLUSH)
        sock.sendall(b"\xc2\x7e" + len(data[:-4]).to_bytes(2, "big") + data[:-4])

    from tidegate.extensions.permessage_deflate import enable_server_permessage_deflate
    from tidegate.server import ServerProtocol

    def play(sock):
        protocol = ServerProtocol(extensions=enable_server_permessage_deflate(None))
        protocol.receive_data(raw.read_head(sock))
        (request,) = protocol.events_received()
        protocol.send_response(protocol.accept(request))
        sock.sendall(b"".join(protocol.data_to_send()))
        script(sock)

    async with (
        raw.server(face, play, opened=False) as address,
        face.connect(uri_of(address), close_timeout=0.1) as connection,
    ):
        with pytest.raises(ConnectionClosedError) as raised:
            await connection.recv()
        assert raised.value.sent.code == 1009


async def test_a_flood_of_pings_takes_no_memory(face):
    """The peer doesn't read the answers."""
    sizes = []

    def script(sock):
        data = raw.frame(9, b"x" * 125, mask=False) * 5000
        sock.settimeout(0.2)
        try:
            for _ in range(100):
                sock.sendall(data)
        except OSError:
            pass
        sizes.append(True)

    async with (
        raw.server(face, script) as address,
        face.connect(uri_of(address), close_timeout=0.1) as connection,
    ):
        while not sizes:
            assert connection.buffered_amount < 1_000_000
            await face.sleep(0.01)


@pytest.mark.parametrize("what", [name for name in HOSTILE if not name.startswith("close ")])
async def test_what_came_before_is_answered(face, what):
    """In the same segment, so that whoever takes the message has no time to be quicker."""
    data = b"\x81\x86" + bytes(4) + b"before" + masked(HOSTILE[what][0])
    if what == "message in a message":
        data = data[:-8] + masked(b"\x01\x00") + masked(b"\x01\x00")
    async with face.serve(echo) as (address, _):
        for _ in range(10):
            answer = await face.blocking(raw.exchange, address, data)
            assert answer.startswith(b"\x81\x06before\x88")
            assert raw.close_code(answer) == HOSTILE[what][1]
