"""Compressed messages: bombs, blocks that are cut off, windows, and what takes over."""

from __future__ import annotations

import zlib

import pytest

from .driver import WAIT, Case, ident, settled, to_clients, to_servers
from .raw import BINARY, CLOSE, CONT, PING, TEXT, Frame, close, deflate

OFFER = "permessage-deflate; server_no_context_takeover"
NEITHER = f"{OFFER}; client_no_context_takeover"

# What is cut off is not consistent with what it says that it is, which is 1007 (RFC 6455, section
# 7.4.1); what is no compressed data at all is a violation of the protocol.
S6, S7_2_2 = "RFC 7692, section 6", "RFC 7692, section 7.2.2"
BOMB = "CVE-2018-1000518"

HELLO = bytes.fromhex("f248cdc9c90700")
DELIVERED = ((1, b"Hello"),)
BEFORE = Frame(TEXT, HELLO, rsv=4)

ZEROS = deflate(bytes(50_000_000))


def case(name, rule, sends, due=1000, messages=(), **kwargs):
    """Make a case in which compression was negotiated."""
    kwargs = {"offers": OFFER, "accepts": "permessage-deflate"} | kwargs
    return Case(name, rule, sends, due, messages, **kwargs)


def message(data: bytes, opcode: int = BINARY) -> Frame:
    """Make a compressed message of bytes that are compressed already."""
    return Frame(opcode, data, rsv=4)


