"""One connection after its opening handshake, without network."""

from __future__ import annotations

import array
import dataclasses
import logging
import uuid

import pytest

from tidegate.client import ClientProtocol
from tidegate.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidData,
    InvalidState,
    PayloadTooBig,
    ProtocolError,
)
from tidegate.extensions.base import Extension
from tidegate.extensions.permessage_deflate import PerMessageDeflate
from tidegate.frames import Close, Frame, Opcode
from tidegate.protocol import (
    CLIENT,
    CLOSED,
    CLOSING,
    CONNECTING,
    OPEN,
    SEND_EOF,
    SERVER,
    Protocol,
    Side,
    State,
)
from tidegate.server import ServerProtocol
from tidegate.uri import parse_uri

from ..wire.frames import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, frame, frames_in

both = pytest.mark.parametrize("side", [SERVER, CLIENT], ids=["server", "client"])


def incoming(side: Side, *args, **kwargs) -> bytes:
    """A frame as the other side sends it."""
    return frame(*args, key=KEY if side is SERVER else None, **kwargs)


def sent(protocol: Protocol) -> list[tuple[int, bytes, bool]]:
    """The frames that were sent; those of clients are masked, those of servers aren't."""
    data = [each for each in protocol.data_to_send() if each != SEND_EOF]
    assert all((each[1] >= 0x80) is (protocol.side is CLIENT) for each in data)
    frames, rest = frames_in(b"".join(data))
    assert rest == b""
    return [each[:3] for each in frames]


# Data


@both
def test_send_and_receive(side):
    protocol = Protocol(side)
    protocol.send_text("é".encode())
    protocol.send_binary(b"\x00")
    protocol.send_text(b"a", fin=False)
    assert protocol.expect_continuation_frame
    protocol.send_ping(b"p")
    protocol.send_continuation(b"b", fin=False)
    protocol.send_continuation(b"", fin=True)
    assert not protocol.expect_continuation_frame
    protocol.send_pong(b"")
    frames = sent(protocol)
    assert frames == [
        (TEXT, "é".encode(), True),
        (BINARY, b"\x00", True),
        (TEXT, b"a", False),
        (PING, b"p", True),
        (CONT, b"b", False),
        (CONT, b"", True),
        (PONG, b"", True),
    ]
    for each in frames:
        protocol.receive_data(incoming(side, *each))
    assert protocol.events_received() == [Frame(Opcode(op), data, fin) for op, data, fin in frames]
    assert protocol.events_received() == []
    assert sent(protocol) == [(PONG, b"p", True)]


@both
def test_order_of_fragments(side):
    protocol = Protocol(side)
    with pytest.raises(ProtocolError, match=r"^unexpected continuation frame$"):
        protocol.send_continuation(b"", fin=True)
    protocol.send_text(b"", fin=False)
    for send in (protocol.send_text, protocol.send_binary):
        with pytest.raises(ProtocolError, match=r"^expected a continuation frame$"):
            send(b"")
    protocol.send_continuation(b"", fin=True)
    protocol.send_binary(b"")
    assert [each[0] for each in sent(protocol)] == [TEXT, CONT, BINARY]


@both
def test_payloads(side):
    protocol = Protocol(side)
    protocol.send_binary(memoryview(b"a-b-")[::2])
    protocol.send_binary(bytearray(b"ab"))
    protocol.send_ping(memoryview(b"ab"))
    assert [each[1] for each in sent(protocol)] == [b"ab"] * 3
    # It is bytes that count, not items.
    with pytest.raises(ProtocolError, match=r"^control frame too long$"):
        protocol.send_ping(array.array("I", range(32)))
    for send in (protocol.send_text, protocol.send_binary, protocol.send_ping, protocol.send_pong):
        for payload in ("text", 3, None, [1]):
            with pytest.raises(TypeError):
                send(payload)
    assert sent(protocol) == []
    assert not protocol.expect_continuation_frame


@both
@pytest.mark.parametrize("size", [0, 125, 126])
def test_size_of_control_frames(side, size):
    protocol = Protocol(side)
    for send in (protocol.send_ping, protocol.send_pong):
        if size > 125:
            with pytest.raises(ProtocolError, match=r"^control frame too long$"):
                send(b"x" * size)
        else:
            send(b"x" * size)
    assert len(sent(protocol)) == (0 if size > 125 else 2)


