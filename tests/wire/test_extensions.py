"""Extensions of the program's own, alone, several, and next to permessage-deflate."""

from __future__ import annotations

import dataclasses
import itertools
import zlib

import pytest

from tidegate.exceptions import PayloadTooBig, ProtocolError
from tidegate.extensions.base import Extension
from tidegate.extensions.permessage_deflate import PerMessageDeflate
from tidegate.wire.writer import FrameWriter

from .exposed import methods
from .frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame
from .reading import Outcome, cut, make_reader, read_frames, read_messages


class Flip(Extension):
    """Flips all bits of each frame, and says so with a reserved bit."""

    name = "x-flip"

    def __init__(self, bit="rsv2", make=bytes):
        self.bit = bit
        self.make = make
        self.seen = []

    def encode(self, frame):
        self.seen.append(("encode", frame.opcode, frame.fin))
        return dataclasses.replace(frame, data=self.flip(frame.data), **{self.bit: True})

    def decode(self, frame, *, max_size=None):
        self.seen.append(("decode", frame.opcode, frame.fin))
        if not getattr(frame, self.bit):
            raise ProtocolError("frame isn't flipped")
        return dataclasses.replace(frame, data=self.flip(frame.data), **{self.bit: False})

    def flip(self, data):
        return self.make(bytes(byte ^ 0xFF for byte in data))


class Repeat(Extension):
    """Puts each payload twice, so that order matters."""

    name = "x-repeat"

    def encode(self, frame):
        return dataclasses.replace(frame, data=frame.data + b"|" + frame.data)

    def decode(self, frame, *, max_size=None):
        half = (len(frame.data) - 1) // 2
        if frame.data[:half] != frame.data[half + 1 :]:
            raise ProtocolError("halves differ")
        if max_size is not None and half > max_size:
            raise PayloadTooBig(half, max_size)
        return dataclasses.replace(frame, data=frame.data[:half])


class Nothing(Extension):
    """Leaves frames as they are."""

    name = "x-nothing"

    def encode(self, frame):
        return frame

    def decode(self, frame, *, max_size=None):
        return frame


def deflate():
    return PerMessageDeflate(False, False, 15, 15)


def make_writer(extensions, mask=False):
    writer = FrameWriter(mask, 1)
    writer.configure(extensions)
    return writer


def write_everything(writer):
    methods.write_text(writer, "é" * 50)
    methods.write_bytes(writer, BINARY, b"\x00" * 300)
    writer.write_data(TEXT, b"a", False, None)
    writer.write_control(PING, b"p")
    writer.write_data(CONT, "é".encode()[:1], False, None)
    writer.write_data(CONT, b"", False, None)
    writer.write_control(PONG, b"")
    writer.write_data(CONT, "é".encode()[1:], True, None)
    writer.write_data(BINARY, b"", True, None)
    writer.write_shared(BINARY, b"shared", {})
    writer.write_control(CLOSE, b"\x03\xe8")
    return writer.take()


EVERYTHING = Outcome(
    ["é" * 50, b"\x00" * 300, "aé", b"", b"shared"],
    [(PING, b"p"), (PONG, b""), (CLOSE, b"\x03\xe8")],
)

STACKS = [
    [Flip],
    [Nothing],
    [Repeat, Flip],
    [Flip, Repeat],
    [deflate, Nothing],
    [Nothing, deflate],
    [deflate, Flip],
    [deflate, Repeat, Flip],
    [lambda: Flip("rsv2", bytearray)],
    [lambda: Flip("rsv3", memoryview), lambda: Flip("rsv2")],
    [lambda: Flip("rsv1")],
]


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("stack", STACKS, ids=range(len(STACKS)))
def test_everything_comes_through(stack, mask):
    """Also control frames, which an extension may change, too (RFC 6455, section 5.8)."""
    writer = make_writer([make() for make in stack], mask)
    data = b"".join(write_everything(writer))
    frames = read_frames(make_reader([make() for make in stack], mask=mask), [data])
    assert frames.error is None
    assert Outcome(frames.messages(), frames.control) == EVERYTHING
    for lend, step in itertools.product([False, True], [1, 7, len(data)]):
        reader = make_reader([make() for make in stack], mask=mask)
        chunks = [data[i : i + step] for i in range(0, len(data), step)]
        assert read_messages(reader, chunks, lend=lend) == EVERYTHING


