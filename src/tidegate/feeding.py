"""How a protocol of asyncio gets what was received before it was there."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import asyncio


def feed(transport: asyncio.Transport, protocol: asyncio.BaseProtocol, data: bytes) -> None:
    """Have a protocol receive data as its transport would do it.

    Args:
        transport: its transport.
        protocol: an `asyncio.Protocol` or an `asyncio.BufferedProtocol`.
        data: what was received.

    """
    # The peer may have closed the connection, but the protocol may do so, too.
    closing = transport.is_closing()
    while data and (closing or not transport.is_closing()):
        if not hasattr(protocol, "get_buffer"):
            cast("asyncio.Protocol", protocol).data_received(data)
            return
        buffered = cast("asyncio.BufferedProtocol", protocol)
        buffer = memoryview(buffered.get_buffer(len(data)))
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        buffered.buffer_updated(size)
        data = data[size:]