@both
def test_limits(side):
    protocol = Protocol(side, max_size=10)
    assert (protocol.max_message_size, protocol.max_fragment_size) == (10, None)
    protocol.receive_data(incoming(side, BINARY, b"x" * 10))
    protocol.receive_data(incoming(side, BINARY, b"x" * 6, False))
    assert protocol.current_size == 6
    protocol.receive_data(incoming(side, CONT, b"x" * 4))
    assert protocol.current_size is None
    protocol.receive_data(incoming(side, BINARY, b"x" * 11)[:6])
    assert len(protocol.events_received()) == 3
    assert isinstance(protocol.parser_exc, PayloadTooBig)
    [(opcode, data, _)] = sent(protocol)
    assert opcode == CLOSE
    assert data[:2] == b"\x03\xf1"

    protocol = Protocol(side, max_size=(None, 5))
    assert (protocol.max_message_size, protocol.max_fragment_size) == (None, 5)
    protocol.max_fragment_size = None
    protocol.max_message_size = 6
    protocol.receive_data(incoming(side, BINARY, b"x" * 6))
    assert len(protocol.events_received()) == 1
    protocol.max_message_size = None
    protocol.receive_data(incoming(side, BINARY, b"x" * 7))
    assert len(protocol.events_received()) == 1
    assert Protocol(side).max_message_size == 2**20


# What is known


@both
def test_attributes(side):
    protocol = Protocol(side)
    assert protocol.side is side
    assert protocol.state is OPEN
    assert protocol.origin is protocol.subprotocol is protocol.handshake_exc is None
    assert protocol.close_code is protocol.close_reason is None
    assert isinstance(protocol.id, uuid.UUID)
    assert protocol.id is protocol.id
    assert protocol.id != Protocol(side).id
    protocol.id = chosen = uuid.uuid4()
    assert protocol.id is chosen
    assert protocol.logger.name == f"tidegate.{side.name.lower()}"
    assert protocol.extensions == []
    with pytest.raises(InvalidState):
        protocol.close_exc  # noqa: B018
    assert not protocol.close_expected()
    for state in State:
        assert Protocol(side, state=state).state is state


# Closing


@both
@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (None, "", b""),
        (1000, "", b"\x03\xe8"),
        (1001, "going", b"\x03\xe9going"),
        (3000, "é", b"\x0b\xb8" + "é".encode()),
        (4999, "x" * 123, b"\x13\x87" + b"x" * 123),
    ],
)
def test_close(side, code, reason, payload):
    """Begun here, answered by the other side."""
    protocol = Protocol(side)
    protocol.send_close(code, reason)
    assert sent(protocol) == [(CLOSE, payload, True)]
    assert protocol.state is CLOSING
    assert protocol.close_expected()
    # Messages may still come, and pings are answered.
    protocol.receive_data(incoming(side, TEXT, b"late"))
    protocol.receive_data(incoming(side, PING, b"p"))
    assert len(protocol.events_received()) == 2
    assert sent(protocol) == [(PONG, b"p", True)]
    protocol.receive_data(incoming(side, CLOSE, payload))
    assert protocol.events_received() == [Frame(Opcode.CLOSE, payload)]
    # The server ends the TCP connection first (RFC 6455, section 7.1.1).
    assert protocol.data_to_send() == ([SEND_EOF] if side is SERVER else [])
    protocol.receive_eof()
    assert protocol.data_to_send() == ([] if side is SERVER else [SEND_EOF])
    assert protocol.state is CLOSED
    assert not protocol.close_expected()
    assert protocol.close_code == (1005 if code is None else code)
    assert protocol.close_reason == reason
    assert protocol.close_rcvd == protocol.close_sent == Close(code or 1005, reason)
    assert protocol.close_rcvd_then_sent is False
    assert isinstance(
        protocol.close_exc,
        ConnectionClosedError if code == 4999 or code == 3000 else ConnectionClosedOK,
    )