def test_each_frame_is_seen_once_and_in_order():
    sender, receiver = Flip(), Flip()
    data = b"".join(write_everything(make_writer([sender])))
    read_messages(make_reader([receiver]), cut(data, range(0, len(data), 5)))
    kinds = [(opcode, fin) for _, opcode, fin in sender.seen]
    assert kinds == [
        (TEXT, True),
        (BINARY, True),
        (TEXT, False),
        (PING, True),
        (CONT, False),
        (CONT, False),
        (PONG, True),
        (CONT, True),
        (BINARY, True),
        (BINARY, True),
        (CLOSE, True),
    ]
    assert receiver.seen == [("decode", *kind) for kind in kinds]


def test_order_of_extensions():
    """They encode in the order of the response header, and decode in reverse."""
    writer = make_writer([Repeat(), Flip()])
    writer.write_data(BINARY, b"a", True, None)
    assert writer.take() == [frame(BINARY, Flip().flip(b"a|a"), rsv=2)]


@pytest.mark.parametrize("opcode", [BINARY, PING])
@pytest.mark.parametrize("read", [read_frames, read_messages])
def test_bits_that_no_extension_knows(opcode, read):
    for rsv in (1, 4, 7):
        outcome = read(make_reader([Flip()]), [frame(opcode, rsv=rsv | 2)])
        assert isinstance(outcome.error, ProtocolError)
        assert str(outcome.error) == "reserved bits must be 0"


class Raise(Nothing):
    def __init__(self, exc):
        self.exc = exc

    def decode(self, frame, *, max_size=None):
        raise self.exc


@pytest.mark.parametrize("opcode", [BINARY, TEXT, PING, CLOSE])
@pytest.mark.parametrize("read", [read_frames, read_messages])
@pytest.mark.parametrize("exc", [ProtocolError("no"), PayloadTooBig(9, 8), KeyError("bug")])
def test_errors_end_the_reading(opcode, exc, read):
    data = frame(opcode, b"\x03\xe8") + frame(BINARY, b"late")
    outcome = read(make_reader([Raise(exc)]), [data])
    assert outcome.error is exc
    assert outcome.data == outcome.control == []


def test_encode_that_raises_writes_nothing():
    class Bad(Nothing):
        def encode(self, frame):
            raise KeyError("bug")

    writer = make_writer([Bad()])
    for fin in (False, True):
        with pytest.raises(KeyError):
            writer.write_data(BINARY, b"x", fin, None)
        assert not writer.continuing
    assert writer.take() == []


def test_text_is_checked_after_decoding():
    data = [frame(TEXT, Flip().flip(b"\xff"), rsv=2)]
    assert isinstance(read_messages(make_reader([Flip()]), data).error, UnicodeDecodeError)
    # Not before: these bytes are not UTF-8 on their way.
    good = [frame(TEXT, Flip().flip("é".encode() * 300), rsv=2)]
    for n in (1, 500):
        outcome = read_messages(make_reader([Flip()]), cut(good[0], range(0, 600, n)))
        assert outcome == Outcome(["é" * 300])


def test_limits_for_decoded_sizes():
    limits = []

    class Inflate(Nothing):
        def decode(self, frame, *, max_size=None):
            limits.append((frame.opcode, max_size))
            return dataclasses.replace(frame, data=zlib.decompress(frame.data))

    parts = [
        frame(BINARY, zlib.compress(b"x" * 60), False),
        frame(PING, zlib.compress(b"p")),
        frame(CONT, zlib.compress(b"x" * 30)),
        frame(BINARY, zlib.compress(b"y")),
    ]
    reader = make_reader([Inflate()], max_size=100, max_frame_size=70)
    assert read_messages(reader, parts) == Outcome([b"x" * 90, b"y"], [(PING, b"p")])
    assert limits == [(BINARY, 70), (PING, 125), (CONT, 40), (BINARY, 70)]
    limits.clear()
    assert read_messages(make_reader([Inflate()]), parts).error is None
    assert limits == [(BINARY, None), (PING, 125), (CONT, None), (BINARY, None)]


def test_a_control_frame_stays_short():
    class Grow(Nothing):
        def decode(self, frame, *, max_size=None):
            return dataclasses.replace(frame, data=b"x" * 126)

    outcome = read_messages(make_reader([Grow()]), [frame(PING)])
    assert str(outcome.error) == "control frame too long"


