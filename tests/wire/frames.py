"""Frames made byte by byte, right or wrong, without any code of the library."""

from __future__ import annotations

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

KEY = b"\x37\xfa\x21\x3d"


def xored(data: bytes, key: bytes) -> bytes:
    """Mask or unmask, as RFC 6455, section 5.3, says."""
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(data)) if any(key) else data


def header(
    opcode: int,
    length: int,
    fin: bool = True,
    *,
    rsv: int = 0,
    key: bytes | None = None,
    width: int | None = None,
) -> bytes:
    """A header.

    Args:
        rsv: RSV1 is 4, RSV2 is 2, RSV3 is 1.
        key: mask key.
        width: size of the extended length: 0, 2 or 8; by default the smallest that there is.

    """
    if width is None:
        width = 0 if length < 126 else 2 if length < 65536 else 8
    short = {0: length, 2: 126, 8: 127}[width]
    first = fin << 7 | rsv << 4 | opcode
    second = (key is not None) << 7 | short
    return bytes([first, second]) + (length.to_bytes(width, "big") if width else b"") + (key or b"")


def frame(
    opcode: int,
    data: bytes = b"",
    fin: bool = True,
    *,
    rsv: int = 0,
    key: bytes | None = None,
    width: int | None = None,
) -> bytes:
    """A frame; see `header`."""
    payload = data if key is None else xored(data, key)
    return header(opcode, len(data), fin, rsv=rsv, key=key, width=width) + payload


def frames_in(data: bytes) -> tuple[list[tuple[int, bytes, bool, int]], bytes]:
    """Give the frames in ``data``, unmasked: opcode, payload, FIN and RSV; and what is left."""
    frames = []
    while len(data) >= 2:
        size, start = data[1] & 0x7F, 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        key = data[start : start + 4] if data[1] & 0x80 else b"\0\0\0\0"
        start += 4 if data[1] & 0x80 else 0
        if len(data) < start + size:
            break
        payload = xored(data[start : start + size], key)
        frames.append((data[0] & 15, payload, data[0] >= 0x80, data[0] >> 4 & 7))
        data = data[start + size :]
    return frames, data