@both
@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (b"", 1005, ""),
        (b"\x03\xe8", 1000, ""),
        (b"\x03\xf4restart", 1012, "restart"),
        (b"\x13\x87" + b"x" * 123, 4999, "x" * 123),
    ],
)
def test_closed_by_the_other_side(side, payload, code, reason):
    """The answer has the same payload; nothing is received behind the Close frame."""
    protocol = Protocol(side)
    data = incoming(side, CLOSE, payload) + incoming(side, TEXT, b"late") + b"\xff\xff"
    protocol.receive_data(data)
    assert protocol.events_received() == [Frame(Opcode.CLOSE, payload)]
    assert sent(protocol) == [(CLOSE, payload, True)]
    assert protocol.close_rcvd_then_sent is True
    assert protocol.close_expected()
    protocol.receive_data(incoming(side, PING, b"p"))
    assert protocol.events_received() == protocol.data_to_send() == []
    protocol.receive_eof()
    assert (protocol.close_code, protocol.close_reason) == (code, reason)
    assert protocol.parser_exc is None


@both
def test_both_sides_close_at_once(side):
    protocol = Protocol(side)
    protocol.send_close(1000, "mine")
    protocol.receive_data(incoming(side, CLOSE, b"\x03\xe9theirs"))
    assert [each[1] for each in sent(protocol)] == [b"\x03\xe8mine"]
    protocol.receive_eof()
    assert protocol.close_sent == Close(1000, "mine")
    assert protocol.close_rcvd == Close(1001, "theirs")
    assert protocol.close_code == 1001
    assert isinstance(protocol.close_exc, ConnectionClosedOK)


@both
def test_close_in_a_fragmented_message(side):
    """It is answered with its own code (RFC 6455, section 7.1.5)."""
    protocol = Protocol(side)
    protocol.receive_data(incoming(side, TEXT, b"a", False) + incoming(side, CLOSE, b"\x03\xe8"))
    assert sent(protocol) == [(CLOSE, b"\x03\xe8", True)]
    assert len(protocol.events_received()) == 2


RECEIVABLE = [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999]
OTHERS = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@both
@pytest.mark.parametrize("code", RECEIVABLE)
def test_codes(side, code):
    protocol = Protocol(side)
    protocol.receive_data(incoming(side, CLOSE, code.to_bytes(2, "big")))
    assert sent(protocol) == [(CLOSE, code.to_bytes(2, "big"), True)]
    protocol.receive_eof()
    assert protocol.close_code == code
    protocol = Protocol(side)
    protocol.send_close(code)
    assert sent(protocol) == [(CLOSE, code.to_bytes(2, "big"), True)]


@both
@pytest.mark.parametrize("code", OTHERS)
def test_codes_that_are_neither_sent_nor_taken(side, code):
    """Not echoed, not reported as received."""
    protocol = Protocol(side)
    protocol.receive_data(incoming(side, CLOSE, code.to_bytes(2, "big")))
    assert protocol.events_received() == []
    assert [each[1][:2] for each in sent(protocol)] == [b"\x03\xea"]
    protocol.receive_eof()
    assert protocol.close_rcvd is None
    assert protocol.close_code == 1006
    protocol = Protocol(side)
    with pytest.raises(ProtocolError, match=r"^invalid status code$"):
        protocol.send_close(code)
    assert protocol.state is OPEN
    assert protocol.data_to_send() == []


MALFORMED = [
    (b"\x03", b"\x03\xea"),
    (b"\x03\xe8\xff", b"\x03\xef"),
    (b"\x03\xe8a\xe2\x82", b"\x03\xef"),
]


@both
@pytest.mark.parametrize(("payload", "code"), MALFORMED)
def test_malformed_close(side, payload, code):
    protocol = Protocol(side)
    protocol.receive_data(incoming(side, CLOSE, payload))
    assert protocol.events_received() == []
    assert [each[1][:2] for each in sent(protocol)] == [code]


@both
def test_close_that_cannot_be_sent(side):
    protocol = Protocol(side)
    for args in [(None, "reason"), (1000, "x" * 124), (1000, "é" * 62), (1000, "a\nb")]:
        with pytest.raises(ProtocolError):
            protocol.send_close(*args)
    assert protocol.state is OPEN
    assert protocol.close_sent is None
    assert protocol.data_to_send() == []


# What may be called when

