"""One message to many connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..exceptions import ConcurrencyError
from ..protocol import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .. import protocol
    from ..typing import DataLike, LoggerLike

__all__ = ["broadcast"]

BINARY, TEXT = 2, 1


class Receiver(Protocol):
    """What a message can be sent to: a connection of any face."""

    @property
    def protocol(self) -> protocol.Protocol: ...

    @property
    def logger(self) -> LoggerLike: ...

    def flush(self) -> None: ...


def broadcast(
    connections: Iterable[Receiver],
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
    # What was made for a kind of connection, by what makes a difference.
    made: dict[Any, bytes] = {}
    errors: list[Exception] = []
    for connection in connections:
        protocol = connection.protocol
        if protocol.state is not OPEN:
            continue
        writer = protocol.frame_writer
        try:
            if writer.continuing:
                raise ConcurrencyError("sending a fragmented message")
            writer.write_shared(opcode, data, made)
            connection.flush()
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
