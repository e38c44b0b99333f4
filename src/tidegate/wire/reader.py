"""Received bytes -> frames -> messages.

One reader belongs to one connection. It can be read in two ways: `next_frame_data` gives frame by
frame, for the Sans-I/O protocol; `next_message` gives whole messages straight from the buffer, for
the faces that wait. Both go through `next_frame` and `frame_data`, so both obey the same rules.

The bytes come from a buffer of the reader's own (`feed`) or from one that is lent to it for the
time of a read callback (`lend`, `give_back`), so that an idle connection owns no buffer at all.
"""

from __future__ import annotations

import collections
import sys
from typing import TYPE_CHECKING, Any

from ..exceptions import PayloadTooBig, ProtocolError
from ..frames import Frame, Opcode
from ..signatures import ClassSignature

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from .kernels import (
        UTF8_INVALID,
        mask_key_at,
        payload_bytes,
        payload_grown,
        payload_new,
        payload_put,
        payload_text,
        payload_unmask,
        payload_utf8,
        payload_view,
        take_bytes,
        take_text,
    )

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..extensions.base import Extension

CONT = 0
TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

# After so many fragments without a message's end, who reads is asked whether to go on.
MANY_FRAGMENTS = 64

# What next_message() returns when a control frame was read instead of a message.
CONTROL: Any = object()

EMPTY = bytearray()

# A payload's memory is taken as it arrives, in steps that grow by this factor from this size, so a
# header that promises a lot costs little. Up to the first step, and up to this many times what has
# come with the header, the right size is taken at once.
FIRST_STEP = 16 * 1024
GROWTH = 4

# The largest object that there can be: much less than a frame can promise on a 32-bit machine.
MOST_BYTES = sys.maxsize

# Chunks of a message that nobody takes are joined when there are so many of them: the memory held
# is then bounded by the message's size, whatever the number of its fragments.
MOST_CHUNKS = 4096


def weigh(data: Any, unit: int) -> int:
    """Say for how many messages one counts, or a chunk of one, that waits to be taken.

    Args:
        data: the message or the chunk.
        unit: it counts for one more for each so many bytes or characters; 0 for none.

    """
    return 1 + len(data) // unit if unit else 1


class Fragments:
    """A fragmented message, complete or growing, that keeps the boundaries of its fragments."""

    def __init__(self, text: bool) -> None:
        self.text = text
        self.chunks: collections.deque[bytes | bytearray] = collections.deque()
        self.complete = False

    def weight(self, unit: int) -> int:
        """What the chunks count for."""
        if not unit:
            return len(self.chunks)
        return sum([weigh(chunk, unit) for chunk in self.chunks])

    def add(self, chunk: bytes, unit: int) -> int:
        """Add a chunk; give the change in what all count for."""
        if len(self.chunks) < MOST_CHUNKS:
            self.chunks.append(chunk)
            return weigh(chunk, unit)
        before = self.weight(unit)
        # The first chunk is a bytearray after the first time, which grows at amortised cost.
        head = self.chunks.popleft()
        if not isinstance(head, bytearray):
            head = bytearray(head)
        for other in self.chunks:
            head += other
        head += chunk
        self.chunks.clear()
        self.chunks.append(head)
        return weigh(head, unit) - before

    def joined(self) -> str | bytes:
        """The whole message."""
        data = b"".join(self.chunks)
        return data.decode() if self.text else data


