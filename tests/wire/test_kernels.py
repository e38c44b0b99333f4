"""The kernels in C and in Python: each does what RFC 6455 says, and both do the same."""

from __future__ import annotations

import codecs
import itertools
import sys
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from .exposed import compiled, compiled_kernels, python_kernels
from .frames import frame, header, xored

both = pytest.mark.parametrize(
    "kernels",
    [pytest.param(python_kernels, id="Python")]
    + ([pytest.param(compiled_kernels, id="C")] if compiled else []),
)

keys = st.integers(0, 2**32 - 1) | st.just(0)
# Around the widths of the loops and of the lengths in headers, and sometimes longer than a chunk.
sizes = st.integers(0, 40) | st.sampled_from([125, 126, 127, 255, 256, 65535, 65536, 70_001])


def bytes_of(size: int, seed: int = 0) -> bytes:
    """Some bytes that don't repeat with a period of 4 or 8."""
    return bytes((i * 37 + (i >> 3) * 11 + seed) & 0xFF for i in range(size))


def key_bytes(key: int) -> bytes:
    return key.to_bytes(4, sys.byteorder)


@both
@given(st.binary(min_size=4, max_size=30), st.data())
def test_mask_key(kernels, data, draw):
    start = draw.draw(st.integers(0, len(data) - 4))
    four = data[start : start + 4]
    assert key_bytes(kernels.mask_key_at(bytearray(data), start)) == four
    assert key_bytes(kernels.mask_key_from(data, start)) == four


@both
@given(sizes, st.integers(0, 9), st.integers(0, 9), keys)
def test_take_bytes(kernels, size, before, behind, key):
    data = bytes_of(size)
    buffer = bytearray(b"\xaa" * before + xored(data, key_bytes(key)) + b"\xbb" * behind)
    copy = bytes(buffer)
    taken = kernels.take_bytes(buffer, before, size, key)
    assert type(taken) is bytes
    assert taken == data
    assert buffer == copy


@both
@given(st.text(max_size=50), st.integers(0, 9), st.integers(0, 9), keys)
def test_take_text(kernels, text, before, behind, key):
    data = text.encode()
    buffer = bytearray(b"\xaa" * before + xored(data, key_bytes(key)) + b"\xbb" * behind)
    assert kernels.take_text(buffer, before, len(data), key) == text
    # What is around may be other frames.
    assert buffer[:before] == b"\xaa" * before
    assert buffer[before + len(data) :] == b"\xbb" * behind


@both
@given(st.binary(max_size=12), keys)
def test_take_text_is_as_strict_as_the_decoder(kernels, data, key):
    buffer = bytearray(xored(data, key_bytes(key)))
    try:
        expected = data.decode()
    except UnicodeDecodeError as exc:
        with pytest.raises(UnicodeDecodeError) as caught:
            kernels.take_text(buffer, 0, len(data), key)
        assert caught.value.args == exc.args
    else:
        assert kernels.take_text(buffer, 0, len(data), key) == expected


@both
@given(st.lists(sizes, min_size=1, max_size=6), st.integers(0, 9), keys, st.booleans())
def test_payload_in_pieces(kernels, pieces, before, key, in_place):
    """Put by pieces of any size, or received in place and unmasked, it comes out whole."""
    size = sum(pieces)
    data = bytes_of(size)
    masked = xored(data, key_bytes(key))
    payload = kernels.payload_new(size)
    at = 0
    for piece in pieces:
        part = masked[at : at + piece]
        if in_place:
            view = kernels.payload_view(payload, at, at + piece)
            assert len(view) == piece
            view[:] = part
            del view
            kernels.payload_unmask(payload, at, piece, key)
        else:
            buffer = bytearray(b"\xaa" * before + part + b"\xbb")
            kernels.payload_put(payload, at, buffer, before, piece, key)
        at += piece
    whole = kernels.payload_bytes(payload, size)
    assert type(whole) is bytes
    assert whole == data


@both
@given(st.binary(max_size=50), st.integers(0, 100))
def test_payload_grown(kernels, data, more):
    payload = kernels.payload_new(len(data))
    kernels.payload_put(payload, 0, bytearray(data), 0, len(data), 0)
    grown = kernels.payload_grown(payload, len(data), len(data) + more)
    assert len(grown) == len(data) + more
    assert grown[: len(data)] == data


@both
@given(st.text(max_size=50))
def test_payload_text(kernels, text):
    data = text.encode()
    payload = kernels.payload_new(len(data))
    kernels.payload_put(payload, 0, bytearray(data), 0, len(data), 0)
    assert kernels.payload_text(payload, len(data)) == text


