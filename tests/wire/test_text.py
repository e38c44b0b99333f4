"""Text is checked as it arrives: the first wrong byte is the last that is waited for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.extensions.permessage_deflate import PerMessageDeflate

from .exposed import methods
from .frames import BINARY, CONT, KEY, PING, TEXT, frame, header, xored
from .reading import cut, make_reader, read_frames, read_messages
from .scripts import BAD_TEXT
from .test_kernels import expected_utf8


def first_error(data: bytes) -> int | None:
    """How many bytes it takes to know that ``data`` isn't UTF-8; None if they aren't enough."""
    for n in range(1, len(data) + 1):
        if expected_utf8(data[:n]) is False:
            return n
    return None


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("way", ["frames", "messages", "room"])
@pytest.mark.parametrize("bad", [bad for bad in BAD_TEXT if first_error(bad)])
@pytest.mark.parametrize("prefix", [b"", b"a" * 9, "é€".encode() * 3])
def test_in_the_middle_of_a_frame(key, way, bad, prefix):
    data = prefix + bad
    needed = first_error(data)
    masked = data if key is None else xored(data, key)
    reader = make_reader(mask=key is not None)
    reader.feed(header(TEXT, 100_000, key=key))

    def receive(byte: bytes) -> None:
        if way == "room":
            view = methods.room(reader, 1)
            view[:1] = byte
            methods.received_in_room(reader, 1)
        else:
            reader.feed(byte)
        if way == "frames":
            assert reader.next_frame_data() is None
        else:
            assert methods.next_message(reader, True) is None

    if way != "frames":
        assert methods.next_message(reader, True) is None
    else:
        assert reader.next_frame_data() is None
    for i in range(needed - 1):
        receive(masked[i : i + 1])
    with pytest.raises(UnicodeDecodeError) as caught:
        receive(masked[needed - 1 : needed])
    # It says where, as the decoder does.
    with pytest.raises(UnicodeDecodeError) as expected:
        data.decode()
    assert caught.value.start == expected.value.start
    assert caught.value.reason == expected.value.reason


@pytest.mark.parametrize("read", [read_frames, read_messages])
@pytest.mark.parametrize("bad", BAD_TEXT)
def test_in_the_middle_of_a_message(bad, read):
    """Cut at each place into fragments, with control frames between."""
    needed = first_error(bad)
    for place in range(len(bad) + 1):
        parts = [
            frame(TEXT, b"ok", False),
            frame(PING),
            frame(CONT, bad[:place], False),
            frame(CONT, b"", False),
            frame(PING),
            frame(CONT, bad[place:], False),
        ]
        outcome = read(make_reader(), parts)
        if needed is None:
            assert outcome.error is None
            outcome = read(make_reader(), [*parts, frame(CONT, b"")])
        assert isinstance(outcome.error, UnicodeDecodeError), place
        assert len(outcome.control) == (1 if needed is not None and needed <= place else 2)


@pytest.mark.parametrize("read", [read_frames, read_messages])
@pytest.mark.parametrize("bad", BAD_TEXT)
def test_compressed(bad, read):
    """Fragment by fragment, where messages are compressed."""
    sender = PerMessageDeflate(False, False, 15, 15)
    reader = make_reader([PerMessageDeflate(False, False, 15, 15)])
    good = sender.compress("é".encode() * 100)
    first = sender.compress_fragment(b"a" * 1000 + bad, False)
    data = frame(TEXT, good, rsv=4) + frame(TEXT, first, False, rsv=4)
    outcome = read(reader, [data])
    assert (outcome.error is not None) is (first_error(bad) is not None)
    if outcome.error is None:
        reader.feed(frame(CONT, sender.compress_fragment(b"", True)))
        with pytest.raises(UnicodeDecodeError):
            reader.next_frame_data()
    else:
        assert isinstance(outcome.error, UnicodeDecodeError)


@given(st.binary(max_size=30), st.lists(st.integers(0, 50), max_size=5), st.data())
def test_any_bytes(data, cuts, draw):
    """Text is delivered exactly if it is UTF-8, however it comes."""
    places = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=3)))
    parts = cut(data, places)
    frames = [
        frame(TEXT if i == 0 else CONT, part, i == len(parts) - 1) for i, part in enumerate(parts)
    ]
    for read in (read_frames, read_messages):
        outcome = read(make_reader(), cut(b"".join(frames), cuts))
        messages = outcome.messages() if read is read_frames else outcome.data
        if expected_utf8(data) is True:
            assert outcome.error is None
            assert messages == [data.decode()]
        else:
            assert isinstance(outcome.error, UnicodeDecodeError)
            assert messages == []


def test_only_text():
    data = b"\xff\xfe"
    parts = [frame(BINARY, data, False), frame(CONT, data), frame(PING, data), frame(BINARY, data)]
    outcome = read_messages(make_reader(), cut(b"".join(parts), range(20)))
    assert outcome.error is None
    assert outcome.data == [data * 2, data]


def test_text_after_a_failed_character_in_binary():
    """A scan begins anew with each message."""
    chunks = cut(
        frame(TEXT, "é".encode(), False)
        + frame(CONT, "é".encode())
        + frame(BINARY, b"\xc3" * 10)
        + frame(TEXT, b"abc" * 10),
        range(60),
    )
    outcome = read_messages(make_reader(), chunks)
    assert outcome.error is None
    assert outcome.data == ["éé", b"\xc3" * 10, "abc" * 10]
