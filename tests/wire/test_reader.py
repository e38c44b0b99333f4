"""The reader gives the same however the bytes come, and by whichever way they are taken."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.exceptions import InvalidData, PayloadTooBig, ProtocolError
from tidegate.extensions.permessage_deflate import PerMessageDeflate
from tidegate.wire.reader import FrameReader

from .exposed import CONTROL, methods
from .frames import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, frame
from .reading import Outcome, cut, make_reader, read_frames, read_messages
from .scripts import Script, make_script

SEEDS = 3000


def reader_of(script: Script) -> FrameReader:
    """A reader as the script wants it."""
    extensions = []
    if script.deflate is not None:
        bits, no_takeover = script.deflate
        extensions = [PerMessageDeflate(no_takeover, False, bits, 15)]
    return make_reader(
        extensions,
        mask=script.mask,
        max_size=script.max_size,
        max_frame_size=script.max_frame_size,
    )


def check_script(seed: int) -> tuple[str | None, str]:
    """Read a script in all ways; say what was wrong with it, and how it ended."""
    script = make_script(seed)
    whole = read_frames(reader_of(script), [script.data])
    assert read_frames(reader_of(script), script.chunks) == whole, seed

    expected = Outcome(whole.messages(), whole.control, whole.error)
    for lend, join in itertools.product([False, True], repeat=2):
        outcome = read_messages(reader_of(script), script.chunks, lend=lend, join=join)
        assert outcome == expected, (seed, lend, join)

    errors = (type(None), ProtocolError, InvalidData, PayloadTooBig, UnicodeDecodeError)
    assert type(whole.error) in errors, seed
    if script.messages is not None:
        assert whole.error is None, seed
        assert expected.data == script.messages, seed
    return script.broken, type(whole.error).__name__


def test_scripts():
    """Wherever the bytes are cut, frames, messages and errors are the same."""
    endings = set(map(check_script, range(SEEDS)))
    # The scripts do what they are for.
    assert len(endings) > 30, endings


# Every cut of a conversation with everything in it

EVERYTHING = b"".join(
    [
        frame(TEXT, "é".encode() * 70, False),
        frame(PING, b"1"),
        frame(CONT, b"", False),
        frame(CONT, "日本".encode()[:4], False),
        frame(PONG, b""),
        frame(CONT, "日本".encode()[4:]),
        frame(BINARY, b"x"),
        frame(BINARY, b"y" * 130),
        frame(TEXT, b""),
        frame(CLOSE, b"\x03\xe8bye"),
        frame(BINARY, b"late"),
    ]
)


@pytest.mark.parametrize("lend", [False, True])
def test_every_cut(lend):
    expected = ["é" * 70 + "日本", b"x", b"y" * 130, ""]
    controls = [(PING, b"1"), (PONG, b""), (CLOSE, b"\x03\xe8bye")]
    for place in range(len(EVERYTHING) + 1):
        outcome = read_messages(make_reader(), cut(EVERYTHING, [place]), lend=lend)
        assert outcome == Outcome(expected, controls), place
    outcome = read_messages(make_reader(), [bytes([b]) for b in EVERYTHING], lend=lend)
    assert outcome == Outcome(expected, controls)


# What is refused, with what is said


def control_frames(**kwargs):
    return [frame(opcode, **kwargs) for opcode in (CLOSE, PING, PONG)]


BEGUN = frame(TEXT, b"a", False)

REFUSED = [
    *[(frame(opcode), "invalid opcode") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
    *[(frame(BINARY, rsv=rsv), "reserved bits must be 0") for rsv in range(1, 8)],
    *[(BEGUN + frame(CONT, rsv=rsv), "reserved bits must be 0") for rsv in range(1, 8)],
    *[(data, "reserved bits must be 0") for rsv in range(1, 8) for data in control_frames(rsv=rsv)],
    *[(data, "control frame too long") for data in control_frames(data=b"x" * 126)],
    *[(data, "control frame too long") for data in control_frames(data=b"x", width=2)],
    *[(data, "control frame too long") for data in control_frames(data=b"x", width=8)],
    *[(data, "fragmented control frame") for data in control_frames(fin=False)],
    *[
        (frame(BINARY, b"x" * size, width=width), "frame length isn't encoded in the fewest bytes")
        for size, width in [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)]
    ],
    (frame(CONT), "unexpected continuation frame"),
    (BEGUN + frame(CONT) + frame(CONT), "unexpected continuation frame"),
    (BEGUN + frame(TEXT), "expected a continuation frame"),
    (BEGUN + frame(PING) + frame(BINARY, fin=False), "expected a continuation frame"),
    (frame(BINARY, b"x", key=KEY), "incorrect masking"),
]


@pytest.mark.parametrize("read", [read_frames, read_messages])
@pytest.mark.parametrize(("data", "message"), REFUSED)
def test_refused(data, message, read):
    before, after = frame(BINARY, b"before"), frame(BINARY, b"after")
    outcome = read(make_reader(), [before + data + after])
    assert isinstance(outcome.error, ProtocolError)
    assert str(outcome.error) == message
    # What came before is delivered, what comes after is not.
    items = [item[1] if isinstance(item, tuple) else item for item in outcome.data]
    assert items[0] == b"before"
    assert b"after" not in items


def test_servers_want_masks():
    outcome = read_frames(make_reader(mask=True), [frame(BINARY, b"x")])
    assert str(outcome.error) == "incorrect masking"


@pytest.mark.parametrize(
    "data",
    [b"\x83\x05", b"\x83\x7e", b"\xa2\x7f", b"\x89\x7e", b"\x88\x7f", b"\x09\x05", b"\x80\x7f"],
)
def test_refused_as_soon_as_it_can_be_known(data):
    """The first two bytes suffice, whatever length they promise."""
    assert read_frames(make_reader(), [data[:1]]).error is None
    assert isinstance(read_frames(make_reader(), [data]).error, ProtocolError)


@pytest.mark.parametrize("take", ["frames", "messages"])
def test_nothing_is_read_after_stop(take):
    reader = make_reader()
    reader.feed(frame(BINARY, b"1") + frame(BINARY, b"2") + b"\x82")
    assert reader.next_frame_data() == (BINARY, b"1", True)
    reader.stop()
    assert reader.unread() == 0
    reader.feed(frame(BINARY, b"3"))
    assert reader.unread() == 0
    if take == "frames":
        assert reader.next_frame_data() is None
    else:
        assert methods.next_message(reader, True) is None


def test_stop_in_a_lent_buffer():
    buffer = bytearray(frame(BINARY, b"1") + frame(BINARY, b"2") + b"\x82")
    reader = make_reader()
    methods.lend(reader, buffer, 0, len(buffer))
    assert methods.next_message(reader, True) == b"1"
    reader.stop()
    assert methods.next_message(reader, True) is None
    methods.give_back(reader)
    assert reader.unread() == 0
    assert methods.next_message(reader, True) is None


def test_messages_are_not_views_of_the_buffer():
    data = frame(BINARY, b"abc") + frame(TEXT, b"def", False)
    buffer = bytearray(data)
    reader = make_reader()
    methods.lend(reader, buffer, 0, len(buffer))
    message = methods.next_message(reader, True)
    assert methods.next_message(reader, True) is None
    methods.give_back(reader)
    buffer[:] = b"\xff" * len(buffer)
    reader.feed(frame(CONT, b"ghi"))
    assert message == b"abc"
    assert methods.next_message(reader, True) == "defghi"


def test_what_is_fed_may_change_afterwards():
    data = bytearray(frame(BINARY, b"abc")[:3])
    reader = make_reader()
    reader.feed(data)
    data[:] = b"\xff\xff\xff"
    reader.feed(memoryview(b"bc"))
    assert reader.next_frame_data() == (BINARY, b"abc", True)


@pytest.mark.parametrize("feed", [1, 2, 1000])
def test_truncation(feed):
    """The end of the stream at each place, as it is told."""

    def truncation(data: bytes) -> str:
        reader = make_reader()
        for i in range(0, len(data), feed):
            reader.feed(data[i : i + feed])
            while reader.next_frame_data() is not None:
                pass
        return reader.truncation()

    assert truncation(b"") == "unexpected end of stream"
    assert truncation(frame(BINARY, b"x")) == "unexpected end of stream"
    data = frame(BINARY, b"x" * 200)
    for n in (1, 2, 3):
        assert truncation(data[:n]) == f"stream ends after {n} bytes, in the middle of a frame"
    for n in (4, 5, 203):
        assert truncation(data[:n]) == f"stream ends after {n - 4} bytes, expected 200 bytes"
    assert truncation(frame(PING, b"abc")[:4]) == (
        "stream ends after 4 bytes, in the middle of a frame"
    )


# Messages that wait


def test_fragments_are_taken_apart():
    reader = make_reader()
    assert reader.pop_fragment() is None
    assert not reader.has_fragment()
    reader.feed(frame(TEXT, "é".encode()[:1], False) + frame(CONT, b"", False))
    assert methods.next_message(reader, False) is None
    assert reader.has_fragment()
    assert not reader.has_message()
    assert reader.pop_fragment() == ("é".encode()[:1], True, False)
    assert reader.pop_fragment() is None
    assert not reader.has_fragment()
    reader.feed(frame(CONT, "é".encode()[1:], False) + frame(CONT, b""))
    assert methods.next_message(reader, False) is None
    assert reader.has_message()
    assert reader.held == 2
    assert reader.pop_fragment() == ("é".encode()[1:], True, False)
    assert reader.pop_fragment() == (b"", True, True)
    assert reader.held == 0
    assert not reader.has_message()
    assert reader.pop_fragment() is None


def test_whole_messages_are_fragments_too():
    reader = make_reader()
    methods.put(reader, "é")
    methods.put(reader, b"x")
    assert reader.has_fragment()
    assert reader.held == 2
    assert reader.pop_fragment() == ("é".encode(), True, True)
    assert reader.pop_fragment() == (b"x", False, True)
    assert reader.held == 0


def test_rest_of_a_message_is_taken_as_a_message():
    """After the first fragments were taken, the message is what is left."""
    reader = make_reader()
    reader.feed(frame(BINARY, b"a", False) + frame(CONT, b"b", False) + frame(CONT, b"c"))
    assert methods.next_message(reader, False) is None
    assert reader.held == 3
    assert reader.pop_fragment() == (b"a", False, False)
    assert methods.pop(reader) == b"bc"
    assert reader.held == 0


def test_order_of_messages_that_wait():
    """A message that comes complete doesn't overtake a fragmented one that waits."""
    reader = make_reader()
    reader.feed(frame(BINARY, b"a", False) + frame(CONT, b"b"))
    assert methods.next_message(reader, False) is None
    assert reader.has_message()
    reader.feed(frame(BINARY, b"c", False))
    # Somebody waits for a message, but not for this one first.
    assert methods.next_message(reader, True) is None
    reader.feed(frame(CONT, b"d"))
    assert methods.next_message(reader, True) is None
    assert methods.pop(reader) == b"ab"
    assert methods.pop(reader) == b"cd"
    assert reader.held == 0


