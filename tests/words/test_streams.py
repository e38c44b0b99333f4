"""The buffer that parsers read from."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.streams import StreamReader


class TooLongError(Exception):
    pass


def finish(generator: Generator[None, None, Any]) -> Any:
    with pytest.raises(StopIteration) as stop:
        next(generator)
    return stop.value.value


@pytest.fixture
def reader() -> StreamReader:
    return StreamReader()


def test_read_line(reader: StreamReader) -> None:
    reader.feed_data(b"one\r\ntwo\nthree")
    assert finish(reader.read_line(100)) == b"one\r\n"
    assert finish(reader.read_line(4)) == b"two\n"
    generator = reader.read_line(100)
    next(generator)
    reader.feed_data(b"\xff\n\n")
    assert finish(generator) == b"three\xff\n"
    assert finish(reader.read_line(1)) == b"\n"
    reader.feed_data(b"four")
    reader.feed_eof()
    with pytest.raises(EOFError, match="stream ends after 4 bytes, before end of line"):
        next(reader.read_line(100))


def test_line_too_long(reader: StreamReader) -> None:
    reader.feed_data(b"abc\n")
    with pytest.raises(TooLongError, match="read 4 bytes, expected no more than 3 bytes"):
        next(reader.read_line(3, TooLongError))
    with pytest.raises(RuntimeError):
        next(reader.read_line(3))
    assert finish(reader.read_line(4)) == b"abc\n"


def test_line_without_end_is_not_awaited_for_ever(reader: StreamReader) -> None:
    generator = reader.read_line(3, TooLongError)
    reader.feed_data(b"abc")
    next(generator)
    reader.feed_data(b"d")
    with pytest.raises(TooLongError):
        next(generator)


def test_read_exact(reader: StreamReader) -> None:
    reader.feed_data(b"abc")
    assert finish(reader.read_exact(0)) == b""
    assert finish(reader.read_exact(2)) == b"ab"
    generator = reader.read_exact(3)
    next(generator)
    reader.feed_data(b"de")
    assert finish(generator) == b"cde"
    reader.feed_data(b"f")
    reader.feed_eof()
    with pytest.raises(EOFError, match="stream ends after 1 bytes, expected 2 bytes"):
        next(reader.read_exact(2))


def test_read_to_eof(reader: StreamReader) -> None:
    generator = reader.read_to_eof(4)
    reader.feed_data(b"ab")
    next(generator)
    reader.feed_data(b"cd")
    next(generator)
    reader.feed_eof()
    assert finish(generator) == b"abcd"
    assert finish(reader.read_to_eof(0)) == b""


def test_too_much_to_eof(reader: StreamReader) -> None:
    generator = reader.read_to_eof(4, TooLongError)
    reader.feed_data(b"abcd")
    next(generator)
    reader.feed_data(b"e")
    with pytest.raises(TooLongError, match="read 5 bytes, expected no more than 4 bytes"):
        next(generator)


def test_at_eof(reader: StreamReader) -> None:
    generator = reader.at_eof()
    next(generator)
    reader.feed_data(b"a")
    assert finish(generator) is False
    finish(reader.read_exact(1))
    generator = reader.at_eof()
    next(generator)
    reader.feed_eof()
    assert finish(generator) is True


def test_after_the_end(reader: StreamReader) -> None:
    reader.feed_eof()
    with pytest.raises(EOFError, match="stream ended"):
        reader.feed_data(b"a")
    with pytest.raises(EOFError, match="stream ended"):
        reader.feed_eof()


def test_discard(reader: StreamReader) -> None:
    reader.feed_data(b"a")
    reader.discard()
    reader.feed_data(b"b\n")
    assert finish(reader.read_line(9)) == b"b\n"


@given(st.lists(st.binary(max_size=5).map(lambda b: b.replace(b"a", b"\n")), max_size=30))
def test_lines_do_not_depend_on_pieces(pieces: list[bytes]) -> None:
    reader = StreamReader()
    lines = []
    generator = reader.read_line(1000)
    for piece in pieces:
        reader.feed_data(piece)
        while True:
            try:
                next(generator)
            except StopIteration as stop:
                lines.append(bytes(stop.value))
                generator = reader.read_line(1000)
            else:
                break
    assert b"".join(lines) + reader.buffer == b"".join(pieces)
    assert b"\n" not in reader.buffer
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