CALLS = {
    "send_text": (b"",),
    "send_binary": (b"",),
    "send_close": (1000,),
    "send_ping": (b"",),
    "send_pong": (b"",),
}
CONTROLS = ("send_ping", "send_pong")


def reach(side: Side, what: str) -> Protocol:
    """A protocol in some situation."""
    protocol = Protocol(side, state=CONNECTING if what == "connecting" else OPEN)
    if what in ("closing", "close handshake done", "closed"):
        protocol.send_close()
    if what in ("close handshake done", "closed"):
        protocol.receive_data(incoming(side, CLOSE, b""))
    if what == "failed":
        protocol.fail(1002)
    if what == "failed without Close":
        protocol.fail(1006)
    if what in ("closed", "lost"):
        protocol.receive_eof()
    protocol.data_to_send()
    return protocol


@both
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("situation", "data", "control"),
    [
        # what can be sent; "client" is by the client only, since the server has ended the stream
        ("connecting", False, False),
        ("open", True, True),
        ("closing", False, True),
        ("close handshake done", False, "client"),
        ("failed", False, "client"),
        ("failed without Close", "client", "client"),
        ("closed", False, False),
        ("lost", False, False),
    ],
)
def test_situations(side, name, situation, data, control):
    protocol = reach(side, situation)
    allowed = control if name in CONTROLS else data
    if allowed is True or (allowed == "client" and side is CLIENT):
        getattr(protocol, name)(*CALLS[name])
        assert len(protocol.data_to_send()) == 1
    else:
        with pytest.raises(InvalidState):
            getattr(protocol, name)(*CALLS[name])
        assert protocol.data_to_send() == []


# Failing


@both
def test_fail(side):
    protocol = Protocol(side)
    protocol.receive_data(incoming(side, BINARY, b"x" * 1000)[:50])
    protocol.fail(1011, "keepalive ping timeout")
    assert protocol.state is CLOSING
    data = protocol.data_to_send()
    assert frames_in(data[0])[0][0][:2] == (CLOSE, b"\x03\xf3keepalive ping timeout")
    assert data[1:] == ([SEND_EOF] if side is SERVER else [])
    assert protocol.close_expected()
    # Nothing more is received, and it fails once only.
    protocol.receive_data(incoming(side, CLOSE, b"\x03\xe8"))
    protocol.fail(1002)
    assert protocol.events_received() == protocol.data_to_send() == []
    protocol.receive_eof()
    assert protocol.close_code == 1006
    exc = protocol.close_exc
    assert isinstance(exc, ConnectionClosedError)
    assert (exc.rcvd, exc.sent.code) == (None, 1011)
    assert "keepalive ping timeout" in str(exc)


@both
@pytest.mark.parametrize("state", [CONNECTING, OPEN])
def test_data_behind_the_end_of_the_stream(side, state):
    protocol = (
        ServerProtocol(state=state)
        if side is SERVER
        else ClientProtocol(parse_uri("ws://localhost/"), state=state)
    )
    protocol.receive_eof()
    for data in (b"", b"x"):
        with pytest.raises(EOFError, match="stream ended"):
            protocol.receive_data(data)
    # A second end is no more than the first.
    protocol.receive_eof()


@both
def test_fail_without_close_frame(side):
    protocol = Protocol(side)
    protocol.fail(1006)
    assert protocol.data_to_send() == ([SEND_EOF] if side is SERVER else [])
    protocol.fail(1011)
    assert len(protocol.data_to_send()) == (0 if side is SERVER else 1)
    protocol.receive_eof()
    assert protocol.close_code == 1006


@both
def test_fail_with_what_cannot_be_sent(side):
    protocol = Protocol(side)
    for code, reason in [(1005, ""), (999, ""), (1002, "x" * 124)]:
        with pytest.raises(ProtocolError):
            protocol.fail(code, reason)


BAD = [
    # what comes, code, reason
    ({"opcode": 3}, b"\x03\xea", b"invalid opcode"),
    ({"opcode": TEXT, "data": b"\xff"}, b"\x03\xef", b"invalid start byte at position 0"),
    (
        {"opcode": BINARY, "data": b"x" * 101},
        b"\x03\xf1",
        b"frame with 101 bytes exceeds limit of 100 bytes",
    ),
]


