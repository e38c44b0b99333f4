"""Compression of messages as permessage-deflate wants it (RFC 7692, section 7.2).

A compressor or decompressor of zlib is much larger than the window that the next message can
refer to: with window bits 12 and memLevel 5, 38 and 11 KiB beside 4. So every connection keeps the
window, and the connections that are busy, as many as `KEPT` has places for, keep a context too; the
others make one from the window when they need it. Where there are many, that is also faster than to
fetch contexts from memory.

Two implementations of zlib are used where both are there (`FAST_ZLIB`). zlib-ng takes a half to two
thirds of the time, but 160 and 29 KiB. A few of those stay in the processor's cache, where many
would drive each other out of it and be slower than zlib. So the first places are for contexts of
zlib-ng, the others for those of zlib; and a message that is long for its window is given to a
compressor of zlib-ng that is made for it.
"""

from __future__ import annotations

import os
import zlib
from typing import Any

from ..exceptions import InvalidData, PayloadTooBig, ProtocolError
from ..signatures import ClassSignature
from ..typing import BytesLike
from .contexts import KEPT

__all__ = ["FAST_ZLIB", "MessageDeflater", "MessageInflater"]

FAST_ZLIB: Any = zlib
"""The faster module, for long messages and large windows: zlib-ng where it is installed.

The environment variable ``TIDEGATE_ZLIB=stdlib`` makes it the one of the standard library.
"""

if os.environ.get("TIDEGATE_ZLIB") != "stdlib":
    try:
        from zlib_ng import zlib_ng as FAST_ZLIB
    except ImportError:
        pass

_ERRORS: tuple[type[Exception], ...] = (zlib.error, FAST_ZLIB.error)

# What a sender takes off the end of a message, and a receiver puts back (RFC 7692, section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"

# An empty block of data without that tail (RFC 7692, section 7.2.3.6).
_EMPTY_BLOCK = b"\x00"

# So many contexts of zlib-ng, with a small window, are still faster than those of zlib.
_FAST_PLACES = 32

# Above this size of window, those of zlib are hardly smaller than those of zlib-ng.
_MAX_SMALL_WINDOW_BITS = 13

# Where a block has ended, these change nothing. Where one was cut off, they are data of it, its
# codes, or invalid: so many bytes don't pass unnoticed through the largest table of codes.
_EMPTY_BLOCKS = (_EMPTY_BLOCK + _TAIL) * 64

_END = _TAIL + _EMPTY_BLOCKS

# How many final blocks a message may have: so many, and one more for each so many bytes. An
# inflater is made after each, for as little as two bytes; honest messages have one, or one in each
# fragment.
_MAX_FINAL_BLOCKS = 16
_BYTES_PER_FINAL_BLOCK = 1024

# After a final block data is inflated in pieces of this size, in bytes, because an inflater that
# ends copies what it leaves. So much more than a window may be kept, so that it moves rarely.
_PIECE_SIZE = 4096


def _choose_zlib(window_bits: int, place: int) -> Any:
    """Give the module for a context that is kept in a place of `KEPT`."""
    return FAST_ZLIB if place < _FAST_PLACES or window_bits > _MAX_SMALL_WINDOW_BITS else zlib


def _extend_window(window: bytearray, size: int, data: BytesLike) -> None:
    """Add data to a window, which has its last ``size`` bytes, or some more."""
    if len(data) >= size:
        window[:] = memoryview(data)[len(data) - size :]
    else:
        window += data
        if len(window) > size + _PIECE_SIZE:
            del window[: len(window) - size]


def _cut_window(window: bytearray, size: int) -> bytes:
    """Give the last ``size`` bytes of a window."""
    return bytes(window[max(len(window) - size, 0) :])


def _stands(inflater: Any, blocks: bytes) -> bool:
    """Say whether an inflater takes empty blocks for what they are."""
    try:
        return not inflater.decompress(blocks, 1) and not inflater.eof
    except _ERRORS:
        return False


