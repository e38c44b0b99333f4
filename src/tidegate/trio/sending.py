"""Sending what isn't a plain message that fits: waiting for room, and for a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from ..core.sending import Waits, check_message, send_in_turn
from ..exceptions import InvalidState
from ..protocol import CONNECTING, OPEN

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["drain", "ensure_open", "send_anything"]


async def ensure_open(connection: Connection) -> None:
    """Raise ConnectionClosed if nothing can be sent any more, when it is known why."""
    if connection.state is CONNECTING:
        raise InvalidState("the opening handshake isn't done yet")
    if connection.state is not OPEN:
        await connection.wait_closed()
        raise connection.closed_error()


async def drain(connection: Connection) -> None:
    """Wait until the write buffer is below its limit.

    Raises:
        ConnectionClosed: if the connection is closed meanwhile.

    """
    while connection.full and not connection.ended:
        if connection.room_event is None:
            connection.room_event = trio.Event()
        with connection.watching():
            await connection.room_event.wait()
        if connection.ended:
            raise connection.closed_error()


async def send_anything(
    connection: Connection,
    message: Any,
    text: bool | None,
    compress: bool | None,
    timeout: float | None,
) -> None:
    """Send a message of any type; ``send()`` does the most frequent cases itself."""
    check_message(message)
    if timeout is None:
        await send_in_turn(connection, message, text, compress, WAITS)
        return
    with trio.move_on_after(timeout) as scope:
        await send_in_turn(connection, message, text, compress, WAITS)
    if scope.cancelled_caught:
        raise TimeoutError(f"sending wasn't done within {timeout:g} s (timeout)")


async def wait_for_turn(connection: Connection) -> None:
    """Wait until no fragmented message is being sent, and there is room.

    Fragments of two messages must not be interleaved (RFC 6455, section 5.4). Who is cancelled
    here has sent nothing.
    """
    while connection.send_in_progress is not None or (connection.full and not connection.ended):
        if connection.send_in_progress is not None:
            await connection.send_in_progress.wait()
        else:
            await drain(connection)


def begin_fragments(connection: Connection) -> None:
    """Make other senders wait for their turn."""
    connection.send_in_progress = trio.Event()


def end_fragments(connection: Connection) -> None:
    """Let them go on."""
    assert connection.send_in_progress is not None
    connection.send_in_progress.set()
    connection.send_in_progress = None


WAITS = Waits(wait_for_turn, ensure_open, drain, begin_fragments, end_fragments)
