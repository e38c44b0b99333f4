"""Text that isn't UTF-8, cut at every byte: what is wrong is found as soon as it has come."""

from __future__ import annotations

import pytest

from .driver import WAIT, Case, ident, settled, to_clients, to_servers
from .raw import CONT, PING, TEXT, Frame, close, text

S8_1, RFC3629 = "RFC 6455, section 8.1", "RFC 3629, section 3"

# What is wrong -> bytes, of which the last is the first that can't be right.
WRONG = {
    "a continuation byte alone": b"\x80",
    "the last continuation byte alone": b"\xbf",
    "0xC0, of an overlong NUL": b"\xc0",
    "0xC1": b"\xc1",
    "0xF5": b"\xf5",
    "0xF8, of five bytes": b"\xf8",
    "0xFC, of six bytes": b"\xfc",
    "0xFE": b"\xfe",
    "0xFF": b"\xff",
    "two bytes, the second ASCII": b"\xc3a",
    "two bytes, the second a start": b"\xc3\xc3",
    "overlong in three bytes": b"\xe0\x80",
    "overlong in three bytes, the last of them": b"\xe0\x9f",
    "overlong in four bytes": b"\xf0\x80",
    "overlong in four bytes, the last of them": b"\xf0\x8f",
    "the first surrogate": b"\xed\xa0",
    "the last surrogate": b"\xed\xbf",
    "above U+10FFFF": b"\xf4\x90",
    "three bytes, the second ASCII": b"\xe2a",
    "three bytes, the third ASCII": b"\xe2\x82a",
    "three bytes, the third a start": b"\xe2\x82\xe2",
    "four bytes, the second a start": b"\xf0\xf0",
    "four bytes, the third ASCII": b"\xf0\x9f\x98a",
    "four bytes, the fourth a start": b"\xf0\x9f\x98\xf0",
    "a byte too many": "€".encode() + b"\x80",
    "far behind ASCII": b"x" * 70 + b"\xff",
    "far behind other characters": "κόσμε".encode() * 9 + b"\xed\xa0",
}

# Text that ends too early.
CUT = {
    "two bytes without the second": b"\xc3",
    "three bytes without the second": b"\xe2",
    "three bytes without the third": b"\xe2\x82",
    "four bytes without the second": b"\xf0",
    "four bytes without the third": b"\xf0\x9f",
    "four bytes without the fourth": b"\xf0\x9f\x98",
}

RIGHT = {
    "the first and the last of two bytes": "\x80\u07ff",
    "the first and the last of three bytes": "\u0800\uffff",
    "the first and the last of four bytes": "\U00010000\U0010ffff",
    "around the surrogates": "\ud7ff\ue000",
    "what is no character": "\ufffe\uffff\ufdd0",
    "Greek behind ASCII": "abc" * 30 + "κόσμε",
}


def fragments(data: bytes) -> tuple[Frame, ...]:
    """Cut a text message at every byte, with a ping at one of them."""
    last = len(data) - 1
    frames = [Frame(CONT if i else TEXT, data[i : i + 1], i == last) for i in range(len(data))]
    frames.insert(len(frames) // 2, Frame(PING, b"p"))
    return tuple(frames)


CASES = [
    *(
        Case(
            f"{name}, whole",
            S8_1,
            (text("before"), text(data)),
            1007,
            ((1, b"before"),),
            ways=("plain",),
        )
        for name, data in (WRONG | CUT).items()
    ),
    *(
        Case(f"{name}, in fragments", S8_1, fragments(data), 1007, pongs=(b"p",), ways=("tls",))
        for name, data in (WRONG | CUT).items()
    ),
    # The rest never comes.
    *(
        Case(
            f"{name}, byte by byte",
            S8_1,
            (text(data, length=len(data) + 200),),
            1007,
            step=1,
            ways=("plain",),
        )
        for name, data in WRONG.items()
    ),
    *(
        Case(
            f"{name}, and no end of the message",
            S8_1,
            (text(data, fin=False),),
            1007,
            ways=("plain",),
        )
        for name, data in WRONG.items()
    ),
    *(
        Case(
            f"{name}, whole",
            RFC3629,
            (text(data), WAIT, close()),
            1000,
            ((1, data.encode()),),
            step=1,
        )
        for name, data in RIGHT.items()
    ),
    *(
        Case(
            f"{name}, in fragments",
            RFC3629,
            (*fragments(data.encode()), WAIT, close()),
            1000,
            ((1, data.encode()),),
            (b"p",),
        )
        for name, data in RIGHT.items()
    ),
    Case(
        "binary is no text",
        RFC3629,
        (Frame(2, b"\xff\xed\xa0\x80"), WAIT, close()),
        1000,
        ((2, b"\xff\xed\xa0\x80"),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_servers(case, servers, house):
    assert to_servers(case, servers, house.contexts[1]) == {}
    settled(servers)


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_clients(case, clients, house):
    assert to_clients(case, clients, house.contexts) == {}