class MessageDeflater:
    """Compresses messages.

    Its context is made when it is first needed.

    Args:
        window_bits: the logarithm of the window size, 9 to 15.
        no_context_takeover: whether each message is compressed by itself.
        settings: more arguments for ``zlib.compressobj()``, such as ``level`` and ``memLevel``.

    Attributes:
        used: see `ContextHolder`.
    """

    __slots__ = (
        "__weakref__",
        "_compressor",
        "_current",
        "_key",
        "_place",
        "_window",
        "_zlib",
        "no_context_takeover",
        "settings",
        "used",
        "window_bits",
        "window_size",
    )

    __signature__ = ClassSignature()

    def __init__(
        self, window_bits: int, no_context_takeover: bool, settings: dict[str, Any]
    ) -> None:
        self.window_bits = window_bits
        self.window_size = 1 << window_bits
        self.no_context_takeover = no_context_takeover
        self.settings = settings
        # The compressor that is kept, its place among all that are, and what it is made with there.
        self._compressor: Any = None
        self._place = -1
        self._zlib: Any = None
        self.used = False
        # What the next message can refer to. It's made late because most connections are idle.
        self._window: bytearray | None = None
        # The compressor of the message that is being sent in fragments.
        self._current: Any = None
        self._key: tuple[Any, ...] | None = None

    def compress(self, data: BytesLike) -> bytes:
        """Compress a whole message.

        Args:
            data: the payload.

        Returns:
            The payload of a frame with RSV1 set.
        """
        if len(data) == 0:
            return _EMPTY_BLOCK
        compressor = self._begin(len(data))
        compressed: bytes = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        self._remember(data)
        self._end(compressor)
        return compressed[: len(compressed) - 4]

    def compress_fragment(self, data: BytesLike, fin: bool) -> bytes:
        """Compress a fragment of a message.

        Args:
            data: the payload.
            fin: whether it is the last of the message.

        Returns:
            The payload of a frame; RSV1 is set on the first of a message.
        """
        compressor = self._current
        if compressor is None:
            if fin:
                return self.compress(data)
            self._current = compressor = self._begin(len(data))
        compressed: bytes = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        self._remember(data)
        if not fin:
            return compressed
        self._current = None
        self._end(compressor)
        # There is nothing to flush if the last fragment is empty.
        return compressed[: len(compressed) - 4] if compressed else _EMPTY_BLOCK

    def compress_alone(self, data: BytesLike) -> bytes:
        """Compress a message without regard to other messages, and without changing the context.

        The result can be sent on every connection whose deflater has the same `key`, if `restart`
        is called on each.
        """
        if len(data) == 0:
            return _EMPTY_BLOCK
        compressor = self._make(self._choose_alone(len(data)), None)
        compressed: bytes = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return compressed[: len(compressed) - 4]

    @property
    def key(self) -> tuple[Any, ...]:
        """What the result of `compress_alone` depends on besides the data."""
        if self._key is None:
            self._key = (self.window_bits, *sorted(self.settings.items()))
        return self._key

    def restart(self) -> None:
        """Don't refer to earlier messages in the next one, which is always allowed.

        It is necessary after a message that this object didn't compress went to the peer
        compressed: the peer's window has moved.
        """
        self._compressor = None
        self._window = None

    def close(self) -> None:
        """Free the memory of the context."""
        self.restart()
        self._current = None
        if self._place >= 0:
            KEPT.give_back(self._place, self)
            self._place = -1

    def drop_context(self) -> None:
        """Let go of the compressor and its place; another one will have the same window."""
        self._compressor = None
        self._place = -1

    def _choose_alone(self, size: int) -> Any:
        """Give the module for a message of ``size`` bytes by itself."""
        return zlib if self._is_short(size) else FAST_ZLIB

    def _is_short(self, size: int) -> bool:
        """Say whether making a compressor of zlib-ng for a message takes longer than it saves."""
        return self.window_bits <= _MAX_SMALL_WINDOW_BITS and size <= self.window_size // 4

    def _make(self, module: Any, window: bytearray | None) -> Any:
        """Make a compressor that refers to what a window has, if there is one."""
        if not window:
            return module.compressobj(wbits=-self.window_bits, **self.settings)
        zdict = _cut_window(window, self.window_size)
        return module.compressobj(wbits=-self.window_bits, zdict=zdict, **self.settings)

    def _begin(self, size: int) -> Any:
        """Give the compressor for a message of ``size`` bytes, or one that begins with so many."""
        if self.no_context_takeover:
            return self._make(self._choose_alone(size), None)
        self.used = True
        if self._place < 0:
            self._place = KEPT.take(self)
            self._zlib = _choose_zlib(self.window_bits, self._place)
        if self._zlib is not FAST_ZLIB and not self._is_short(size):
            return self._make(FAST_ZLIB, self._window)
        if self._compressor is None:
            self._compressor = self._make(self._zlib, self._window)
        return self._compressor

    def _remember(self, data: BytesLike) -> None:
        """Keep what the next message can refer to."""
        if self.no_context_takeover:
            return
        if self._window is None:
            self._window = bytearray()
        _extend_window(self._window, self.window_size, data)

    def _end(self, compressor: Any) -> None:
        """Let go of the compressor that is kept if it didn't see this message."""
        if compressor is not self._compressor:
            self._compressor = None


