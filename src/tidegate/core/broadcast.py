"""One message to many connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..exceptions import ConcurrencyError

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..wire.kernels import frame_bytes
    from .link import Link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..typing import DataLike

__all__ = ["broadcast"]

BINARY = 2
TEXT = 1

# What a message costs besides its payload, in bytes.
OVERHEAD = 64


class Outgoing:
    """One message for many connections, and its frames, each made once.

    Args:
        opcode: of the message.
        data: its payload.

    Attributes:
        size: what it costs where it waits, in bytes.

    """

    def __init__(self, opcode: int, data: bytes) -> None:
        self.opcode = opcode
        self.data = data
        self.size = len(data) + OVERHEAD
        # What was made for a kind of connection, by what makes a difference; and for most of them.
        self.made: dict[Any, bytes] = {}
        self.plain: bytes | None = None


def broadcast(
    connections: Iterable[Link],
    message: DataLike,
    *,
    text: bool | None = None,
    raise_exceptions: bool = False,
) -> None:
    """Send a message to many connections, without waiting.

    The frame is made once, and compressed once for all connections that negotiated the same
    parameters. A connection that isn't open, or that is in the middle of a fragmented message, is
    left out. A slow receiver doesn't hold up the others: what it doesn't read stays in its write
    buffer, until keepalive finds it dead; see the connection's ``buffered_amount``.

    Args:
        connections: where to send.
        message: ``str``, ``bytes``, ``bytearray`` or ``memoryview``.
        text: send text as binary (False) or bytes as text (True).
        raise_exceptions: raise an `ExceptionGroup` of what went wrong at the end, rather than log
            it.

    Raises:
        TypeError: if the message has another type.

    """
    if isinstance(message, str):
        opcode = BINARY if text is False else TEXT
        data = message.encode()
    elif isinstance(message, (bytes, bytearray, memoryview)):
        opcode = TEXT if text else BINARY
        data = bytes(message)
    else:
        raise TypeError("data must be str or bytes")
    outgoing = Outgoing(opcode, data)
    errors: list[Exception] = []
    for connection in connections:
        try:
            give(connection, outgoing)
        except ConcurrencyError as exc:
            if raise_exceptions:
                errors.append(exc)
            else:
                connection.logger.warning("skipped broadcast: %s", exc)
        except Exception as exc:
            if raise_exceptions:
                error = RuntimeError("failed to write message")
                error.__cause__ = exc
                errors.append(error)
            else:
                connection.logger.warning("skipped broadcast: %s", exc, exc_info=True)
    if errors:
        raise ExceptionGroup("skipped broadcast", errors)


def give(link: Link, outgoing: Outgoing) -> int:
    """Send a message to one of many, and say whether that was possible.

    Raises:
        ConcurrencyError: if a fragmented message is being sent.

    """
    writer = link.writer
    # State.OPEN, as the writer has it.
    if writer.state != 1:
        return 0
    if writer.continuing:
        raise ConcurrencyError("sending a fragmented message")
    if (
        writer.mask
        or writer.deflate is not None
        or writer.extensions
        or writer.log is not None
        or writer.writes
    ):
        writer.write_shared(outgoing.opcode, outgoing.data, outgoing.made)
        link.flush()
        return 1
    if outgoing.plain is None:
        outgoing.plain = frame_bytes(0x80 | outgoing.opcode, outgoing.data, False, 0)
    writer.messages_written += 1
    link.send_made(outgoing.plain)
    return 1
