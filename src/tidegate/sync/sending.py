"""Sending what isn't a plain message of a thread: all the types of messages, and fragments."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..core.link import frame_of
from ..exceptions import ConcurrencyError
from ..frames import CloseCode, Opcode
from ..protocol import OPEN
from ..typing import BytesLike

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .channel import Channel

__all__ = ["send_anything"]


def send_anything(
    connection: Channel,
    message: Any,
    text: bool | None,
    compress: bool | None,
    timeout: float | None,
) -> None:
    """Send a message of any type; `send` does the most frequent cases itself."""
    if isinstance(message, Mapping):
        raise TypeError("data is a dict-like object")
    if not isinstance(message, (str, BytesLike, Iterable)):
        raise TypeError("data must be str, bytes, or iterable")
    deadline = None if timeout is None else time.monotonic() + timeout
    if isinstance(message, (str, BytesLike)):
        opcode, data = frame_of(message, text)
        with connection.lock:
            check_not_fragmenting(connection)
            connection.write_one(opcode, data, True, compress, deadline)
        return
    fragments = iter(message)
    try:
        first = next(fragments)
    except StopIteration:
        return
    with connection.lock:
        check_not_fragmenting(connection)
        connection.fragmenting = True
    try:
        send_fragments(connection, first, fragments, text, compress, deadline)
    except BaseException:
        # The message can't be completed, and nothing else may be sent before that.
        with connection.lock:
            if connection.protocol.state is OPEN:
                connection.protocol.fail(CloseCode.INTERNAL_ERROR, "error in fragmented message")
                connection.follow(None)
        raise
    finally:
        connection.fragmenting = False


def check_not_fragmenting(connection: Channel) -> None:
    """Raise ConcurrencyError if fragments of another message are being sent."""
    if connection.fragmenting:
        # Fragments of two messages must not be interleaved (RFC 6455, section 5.4).
        raise ConcurrencyError("cannot call send while another thread is sending fragments")


def send_fragments(
    connection: Channel,
    first: Any,
    fragments: Iterator[Any],
    text: bool | None,
    compress: bool | None,
    deadline: float | None,
) -> None:
    """Send a fragmented message; nobody else may send one meanwhile."""
    kind: Any = str if isinstance(first, str) else BytesLike
    opcode, data = frame_of(first, text)
    with connection.lock:
        connection.write_one(opcode, data, False, compress, deadline)
    # The lock is free while the program makes the next one.
    for fragment in fragments:
        if not isinstance(fragment, kind):
            raise TypeError("iterable must contain uniform types")
        _, data = frame_of(fragment, text)
        with connection.lock:
            connection.write_one(Opcode.CONT, data, False, compress, deadline)
    with connection.lock:
        connection.write_one(Opcode.CONT, b"", True, compress, deadline)
