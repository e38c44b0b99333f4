"""Compression of messages as permessage-deflate wants it (RFC 7692 section 7.2).

Two implementations of zlib are used where both are there (`FAST_ZLIB`). zlib-ng compresses long
messages in a half to a third of the time, short ones in about the same. But with window bits 12 and
memLevel 5 a compressor of zlib-ng holds 160 KiB of memory and a decompressor 29 KiB, where zlib
needs 38 and 11. So with a small window a connection keeps those of zlib from message to message,
and a message to send that is as long as the window, which refers mostly to itself, gets a
compressor of zlib-ng for itself. With a large window the difference is not worth that.
"""

from __future__ import annotations

import os
import typing as t
import zlib

from ..exceptions import PayloadTooBig, ProtocolError
from ..typing import BytesLike

__all__ = ["FAST_ZLIB", "MessageDeflater", "MessageInflater"]

FAST_ZLIB: t.Any = zlib
"""The faster module, for long messages and large windows: zlib-ng where it is installed.

The environment variable ``TIDEGATE_ZLIB=stdlib`` makes it the one of the standard library.
"""

if os.environ.get("TIDEGATE_ZLIB") != "stdlib":
    try:
        from zlib_ng import zlib_ng as FAST_ZLIB
    except ImportError:
        pass

_ERRORS: tuple[type[Exception], ...] = (zlib.error, FAST_ZLIB.error)

# What a sender takes off the end of a message, and a receiver puts back (RFC 7692 section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"

# An empty block of data without that tail (RFC 7692 section 7.2.3.6).
_EMPTY_BLOCK = b"\x00"

# Up to this size of window, the contexts of zlib hold much less memory than those of zlib-ng.
_MAX_SMALL_WINDOW_BITS = 13

# How many final blocks a message may have: so many, and one more for each so many bytes. An
# inflater is made after each, for as little as two bytes; honest messages have one, or one in each
# fragment.
_MAX_FINAL_BLOCKS = 16
_BYTES_PER_FINAL_BLOCK = 1024

# After a final block data is inflated in pieces of this size, in bytes, because an inflater that
# ends copies what it leaves.
_PIECE_SIZE = 4096


def _choose_zlib(window_bits: int) -> t.Any:
    """Give the module for contexts that are kept."""
    return zlib if window_bits <= _MAX_SMALL_WINDOW_BITS else FAST_ZLIB


class MessageDeflater:
    """Compresses messages.

    Its context is made when it is first needed.

    Args:
        window_bits: the logarithm of the window size, 9 to 15.
        no_context_takeover: whether each message is compressed by itself.
        settings: more arguments for ``zlib.compressobj()``, such as ``level`` and ``memLevel``.
    """

    __slots__ = (
        "_compressor",
        "_current",
        "_key",
        "_unseen",
        "_zlib",
        "no_context_takeover",
        "settings",
        "window_bits",
        "window_size",
    )

    def __init__(
        self, window_bits: int, no_context_takeover: bool, settings: dict[str, t.Any]
    ) -> None:
        self.window_bits = window_bits
        self.window_size = 1 << window_bits
        self.no_context_takeover = no_context_takeover
        self.settings = settings
        self._zlib = _choose_zlib(window_bits)
        # The compressor that is kept, and the end of what it didn't see.
        self._compressor: t.Any = None
        self._unseen = b""
        # The compressor of the message that is being sent in fragments.
        self._current: t.Any = None
        self._key: tuple[t.Any, ...] | None = None

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
        self._end(compressor, data)
        return compressed[:-4]

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
        if not fin:
            return compressed
        self._current = None
        self._end(compressor, data)
        # There is nothing to flush if the last fragment is empty.
        return compressed[:-4] if compressed else _EMPTY_BLOCK

    def compress_alone(self, data: BytesLike) -> bytes:
        """Compress a message without regard to other messages, and without changing the context.

        The result can be sent on every connection whose deflater has the same `key`, if `restart`
        is called on each.
        """
        if len(data) == 0:
            return _EMPTY_BLOCK
        compressor = self._make(FAST_ZLIB if len(data) >= self.window_size else self._zlib)
        compressed: bytes = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return compressed[:-4]

    @property
    def key(self) -> tuple[t.Any, ...]:
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
        self._unseen = b""

    def close(self) -> None:
        """Free the memory of the context."""
        self.restart()
        self._current = None

    def _make(self, module: t.Any, **settings: t.Any) -> t.Any:
        return module.compressobj(wbits=-self.window_bits, **settings, **self.settings)

    def _begin(self, size: int) -> t.Any:
        """Give the compressor for a message of ``size`` bytes, or one that begins with so many."""
        if size >= self.window_size and self._zlib is not FAST_ZLIB:
            return self._make(FAST_ZLIB)
        if self._compressor is None:
            if self._unseen:
                self._compressor = self._make(self._zlib, zdict=self._unseen)
                self._unseen = b""
            else:
                self._compressor = self._make(self._zlib)
        return self._compressor

    def _end(self, compressor: t.Any, data: BytesLike) -> None:
        """Keep what the next message can refer to; ``data`` is the end of this one."""
        if self.no_context_takeover:
            self._compressor = None
        elif compressor is not self._compressor:
            self._compressor = None
            self._unseen = bytes(data[max(len(data) - self.window_size, 0) :])