@both
@pytest.mark.parametrize(("bad", "code", "reason"), BAD)
def test_failures_are_answered(side, bad, code, reason):
    """What came before is delivered, what comes after isn't."""
    protocol = Protocol(side, max_size=100)
    protocol.receive_data(
        incoming(side, TEXT, b"1") + incoming(side, **bad) + incoming(side, TEXT, b"2")
    )
    assert protocol.events_received() == [Frame(Opcode.TEXT, b"1")]
    assert sent(protocol) == [(CLOSE, code + reason, True)]
    protocol.receive_data(incoming(side, TEXT, b"3"))
    assert protocol.events_received() == []
    protocol.receive_eof()
    assert protocol.close_exc.__cause__ is protocol.parser_exc
    assert protocol.close_code == 1006


class Failing(Extension):
    name = "x-fail"

    def __init__(self, exc):
        self.exc = exc

    def encode(self, frame):
        return frame

    def decode(self, frame, *, max_size=None):
        raise self.exc


@both
@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (ProtocolError("x" * 500), b"\x03\xea"),
        (ProtocolError("a\r\nb\x00"), b"\x03\xea"),
        (ProtocolError("é" * 100), b"\x03\xea"),
        (ProtocolError("\ud800" * 100), b"\x03\xea"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "why\n" * 100), b"\x03\xef"),
        (PayloadTooBig(10**300, 10**300), b"\x03\xf1"),
        (KeyError("bug"), b"\x03\xf3"),
    ],
)
def test_receiving_does_not_raise(side, exc, code, caplog):
    """Whatever an extension of the program's own raises, the connection fails properly."""
    protocol = Protocol(side)
    protocol.extensions = [Failing(exc)]
    protocol.receive_data(incoming(side, TEXT, b"x"))
    assert protocol.parser_exc is exc
    [(opcode, data, _)] = sent(protocol)
    assert opcode == CLOSE
    assert data[:2] == code
    assert len(data) <= 125
    assert data[2:].decode().isprintable()
    assert ("bug" in caplog.text) is isinstance(exc, KeyError)


# The end of the stream


@both
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "unexpected end of stream"),
        (b"\x82", "stream ends after 1 bytes, in the middle of a frame"),
        (b"whole", "unexpected end of stream"),
        (b"half", "stream ends after 10 bytes, expected 200 bytes"),
    ],
)
def test_end_of_stream(side, data, message):
    if data == b"whole":
        data = incoming(side, BINARY, b"x", False)
    elif data == b"half":
        data = incoming(side, BINARY, b"x" * 200)[:-190]
    protocol = Protocol(side)
    protocol.receive_data(data)
    protocol.receive_eof()
    assert protocol.state is CLOSED
    assert protocol.data_to_send() == [SEND_EOF]
    protocol.events_received()
    assert isinstance(protocol.parser_exc, EOFError)
    assert str(protocol.parser_exc) == message
    exc = protocol.close_exc
    assert isinstance(exc, ConnectionClosedError)
    assert exc.__cause__ is protocol.parser_exc
    assert str(exc) == "no close frame received or sent"
    assert protocol.close_code == 1006
    assert protocol.close_reason == ""
    # Once more doesn't matter.
    protocol.receive_eof()
    assert protocol.data_to_send() == protocol.events_received() == []


@both
def test_end_of_stream_after_close_was_sent(side):
    protocol = Protocol(side)
    protocol.send_close(1000, "bye")
    protocol.receive_eof()
    assert protocol.close_code == 1006
    exc = protocol.close_exc
    assert isinstance(exc, ConnectionClosedError)
    assert str(exc) == "sent 1000 (OK) bye; no close frame received"


# Extensions


class Flip(Extension):
    name = "x-flip"

    def encode(self, frame):
        return dataclasses.replace(frame, data=bytes(b ^ 255 for b in frame.data), rsv2=True)

    def decode(self, frame, *, max_size=None):
        return dataclasses.replace(frame, data=bytes(b ^ 255 for b in frame.data), rsv2=False)


