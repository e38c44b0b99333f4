"""Frames and Close frames: parsed, built, checked and shown."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate import frames
from tidegate.exceptions import InvalidReason, PayloadTooBig, ProtocolError
from tidegate.extensions.base import Extension
from tidegate.frames import Close, CloseCode, Frame, Opcode, is_utf8_fragment
from tidegate.streams import StreamReader

opcodes = st.sampled_from([Opcode.CONT, Opcode.TEXT, Opcode.BINARY])


def parse(data: bytes, *, mask: bool = False, max_size: int | None = None, step: int = 0) -> Frame:
    """Parse a frame that arrives in pieces of ``step`` bytes."""
    reader = StreamReader()
    generator = Frame.parse(reader.read_exact, mask=mask, max_size=max_size)
    pieces = [data[i : i + step] for i in range(0, len(data), step)] if step else [data]
    try:
        for piece in pieces:
            reader.feed_data(piece)
            next(generator)
        reader.feed_eof()
        next(generator)
    except StopIteration as stop:
        frame = stop.value
        assert isinstance(frame, Frame)
        assert not reader.buffer
        return frame
    raise AssertionError("no frame")


# Parsing and building


@given(opcodes, st.binary(max_size=300), st.booleans(), st.booleans(), st.integers(0, 9))
def test_round_trip(opcode: Opcode, data: bytes, fin: bool, mask: bool, step: int) -> None:
    frame = Frame(opcode, data, fin)
    assert parse(frame.serialize(mask=mask), mask=mask, step=step) == frame


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_lengths(size: int, header: bytes) -> None:
    for make in (bytes, bytearray, lambda n: memoryview(bytes(n))):
        data = Frame(Opcode.BINARY, make(size)).serialize(mask=False)
        assert data == header + bytes(size)
    frame = parse(data)
    assert bytes(frame.data) == bytes(size)
    masked = Frame(Opcode.BINARY, bytes(size)).serialize(mask=True)
    assert len(masked) == len(data) + 4
    assert masked[1] == header[1] | 0x80


def test_mask_keys_differ() -> None:
    frame = Frame(Opcode.BINARY, b"")
    assert len({frame.serialize(mask=True) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("data", "mask", "error"),
    [
        (b"\x83\x00", False, "invalid opcode"),
        (b"\x8b\x00", False, "invalid opcode"),
        (b"\x81\x00", True, "incorrect masking"),
        (b"\x81\x80", False, "incorrect masking"),
        (b"\xc1\x00", False, "reserved bits must be 0"),
        (b"\xa1\x00", False, "reserved bits must be 0"),
        (b"\x91\x00", False, "reserved bits must be 0"),
        (b"\x09\x00", False, "fragmented control frame"),
        (b"\x89\x7e", False, "control frame too long"),
        (b"\x88\x7f", False, "control frame too long"),
        (b"\x82\x7f" + b"\xff" * 8, False, "invalid payload length"),
    ],
)
def test_parse_errors(data: bytes, mask: bool, error: str) -> None:
    # The end of the data shows that nothing more is awaited.
    with pytest.raises(ProtocolError, match=error):
        parse(data, mask=mask)


def test_size_is_checked_before_the_payload_comes() -> None:
    header = b"\x82\x7f" + struct.pack("!Q", 2**62)
    with pytest.raises(PayloadTooBig, match=f"frame with {2**62} bytes exceeds limit of 10 bytes"):
        parse(header, max_size=10)
    assert bytes(parse(b"\x82\x03abc", max_size=3).data) == b"abc"


def test_end_of_stream() -> None:
    whole = Frame(Opcode.TEXT, b"hello").serialize(mask=True)
    for end in range(len(whole)):
        with pytest.raises(EOFError):
            parse(whole[:end], mask=True)


@given(st.binary(max_size=40), st.booleans(), st.integers(0, 3))
def test_any_input_gives_a_frame_or_one_of_our_errors(data: bytes, mask: bool, step: int) -> None:
    try:
        parse(data + bytes(200), mask=mask, max_size=100, step=step)
    except (ProtocolError, PayloadTooBig, EOFError):
        pass
    except AssertionError:
        # There is more than one frame, which is not for `parse`.
        pass


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (Frame(Opcode.PING, bytes(126)), "control frame too long"),
        (Frame(Opcode.PONG, b"", fin=False), "fragmented control frame"),
        (Frame(Opcode.TEXT, b"", rsv1=True), "reserved bits"),
        (Frame(Opcode.TEXT, b"", rsv2=True), "reserved bits"),
        (Frame(Opcode.TEXT, b"", rsv3=True), "reserved bits"),
    ],
)
def test_check(frame: Frame, error: str) -> None:
    with pytest.raises(ProtocolError, match=error):
        frame.check()
    with pytest.raises(ProtocolError, match=error):
        frame.serialize(mask=False)


class Rot(Extension):
    """Adds a number to each byte, and sets RSV2, to see the order of extensions."""

    def __init__(self, factor: int, log: list[str]) -> None:
        self.factor = factor
        self.log = log

    def encode(self, frame: Frame) -> Frame:
        self.log.append(f"encode {self.factor}")
        data = bytes((b * self.factor + 1) % 256 for b in frame.data)
        return dataclasses.replace(frame, data=data, rsv2=True)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        self.log.append(f"decode {self.factor} {max_size}")
        inverse = pow(self.factor, -1, 256)
        data = bytes((b - 1) * inverse % 256 for b in frame.data)
        return dataclasses.replace(frame, data=data, rsv2=False)


def test_extensions_encode_in_order_and_decode_in_reverse() -> None:
    log: list[str] = []
    extensions = [Rot(3, log), Rot(5, log)]
    frame = Frame(Opcode.BINARY, b"hello")
    data = frame.serialize(mask=False, extensions=extensions)
    assert data[0] == 0xA2
    reader = StreamReader()
    reader.feed_data(data)
    generator = Frame.parse(reader.read_exact, mask=False, max_size=9, extensions=extensions)
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == frame
    assert log == ["encode 3", "encode 5", "decode 5 9", "decode 3 9"]


def test_a_frame_is_a_value() -> None:
    frame = Frame(Opcode.TEXT, b"a")
    assert frame == Frame(Opcode.TEXT, b"a", True, False, False, False)
    assert frame != Frame(Opcode.TEXT, b"a", fin=False)
    assert dataclasses.replace(frame, fin=False).fin is False


# What people read


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (Frame(Opcode.TEXT, b"hello"), "TEXT 'hello' [5 bytes]"),
        (Frame(Opcode.TEXT, memoryview(b"a")), "TEXT 'a' [1 byte]"),
        (Frame(Opcode.TEXT, b""), "TEXT '' [0 bytes]"),
        (Frame(Opcode.BINARY, b"", fin=False), "BINARY '' [0 bytes, continued]"),
        (Frame(Opcode.TEXT, b"a\nb\t'"), 'TEXT "a\\nb\\t\'" [5 bytes]'),
        (Frame(Opcode.TEXT, b"\x1b[31m"), "TEXT 1b 5b 33 31 6d [binary, 5 bytes]"),
        (Frame(Opcode.TEXT, "a\x85".encode()), "TEXT 61 c2 85 [binary, 3 bytes]"),
        (Frame(Opcode.TEXT, "\u202e\u2028".encode()), "TEXT '\\u202e\\u2028' [6 bytes]"),
        (Frame(Opcode.TEXT, b"\xff"), "TEXT ff [binary, 1 byte]"),
        (Frame(Opcode.BINARY, b"\x00\xff"), "BINARY 00 ff [2 bytes]"),
        (Frame(Opcode.BINARY, b"hello"), "BINARY 'hello' [text, 5 bytes]"),
        (Frame(Opcode.CONT, b"a", fin=False), "CONT 'a' [text, 1 byte, continued]"),
        (Frame(Opcode.CONT, b"\xa9a\xc3"), "CONT '\ufffda\ufffd' [text, 3 bytes]"),
        (Frame(Opcode.PING, b""), "PING '' [0 bytes]"),
        (Frame(Opcode.PING, b"abc"), "PING 'abc' [text, 3 bytes]"),
        (Frame(Opcode.PONG, "é".encode()), "PONG c3 a9 [binary, 2 bytes]"),
        (Frame(Opcode.CLOSE, b""), "CLOSE '' [0 bytes]"),
        (Frame(Opcode.CLOSE, b"\x03\xe8bye"), "CLOSE 1000 (OK) bye [5 bytes]"),
        (Frame(Opcode.CLOSE, b"\x03\xe8a\nb"), "CLOSE 1000 (OK) a\\nb [5 bytes]"),
        (Frame(Opcode.CLOSE, b"\x03"), "CLOSE 03 [binary, 1 byte]"),
        (Frame(Opcode.CLOSE, b"\x03\xe8\xff"), "CLOSE 03 e8 ff [binary, 3 bytes]"),
        (Frame(3, b"a"), "OPCODE 0x3 'a' [text, 1 byte]"),  # type: ignore[arg-type]
        (
            Frame(Opcode.TEXT, b"a" * 100),
            f"TEXT '{'a' * 47}...{'a' * 23}' [100 bytes]",
        ),
        (
            Frame(Opcode.BINARY, bytes(range(200, 256))),
            "BINARY c8 c9 ca cb cc cd ce cf d0 d1 d2 d3 d4 d5 d6 d7 ..."
            " f8 f9 fa fb fc fd fe ff [56 bytes]",
        ),
    ],
)
def test_str(frame: Frame, expected: str) -> None:
    assert str(frame) == expected


@given(
    st.sampled_from(Opcode),
    st.binary(max_size=50).map(lambda b: b * 100)
    | st.binary(max_size=200)
    | st.text().map(str.encode),
    st.booleans(),
)
def test_str_is_one_short_printable_line(opcode: Opcode, data: bytes, fin: bool) -> None:
    text = str(Frame(opcode, data, fin))
    # A reason is cut to 200 characters; escaped, each of them can take ten.
    assert len(text) < (2100 if opcode is Opcode.CLOSE else 200)
    assert text.isprintable()


def test_str_of_a_huge_frame_looks_at_its_ends() -> None:
    text = str(Frame(Opcode.TEXT, b"begin" + "é".encode() * 5_000_000 + b"end"))
    assert text.startswith("TEXT 'begin")
    assert text.endswith("éend' [10000008 bytes]")


def test_max_log_size_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Frame(Opcode.TEXT, b"a" * 100)
    monkeypatch.setattr(Frame, "MAX_LOG_SIZE", 200)
    assert str(frame) == f"TEXT '{'a' * 100}' [100 bytes]"
    monkeypatch.setattr(Frame, "MAX_LOG_SIZE", 12)
    assert str(frame) == "TEXT 'aaaaa...aa' [100 bytes]"
    for size in range(12):
        monkeypatch.setattr(Frame, "MAX_LOG_SIZE", size)
        assert len(str(frame)) < 40
        assert len(str(Frame(Opcode.BINARY, bytes(100)))) < 40


# UTF-8


@given(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=20),
    st.integers(0, 80),
    st.integers(0, 80),
)
def test_every_part_of_a_text_is_a_fragment(text: str, start: int, stop: int) -> None:
    data = text.encode()
    assert is_utf8_fragment(data[start:stop])
    assert is_utf8_fragment(data, must_start_clean=True, must_end_clean=True)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # anything, must start clean, must end clean, both
        (b"", (True, True, True, True)),
        (b"\x80", (True, False, True, False)),
        (b"\xc3", (True, True, False, False)),
        (b"\x80\xc3", (True, False, False, False)),
        (b"\x9f\x98\x80", (True, False, True, False)),
        (b"\x80\x80\x80\x80", (False, False, False, False)),
        (b"\xff", (False, False, False, False)),
        (b"\xed\xa0\x80", (False, False, False, False)),
        (b"a\xe2\x82b", (False, False, False, False)),
    ],
)
def test_is_utf8_fragment(data: bytes, expected: tuple[bool, ...]) -> None:
    assert expected == (
        is_utf8_fragment(data),
        is_utf8_fragment(data, must_start_clean=True),
        is_utf8_fragment(data, must_end_clean=True),
        is_utf8_fragment(memoryview(data), must_start_clean=True, must_end_clean=True),
    )


# Close frames

SENDABLE = sorted({*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999})


@pytest.mark.parametrize("code", SENDABLE)
@pytest.mark.parametrize("reason", ["", "bye", "à bientôt", "\x85\u2028\t"])
def test_close_round_trip(code: int, reason: str) -> None:
    close = Close(code, reason)
    assert Close.parse(close.serialize()) == close
    assert Close.parse(memoryview(close.serialize())) == close


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_codes_that_are_never_sent_or_accepted(code: int) -> None:
    with pytest.raises(ProtocolError, match="invalid status code"):
        Close(code, "").check()
    with pytest.raises(ProtocolError, match="invalid status code"):
        Close.parse(code.to_bytes(2, "big"))


@pytest.mark.parametrize("reason", ["a\r\nb", "\r", "\n", "\x00", "\ud800"])
def test_reasons_that_would_break_a_line_are_not_sent(reason: str) -> None:
    close = Close(1000, reason)
    with pytest.raises(InvalidReason) as raised:
        close.serialize()
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, ProtocolError)
    assert str(raised.value).isprintable()


def test_reasons_of_others_are_taken_as_they_are() -> None:
    assert Close.parse(b"\x03\xe8a\r\n\x00").reason == "a\r\n\x00"


def test_close_parse_errors() -> None:
    assert Close.parse(b"") == Close(CloseCode.NO_STATUS_RCVD, "")
    with pytest.raises(ProtocolError, match="close frame too short"):
        Close.parse(b"\x03")
    with pytest.raises(UnicodeDecodeError):
        Close.parse(b"\x03\xe8\xff")


@pytest.mark.parametrize(
    ("close", "expected"),
    [
        (Close(1000, ""), "1000 (OK)"),
        (Close(CloseCode.GOING_AWAY, "bye"), "1001 (going away) bye"),
        (Close(CloseCode.NO_STATUS_RCVD, ""), "1005 (no status received [internal])"),
        (Close(3000, "x"), "3000 (registered) x"),
        (Close(4999, ""), "4999 (private use)"),
        (Close(2999, ""), "2999 (unknown)"),
        (Close(1000, "a\n\x1b"), "1000 (OK) a\\n\\x1b"),
    ],
)
def test_close_str(close: Close, expected: str) -> None:
    assert str(close) == expected


def test_constants() -> None:
    assert {op.value for op in Opcode} == {0, 1, 2, 8, 9, 10}
    assert frames.CTRL_OPCODES == (8, 9, 10)
    assert frames.DATA_OPCODES == (0, 1, 2)
    assert set(frames.CLOSE_CODE_EXPLANATIONS) == set(CloseCode)
    assert {1000, 1001, 1005} == frames.OK_CLOSE_CODES
    assert set(CloseCode) - {1005, 1006, 1015} == frames.EXTERNAL_CLOSE_CODES


def test_parse_waits_for_data() -> None:
    def read_exact(n: int) -> Generator[None, None, bytes]:
        yield
        return b"\x82\x01a"[:n] if n == 2 else b"a"

    generator = Frame.parse(read_exact, mask=False)
    next(generator)
    next(generator)
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == Frame(Opcode.BINARY, b"a")
