"""CRC-32C, the checksum of PROXY protocol v2 (RFC 4960 appendix B)."""

from __future__ import annotations

__all__ = ["crc32c"]

# The Castagnoli polynomial with its bits in the order in which they are sent.
POLYNOMIAL = 0x82F63B78

# What each value of a byte does to the checksum. A list in Python, an array in C.
TABLE = [0] * 256


def fill_table() -> None:
    for byte in range(256):
        entry = byte
        for _ in range(8):
            entry = (entry >> 1) ^ (POLYNOMIAL if entry & 1 else 0)
        TABLE[byte] = entry


fill_table()


def crc32c_of(data: bytes, start: int, end: int, crc: int) -> int:
    """Carry the checksum ``crc`` on over ``data[start:end]``, which must exist."""
    octets = data
    crc ^= 0xFFFFFFFF
    for i in range(start, end):
        crc = TABLE[(crc ^ octets[i]) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def crc32c(data: bytes | bytearray | memoryview, value: int = 0) -> int:
    """Give the CRC-32C of ``data``.

    Args:
        data: the bytes to check.
        value: the CRC-32C of the bytes before them, to go on from there.
    """
    octets = bytes(data)
    return crc32c_of(octets, 0, len(octets), value)