def test_each_message_that_is_completed_in_the_queue_is_told():
    """Who reads ahead can stop after any of them, so the memory they hold is bounded."""
    reader = make_reader()
    reader.feed((frame(BINARY, b"a", False) + frame(CONT, b"b")) * 3)
    for number in range(1, 4):
        assert methods.next_message(reader, False) is None
        assert reader.queued
        assert reader.held == 2 * number
        reader.queued = False
    assert methods.next_message(reader, False) is None
    assert not reader.queued


class TestDiscarding:
    """What nobody is going to take is checked, and dropped."""

    def test_fragments_are_dropped(self):
        reader = make_reader()
        methods.discard(reader)
        for _ in range(100):
            reader.feed(frame(TEXT, b"x" * 1000, False) + frame(PING, b"!"))
            assert methods.next_message(reader, False) is CONTROL
            reader.feed(frame(CONT, b"y" * 1000, False) + frame(CONT, b""))
            assert methods.next_message(reader, False) is None
        assert reader.held == 0
        assert not reader.has_message()

    @pytest.mark.parametrize("data", [frame(TEXT, b"c"), frame(BINARY, b"c", False)])
    def test_nothing_follows_what_was_dropped(self, data):
        """There would be a gap."""
        reader = make_reader()
        methods.discard(reader)
        reader.feed(frame(BINARY, b"a", False) + frame(CONT, b"b") + data)
        assert methods.next_message(reader, True) is None
        assert reader.held == 0

    def test_what_was_begun_is_kept(self):
        reader = make_reader()
        reader.feed(frame(BINARY, b"a", False))
        assert methods.next_message(reader, False) is None
        methods.discard(reader)
        reader.feed(frame(CONT, b"b"))
        assert methods.next_message(reader, False) is None
        assert methods.pop(reader) == b"ab"

    def test_text_is_still_checked(self):
        reader = make_reader()
        methods.discard(reader)
        reader.feed(frame(TEXT, b"\xc3", False) + frame(CONT, b"\x28"))
        with pytest.raises(UnicodeDecodeError):
            methods.next_message(reader, False)


