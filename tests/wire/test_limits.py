"""Sizes: what is refused, and what memory it takes to find out."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from tidegate.exceptions import PayloadTooBig, ProtocolError
from tidegate.extensions.permessage_deflate import PerMessageDeflate

from .exposed import methods
from .frames import BINARY, CONT, KEY, PING, TEXT, frame, header, xored
from .reading import make_reader, read_frames, read_messages

HUGE = 2**63 - 1


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("length", [HUGE, HUGE - 13, 2**62, 2**32 + 1])
@pytest.mark.parametrize("key", [None, KEY])
def test_a_header_that_promises_a_lot_costs_little(opcode, length, key):
    """The payload is taken as it comes, also where there is no limit."""
    head = b"x" * 20 if key is None else xored(b"x" * 20, key)
    tracemalloc.start()
    for read in (read_frames, read_messages):
        reader = make_reader(mask=key is not None)
        outcome = read(reader, [header(opcode, length, key=key) + head])
        assert outcome.error is None
        assert outcome.data == []
        assert reader.length == length
        assert reader.truncation() == f"stream ends after 20 bytes, expected {length} bytes"
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_the_highest_bit_of_a_length_is_zero():
    for length in (2**63, 2**64 - 1):
        outcome = read_frames(make_reader(), [header(BINARY, length, width=8)])
        assert isinstance(outcome.error, ProtocolError)
        assert str(outcome.error) == "invalid frame length"


def test_each_message_may_be_as_large_as_the_limit():
    """What came before a message doesn't count."""
    whole = frame(BINARY, b"a" * 1000)
    parts = frame(BINARY, b"b" * 400, False) + frame(CONT, b"b" * 600)
    data = (whole + parts + frame(PING, b"?")) * 3
    for read in (read_frames, read_messages):
        outcome = read(make_reader(max_size=1000), [data])
        assert outcome.error is None
        assert len(outcome.control) == 3
    assert outcome.data == [b"a" * 1000, b"b" * 1000] * 3


@pytest.mark.parametrize("read", [read_frames, read_messages])
def test_message_too_big(read):
    outcome = read(make_reader(max_size=1000), [header(BINARY, 1001)])
    assert isinstance(outcome.error, PayloadTooBig)
    assert str(outcome.error) == "frame with 1001 bytes exceeds limit of 1000 bytes"
    parts = frame(BINARY, b"b" * 400, False) + frame(CONT, b"b" * 600, False)
    outcome = read(make_reader(max_size=1000), [parts + header(CONT, 1)])
    assert isinstance(outcome.error, PayloadTooBig)


def test_received_in_room_after_stop():
    """A transport may ask for room, receive nothing, and ask again later."""
    reader = make_reader()
    reader.feed(header(BINARY, 100_000))
    assert methods.next_message(reader, True) is None
    assert methods.room(reader, 1) is not None
    reader.stop()
    methods.received_in_room(reader, 100)
    assert methods.room(reader, 1) is None
    assert methods.next_message(reader, True) is None


@pytest.mark.parametrize("read", [read_frames, read_messages])
def test_frame_too_big(read):
    outcome = read(make_reader(max_size=1000, max_frame_size=10), [header(BINARY, 11)])
    assert str(outcome.error) == "frame with 11 bytes exceeds limit of 10 bytes"
    parts = frame(BINARY, b"x" * 10, False) + frame(CONT, b"x" * 10, False) + frame(CONT, b"x" * 10)
    for size, error in [(30, None), (29, PayloadTooBig)]:
        outcome = read(make_reader(max_size=size, max_frame_size=10), [parts])
        assert type(outcome.error) is (error or type(None))


@pytest.mark.parametrize("max_size", [0, 1])
def test_small_limits(max_size):
    """No limit is as small as none: empty messages are always received."""
    reader = make_reader(max_size=max_size, max_frame_size=0)
    outcome = read_messages(reader, [frame(BINARY) + frame(TEXT, b"", False) + frame(CONT)])
    assert outcome.error is None
    assert outcome.data == [b"", ""]


@pytest.mark.parametrize("lend", [False, True])
def test_control_frames_do_not_count(lend):
    data = frame(BINARY, b"x" * 5, False) + frame(PING, b"p" * 125) * 5 + frame(CONT, b"x" * 5)
    outcome = read_messages(make_reader(max_size=10, max_frame_size=5), [data], lend=lend)
    assert outcome.error is None
    assert outcome.data == [b"x" * 10]


# Memory