# permessage-deflate, as others write it


def raw_deflate(data, *, final=False, window=15, level=-1):
    compressor = zlib.compressobj(level, zlib.DEFLATED, -window)
    if final:
        return compressor.compress(data) + compressor.flush(zlib.Z_FINISH)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("read", [read_frames, read_messages])
@pytest.mark.parametrize("tail", [b"", b"\x00"])
def test_final_blocks(read, tail):
    """A message may end its stream; later ones are read nevertheless (RFC 7692, 7.2.3.4)."""
    parts = [
        frame(TEXT, raw_deflate(b"one", final=True) + tail, rsv=4),
        frame(TEXT, raw_deflate(b"two"), rsv=4),
        frame(TEXT, b"three"),
        frame(TEXT, raw_deflate(b"four", final=True), False, rsv=4),
        frame(PING),
        frame(CONT, raw_deflate(b"teen")),
        frame(TEXT, raw_deflate(b"five", final=True) + tail, rsv=4),
    ]
    outcome = read(make_reader([deflate()]), parts)
    assert outcome.error is None
    messages = outcome.messages() if read is read_frames else outcome.data
    assert messages == ["one", "two", "three", "fourteen", "five"]


def test_nothing_is_left_of_a_message_without_context_takeover():
    """Nor of one in fragments: what it held is neither kept nor referred to."""
    extension = PerMessageDeflate(True, True, 15, 15)
    data = raw_deflate(b"secret " * 500)
    outcome = read_messages(
        make_reader([extension]),
        [frame(BINARY, data[:5], False, rsv=4), frame(CONT, data[5:])],
    )
    assert outcome.data == [b"secret " * 500]
    assert not extension.inflater._window
    assert extension.inflater._inflater is None


@pytest.mark.parametrize("read", [read_frames, read_messages])
def test_empty_compressed_messages(read):
    """Some write an empty message without any block."""
    sender = deflate()
    parts = [
        frame(TEXT, sender.compress(b"abcabcabc"), rsv=4),
        frame(TEXT, b"", rsv=4),
        frame(TEXT, b"\x00", rsv=4),
        frame(TEXT, sender.compress(b"abcabcabc"), rsv=4),
        frame(TEXT, b"", False, rsv=4),
        frame(CONT, b"", False),
        frame(CONT, b""),
        frame(TEXT, sender.compress(b"abcabcabc"), rsv=4),
    ]
    outcome = read(make_reader([deflate()]), parts)
    assert outcome.error is None
    messages = outcome.messages() if read is read_frames else outcome.data
    assert messages == ["abcabcabc", "", "", "abcabcabc", "", "abcabcabc"]


@pytest.mark.parametrize("read", [read_frames, read_messages])
def test_a_compressed_message_in_single_bytes(read):
    """One frame for each byte, pings between them."""
    data = raw_deflate("é".encode() * 500 + b"end")
    parts = []
    for i in range(len(data)):
        last = i == len(data) - 1
        parts.append(frame(CONT if i else TEXT, data[i : i + 1], last, rsv=0 if i else 4))
        parts.append(frame(PING, bytes([i])))
    outcome = read(make_reader([deflate()]), parts)
    assert outcome.error is None
    messages = outcome.messages() if read is read_frames else outcome.data
    assert messages == ["é" * 500 + "end"]
    assert len(outcome.control) == len(data)


@pytest.mark.parametrize("read", [read_frames, read_messages])
@pytest.mark.parametrize(
    "payload", [b"\xff" * 5, b"\x07", b"\x06\xff\xff\xff", b"\x01\x05\x00\x05\x00"]
)
def test_malformed_compressed_messages(read, payload):
    outcome = read(make_reader([deflate()]), [frame(BINARY, payload, rsv=4), frame(BINARY, b"x")])
    assert isinstance(outcome.error, ProtocolError)
    assert str(outcome.error) == "decompression failed"
    assert outcome.data == []


def test_compressed_and_not_in_turn():
    sender = deflate()
    parts = []
    for i in range(10):
        payload = b"payload %d" % (i // 2)
        parts.append(
            frame(BINARY, sender.compress(payload), rsv=4) if i % 2 else frame(BINARY, payload)
        )
    outcome = read_messages(make_reader([deflate()]), parts)
    assert outcome == Outcome([b"payload %d" % (i // 2) for i in range(10)])