@both
def test_extensions_see_control_frames(side):
    protocol = Protocol(side)
    protocol.extensions = [Flip()]
    data = bytes(b ^ 255 for b in b"ping")
    protocol.receive_data(incoming(side, PING, data, rsv=2))
    close = bytes(b ^ 255 for b in b"\x03\xe8bye")
    protocol.receive_data(incoming(side, CLOSE, close, rsv=2))
    assert [each.data for each in protocol.events_received()] == [b"ping", b"\x03\xe8bye"]
    assert sent(protocol) == [(PONG, data, True), (CLOSE, close, True)]


# Logs


@both
def test_debug_log(side, caplog):
    name = f"tidegate.{side.name.lower()}"
    caplog.set_level(logging.DEBUG, name)
    protocol = Protocol(side)
    protocol.send_text(b"a" * 300)
    protocol.send_binary(b"\x01\x02", fin=False)
    protocol.receive_data(incoming(side, PING, b"p\r\n"))
    protocol.receive_data(incoming(side, TEXT, "é\n".encode(), False))
    protocol.receive_data(incoming(side, CLOSE, b"\x03\xe8a\nb"))
    protocol.receive_eof()
    assert {record.name for record in caplog.records} == {name}
    lines = [record.getMessage() for record in caplog.records]
    head, *rest = lines[1:]
    assert head.startswith("> TEXT 'aaa")
    assert head.endswith("... [300 bytes]") or "..." in head
    assert len(head) < 120
    expected = [
        "> BINARY 01 02 [2 bytes, continued]",
        "< PING 'p\\r\\n' [text, 3 bytes]",
        "> PONG 'p\\r\\n' [text, 3 bytes]",
        "< TEXT 'é\\n' [3 bytes, continued]",
        "< CLOSE 1000 (OK) a\\nb [5 bytes]",
        "> CLOSE 1000 (OK) a\\nb [5 bytes]",
        "= connection is CLOSING",
        *(["> EOF", "< EOF"] if side is SERVER else ["< EOF", "> EOF"]),
        "= connection is CLOSED",
        *(["connection closed"] if side is SERVER else []),
    ]
    assert rest == expected


@both
def test_a_logger_of_the_programs_own(side, caplog):
    class Adapter(logging.LoggerAdapter):
        def process(self, msg, kwargs):
            return f"[42] {msg}", kwargs

    caplog.set_level(logging.DEBUG, "mine")
    protocol = Protocol(side, logger=Adapter(logging.getLogger("mine"), {}))
    protocol.send_text(b"x")
    assert [record.getMessage() for record in caplog.records] == [
        "[42] = connection is OPEN",
        "[42] > TEXT 'x' [1 byte]",
    ]


@both
def test_nothing_is_logged_otherwise(side, caplog):
    caplog.set_level(logging.INFO)
    protocol = Protocol(side)
    protocol.send_text(b"x")
    protocol.receive_data(incoming(side, TEXT, b"x"))
    protocol.receive_eof()
    expected = ["connection closed"] if side is SERVER else []
    assert [record.getMessage() for record in caplog.records] == expected


@both
@pytest.mark.parametrize("fragments", [1, 2])
@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("as_events", [True, False])
def test_a_compressed_message_that_is_cut_off(side, fragments, takeover, as_events):
    def extension():
        return PerMessageDeflate(not takeover, not takeover, 12, 12)

    compressed = extension().encode(Frame(TEXT, b"hello, hello, hello")).data
    protocol = Protocol(side)
    protocol.extensions = [extension()]
    protocol.frames_as_events = as_events
    protocol.receive_data(incoming(side, TEXT, compressed, rsv=4))
    pieces = [compressed[:-3]] if fragments == 1 else [compressed[:3], compressed[3:-3]]
    for i, piece in enumerate(pieces):
        protocol.receive_data(
            incoming(side, CONT if i else TEXT, piece, i == len(pieces) - 1, rsv=0 if i else 4)
        )
    if as_events:
        assert protocol.events_received()[0] == Frame(TEXT, b"hello, hello, hello")
    else:
        reader = protocol.frame_reader
        assert reader.next_frame_data()[1] == b"hello, hello, hello"
        with pytest.raises(InvalidData) as raised:
            for _ in pieces:
                reader.next_frame_data()
        protocol.receive_failed(raised.value)
    assert protocol.close_sent == Close(1007, "a compressed message ends within a block")
    assert isinstance(protocol.parser_exc, InvalidData)
