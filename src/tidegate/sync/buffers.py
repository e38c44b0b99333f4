"""Where bytes are received: the buffers belong to the threads that wait, not to connections."""

from __future__ import annotations

# How much is received at once, in bytes. Larger payloads are received where they stay.
SIZE = 128 * 1024

# Room before that for what was left over: at most a header and a control frame's payload.
HEADROOM = 256

# Of those that nobody uses, so many are kept.
MOST_SPARE = 16

spare: list[bytearray] = []


def take_buffer() -> bytearray:
    """Give a buffer that nobody else uses until it is given back."""
    try:
        return spare.pop()
    except IndexError:
        return bytearray(HEADROOM + SIZE)


def give_buffer(buffer: bytearray) -> None:
    """Take a buffer back."""
    if len(spare) < MOST_SPARE:
        spare.append(buffer)
