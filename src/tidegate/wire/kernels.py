"""The functions that need raw memory, in Python.

``kernels.pxd`` holds the same functions in C: the compiled modules use those, the uncompiled ones
these. A mask key is a 32-bit integer whose bytes in memory order are the bytes of the key, and zero
stands for "not masked", which gives the same result. A payload is what a frame that arrives in
pieces is gathered in: a ``bytearray`` here, a ``bytes`` object that nobody else has seen in C.
"""

from __future__ import annotations

import codecs
import sys
from time import monotonic as monotonic

UTF8_INVALID = 0xFF000000


def mask_key_at(buffer: bytearray, start: int) -> int:
    """The mask key that stands at ``start``."""
    return int.from_bytes(buffer[start : start + 4], sys.byteorder)


def mask_key_from(pool: bytes, start: int) -> int:
    """A mask key from the random bytes at ``start``."""
    return int.from_bytes(pool[start : start + 4], sys.byteorder)


def masked(data: bytes | bytearray | memoryview, key: int, phase: int = 0) -> bytes:
    """``data`` masked with ``key``, its first byte with the byte ``phase`` of the key."""
    n = len(data)
    four = key.to_bytes(4, sys.byteorder)
    phase &= 3
    pattern = (four[phase:] + four[:phase]) * (n // 4 + 1)
    number = int.from_bytes(data, "little") ^ int.from_bytes(pattern[:n], "little")
    return number.to_bytes(n, "little")


def take_bytes(buffer: bytearray, start: int, n: int, key: int) -> bytes:
    """``n`` bytes of the buffer, unmasked."""
    data = buffer[start : start + n]
    return masked(data, key) if key else bytes(data)


def take_text(buffer: bytearray, start: int, n: int, key: int) -> str:
    """``n`` bytes of the buffer, unmasked and decoded."""
    return take_bytes(buffer, start, n, key).decode()


def payload_new(n: int) -> bytearray:
    """A place for a payload of ``n`` bytes."""
    return bytearray(n)


def payload_grown(payload: bytearray, filled: int, n: int) -> bytearray:
    """A place of ``n`` bytes that begins with the ``filled`` bytes of ``payload``."""
    return payload[:filled] + bytes(n - filled)


def payload_put(
    payload: bytearray, at: int, buffer: bytearray, start: int, n: int, key: int
) -> None:
    """Put ``n`` bytes of the buffer into the payload, unmasked."""
    data = buffer[start : start + n]
    payload[at : at + n] = masked(data, key, at) if key else data


def payload_unmask(payload: bytearray, at: int, n: int, key: int) -> None:
    """Unmask ``n`` bytes that were received straight into the payload."""
    if key:
        payload[at : at + n] = masked(payload[at : at + n], key, at)


def payload_view(payload: bytearray, start: int, stop: int) -> memoryview:
    """A writable view of a part of the payload."""
    return memoryview(payload)[start:stop]


def payload_bytes(payload: bytearray, n: int) -> bytes:
    """The payload, complete."""
    return bytes(payload)


def payload_text(payload: bytearray, n: int) -> str:
    """The payload, complete and decoded."""
    return payload.decode()


def utf8(data: bytes | bytearray, state: int) -> int:
    """The state of a UTF-8 scan after ``data``: 0 between characters, UTF8_INVALID for ever.

    In between, it says what may follow: the number of bytes, and the range of the first of them.
    """
    if state:
        need, low, high = state & 0xFF, state >> 8 & 0xFF, state >> 16
        taken = 0
        for byte in data[:need]:
            if not low <= byte <= high:
                return UTF8_INVALID
            low, high = 0x80, 0xBF
            taken += 1
        if taken < need:
            return need - taken | low << 8 | high << 16 if taken else state
        data = data[need:]
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return UTF8_INVALID
    pending = decoder.getstate()[0]
    if not pending:
        return 0
    first = pending[0]
    need = 1 if first < 0xE0 else 2 if first < 0xF0 else 3
    # RFC 3629, section 4: no overlong forms, no surrogates, nothing past U+10FFFF.
    low, high = {
        0xE0: (0xA0, 0xBF),
        0xED: (0x80, 0x9F),
        0xF0: (0x90, 0xBF),
        0xF4: (0x80, 0x8F),
    }.get(first, (0x80, 0xBF))
    for byte in pending[1:]:
        # The decoder keeps the beginning of a surrogate.
        if not low <= byte <= high:
            return UTF8_INVALID
        low, high = 0x80, 0xBF
        need -= 1
    return need | low << 8 | high << 16


def payload_utf8(payload: bytes | bytearray, start: int, n: int, state: int) -> int:
    """The state of a UTF-8 scan after a part of a payload."""
    return utf8(payload[start : start + n], state)


def header_bytes(first: int, n: int, mask: bool = False, key: int = 0) -> bytes:
    """A frame header (RFC 6455, section 5.2) for a payload of ``n`` bytes."""
    bit = 0x80 if mask else 0
    if n < 126:
        header = bytes((first, bit | n))
    elif n < 65536:
        header = bytes((first, bit | 126)) + n.to_bytes(2, "big")
    else:
        header = bytes((first, bit | 127)) + n.to_bytes(8, "big")
    return header + key.to_bytes(4, sys.byteorder) if mask else header


def frame_bytes(first: int, data: bytes, mask: bool, key: int) -> bytes:
    """A whole frame."""
    return header_bytes(first, len(data), mask, key) + (masked(data, key) if mask else data)


def frame_text(first: int, text: str, mask: bool, key: int) -> bytes:
    """A whole frame with ``text`` in UTF-8."""
    return frame_bytes(first, text.encode(), mask, key)