class MessageInflater:
    """Decompresses messages.

    Its context is made when it is first needed.

    Args:
        window_bits: the logarithm of the window size, 8 to 15.
        no_context_takeover: whether each message was compressed by itself.
    """

    __slots__ = (
        "_final_blocks",
        "_inflater",
        "_is_inside",
        "_received",
        "_window",
        "_zlib",
        "no_context_takeover",
        "window_bits",
        "window_size",
    )

    def __init__(self, window_bits: int, no_context_takeover: bool) -> None:
        # Some compressors that are told to use 8 bits use 9.
        self.window_bits = max(window_bits, 9)
        self.window_size = 1 << self.window_bits
        self.no_context_takeover = no_context_takeover
        self._zlib = _choose_zlib(window_bits)
        self._inflater: t.Any = None
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
        stream may follow or not; it can refer to what was before (RFC 7692 section 7.2.3.4).

        Args:
            data: the compressed bytes.
            fin: whether they are the last of the message.
            max_length: the most bytes that may come out now.

        Raises:
            PayloadTooBig: if more than ``max_length`` bytes would come out; they aren't made.
            ProtocolError: if the data isn't valid. The connection is to be closed with 1002, as
                for other violations of the protocol.
        """
        length = len(data)
        inflated = b""
        # Where no stream has begun, the tail must not begin one: RFC 7692 section 7.2.3.6.
        if self._is_inside or length > 1 or (length and not (fin and data[0] == 0)):
            self._received += length
            try:
                inflated = self._inflate(data, fin, max_length)
            except _ERRORS as exc:
                raise ProtocolError("decompression failed") from exc
        if fin:
            self._is_inside = False
            self._received = self._final_blocks = 0
            if self.no_context_takeover:
                self.close()
        return inflated

    def close(self) -> None:
        """Free the memory of the context."""
        self._inflater = None
        self._window.clear()

    def _inflate(self, data: BytesLike, fin: bool, max_length: int | None) -> bytes:
        """Inflate data, with the tail behind it at the end of a message."""
        if fin:
            data = b"".join((data, _TAIL))
        inflater = self._inflater
        if inflater is None:
            self._inflater = inflater = self._make()
        self._is_inside = True
        # One byte more than allowed tells too much from just enough; 0 means no limit.
        inflated: bytes = inflater.decompress(data, 0 if max_length is None else max_length + 1)
        if inflater.eof:
            self._remember(inflated)
            left = None if max_length is None else max_length - len(inflated)
            inflated += self._inflate_more(inflater.unused_data, fin, left)
        elif not (fin and self.no_context_takeover):
            self._remember(inflated)
        if max_length is not None and len(inflated) > max_length:
            raise PayloadTooBig(None, max_length)
        return inflated

    def _inflate_more(self, data: bytes, fin: bool, max_length: int | None) -> bytes:
        """Inflate what is behind a final block, up to one byte more than ``max_length``."""
        self._count_final_block()
        inflated = bytearray()
        inflater: t.Any = None
        view = memoryview(data)
        pos = 0
        while pos < len(data) and (max_length is None or len(inflated) <= max_length):
            if inflater is None:
                # At the end of a message, the tail doesn't begin another stream.
                if fin and view[pos:] in (_TAIL, _EMPTY_BLOCK + _TAIL):
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

    def _make(self) -> t.Any:
        """Make an inflater that has the window of the one before."""
        if not self._window:
            return self._zlib.decompressobj(wbits=-self.window_bits)
        window = bytes(self._window[max(len(self._window) - self.window_size, 0) :])
        return self._zlib.decompressobj(wbits=-self.window_bits, zdict=window)

    def _remember(self, inflated: bytes) -> None:
        """Keep the last bytes as a window."""
        window = self._window
        if len(inflated) >= self.window_size:
            window[:] = inflated[len(inflated) - self.window_size :]
        else:
            window += inflated
            if len(window) > self.window_size + _PIECE_SIZE:
                del window[: len(window) - self.window_size]