class MessageInflater:
    """Decompresses messages.

    Its context is made when it is first needed.

    Args:
        window_bits: the logarithm of the window size, 8 to 15.
        no_context_takeover: whether each message was compressed by itself.

    Attributes:
        used: see `ContextHolder`.
    """

    __slots__ = (
        "__weakref__",
        "_final_blocks",
        "_inflater",
        "_is_inside",
        "_place",
        "_received",
        "_window",
        "_zlib",
        "no_context_takeover",
        "used",
        "window_bits",
        "window_size",
    )

    __signature__ = ClassSignature()

    def __init__(self, window_bits: int, no_context_takeover: bool) -> None:
        # Some compressors that are told to use 8 bits use 9.
        self.window_bits = max(window_bits, 9)
        self.window_size = 1 << self.window_bits
        self.no_context_takeover = no_context_takeover
        # The inflater, its place among the contexts that are kept, and what it is made with.
        self._inflater: Any = None
        self._place = -1
        self._zlib: Any = None
        self.used = False
        # The last bytes that came out, as many as the window has, or some more: an inflater doesn't
        # show its window, and the next one has to have it after a final block.
        self._window = bytearray()
        # Whether the inflater has seen something since the message, or since a stream, began.
        self._is_inside = False
        # Bytes and final blocks of this message.
        self._received = 0
        self._final_blocks = 0

    def decompress(self, data: BytesLike, fin: bool, max_length: int | None = None) -> bytes:
        """Decompress a piece of a message.

        The pieces can be fragments, parts of them, or a whole message. A message whose payload is
        empty is an empty message. After a block with BFINAL set, which ends a stream, another
        stream may follow or not; it can refer to what was before (RFC 7692, section 7.2.3.4).

        Args:
            data: the compressed bytes.
            fin: whether they are the last of the message.
            max_length: the most bytes that may come out now.

        Raises:
            PayloadTooBig: if more than ``max_length`` bytes would come out; they aren't made.
            InvalidData: if the message ends within a block.
            ProtocolError: if the data isn't valid otherwise. The connection is to be closed with
                1002, as for other violations of the protocol.
        """
        length = len(data)
        inflated = b""
        # Where no stream has begun, the tail must not begin one: RFC 7692, section 7.2.3.6.
        if self._is_inside or length > 1 or (length and not (fin and data[0] == 0)):
            self._received += length
            try:
                inflated = self._inflate(data, fin, max_length)
            except _ERRORS as exc:
                raise ProtocolError("decompression failed") from exc
        if fin:
            self._is_inside = False
            self._received = self._final_blocks = 0
            if self._place < 0:
                self._inflater = None
            if self.no_context_takeover:
                # Of a message in fragments, or with final blocks in it.
                self._window = bytearray()
        return inflated

    def close(self) -> None:
        """Free the memory of the context."""
        self._inflater = None
        self._window.clear()
        if self._place >= 0:
            KEPT.give_back(self._place, self)
            self._place = -1

    def drop_context(self) -> None:
        """Let go of the inflater, after the message that it is in, and of its place."""
        self._place = -1
        if not self._is_inside:
            self._inflater = None

    def _choose(self) -> None:
        """Choose the module, and take a place if the inflater is for more than one message."""
        if self.no_context_takeover:
            self._zlib = FAST_ZLIB
        elif self._place < 0:
            self._place = KEPT.take(self)
            self._zlib = _choose_zlib(self.window_bits, self._place)

    def _inflate(self, data: BytesLike, fin: bool, max_length: int | None) -> bytes:
        """Inflate data, with the tail behind it at the end of a message."""
        self.used = True
        inflater = self._inflater
        if inflater is None:
            self._choose()
            self._inflater = inflater = self._make()
        self._is_inside = True
        # One byte more than allowed tells too much from just enough; 0 means no limit.
        inflated: bytes = inflater.decompress(data, 0 if max_length is None else max_length + 1)
        if inflater.eof:
            self._remember(inflated)
            left = None if max_length is None else max_length - len(inflated)
            inflated += self._inflate_more(inflater.unused_data, fin, left)
        elif not self.no_context_takeover or not fin:
            self._remember(inflated)
        if max_length is not None and len(inflated) > max_length:
            raise PayloadTooBig(None, max_length)
        if fin and self._is_inside:
            self._check_end(self._inflater, len(data) == 0)
        return inflated

    def _check_end(self, inflater: Any, empty: bool) -> None:
        """Inflate the tail, and refuse a message that ends within a block.

        Args:
            inflater: what inflated the message.
            empty: whether the last fragment is empty. The one before may have its own tail then.

        """
        if empty and _stands(inflater.copy(), _EMPTY_BLOCKS):
            return
        if not _stands(inflater, _END):
            raise InvalidData("a compressed message ends within a block")

    def _inflate_more(self, data: bytes, fin: bool, max_length: int | None) -> bytes:
        """Inflate what is behind a final block, up to one byte more than ``max_length``."""
        self._count_final_block()
        inflated = bytearray()
        inflater: Any = None
        view = memoryview(data)
        pos = 0
        while pos < len(data) and (max_length is None or len(inflated) <= max_length):
            if inflater is None:
                # At the end of a message, the tail doesn't begin another stream.
                if fin and view[pos:] == _EMPTY_BLOCK:
                    break
                inflater = self._make()
            piece = view[pos : pos + _PIECE_SIZE]
            limit = 0 if max_length is None else max_length - len(inflated) + 1
            more = inflater.decompress(piece, limit)
            inflated += more
            self._remember(more)
            pos += len(piece)
            if inflater.eof:
                pos -= len(inflater.unused_data)
                inflater = None
                self._count_final_block()
        self._inflater = inflater
        self._is_inside = inflater is not None
        return bytes(inflated)

    def _count_final_block(self) -> None:
        self._final_blocks += 1
        if self._final_blocks > _MAX_FINAL_BLOCKS + self._received // _BYTES_PER_FINAL_BLOCK:
            raise ProtocolError("too many final blocks in a compressed message")

    def _make(self) -> Any:
        """Make an inflater that has the window of the one before."""
        if not self._window:
            return self._zlib.decompressobj(wbits=-self.window_bits)
        window = _cut_window(self._window, self.window_size)
        return self._zlib.decompressobj(wbits=-self.window_bits, zdict=window)

    def _remember(self, inflated: bytes) -> None:
        """Keep the last bytes as a window."""
        _extend_window(self._window, self.window_size, inflated)
