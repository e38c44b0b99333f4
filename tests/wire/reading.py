"""Reads bytes in the ways in which a connection does, and says what came of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from tidegate.extensions.base import Extension
from tidegate.wire.reader import FrameReader

from .exposed import CONTROL, methods

HEADROOM = 256


@dataclasses.dataclass
class Outcome:
    """What was read, control frames apart, and the error that ended it."""

    data: list[Any] = dataclasses.field(default_factory=list)
    control: list[tuple[int, bytes]] = dataclasses.field(default_factory=list)
    error: Exception | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and self._key() == other._key()

    def _key(self) -> tuple[Any, ...]:
        exc = self.error
        # An incomplete frame is enough to see that text is wrong, so ``exc.object`` may differ.
        text = f"{exc.reason} {exc.start}" if isinstance(exc, UnicodeDecodeError) else str(exc)
        return self.data, self.control, type(exc), text

    def messages(self) -> list[str | bytes]:
        """The messages, if ``data`` is frames."""
        messages: list[str | bytes] = []
        opcode, parts = 0, b""
        for frame_opcode, data, fin in self.data:
            opcode = frame_opcode or opcode
            parts += data
            if fin:
                messages.append(parts.decode() if opcode == 1 else parts)
                parts = b""
        return messages


def make_reader(
    extensions: Sequence[Extension] = (),
    *,
    mask: bool = False,
    max_size: int | None = None,
    max_frame_size: int | None = None,
) -> FrameReader:
    """A reader."""
    reader = FrameReader(
        mask,
        -1 if max_size is None else max_size,
        -1 if max_frame_size is None else max_frame_size,
    )
    reader.configure(extensions)
    return reader


def read_frames(reader: FrameReader, chunks: Iterable[bytes]) -> Outcome:
    """Read frame by frame, as the Sans-I/O protocol does; a Close frame ends it."""
    outcome = Outcome()
    try:
        for chunk in chunks:
            reader.feed(chunk)
            while (frame := reader.next_frame_data()) is not None:
                if frame[0] < 8:
                    outcome.data.append(frame)
                else:
                    outcome.control.append(frame[:2])
                if frame[0] == 8:
                    reader.stop()
    except Exception as exc:
        reader.stop()
        outcome.error = exc
    return outcome


def read_messages(
    reader: FrameReader, chunks: Iterable[bytes], *, lend: bool = False, join: bool = True
) -> Outcome:
    """Read message by message, as connections do.

    Args:
        lend: receive into a buffer that is lent to the reader, and large payloads where they stay.
        join: whether somebody waits for messages; else they stay in the queue until the end.

    """
    outcome = Outcome()
    take = take_in_lent_buffer if lend else take_in_own_buffer
    try:
        for chunk in chunks:
            for _ in take(reader, chunk):
                while True:
                    message = methods.next_message(reader, join)
                    if message is None:
                        if reader.queued:
                            reader.queued = False
                            continue
                        break
                    if message is CONTROL:
                        outcome.control.append((reader.opcode, methods.take_payload(reader)))
                        if reader.opcode == 8:
                            reader.stop()
                    elif join:
                        outcome.data.append(message)
                    else:
                        methods.put(reader, message)
    except Exception as exc:
        reader.stop()
        outcome.error = exc
    while reader.has_message():
        outcome.data.append(methods.pop(reader))
    return outcome


def take_in_own_buffer(reader: FrameReader, chunk: bytes) -> Iterable[None]:
    """Add to the reader's own buffer."""
    reader.feed(chunk)
    yield


def take_in_lent_buffer(reader: FrameReader, chunk: bytes, least: int = 4096) -> Iterable[None]:
    """Do as read callbacks do; yield in each."""
    while chunk:
        view = methods.room(reader, least)
        if view is not None:
            n = min(len(view), len(chunk))
            view[:n] = chunk[:n]
            methods.received_in_room(reader, n)
            chunk = chunk[n:]
        else:
            unread = reader.unread()
            assert unread <= HEADROOM
            # Nothing of what is behind must ever be looked at.
            buffer = bytearray(b"\xff" * (HEADROOM + len(chunk) + 64))
            buffer[HEADROOM - unread : HEADROOM] = methods.rest(reader)
            buffer[HEADROOM : HEADROOM + len(chunk)] = chunk
            methods.lend(reader, buffer, HEADROOM - unread, HEADROOM + len(chunk))
            chunk = b""
        yield
        methods.give_back(reader)


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut at these places."""
    places = [0, *sorted(min(place, len(data)) for place in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]
