"""Headers of the PROXY protocol, random and damaged, and what the parser makes of them."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

from tidegate import proxyprotocol

from ..sources import import_sources
from ..wire.scripts import cut_at_random
from .captures import CAPTURES

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
ERRORS = ("ProxyProtocolSyntaxError", "ProxyProtocolChecksumError")
KINDS = [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x20, 0x21, 0x30, 0xE0, 0xEA, 0xEE, 0xFF]
PIECES = [b" ", b"\r\n", b"\r", b":", b"::", b".", b"0", b"65536", b"\0", b"\xff", b"ffff", b"TCP6"]

# What parsing may take, in lines of source that are executed: for the line of version 1, which has
# 107 bytes at most, and for each byte of version 2. An empty TLV takes about 10 for each of its
# bytes with a checksum behind it, and a LOCAL header is read in two ways.
LINES, LINES_PER_BYTE = 2500, 20


def make_header(rng: random.Random) -> proxyprotocol.Header:
    """Make a random header."""
    ipv4 = [".".join(str(rng.randrange(256)) for _ in range(4)) for _ in range(2)]
    ipv6 = [":".join(f"{rng.choice([0, 1, 0xFFFF]):x}" for _ in range(8)) for _ in range(2)]
    paths = ["/run/a", "\0b" * rng.randint(0, 1)]
    source, destination = rng.choice([ipv4, ipv6, [ipv4[0], ipv6[0]], paths, [None, None]])
    if isinstance(source, str) and [source, destination] != paths:
        source, destination = (source, rng.randrange(65536)), (destination, rng.randrange(65536))
    if rng.random() < 0.3 and not isinstance(source, str):
        return proxyprotocol.Header(1, source=source, destination=destination)
    values = {0x02: "bücher.example".encode(), 0x20: bytes(5), 0x30: b"blue"}
    tlvs = [
        (kind, values.get(kind) or rng.randbytes(rng.choice([0, 1, 30, 128])))
        for kind in rng.choices([kind for kind in KINDS if kind != 3], k=rng.choice([0, 1, 3, 20]))
    ]
    if source is None:
        # There is no type 0, and nobody has to believe a LOCAL header's block.
        tlvs = [(kind, value) for kind, value in tlvs if kind]
        return proxyprotocol.Header(2, rng.choice(["LOCAL", "PROXY"]), tlvs=tlvs)
    protocol = rng.choice(["STREAM", "DGRAM", "UNSPEC"])
    return proxyprotocol.Header(2, "PROXY", None, protocol, source, destination, tlvs)


def damage(rng: random.Random, data: bytes) -> bytes:
    """Change a few things about a header."""
    changed = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        place = rng.randint(0, len(changed))
        how = rng.randrange(5)
        if how == 0 and place < len(changed):
            changed[place] = rng.choice([0, 0xFF, rng.randrange(256), changed[place] ^ 1])
        elif how == 1:
            del changed[place : place + rng.choice([1, 1, 5, 40])]
        elif how == 2:
            changed[place:place] = rng.choice(PIECES)
        elif how == 3:
            # A TLV, often an empty one.
            value = rng.randbytes(rng.choice([0, 0, 4, 5, 200]))
            changed += bytes((rng.choice(KINDS),)) + rng.choice([0, len(value)]).to_bytes(2) + value
        else:
            end = place + rng.randint(1, 60)
            changed[place:place] = changed[place:end] * rng.choice([1, 200])
    if changed.startswith(SIGNATURE) and len(changed) >= 16 and rng.random() < 0.8:
        changed[14:16] = min(len(changed) - 16, 0xFFFF).to_bytes(2)
    return bytes(changed)


def outcome(parse: Callable[..., Any], data: bytes, max_size: int) -> Any:
    """What the parser makes of data: a header, None, or an error of ours."""
    try:
        parsed = parse(data, max_size=max_size)
    except ValueError as exc:
        assert type(exc).__name__ in ERRORS, exc
        return type(exc).__name__, str(exc)
    return parsed and (repr(parsed[0]), parsed[1])


def lines_executed(function: Callable[[], Any]) -> int:
    """How many lines of Python a call takes."""
    lines = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return lines


def check_round_trip(seed: int) -> None:
    """What is built is read again, whatever follows it."""
    rng = random.Random(seed)
    header = make_header(rng)
    data = proxyprotocol.build(header)
    size = len(data)
    rest = rng.randbytes(rng.choice([0, 1, 20]))
    assert proxyprotocol.parse(data + rest, max_size=size) == (header, size), seed
    assert proxyprotocol.parse(data[: rng.randrange(size)], max_size=size) is None, seed


def check_damaged(seed: int) -> None:
    """However it comes, data means the same, compiled or not, and takes work in proportion."""
    rng = random.Random(seed)
    build, parse = proxyprotocol.build, proxyprotocol.parse
    header = make_header(rng)
    capture = rng.choice(CAPTURES)
    whole = rng.choice([build(header), build(header, crc32c=header.version == 2), capture.header])
    data = damage(rng, whole)
    max_size = rng.choice([107, 4096, 4096, 16 + 0xFFFF])
    expected = outcome(parse, data, max_size)

    source = import_sources("proxyprotocol").parse
    lines = lines_executed(lambda: outcome(source, data, max_size))
    assert lines <= LINES + LINES_PER_BYTE * min(len(data), max_size), (seed, lines, len(data))

    come = b""
    for chunk in cut_at_random(rng, data) if len(data) < 5000 else [data]:
        come += chunk
        so_far = outcome(parse, come, max_size)
        assert so_far == outcome(source, come, max_size), seed
        if so_far is not None:
            # A header that is there stays, and what is refused is not accepted later.
            assert so_far == expected or so_far[0] == expected[0], (seed, so_far, expected)
            break
    else:
        assert expected is None, seed
