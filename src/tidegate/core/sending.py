"""Sending what isn't a plain message that fits, where coroutines wait: on asyncio and on trio."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..frames import CloseCode, Opcode
from ..protocol import OPEN
from ..typing import BytesLike
from .link import frame_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Waits", "check_message", "send_in_turn"]


class Waits(NamedTuple):
    """How a face waits; each is called with the connection.

    Args:
        turn: waits until no fragmented message is being sent.
        still_open: raises ConnectionClosed if nothing can be sent any more.
        room: waits until the write buffer is below its limit.
        begin: makes others wait for their turn.
        end: lets them go on.

    """

    turn: Callable[[Any], Awaitable[None]]
    still_open: Callable[[Any], Awaitable[None]]
    room: Callable[[Any], Awaitable[None]]
    begin: Callable[[Any], None]
    end: Callable[[Any], None]


def check_message(message: Any) -> None:
    """Raise TypeError if something can't be a message."""
    if isinstance(message, Mapping):
        raise TypeError("data is a dict-like object")
    if not isinstance(message, (str, BytesLike, Iterable, AsyncIterable)):
        raise TypeError("data must be str, bytes, iterable, or async iterable")


async def send_in_turn(
    connection: Any, message: Any, text: bool | None, compress: bool | None, waits: Waits
) -> None:
    """Send a message of any type, after others that are being sent."""
    if isinstance(message, (str, BytesLike)):
        await waits.turn(connection)
        opcode, data = frame_of(message, text)
        await waits.still_open(connection)
        connection.write_data(opcode, data, True, compress)
        await waits.room(connection)
        return
    asynchronous = isinstance(message, AsyncIterable)
    fragments = aiter(message) if asynchronous else Asynchronously(message)
    # Others have their turn while the first item isn't there; making it may even take theirs.
    try:
        first = await anext(fragments)
    except StopAsyncIteration:
        return
    await waits.turn(connection)
    waits.begin(connection)
    try:
        await send_fragments(connection, first, fragments, text, compress, waits)
    finally:
        waits.end(connection)


async def send_fragments(
    connection: Any,
    first: Any,
    fragments: AsyncIterator[Any],
    text: bool | None,
    compress: bool | None,
    waits: Waits,
) -> None:
    """Send a fragmented message, whose turn it is."""
    kind = str if isinstance(first, str) else BytesLike
    await waits.still_open(connection)
    try:
        opcode: int
        opcode, data = frame_of(first, text)
        connection.write_data(opcode, data, False, compress)
        await waits.room(connection)
        async for fragment in fragments:
            if not isinstance(fragment, kind):
                raise TypeError("iterable must contain uniform types")
            _, data = frame_of(fragment, text)
            await waits.still_open(connection)
            connection.write_data(Opcode.CONT, data, False, compress)
            await waits.room(connection)
        await waits.still_open(connection)
        connection.write_data(Opcode.CONT, b"", True, compress)
        await waits.room(connection)
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
