"""Ends in every order: Close frames with data behind them, streams that end anywhere, resets."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest

from . import raw
from .driver import WAIT, Case, ident, opened, settled, stream_to_clients, to_clients, to_servers
from .raw import BINARY, CONT, PING, PONG, TEXT, Frame, close, text

S1_4, S5_5_1, S7_1_7 = "RFC 6455, section 1.4", "RFC 6455, section 5.5.1", "RFC 6455, section 7.1.7"
S7_1_5 = "RFC 6455, section 7.1.5"

DELIVERED = ((1, b"before"),)
BEFORE = (text("before"), WAIT)

CASES = [
    # What is behind a Close frame is of no interest, whatever it is.
    *(
        Case(
            f"{name} behind a Close frame", S5_5_1, (*BEFORE, close(3000), *behind), 3000, DELIVERED
        )
        for name, behind in (
            ("text", [text("late")]),
            ("a ping", [Frame(PING, b"late")]),
            ("a pong", [Frame(PONG, b"late")]),
            ("another Close frame", [close(3001)]),
            ("half a frame", [text("late", length=100)]),
            ("half a header", [b"\x82"]),
            ("a frame that is wrong", [Frame(3, b"late", rsv=7)]),
            ("a frame with the wrong mask", [Frame(TEXT, b"late", wrong_mask=True)]),
            ("text that isn't UTF-8", [text(b"\xff")]),
            ("2^62 bytes", [Frame(BINARY, length=2**62)]),
            ("a message of 2 MiB", [Frame(BINARY, bytes(2**21))]),
            ("10,000 pings", [Frame(PING, b"late")] * 10_000),
            ("a request", [b"GET / HTTP/1.1\r\n\r\n"]),
        )
    ),
    Case("a Close frame in a message", S7_1_5, (text("a", fin=False), close(3000)), 3000),
    Case(
        "a Close frame in a message that ends behind it",
        S7_1_5,
        (text("a", fin=False), close(3000), Frame(CONT, b"b")),
        3000,
    ),
    Case(
        "a Close frame in the middle of text",
        S7_1_5,
        (text(b"\xe2\x82", fin=False), close(3000)),
        3000,
    ),
    Case(
        "a Close frame, byte by byte",
        S5_5_1,
        (*BEFORE, close(3000, b"why")),
        3000,
        DELIVERED,
        step=1,
    ),
    Case(
        "a Close frame behind two pings",
        S5_5_1,
        (Frame(PING, b"1"), Frame(PING, b"2"), close()),
        1000,
        pongs=(b"1", b"2"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_servers(case, servers, house):
    assert to_servers(case, servers, house.contexts[1]) == {}
    settled(servers)


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_clients(case, clients, house):
    assert to_clients(case, clients, house.contexts) == {}


# Where a stream ends without a Close frame.
ENDS = {
    "behind the opening handshake": (),
    "behind a message": (text("x"),),
    "behind half a header": (b"\x82",),
    "behind half a long length": (b"\x82\xfe\x01",),
    "behind a header": (b"\x82\x85\0\0\0\0",),
    "in the middle of a short frame": (text("x", length=100),),
    "in the middle of a long frame": (Frame(BINARY, bytes(70_000), length=2**20),),
    "in the middle of a message": (text("x", fin=False),),
    "in the middle of a character": (text(b"\xe2\x82", fin=False),),
    "in the middle of a ping": (Frame(PING, b"x", length=100),),
    "in the middle of a Close frame": (Frame(8, b"\x03", length=2),),
    "behind pings": (*[Frame(PING, b"x")] * 100,),
}


@pytest.mark.parametrize("how", ["end", "cut off", "reset"])
@pytest.mark.parametrize("where", ENDS)
def test_streams_that_end(where, how, servers, house):
    """RFC 6455, section 7.1.1: without a Close frame, a connection isn't closed cleanly.

    Nobody answers whoever is gone, and nothing of it stays.
    """
    with opened(servers, house.contexts[1]) as socks:
        for sock in socks.values():
            raw.send(sock, raw.wire(ENDS[where], True))
            if how == "reset":
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            elif how == "cut off":
                raw.cut_off(sock)
        if how == "cut off":
            # Who has only ended the one direction is told of it, at most, and left.
            for name, sock in socks.items():
                answer = raw.received(raw.read_all(sock), False)
                assert answer.code in (1000, 1002, 1006), (name, answer)
    settled(servers)


@pytest.mark.parametrize("where", ENDS)
def test_streams_of_servers_that_end(where, clients, house):
    """A program is told that the end wasn't clean."""
    for report in stream_to_clients(ENDS[where], clients, house.contexts):
        assert report["error"] == "ConnectionClosedError", report
        assert report["rcvd"] is None, report
