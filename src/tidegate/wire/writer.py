"""Messages -> frames -> bytes to send."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..frames import Frame, Opcode
from ..signatures import ClassSignature

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from .kernels import frame_bytes, frame_text, header_bytes, mask_key_from

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..extensions.base import Extension

CONT = 0
TEXT = 1

# Payloads from this size on, in bytes, are not copied next to their header.
LARGE = 64 * 1024

# Mask keys must be unpredictable (RFC 6455, section 10.3), so they come from the system's CSPRNG,
# many at a time because a call to it costs more than a small frame.
POOL_SIZE = 4096

_pool = b""
_pool_pos = 0


def mask_key() -> int:
    """A new mask key."""
    global _pool, _pool_pos
    if _pool_pos + 4 > len(_pool):
        _pool = os.urandom(POOL_SIZE)
        _pool_pos = 0
    key = mask_key_from(_pool, _pool_pos)
    _pool_pos += 4
    return key


def drop_pool() -> None:
    """Forget the random bytes at hand."""
    global _pool, _pool_pos
    _pool = b""
    _pool_pos = 0


# A child process must not use the same keys as its parent.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=drop_pool)


def as_bytes(data: Any) -> bytes:
    """A bytes-like object as ``bytes``: a copy, unless it is ``bytes`` already.

    Raises:
        TypeError: if it is something else, such as a number.

    """
    # bytes(5) would be five zeros.
    return data if type(data) is bytes else bytes(memoryview(data))


class FrameWriter:
    """Writes the frames that one side sends, and knows what may be sent.

    Args:
        mask: whether to mask, as clients do (RFC 6455, section 5.1).
        state: the state of the connection, a value of `State`.

    Attributes:
        writes: what is to be sent, one object per frame; ``b""`` stands for the end of the stream.
        split: whether large frames may be two objects in ``writes``, so as not to copy the payload.
        pending: the size of ``writes``, in bytes.
        messages_written: how many messages were written, or the ends of fragmented ones.
        continuing: whether a fragmented message was begun and not yet ended.

    """

    __signature__ = ClassSignature()

    def __init__(self, mask: bool, state: int) -> None:
        self.mask = mask
        self.state = state
        self.split = False
        self.continuing = False
        self.compressing = False
        self.pending = 0
        self.messages_written = 0
        self.writes: list[Any] = []
        self.deflate: Any = None
        self.extensions: tuple[Extension, ...] = ()
        self.log: Callable[[int, Any, bool], None] | None = None

    def configure(self, extensions: Sequence[Extension]) -> None:
        """Use the extensions that were negotiated, in the order of the response header."""
        alone = len(extensions) == 1 and hasattr(extensions[0], "compress_fragment")
        self.deflate = extensions[0] if alone else None
        self.extensions = () if alone else tuple(extensions)

    def write_text(self, text: str) -> None:
        """Write a text message in one frame."""
        if self.deflate is None and not self.extensions and self.log is None:
            self.messages_written += 1
            self.append(frame_text(0x80 | TEXT, text, self.mask, mask_key() if self.mask else 0))
        else:
            self.write_data(TEXT, text.encode(), True, None)

    def write_bytes(self, opcode: int, data: bytes) -> None:
        """Write a message in one frame."""
        if self.deflate is None and not self.extensions and self.log is None:
            self.messages_written += 1
            self.write_frame(opcode, data, True, False)
        else:
            self.write_data(opcode, data, True, None)

    def write_data(self, opcode: int, data: Any, fin: bool, compress: bool | None) -> None:
        """Write a data frame, through the extensions.

        Args:
            compress: whether to compress the message where compression was negotiated; only its
                first frame decides.

        """
        # An object that isn't contiguous can't be compressed, and one of words has another length.
        data = as_bytes(data)
        if fin:
            self.messages_written += 1
        if self.log is not None:
            self.log(opcode, data, fin)
        if self.deflate is not None:
            if opcode != CONT:
                self.compressing = compress is None or compress
            if self.compressing:
                data = self.deflate.compress_fragment(data, fin)
            # RFC 7692, section 6: RSV1 tells of the message, in its first frame.
            self.write_frame(opcode, data, fin, opcode != CONT and self.compressing)
        else:
            self.write_extended(opcode, data, fin)
        self.continuing = not fin

    def write_control(self, opcode: int, data: bytes) -> None:
        """Write a control frame."""
        if self.log is not None:
            self.log(opcode, data, True)
        self.write_extended(opcode, data, True)

    def write_extended(self, opcode: int, data: bytes, fin: bool) -> None:
        """Write a frame, through extensions other than permessage-deflate alone."""
        if not self.extensions:
            self.write_frame(opcode, data, fin, False)
            return
        frame = Frame(Opcode(opcode), data, fin)
        for extension in self.extensions:
            frame = extension.encode(frame)
        first = (
            0x80 * frame.fin | 0x40 * frame.rsv1 | 0x20 * frame.rsv2 | 0x10 * frame.rsv3
        ) | int(frame.opcode)
        self.append(
            frame_bytes(first, as_bytes(frame.data), self.mask, mask_key() if self.mask else 0)
        )

    def write_frame(self, opcode: int, data: bytes, fin: bool, rsv1: bool) -> None:
        """Write a frame as it stands."""
        first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
        if self.split and not self.mask and len(data) >= LARGE:
            self.append(header_bytes(first, len(data)))
            self.append(data)
        else:
            self.append(frame_bytes(first, data, self.mask, mask_key() if self.mask else 0))

    def write_shared(self, opcode: int, data: bytes, made: dict[Any, bytes]) -> None:
        """Write a message that others get, too, in one frame that is made once.

        Args:
            made: the frames made so far, by what makes them different.

        """
        if self.mask or self.extensions or self.log is not None:
            # Each has a mask key of its own, or an extension that nobody knows, or a log.
            self.write_data(opcode, data, True, None)
            return
        deflater = None if self.deflate is None else self.deflate.deflater
        kind = None if deflater is None else deflater.key
        frame = made.get(kind)
        if frame is None:
            if deflater is None:
                frame = frame_bytes(0x80 | opcode, data, False, 0)
            else:
                frame = frame_bytes(0xC0 | opcode, deflater.compress_alone(data), False, 0)
            made[kind] = frame
        if deflater is not None:
            # The peer's window then holds a message that the compressor hasn't seen.
            deflater.restart()
        self.messages_written += 1
        self.append(frame)

    def append(self, data: bytes) -> None:
        """Add bytes to send; ``b""`` ends the stream."""
        self.writes.append(data)
        self.pending += len(data)

    def take(self) -> list[Any]:
        """What is to be sent, which is the caller's to send now."""
        writes = self.writes
        self.writes = []
        self.pending = 0
        return writes
