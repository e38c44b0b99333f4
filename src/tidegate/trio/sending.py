"""Sending what isn't a plain message that fits: waiting for room, for a turn, and for fragments."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import trio

from ..core.link import frame_of
from ..exceptions import InvalidState
from ..frames import CloseCode, Opcode
from ..protocol import CONNECTING, OPEN
from ..typing import BytesLike

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
    if isinstance(message, Mapping):
        raise TypeError("data is a dict-like object")
    if not isinstance(message, (str, BytesLike, Iterable, AsyncIterable)):
        raise TypeError("data must be str, bytes, iterable, or async iterable")
    if timeout is None:
        await send_in_turn(connection, message, text, compress)
        return
    with trio.move_on_after(timeout) as scope:
        await send_in_turn(connection, message, text, compress)
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


async def send_in_turn(
    connection: Connection, message: Any, text: bool | None, compress: bool | None
) -> None:
    """Send a message, after others that are being sent."""
    if isinstance(message, (str, BytesLike)):
        await wait_for_turn(connection)
        await ensure_open(connection)
        opcode, data = frame_of(message, text)
        connection.write_data(opcode, data, True, compress)
        await drain(connection)
        return
    asynchronous = isinstance(message, AsyncIterable)
    fragments = aiter(message) if asynchronous else Asynchronously(message)
    # Others have their turn while the first item isn't there; making it may even take theirs.
    try:
        first = await anext(fragments)
    except StopAsyncIteration:
        return
    await wait_for_turn(connection)
    connection.send_in_progress = trio.Event()
    try:
        await send_fragments(connection, first, fragments, text, compress)
    finally:
        connection.send_in_progress.set()
        connection.send_in_progress = None


async def send_fragments(
    connection: Connection,
    first: Any,
    fragments: AsyncIterator[Any],
    text: bool | None,
    compress: bool | None,
) -> None:
    """Send a fragmented message, whose turn it is."""
    kind = str if isinstance(first, str) else BytesLike
    opcode: int
    await ensure_open(connection)
    try:
        opcode, data = frame_of(first, text)
        connection.write_data(opcode, data, False, compress)
        await drain(connection)
        async for fragment in fragments:
            if not isinstance(fragment, kind):
                raise TypeError("iterable must contain uniform types")
            _, data = frame_of(fragment, text)
            await ensure_open(connection)
            connection.write_data(Opcode.CONT, data, False, compress)
            await drain(connection)
        await ensure_open(connection)
        connection.write_data(Opcode.CONT, b"", True, compress)
        await drain(connection)
    except BaseException:
        # The message can't be completed, and nothing else may be sent before that.
        if connection.state is OPEN:
            connection.protocol.fail(CloseCode.INTERNAL_ERROR, "error in fragmented message")
            connection.follow(None)
        raise


class Asynchronously:
    """An iterable as an asynchronous iterator; not a generator, which would have to be closed."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = iter(items)

    def __aiter__(self) -> Asynchronously:
        return self

    async def __anext__(self) -> Any:
        for item in self.items:
            return item
        raise StopAsyncIteration