def fragments(data: bytes, count: int, opcode: int = BINARY) -> tuple[Frame, ...]:
    """Make a compressed message in so many fragments."""
    size = -(-len(data) // count)
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    last = len(pieces) - 1
    return tuple(
        Frame(CONT if i else opcode, piece, i == last, 0 if i else 4)
        for i, piece in enumerate(pieces)
    )


def stream(*messages: bytes) -> list[bytes]:
    """Compress messages, each of which refers to those before."""
    compressor = zlib.compressobj(wbits=-15)
    return [
        (compressor.compress(each) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4] for each in messages
    ]


RANDOM = bytes((i * i * 7 + i // 3) % 251 for i in range(3000))
FIRST, SECOND = stream(RANDOM, RANDOM)
FAR = stream(RANDOM + bytes(20_000), RANDOM)[1]


def final(data: bytes) -> bytes:
    """Compress with a last block that says that it is (RFC 7692, section 7.2.3.4)."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush(zlib.Z_FINISH) + b"\0"


def stored(data: bytes) -> bytes:
    """Make a block that isn't compressed."""
    size = len(data).to_bytes(2, "little")
    return b"\0" + size + bytes(255 - byte for byte in size) + data


CASES = [
    case("a bomb in one frame", BOMB, (BEFORE, WAIT, message(ZEROS)), 1009, DELIVERED),
    case("a bomb of text", BOMB, (message(deflate(b"x" * 50_000_000), TEXT),), 1009),
    case("a bomb in a thousand fragments", BOMB, fragments(ZEROS, 1000), 1009),
    case("a bomb that has no end", "CVE-2026-1526", fragments(ZEROS, 10)[:-1], 1009),
    case("one byte too many", "GHSA-hxp9-w8x3-p566", (message(deflate(bytes(2**20 + 1))),), 1009),
    case(
        "one byte too many in two fragments",
        "GHSA-hxp9-w8x3-p566",
        fragments(deflate(bytes(2**20 + 1)), 2),
        1009,
    ),
    case(
        "a bomb behind an uncompressed message",
        BOMB,
        (Frame(TEXT, b"Hello"), WAIT, message(ZEROS)),
        1009,
        DELIVERED,
    ),
    case(
        "2^20 bytes are not too many",
        "RFC 6455, section 10.4",
        (message(deflate(bytes(2**20))), WAIT, close()),
        messages=((2, bytes(2**20)),),
    ),
    case(
        "a compressed message that says 2^62 bytes",
        BOMB,
        (Frame(BINARY, rsv=4, length=2**62),),
        1009,
    ),
    *(
        case(f"RSV bits {rsv}", S6, (BEFORE, Frame(BINARY, HELLO, rsv=rsv)), 1002, DELIVERED)
        for rsv in (1, 2, 3, 5, 6, 7)
    ),
    case(
        "RSV1 in a continuation",
        S6,
        (Frame(TEXT, HELLO[:3], False, 4), Frame(CONT, HELLO[3:], rsv=4)),
        1002,
    ),
    case(
        "RSV1 in a continuation only",
        S6,
        (Frame(TEXT, b"H", False), Frame(CONT, HELLO, rsv=4)),
        1002,
    ),
    case("RSV1 in a ping", S6, (BEFORE, Frame(PING, HELLO, rsv=4)), 1002, DELIVERED),
    case("RSV1 in a close", S6, (BEFORE, Frame(CLOSE, HELLO, rsv=4)), 1002, DELIVERED),
    case(
        "a block of the reserved type",
        "RFC 1951, section 3.2.3",
        (BEFORE, message(b"\x07")),
        1002,
        DELIVERED,
    ),
    case("bytes at random", S7_2_2, (message(b"\xde\xad\xbe\xef" * 9),), 1002),
    case(
        "a stored block whose lengths differ",
        "RFC 1951, section 3.2.4",
        (message(b"\0\5\0\5\0Hello"),),
        1002,
    ),
    case("a stored block that is cut off", S7_2_2, (message(stored(b"Hello")[:-2]),), 1007),
    case("a Huffman block that is cut off", S7_2_2, (message(deflate(RANDOM)[:-9]),), 1007),
    case("a dynamic table that is cut off", S7_2_2, (message(deflate(RANDOM)[:20]),), 1007),
    case("a reference in front of everything", "RFC 1951, section 3.2.5", (message(SECOND),), 1002),
    case("with the header of zlib", S7_2_2, (message(zlib.compress(b"Hello")),), 1002),
    case("with the header of gzip", S7_2_2, (message(zlib.compress(b"Hello", wbits=31)),), 1002),
    case(
        "a reference to a message that didn't take over",
        "RFC 7692, section 7.1.1",
        (message(FIRST), message(SECOND)),
        1002,
        ((2, RANDOM),),
        offers=NEITHER,
        accepts="permessage-deflate; server_no_context_takeover",
    ),
    case(
        "text that isn't UTF-8",
        "RFC 6455, section 8.1",
        (BEFORE, message(deflate(b"a\xff"), TEXT)),
        1007,
        DELIVERED,
    ),
    case(
        "text that is cut off", "RFC 6455, section 8.1", (message(deflate(b"a\xc3"), TEXT),), 1007
    ),
    case(
        "text that isn't UTF-8 in fragments",
        "RFC 6455, section 8.1",
        fragments(deflate(b"\xed\xa0\x80 " * 400), 4, TEXT),
        1007,
    ),
    case(
        "more final blocks than anybody needs",
        "RFC 7692, section 7.2.3.4",
        (message(b"\x03\0" * 5000),),
        1002,
    ),
    # What is right.
    case(
        "an empty payload",
        "RFC 7692, section 7.2.3.6",
        (message(b""), BEFORE, WAIT, close()),
        messages=((2, b""), *DELIVERED),
    ),
    case(
        "an empty message",
        "RFC 7692, section 7.2.3.6",
        (message(b"\0"), BEFORE, WAIT, close()),
        messages=((2, b""), *DELIVERED),
    ),
    case(
        "10,000 empty blocks",
        "RFC 7692, section 7.2.3.5",
        (message(b"\0\0\0\xff\xff" * 10_000 + HELLO, TEXT), WAIT, close()),
        messages=DELIVERED,
    ),
    case(
        "10,000 empty fragments",
        "GHSA-96hv-2xvq-fx4p",
        (
            Frame(TEXT, HELLO, False, 4),
            *[Frame(CONT, fin=False)] * 10_000,
            Frame(CONT),
            WAIT,
            close(),
        ),
        messages=DELIVERED,
        ways=("plain",),
    ),
    case(
        "a final block",
        "RFC 7692, section 7.2.3.4",
        (message(final(b"Hello"), TEXT), BEFORE, WAIT, close()),
        messages=(*DELIVERED, *DELIVERED),
    ),
    case(
        "a block that isn't compressed",
        "RFC 7692, section 7.2.3.3",
        (message(stored(b"Hello") + b"\0", TEXT), BEFORE, WAIT, close()),
        messages=(*DELIVERED, *DELIVERED),
    ),
    case(
        "two blocks",
        "RFC 7692, section 7.2.3.5",
        (message(bytes.fromhex("f248050000 00ffffcac9c90700"), TEXT), WAIT, close()),
        messages=DELIVERED,
    ),
    case(
        "a window that is shared",
        "RFC 7692, section 7.2.3.2",
        (BEFORE, message(bytes.fromhex("f200110000"), TEXT), WAIT, close()),
        messages=(*DELIVERED, *DELIVERED),
    ),
    case(
        "a window that is shared, behind a message that isn't compressed",
        "RFC 7692, section 7.2.3.2",
        (message(FIRST), Frame(TEXT, b"Hello"), message(SECOND), WAIT, close()),
        messages=((2, RANDOM), *DELIVERED, (2, RANDOM)),
    ),
    case(
        "a reference as far as the window goes",
        "RFC 7692, section 7.1.2",
        (message(stream(RANDOM + bytes(20_000))[0]), message(FAR), WAIT, close()),
        messages=((2, RANDOM + bytes(20_000)), (2, RANDOM)),
    ),
    case(
        "cut at every byte",
        "RFC 7692, section 7.2.3.1",
        (*fragments(HELLO, 7, TEXT), WAIT, close()),
        messages=DELIVERED,
    ),
    case(
        "a ping in the middle",
        "RFC 7692, section 6",
        (
            Frame(TEXT, HELLO[:3], False, 4),
            Frame(PING, b"p"),
            Frame(CONT, HELLO[3:]),
            WAIT,
            close(),
        ),
        messages=DELIVERED,
        pongs=(b"p",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_servers(case, servers, house):
    assert to_servers(case, servers, house.contexts[1]) == {}
    settled(servers)


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_clients(case, clients, house):
    assert to_clients(case, clients, house.contexts) == {}