# Round trips


@given(
    st.lists(st.text(max_size=20) | st.binary(max_size=300), max_size=5),
    st.lists(st.integers(0, 2000), max_size=8),
    st.booleans(),
    st.booleans(),
)
def test_messages_arrive_wherever_they_are_cut(messages, cuts, mask, lend):
    key = KEY if mask else None
    data = b"".join(
        frame(TEXT, message.encode(), key=key)
        if isinstance(message, str)
        else frame(BINARY, message, key=key)
        for message in messages
    )
    outcome = read_messages(make_reader(mask=mask), cut(data, cuts), lend=lend)
    assert outcome == Outcome(messages)


@pytest.mark.parametrize("size", [65535, 65536, 256 * 1024, 256 * 1024 + 1, 3_000_000])
@pytest.mark.parametrize("step", [1000, 65536, 10_000_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_large_messages(size, step, opcode):
    """Their memory is taken in steps."""
    payload = (b"0123456789" * (size // 10 + 1))[:size]
    data = frame(opcode, payload)
    chunks = [data[i : i + step] for i in range(0, len(data), step)]
    message = payload.decode() if opcode == TEXT else payload
    for lend in (False, True):
        assert read_messages(make_reader(), chunks, lend=lend) == Outcome([message])
    assert read_frames(make_reader(), chunks) == Outcome([(opcode, payload, True)])