# Bytes that stand at the edges of what UTF-8 allows, more often than others.
edges = st.sampled_from(
    b"\x00\x41\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xff"
)
utf8_data = (
    st.lists(edges, max_size=12).map(bytes)
    | st.binary(max_size=40)
    | st.text(max_size=20).map(str.encode)
    | st.tuples(st.text(max_size=20), st.lists(edges, max_size=4), st.text(max_size=20)).map(
        lambda parts: parts[0].encode() + bytes(parts[1]) + parts[2].encode()
    )
)


ENDS = [bytes(t) for n in (1, 2, 3) for t in itertools.product(b"\x80\x90\xa0", repeat=n)]


def can_be_continued(character: bytes) -> bool:
    """Whether a character begins like this. Python's incremental decoder is less strict."""
    return any(codecs.utf_8_decode(character + end, "ignore")[0] for end in ENDS)


def expected_utf8(data: bytes) -> bool | None:
    """Whether ``data`` is UTF-8; None if it can become so."""
    try:
        data.decode()
    except UnicodeDecodeError as exc:
        at_end = exc.reason == "unexpected end of data"
        return None if at_end and can_be_continued(data[exc.start :]) else False
    return True


def meaning(state: int) -> bool | None:
    """What a state of the scan says."""
    return False if state >= python_kernels.UTF8_INVALID else True if state == 0 else None


def test_expected_utf8():
    assert expected_utf8(b"a\xc3") is None
    assert expected_utf8(b"\xed\x9f") is None
    assert expected_utf8(b"\xed\xa0") is False
    assert expected_utf8(b"\xf4\x8f") is None
    assert expected_utf8(b"\xf4\x90") is False
    assert expected_utf8(b"\xf0\x80") is False


@both
@given(utf8_data, st.lists(st.integers(0, 40), max_size=6))
@example(b"\xf4\x8f\xbf\xbf", [1, 2, 3])
@example(b"\xed\xa0\x80", [1, 2])
@example("é".encode() * 20, [1, 8, 9])
def test_utf8_is_that_of_the_decoder_wherever_it_is_cut(kernels, data, cuts):
    state = start = 0
    for stop in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        state = kernels.payload_utf8(data, start, stop - start, state)
        assert meaning(state) is expected_utf8(data[:stop])
        if state >= kernels.UTF8_INVALID:
            break
        start = stop


@both
@pytest.mark.parametrize("prefix", [b"", b"a" * 7, "é".encode()])
def test_utf8_of_all_pairs_of_bytes(kernels, prefix):
    """Each first byte with each second one, followed by as many as could follow."""
    for first in range(256):
        for second in range(256):
            data = prefix + bytes((first, second, 0x80, 0x80))
            for n in range(len(prefix) + 1, len(data) + 1):
                state = kernels.payload_utf8(data, 0, n, 0)
                expected = expected_utf8(data[:n])
                assert meaning(state) is expected, data[:n]
                if expected is False:
                    break


@pytest.mark.skipif(not compiled, reason="not compiled")
@given(utf8_data, st.lists(st.integers(0, 40), max_size=6))
def test_utf8_states_are_the_same(data, cuts):
    """Not only what they mean."""
    a = b = start = 0
    for stop in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        a = python_kernels.payload_utf8(data, start, stop - start, a)
        b = compiled_kernels.payload_utf8(data, start, stop - start, b)
        assert a == b
        if a >= python_kernels.UTF8_INVALID:
            break
        start = stop


def test_constants():
    if compiled:
        assert compiled_kernels.UTF8_INVALID == python_kernels.UTF8_INVALID


@both
@given(st.integers(0, 255), sizes, st.booleans(), keys)
def test_frame_bytes(kernels, first, size, mask, key):
    data = bytes_of(size)
    made = kernels.frame_bytes(first, data, mask, key if mask else 0)
    expected = frame(
        first & 15,
        data,
        first >= 128,
        rsv=first >> 4 & 7,
        key=key_bytes(key) if mask else None,
    )
    assert made == expected


@both
@given(st.integers(0, 255), st.text(max_size=200), st.booleans(), keys)
def test_frame_text(kernels, first, text, mask, key):
    assert kernels.frame_text(first, text, mask, key) == kernels.frame_bytes(
        first, text.encode(), mask, key
    )


@both
def test_frame_text_refuses_surrogates(kernels):
    with pytest.raises(UnicodeEncodeError):
        kernels.frame_text(0x81, "\ud800", False, 0)


@both
@pytest.mark.parametrize("n", [0, 1, 125, 126, 127, 65535, 65536, 2**32 - 1, 2**32, 2**62 + 5])
def test_header_bytes(kernels, n):
    """Lengths of more than 4 GiB are right, too."""
    assert kernels.header_bytes(0x82, n) == header(2, n)


@both
def test_monotonic(kernels):
    """The clock is that of the event loops, so both can be compared."""
    before = time.monotonic()
    now = kernels.monotonic()
    assert before <= now <= time.monotonic()
