"""The checksum, against the published test vectors and a bit by bit definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.proxyprotocol.checksum import crc32c


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # RFC 3720, appendix B.4; the first is the usual check value.
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (b"", 0),
    ],
)
def test_vectors(data, expected):
    assert crc32c(data) == expected


def bit_by_bit(data):
    crc = 0xFFFFFFFF
    for octet in data:
        for bit in range(8):
            lowest = (crc ^ octet >> bit) & 1
            crc = crc >> 1 ^ (0x82F63B78 if lowest else 0)
    return crc ^ 0xFFFFFFFF


@given(st.binary(max_size=200), st.integers(0, 200))
def test_definition_and_continuation(data, at):
    assert crc32c(data) == bit_by_bit(data)
    assert crc32c(data[at:], crc32c(data[:at])) == crc32c(data)


def test_other_kinds_of_bytes():
    assert crc32c(bytearray(b"123456789")) == 0xE3069283
    assert crc32c(memoryview(b"0123456789")[1:]) == 0xE3069283