class FrameReader:
    """Reads the frames that one peer sends.

    Args:
        expect_mask: whether the peer must mask its frames, as clients do (RFC 6455, section 5.1).
        max_message_size: limit on a message, after decompression, in bytes; -1 for none.
        max_frame_size: limit on a frame, after decompression, in bytes; -1 for none.

    """

    __signature__ = ClassSignature()

    def __init__(self, expect_mask: bool, max_message_size: int, max_frame_size: int) -> None:
        self.expect_mask = expect_mask
        self.max_message_size = max_message_size
        self.max_frame_size = max_frame_size
        self.buffer = EMPTY
        self.pos = 0
        self.end = 0
        self.lent = False
        self.opcode = 0
        self.fin = False
        self.rsv = 0
        self.key = 0
        self.length = 0
        self.start = 0
        self.payload: Any = None
        self.capacity = 0
        self.filled = 0
        self.message_opcode = 0
        self.compressed = False
        self.message_size = 0
        self.utf8_state = 0
        self.partial: Fragments | None = None
        self.stopped = False
        self.discarding = False
        self.deflate: Any = None
        self.other_extensions: tuple[Extension, ...] = ()
        self.plain = True
        self.simple = True
        self.queue: Any = None
        self.log: Callable[[int, bytes, bool], None] | None = None
        self.held = 0
        # What counts for one more message, so that large ones fill a queue sooner, in bytes.
        self.unit = 0
        self.queued = False
        self.interrupted = False
        self.frames_read = 0
        self.messages_read = 0
        self.bytes_read = 0

    def configure(self, extensions: Sequence[Extension]) -> None:
        """Use the extensions that were negotiated, in the order of the response header."""
        # permessage-deflate alone has a path of its own, without Frame objects.
        alone = len(extensions) == 1 and hasattr(extensions[0], "decompress")
        self.deflate = extensions[0] if alone else None
        self.other_extensions = () if alone else tuple(extensions)
        self.plain = not extensions
        self.simple = not self.other_extensions and self.log is None

    # The buffer

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Add received bytes to the reader's own buffer."""
        self.bytes_read += len(data)
        if self.stopped:
            return
        if self.pos == self.end:
            self.buffer = bytearray(data)
        else:
            if self.pos:
                self.buffer = self.buffer[self.pos : self.end]
            self.buffer += data
        self.pos = 0
        self.end = len(self.buffer)

    def lend(self, buffer: bytearray, start: int, end: int) -> None:
        """Read from ``buffer[start:end]``, which begins with what is unread, until `give_back`."""
        self.bytes_read += end - start - (self.end - self.pos)
        self.buffer = buffer
        self.pos = start
        self.end = end
        self.lent = True

    def give_back(self) -> None:
        """Let go of the lent buffer, keeping a copy of what was not read."""
        if self.lent:
            self.lent = False
            if self.pos < self.end and not self.stopped:
                self.buffer = self.buffer[self.pos : self.end]
                self.end -= self.pos
            else:
                self.buffer = EMPTY
                self.end = 0
            self.pos = 0

    def unread(self) -> int:
        """The number of bytes in the buffer that were not read yet."""
        return self.end - self.pos

    def rest(self) -> bytes:
        """A copy of the bytes in the buffer that were not read yet."""
        return bytes(self.buffer[self.pos : self.end])

    def stop(self) -> None:
        """Read nothing any more: after a Close frame or a failure."""
        self.stopped = True
        self.pos = self.end
        self.payload = None
        if not self.lent:
            self.buffer = EMPTY
            self.pos = self.end = 0

    def truncation(self) -> str:
        """What is wrong with an end of the stream at this point."""
        if self.payload is not None:
            return f"stream ends after {self.filled} bytes, expected {self.length} bytes"
        if self.end > self.pos:
            have = self.end - self.pos
            return f"stream ends after {have} bytes, in the middle of a frame"
        return "unexpected end of stream"

    # Frames

    def next_frame(self) -> bool:
        """Read a frame; False if more bytes are needed first.

        The frame's header is then in ``opcode``, ``fin``, ``rsv``, ``key`` and ``length``, its
        payload in ``payload`` if there is one, else in the buffer at ``start``.
        """
        if self.payload is not None:
            return self.fill_payload()
        pos = self.pos
        have = self.end - pos
        if have < 2 or self.stopped:
            return False
        buffer = self.buffer
        first = buffer[pos]
        second = buffer[pos + 1]
        opcode = first & 0x0F
        if (second >= 0x80) != self.expect_mask:
            raise ProtocolError("incorrect masking")
        length = second & 0x7F
        header = 2
        if length >= 126:
            header = 4 if length == 126 else 10
            if opcode >= CLOSE:
                # A control frame has none of these lengths.
                self.check_header(opcode, first >= 0x80, first & 0x70, length)
            if have < header:
                # What is wrong whatever the length is refused without waiting for it.
                self.check_header(opcode, first >= 0x80, first & 0x70, 0)
                return False
            wide = 0
            for i in range(2, header):
                wide = wide << 8 | buffer[pos + i]
            # RFC 6455, section 5.2: the most significant bit of a 64-bit length is 0.
            if wide > 0x7FFFFFFFFFFFFFFF:
                raise ProtocolError("invalid frame length")
            # RFC 6455, section 5.2: the minimal number of bytes must be used.
            if wide < (126 if header == 4 else 65536):
                raise ProtocolError("frame length isn't encoded in the fewest bytes")
            length = wide
        self.check_header(opcode, first >= 0x80, first & 0x70, length)
        if self.expect_mask:
            if have < header + 4:
                return False
            self.key = mask_key_at(buffer, pos + header)
            header += 4
        self.opcode = opcode
        self.fin = first >= 0x80
        self.rsv = first & 0x70
        self.length = length
        # Not ``header + length``, which may be too large for a C integer.
        if have - header >= length:
            self.start = pos + header
            self.pos = pos + header + length
            return True
        if opcode >= CLOSE:
            # Short, and of no use before it is complete: it stays in the buffer.
            return False
        self.pos = pos + header
        self.begin_payload()
        return self.fill_payload()

    def check_header(self, opcode: int, fin: bool, rsv: int, length: int) -> None:
        """Refuse a frame that must not stand here, before memory is taken for its payload."""
        if opcode >= CLOSE:
            if opcode > PONG:
                raise ProtocolError("invalid opcode")
            if rsv and not self.other_extensions:
                raise ProtocolError("reserved bits must be 0")
            # RFC 6455, section 5.5
            if length > 125:
                raise ProtocolError("control frame too long")
            if not fin:
                raise ProtocolError("fragmented control frame")
            return
        if opcode > BINARY:
            raise ProtocolError("invalid opcode")
        if rsv:
            if self.plain:
                raise ProtocolError("reserved bits must be 0")
            if self.deflate is not None:
                # RFC 7692, section 6: RSV1 tells of the message, in its first frame.
                if rsv != 0x40:
                    raise ProtocolError("reserved bits must be 0")
                if opcode == CONT:
                    raise ProtocolError("RSV1 bit set in continuation frame")
        if opcode == CONT:
            if not self.message_opcode:
                raise ProtocolError("unexpected continuation frame")
        elif self.message_opcode:
            raise ProtocolError("expected a continuation frame")
        compressed = rsv != 0 or (opcode == CONT and self.compressed)
        # Deflate can make a message slightly larger (RFC 1951, section 3.2.4: 5 bytes per block).
        allowance = 64 + (length >> 9) if compressed else 0
        if self.max_frame_size >= 0 and length - allowance > self.max_frame_size:
            raise PayloadTooBig(length, self.max_frame_size)
        if self.max_message_size >= 0:
            # The size of a compressed message is counted after decompression.
            before = 0 if compressed else self.message_size
            if length - allowance > self.max_message_size - before:
                raise PayloadTooBig(
                    length,
                    self.max_message_size - self.message_size,
                    self.message_size if self.message_opcode else None,
                )

    def begin_payload(self) -> None:
        """Make room for a payload that arrives in pieces."""
        n = (self.end - self.pos) * GROWTH
        if n < FIRST_STEP:
            n = FIRST_STEP
        if n > self.length:
            n = self.length
        self.capacity = n
        self.payload = payload_new(self.capacity)
        self.filled = 0
        if self.opcode:
            self.utf8_state = 0

    def fill_payload(self) -> bool:
        """Move bytes from the buffer to the payload; True when it is complete."""
        while True:
            n = self.end - self.pos
            if n > self.capacity - self.filled:
                n = self.capacity - self.filled
            if n:
                payload_put(self.payload, self.filled, self.buffer, self.pos, n, self.key)
                self.pos += n
                self.payload_received(n)
            if self.filled == self.length:
                return True
            if self.filled < self.capacity:
                return False
            wide = self.capacity
            wide *= GROWTH
            if wide > self.length:
                wide = self.length
            if wide > MOST_BYTES:
                # Not narrowed in silence, which would make a smaller place of it.
                raise PayloadTooBig(self.length, MOST_BYTES)
            self.capacity = wide
            self.payload = payload_grown(self.payload, self.filled, self.capacity)

    def payload_received(self, n: int) -> None:
        """Take note of ``n`` bytes more in the payload, unmasked; check them if they are text."""
        # Fail fast on invalid text (RFC 6455, section 8.1), also within a frame.
        text = self.opcode == TEXT or (self.opcode == CONT and self.message_opcode == TEXT)
        if text and not self.rsv and not self.compressed and not self.other_extensions:
            self.utf8_state = payload_utf8(self.payload, self.filled, n, self.utf8_state)
            if self.utf8_state >= UTF8_INVALID:
                raise invalid_utf8(bytes(self.payload[: self.filled + n]))
        self.filled += n

    def has_room(self, least: int) -> bool:
        """Whether `room` gives a view."""
        return self.payload is not None and self.capacity - self.filled >= least

    def room(self, least: int) -> Any:
        """A writable view where the payload goes on, or None if less than ``least`` is missing."""
        if not self.has_room(least):
            return None
        return payload_view(self.payload, self.filled, self.capacity)

    def received_in_room(self, n: int) -> None:
        """Take note of ``n`` bytes that were received into `room`."""
        self.bytes_read += n
        if self.payload is None:
            # Stopped since `room` was asked for: a transport may ask without receiving anything.
            return
        payload_unmask(self.payload, self.filled, n, self.key)
        self.payload_received(n)

    def take_payload(self) -> bytes:
        """The payload of the frame that `next_frame` has read."""
        if self.payload is not None:
            data = payload_bytes(self.payload, self.length)
            self.payload = None
            return data
        return take_bytes(self.buffer, self.start, self.length, self.key)

    def frame_data(self) -> bytes:
        """The data of the data frame that `next_frame` has read: decompressed and checked."""
        opcode = self.opcode
        scanned = self.payload is not None
        data = self.take_payload()
        if opcode:
            self.message_opcode = opcode
            self.compressed = self.rsv != 0
            if not scanned:
                self.utf8_state = 0
        if not self.plain and (self.other_extensions or self.compressed):
            scanned = False
            if opcode:
                self.utf8_state = 0
            limit = -1
            if self.max_message_size >= 0:
                limit = self.max_message_size - self.message_size
            if self.max_frame_size >= 0 and (limit < 0 or self.max_frame_size < limit):
                limit = self.max_frame_size
            data = self.extended(data, limit)
        self.message_size += len(data)
        if self.message_opcode == TEXT:
            if not scanned:
                self.utf8_state = payload_utf8(data, 0, len(data), self.utf8_state)
                if self.utf8_state >= UTF8_INVALID:
                    raise invalid_utf8(data)
            if self.fin and self.utf8_state:
                raise invalid_utf8(data, "unexpected end of data")
        if self.fin:
            self.message_opcode = 0
            self.message_size = 0
            self.compressed = False
        if self.log is not None:
            self.log(opcode, data, self.fin)
        return data

    def extended(self, data: bytes, limit: int) -> bytes:
        """``data`` as the extensions decode it, no more than ``limit`` bytes of it."""
        max_size = None if limit < 0 else limit
        try:
            if self.deflate is not None:
                return bytes(self.deflate.decompress(data, self.fin, max_size))
            rsv = self.rsv
            frame = Frame(
                Opcode(self.opcode),
                data,
                self.fin,
                rsv & 0x40 != 0,
                rsv & 0x20 != 0,
                rsv & 0x10 != 0,
            )
            for extension in reversed(self.other_extensions):
                frame = extension.decode(frame, max_size=max_size)
        except PayloadTooBig as exc:
            exc.set_current_size(self.message_size if self.message_size else None)
            raise
        frame.check()
        return bytes(memoryview(frame.data))

    def next_frame_data(self) -> tuple[int, bytes, bool] | None:
        """Read a frame: its opcode, its data and whether it is final; None if more is needed."""
        if not self.next_frame():
            return None
        self.frames_read += 1
        opcode = self.opcode
        fin = self.fin
        if opcode < CLOSE:
            data = self.frame_data()
        else:
            if self.other_extensions:
                self.decode_control()
            data = self.take_payload()
        return opcode, data, fin

    def decode_control(self) -> None:
        """Let the extensions decode a control frame; permessage-deflate alone has nothing to do."""
        self.payload = self.extended(self.take_payload(), 125)
        self.length = len(self.payload)

    # Messages

    def has_whole(self) -> bool:
        """Whether a small message, whole and in one frame, is what the buffer goes on with."""
        pos = self.pos
        have = self.end - pos
        if have < 2 or self.stopped or self.payload is not None:
            return False
        buffer = self.buffer
        first = buffer[pos]
        length = buffer[pos + 1] & 0x7F
        if first < 0x80 or first & 0x08 or not first & 0x07 or length == 127:
            return False
        header = 6 if self.expect_mask else 2
        if length == 126:
            if have < 4:
                return False
            length = buffer[pos + 2] << 8 | buffer[pos + 3]
            header += 2
        return have >= header + length

    def next_message(self, join: bool) -> Any:
        """Read a message: ``str``, ``bytes``, None if more is needed, or CONTROL.

        On CONTROL, a control frame was read and the caller takes its payload with `take_payload`.
        On None, ``queued`` says whether a fragmented message has just been completed in the queue;
        the caller should ask again if it wants more. ``interrupted`` says that there were many
        fragments, and that there may be more: time to see how long it takes.

        Args:
            join: whether to give a fragmented message, when it is complete and the first, rather
                than leave it in the queue with its fragments apart.

        """
        self.interrupted = False
        fragments = 0
        while self.next_frame():
            self.frames_read += 1
            if self.opcode >= CLOSE:
                if self.other_extensions:
                    self.decode_control()
                return CONTROL
            if self.fin and self.opcode and not self.rsv and self.simple:
                # A message in one frame, as is: nearly all of them.
                self.messages_read += 1
                if self.payload is None:
                    if self.opcode == TEXT:
                        return take_text(self.buffer, self.start, self.length, self.key)
                    return take_bytes(self.buffer, self.start, self.length, self.key)
                payload = self.payload
                self.payload = None
                if self.opcode == TEXT:
                    return payload_text(payload, self.length)
                return payload_bytes(payload, self.length)
            message = self.assemble(join)
            if message is not None or self.queued:
                return message
            fragments += 1
            if fragments == MANY_FRAGMENTS:
                self.interrupted = True
                return None
        return None

    def assemble(self, join: bool) -> Any:
        """Put the frame that was read to its message; give the message when it is complete."""
        self.queued = False
        first = self.opcode != CONT
        data = self.frame_data()
        partial = self.partial
        if self.fin:
            self.messages_read += 1
        if first:
            text = self.opcode == TEXT
            if self.discarding:
                return None
            if self.fin:
                return data.decode() if text else data
            partial = self.partial = Fragments(text)
            if self.queue is None:
                self.queue = collections.deque()
            self.queue.append(partial)
        if partial is None:
            return None
        # Empty fragments, of which there may be any number, are not worth their memory.
        if data or self.fin:
            self.held += partial.add(data, self.unit)
        if not self.fin:
            return None
        partial.complete = True
        self.partial = None
        if join and len(self.queue) == 1:
            return self.pop()
        self.queued = True
        return None

    # Messages that wait to be taken

    def discard(self) -> None:
        """Give no message any more but those that were begun; nobody wants others."""
        self.discarding = True
        self.simple = False

    def drop(self) -> None:
        """Forget all messages."""
        self.queue = None
        self.partial = None
        self.held = 0

    def put(self, message: Any) -> None:
        """Keep a message that `next_message` gave for a later `pop`."""
        if self.queue is None:
            self.queue = collections.deque()
        self.queue.append(message)
        self.held += weigh(message, self.unit)

    def has_message(self) -> bool:
        """Whether a complete message waits to be taken."""
        if not self.queue:
            return False
        head = self.queue[0]
        return not isinstance(head, Fragments) or head.complete

    def has_fragment(self) -> bool:
        """Whether a piece of a message waits to be taken by `pop_fragment`."""
        if not self.queue:
            return False
        head = self.queue[0]
        return not isinstance(head, Fragments) or bool(head.chunks)

    def pop(self) -> Any:
        """Take the first message; `has_message` says whether it is complete."""
        head = self.queue.popleft()
        if isinstance(head, Fragments):
            self.held -= head.weight(self.unit)
            return head.joined()
        self.held -= weigh(head, self.unit)
        return head

    def pop_fragment(self) -> Any:
        """Take a piece of the first message: ``(data, text, last)``, or None if none is there."""
        if not self.queue:
            return None
        head = self.queue[0]
        if not isinstance(head, Fragments):
            self.queue.popleft()
            self.held -= weigh(head, self.unit)
            if isinstance(head, str):
                return head.encode(), True, True
            return head, False, True
        if not head.chunks:
            return None
        chunk = head.chunks.popleft()
        self.held -= weigh(chunk, self.unit)
        last = head.complete and not head.chunks
        if last:
            self.queue.popleft()
        return bytes(chunk), head.text, last


def invalid_utf8(data: bytes, reason: str = "invalid start byte") -> UnicodeDecodeError:
    """The error of Python's decoder for ``data``, or one like it."""
    try:
        data.decode()
    except UnicodeDecodeError as exc:
        # Copied, because the traceback of the one that was raised refers to this frame.
        return UnicodeDecodeError(exc.encoding, exc.object, exc.start, exc.end, exc.reason)
    return UnicodeDecodeError("utf-8", data, max(len(data) - 1, 0), len(data), reason)
