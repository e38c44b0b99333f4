"""What waits, other than for a message: senders for room, and everybody for the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..core.link import frame_of
from ..exceptions import InvalidState
from ..frames import CloseCode, Opcode
from ..protocol import CONNECTING, OPEN
from ..typing import BytesLike

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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
    if isinstance(message, Mapping):
        raise TypeError("data is a dict-like object")
    if not isinstance(message, (str, BytesLike, Iterable, AsyncIterable)):
        raise TypeError("data must be str, bytes, iterable, or async iterable")
    if timeout is None:
        await send_in_turn(connection, message, text, compress)
    else:
        async with asyncio.timeout(timeout):
            await send_in_turn(connection, message, text, compress)


async def wait_for_turn(connection: Any) -> None:
    """Wait until no fragmented message is being sent.

    Fragments of two messages must not be interleaved (RFC 6455, section 5.4).
    """
    while connection.send_in_progress is not None:
        await asyncio.shield(connection.send_in_progress)


async def send_in_turn(
    connection: Any, message: Any, text: bool | None, compress: bool | None
) -> None:
    """Send a message, after others that are being sent."""
    if isinstance(message, (str, BytesLike)):
        await wait_for_turn(connection)
        opcode, data = frame_of(message, text)
        await ensure_open(connection)
        connection.write_data(opcode, data, True, compress)
        await drain(connection)
        return
    fragments = aiter(message) if isinstance(message, AsyncIterable) else as_async(message)
    # Others have their turn while the first item isn't there; making it may even take theirs.
    try:
        first = await anext(fragments)
    except StopAsyncIteration:
        return
    await wait_for_turn(connection)
    connection.send_in_progress = connection.loop.create_future()
    try:
        await send_fragments(connection, first, fragments, text, compress)
    finally:
        connection.send_in_progress.set_result(None)
        connection.send_in_progress = None


async def send_fragments(
    connection: Any,
    first: Any,
    fragments: AsyncIterator[Any],
    text: bool | None,
    compress: bool | None,
) -> None:
    """Send a fragmented message, whose turn it is."""
    kind = str if isinstance(first, str) else BytesLike
    opcode, data = frame_of(first, text)
    await ensure_open(connection)
    try:
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


async def as_async(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Iterate over an iterable asynchronously."""
    for item in items:
        yield item
