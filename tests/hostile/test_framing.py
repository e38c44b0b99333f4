"""Frames that are wrong, and some that only look so."""

from __future__ import annotations

import pytest

from .driver import WAIT, Case, ident, settled, to_clients, to_servers
from .raw import BINARY, CLOSE, CONT, PING, PONG, TEXT, Frame, close, text

S5_1, S5_2 = "RFC 6455, section 5.1", "RFC 6455, section 5.2"
S5_4, S5_5 = "RFC 6455, section 5.4", "RFC 6455, section 5.5"
S5_5_1, S7_4_1 = "RFC 6455, section 5.5.1", "RFC 6455, section 7.4.1"
S10_4 = "RFC 6455, section 10.4"

BEFORE = text("before")
DELIVERED = ((1, b"before"),)

CASES = [
    *(
        Case(
            f"reserved bits {rsv} in {name}",
            S5_2,
            (BEFORE, Frame(opcode, b"x", rsv=rsv)),
            1002,
            DELIVERED,
        )
        for rsv in (1, 2, 4, 7)
        for name, opcode in (("text", TEXT), ("binary", BINARY), ("ping", PING), ("close", CLOSE))
    ),
    *(
        Case(f"opcode {opcode}", S5_2, (BEFORE, Frame(opcode, b"x")), 1002, DELIVERED)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ),
    *(
        Case(f"opcode {opcode} in a message", S5_2, (text("a", fin=False), Frame(opcode)), 1002)
        for opcode in (3, 7, 11, 15)
    ),
    *(
        Case(f"{name} of 126 bytes", S5_5, (Frame(opcode, bytes(126)),), 1002)
        for name, opcode in (("ping", PING), ("pong", PONG), ("close", CLOSE))
    ),
    *(
        Case(f"{name} that says 2^62 bytes", S5_5, (Frame(opcode, form=64, length=2**62),), 1002)
        for name, opcode in (("ping", PING), ("pong", PONG), ("close", CLOSE))
    ),
    *(
        Case(f"{name} in fragments", S5_5, (Frame(opcode, b"\x03\xe8", fin=False),), 1002)
        for name, opcode in (("ping", PING), ("pong", PONG), ("close", CLOSE))
    ),
    *(
        Case(
            f"{name} of 3 bytes with the length in {form} bits",
            S5_2,
            (Frame(opcode, b"\x03\xe8x", form=form),),
            1002,
        )
        for form in (16, 64)
        for name, opcode in (("text", TEXT), ("ping", PING), ("pong", PONG), ("close", CLOSE))
    ),
    Case("0 bytes with the length in 16 bits", S5_2, (Frame(BINARY, form=16),), 1002),
    Case("0 bytes with the length in 64 bits", S5_2, (Frame(BINARY, form=64),), 1002),
    Case("125 bytes with the length in 16 bits", S5_2, (Frame(BINARY, bytes(125), form=16),), 1002),
    Case("126 bytes with the length in 64 bits", S5_2, (Frame(BINARY, bytes(126), form=64),), 1002),
    Case(
        "65535 bytes with the length in 64 bits",
        S5_2,
        (Frame(BINARY, bytes(65535), form=64),),
        1002,
    ),
    Case("length of 2^63", S5_2, (Frame(BINARY, form=64, length=2**63),), 1002),
    Case("length of 2^64 - 1", S5_2, (Frame(TEXT, form=64, length=2**64 - 1),), 1002),
    *(
        Case(
            f"{what} with the mask of the other side",
            S5_1,
            (BEFORE, frame._replace(wrong_mask=True)),
            1002,
            DELIVERED,
        )
        for what, frame in (
            ("text", text("x")),
            ("empty text", text("")),
            ("binary of 70000 bytes", Frame(BINARY, bytes(70000))),
            ("ping", Frame(PING, b"x")),
            ("close", close()),
        )
    ),
    Case(
        "second fragment with the mask of the other side",
        S5_1,
        (text("a", fin=False), Frame(CONT, b"b", wrong_mask=True)),
        1002,
    ),
    Case("continuation of nothing", S5_4, (BEFORE, Frame(CONT, b"x")), 1002, DELIVERED),
    Case("unfinished continuation of nothing", S5_4, (Frame(CONT, b"x", fin=False),), 1002),
    Case("empty continuation of nothing", S5_4, (Frame(CONT),), 1002),
    Case(
        "continuation after the end of a message",
        S5_4,
        (text("a", fin=False), Frame(CONT, b"b"), Frame(CONT, b"c")),
        1002,
        ((1, b"ab"),),
    ),
    *(
        Case(
            f"{second} in the middle of {first}",
            S5_4,
            (Frame(one, b"a", fin=False), Frame(two, b"b")),
            1002,
        )
        for first, one in (("text", TEXT), ("binary", BINARY))
        for second, two in (("text", TEXT), ("binary", BINARY))
    ),
    Case(
        "text begun in the middle of text", S5_4, (text("a", fin=False), text("b", fin=False)), 1002
    ),
    Case(
        "text in the middle of text, after a ping",
        S5_4,
        (text("a", fin=False), Frame(PING, b"p"), text("b")),
        1002,
        pongs=(b"p",),
    ),
    Case(
        "reserved bit in a continuation",
        S5_2,
        (text("a", fin=False), Frame(CONT, b"b", rsv=4)),
        1002,
    ),
    Case("message of 2^20 + 1 bytes", S10_4, (Frame(BINARY, length=2**20 + 1),), 1009),
    Case("message that says 2^31 bytes", S10_4, (Frame(BINARY, length=2**31),), 1009),
    Case("message that says 2^32 + 1 bytes", S10_4, (Frame(BINARY, length=2**32 + 1),), 1009),
    Case(
        "message that says 2^62 bytes", S10_4, (BEFORE, Frame(TEXT, length=2**62)), 1009, DELIVERED
    ),
    Case("message that says 2^63 - 1 bytes", S10_4, (Frame(TEXT, length=2**63 - 1),), 1009),
    Case(
        "fragment that says 2^63 - 1 bytes more",
        S10_4,
        (Frame(TEXT, b"a", fin=False), Frame(CONT, length=2**63 - 1)),
        1009,
    ),
    Case(
        "two fragments of 2^20 + 1 bytes",
        "CVE-2026-42786",
        (Frame(BINARY, bytes(2**19), fin=False), Frame(CONT, length=2**19 + 1)),
        1009,
    ),
    Case(
        "65 fragments of more than 2^20 bytes",
        "CVE-2026-42786",
        (Frame(BINARY, fin=False), *[Frame(CONT, bytes(2**14), fin=False)] * 64, Frame(CONT, b"x")),
        1009,
    ),
    Case(
        "close with a single byte", S5_5_1, (BEFORE, WAIT, Frame(CLOSE, b"\x03")), 1002, DELIVERED
    ),
    Case("close with a single byte that is 0", S5_5_1, (Frame(CLOSE, b"\0"),), 1002),
    *(
        Case(f"close code {code}", S7_4_1, (BEFORE, WAIT, close(code)), 1002, DELIVERED)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
    *(
        Case(f"close code {code} is one", S7_4_1, (BEFORE, WAIT, close(code)), code, DELIVERED)
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    ),
    Case("close without a code", S5_5_1, (BEFORE, WAIT, close(None)), 1005, DELIVERED),
    Case("reason that isn't UTF-8", S5_5_1, (close(1000, b"\xff"),), 1007),
    Case("reason with a surrogate", S5_5_1, (close(1000, b"\xed\xa0\x80"),), 1007),
    Case("reason that is cut off", S5_5_1, (close(1000, b"a\xc3"),), 1007),
    Case("reason of 123 bytes", S5_5_1, (close(1000, b"x" * 123),), 1000),
    Case("reason of 124 bytes", S5_5, (close(1000, b"x" * 124),), 1002),
    # What is right, though some have stumbled over it.
    Case("ping of 125 bytes", S5_5, (Frame(PING, b"x" * 125), close()), 1000, pongs=(b"x" * 125,)),
    Case("empty ping", S5_5, (Frame(PING), close()), 1000, pongs=(b"",)),
    Case(
        "pong nobody asked for", S5_5, (Frame(PONG, b"x"), BEFORE, WAIT, close()), 1000, DELIVERED
    ),
    Case(
        "pong of 125 bytes", S5_5, (Frame(PONG, bytes(125)), BEFORE, WAIT, close()), 1000, DELIVERED
    ),
    Case("empty text", S5_2, (text(""), WAIT, close()), 1000, ((1, b""),)),
    Case("empty binary", S5_2, (Frame(BINARY), WAIT, close()), 1000, ((2, b""),)),
    Case(
        "message of empty fragments",
        S5_4,
        (text("", fin=False), Frame(CONT, fin=False), Frame(CONT), WAIT, close()),
        1000,
        ((1, b""),),
    ),
    Case(
        "ping between fragments",
        S5_4,
        (text("a", fin=False), Frame(PING, b"p"), Frame(CONT, b"b"), WAIT, close()),
        1000,
        ((1, b"ab"),),
        (b"p",),
    ),
    Case(
        "message of 300 fragments of a byte",
        S5_4,
        (
            Frame(BINARY, fin=False),
            *[Frame(CONT, b"x", fin=False)] * 300,
            Frame(CONT),
            WAIT,
            close(),
        ),
        1000,
        ((2, b"x" * 300),),
    ),
    *(
        Case(
            f"message of {size} bytes",
            S5_2,
            (Frame(BINARY, b"x" * size), WAIT, close()),
            1000,
            ((2, b"x" * size),),
        )
        for size in (125, 126, 127, 65535, 65536, 65537)
    ),
    Case("NUL in text", S5_2, (text("a\0b"), WAIT, close()), 1000, ((1, b"a\0b"),)),
]


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_servers(case, servers, house):
    assert to_servers(case, servers, house.contexts[1]) == {}
    settled(servers)


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_clients(case, clients, house):
    assert to_clients(case, clients, house.contexts) == {}
