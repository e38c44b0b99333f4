"""Sizes: what is refused, and what memory it takes to find out."""

from __future__ import annotations

import tracemalloc

import pytest

from tidegate.exceptions import PayloadTooBig, ProtocolError

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
