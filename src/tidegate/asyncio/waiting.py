"""What waits, other than for a message: senders for room, and everybody for the end."""

from __future__ import annotations

import asyncio
from typing import Any

from ..core.sending import Waits, check_message, send_in_turn
from ..exceptions import InvalidState
from ..protocol import CONNECTING, OPEN


async def wait_closed(connection: Any) -> None:
    """Wait until a connection is closed."""
    if not connection.ended:
        if connection.closed_waiter is None:
            connection.closed_waiter = connection.loop.create_future()
        await asyncio.shield(connection.closed_waiter)


async def ensure_open(connection: Any) -> None:
    """Raise ConnectionClosed if nothing can be sent any more, when it is known why."""
    if connection.state is CONNECTING:
        raise InvalidState("the opening handshake isn't done yet")
    if connection.state is not OPEN:
        await wait_closed(connection)
        raise connection.closed_error()


async def drain(connection: Any, timeout: float | None = None) -> None:
    """Wait until the write buffer is below its limit.

    Raises:
        ConnectionClosed: if the connection is closed meanwhile.
        TimeoutError: if it takes longer than ``timeout`` seconds.

    """
    if connection.full and not connection.ended:
        waiter = connection.loop.create_future()
        if connection.drain_waiters is None:
            connection.drain_waiters = []
        connection.drain_waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        finally:
            if connection.drain_waiters is not None and waiter in connection.drain_waiters:
                connection.drain_waiters.remove(waiter)
        if connection.ended:
            raise connection.closed_error()


async def send_anything(
    connection: Any, message: Any, text: bool | None, compress: bool | None, timeout: float | None
) -> None:
    """Send a message of any type; ``send()`` does the most frequent cases itself."""
    check_message(message)
    if timeout is None:
        await send_in_turn(connection, message, text, compress, WAITS)
    else:
        async with asyncio.timeout(timeout):
            await send_in_turn(connection, message, text, compress, WAITS)


async def wait_for_turn(connection: Any) -> None:
    """Wait until no fragmented message is being sent.

    Fragments of two messages must not be interleaved (RFC 6455, section 5.4).
    """
    while connection.send_in_progress is not None:
        await asyncio.shield(connection.send_in_progress)


def begin_fragments(connection: Any) -> None:
    """Make other senders wait for their turn."""
    connection.send_in_progress = connection.loop.create_future()


def end_fragments(connection: Any) -> None:
    """Let them go on."""
    connection.send_in_progress.set_result(None)
    connection.send_in_progress = None


WAITS = Waits(wait_for_turn, ensure_open, drain, begin_fragments, end_fragments)