def traced(function):
    """Give the peak of the memory that was taken while ``function`` ran, in bytes."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def feed_often(reader, data, times):
    for _ in range(times):
        reader.feed(data)
        assert methods.next_message(reader, False) is None


def test_memory_of_a_payload_is_taken_as_it_comes():
    """A slow peer that promised a lot holds what it has sent, four times at most."""
    reader = make_reader()
    reader.feed(header(BINARY, 2**30))
    assert traced(lambda: feed_often(reader, b"x" * 1000, 1000)) < 4 * 2**20 + 300_000


@pytest.mark.parametrize("key", [None, KEY])
def test_memory_of_many_that_promise(key):
    """A peer pays for the memory that its connection takes with bytes that it sends."""
    readers = [make_reader(mask=key is not None) for _ in range(100)]
    data = header(BINARY, 2**20, key=key) + b"x" * 20

    def promise():
        for reader in readers:
            reader.feed(data)
            assert methods.next_message(reader, True) is None

    assert traced(promise) < 100 * 20_000


def test_a_view_holds_its_memory():
    """A transport that keeps the view, and writes to it, hurts nobody."""
    reader = make_reader()
    reader.feed(header(BINARY, 100_000))
    assert methods.next_message(reader, True) is None
    view = methods.room(reader, 1)
    size = len(view)
    reader.stop()
    del reader
    others = [bytes(size) for _ in range(10)]
    view[:] = b"x" * size
    assert bytes(view) == b"x" * size
    assert others == [bytes(size)] * 10


@pytest.mark.parametrize("size", [1, 2, 64])
def test_memory_of_tiny_fragments(size):
    """A message holds about its size, whatever the number of its fragments."""
    reader = make_reader()
    reader.feed(frame(BINARY, b"x", False))
    fragment = frame(CONT, b"x" * size, False)
    count = 40_000
    peak = traced(lambda: feed_often(reader, fragment, count))
    # Up to 4096 fragments are kept apart, with the overhead of an object each.
    assert peak < 4096 * 200 + 3 * size * count
    reader.feed(frame(CONT))
    assert methods.next_message(reader, True) == b"x" * (size * count + 1)
    assert reader.held == 0


def test_memory_of_empty_fragments():
    reader = make_reader(max_size=10)
    reader.feed(frame(TEXT, b"", False))
    assert traced(lambda: feed_often(reader, frame(CONT, b"", False), 20_000)) < 10_000
    assert reader.held == 0
    reader.feed(frame(CONT))
    assert methods.next_message(reader, True) == ""


def test_fragments_that_were_joined_can_be_taken_apart():
    reader = make_reader()
    reader.feed(frame(BINARY, b"a", False))
    feed_often(reader, frame(CONT, b"b", False), 10_000)
    reader.feed(frame(CONT, b"c"))
    assert methods.next_message(reader, False) is None
    taken = []
    held = reader.held
    while (piece := reader.pop_fragment()) is not None:
        held -= 1
        assert reader.held == held
        data, text, last = piece
        assert type(data) is bytes
        assert not text
        taken.append(data)
        assert last is (held == 0)
    assert b"".join(taken) == b"a" + b"b" * 10_000 + b"c"


def test_fragments_taken_while_they_come():
    reader = make_reader()
    reader.feed(frame(BINARY, b"a", False))
    taken = []
    for _ in range(3):
        feed_often(reader, frame(CONT, b"b", False), 5000)
        taken.append(reader.pop_fragment()[0])
        taken.append(reader.pop_fragment()[0])
    reader.feed(frame(CONT))
    assert methods.next_message(reader, False) is None
    assert b"".join(taken) + methods.pop(reader) == b"a" + b"b" * 15_000
    assert reader.held == 0


# Compressed messages


def compressed(data: bytes, fragments: int = 1) -> list[bytes]:
    sender = PerMessageDeflate(False, False, 15, 15)
    size = len(data) // fragments
    parts = [data[i * size : (i + 1) * size] for i in range(fragments - 1)]
    parts.append(data[(fragments - 1) * size :])
    return [
        frame(
            BINARY if i == 0 else CONT,
            sender.compress_fragment(part, i == fragments - 1),
            i == fragments - 1,
            rsv=4 if i == 0 else 0,
        )
        for i, part in enumerate(parts)
    ]


def inflating_reader(**kwargs):
    return make_reader([PerMessageDeflate(False, False, 15, 15)], **kwargs)


@pytest.mark.parametrize("read", [read_frames, read_messages])
@pytest.mark.parametrize("fragments", [1, 2, 5])
def test_inflated_bytes_count(read, fragments):
    data = b"x" * 100_000
    frames = compressed(data, fragments)
    assert sum(map(len, frames)) < 1000
    outcome = read(inflating_reader(max_size=100_000), frames)
    assert outcome.error is None
    outcome = read(inflating_reader(max_size=99_999), frames)
    assert isinstance(outcome.error, PayloadTooBig)
    assert "99999" in str(outcome.error)
    # The same for a limit on frames.
    outcome = read(inflating_reader(max_frame_size=100_000 // fragments), frames)
    assert outcome.error is None
    outcome = read(inflating_reader(max_frame_size=100_000 // fragments - 1), frames)
    assert isinstance(outcome.error, PayloadTooBig)


def test_a_bomb_is_not_made():
    bomb = compressed(bytes(50_000_000))[0]

    def explode():
        outcome = read_messages(inflating_reader(max_size=100_000), [bomb])
        assert isinstance(outcome.error, PayloadTooBig)

    assert traced(explode) < 2**20


def test_header_of_a_compressed_message():
    """Compressed, a message is slightly larger than its limit at most."""
    for max_size, length in [(1000, 1000), (1000, 1065), (100_000, 100_200)]:
        outcome = read_frames(inflating_reader(max_size=max_size), [header(BINARY, length, rsv=4)])
        assert outcome.error is None
    for max_size, length in [(1000, 1200), (100_000, 101_000), (1000, HUGE)]:
        outcome = read_frames(inflating_reader(max_size=max_size), [header(BINARY, length, rsv=4)])
        assert isinstance(outcome.error, PayloadTooBig)


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 65536, 300_000])
def test_what_cannot_be_compressed_fits(size):
    """The limit holds for what is inflated also where deflate makes it larger."""
    data = random.Random(size).randbytes(size)
    for fragments in (1, 7):
        outcome = read_messages(inflating_reader(max_size=size), compressed(data, fragments))
        assert outcome.error is None
        assert outcome.data == [data]


def test_limits_after_a_compressed_message():
    """What a message was compressed from doesn't count for the next."""
    frames = [*compressed(b"x" * 1000), frame(BINARY, b"y" * 1000), *compressed(b"z" * 1000, 3)]
    outcome = read_messages(inflating_reader(max_size=1000), frames)
    assert outcome.error is None
    assert outcome.data == [b"x" * 1000, b"y" * 1000, b"z" * 1000]
