"""Which transports carry connections: aiofastnet's where they fit, else the event loop's own."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Factory = Callable[[], asyncio.BaseProtocol]

try:
    import aiofastnet
except ImportError:
    aiofastnet = None  # type: ignore[assignment]


def fits(loop: asyncio.AbstractEventLoop) -> bool:
    """Say whether aiofastnet's transports are used with this loop.

    ``TIDEGATE_TRANSPORTS=loop`` in the environment turns them off.
    """
    if aiofastnet is None or os.environ.get("TIDEGATE_TRANSPORTS") == "loop":
        return False
    # They wait for readiness with add_reader(), which a proactor doesn't have.
    return sys.platform != "win32" or isinstance(loop, asyncio.SelectorEventLoop)


async def create_connection(
    loop: asyncio.AbstractEventLoop, factory: Factory, **kwargs: Any
) -> tuple[Any, Any]:
    """Connect; see `asyncio.loop.create_connection`."""
    if fits(loop):
        return await aiofastnet.create_connection(loop, factory, **kwargs)
    return await loop.create_connection(factory, **kwargs)


async def create_unix_connection(
    loop: asyncio.AbstractEventLoop, factory: Factory, **kwargs: Any
) -> tuple[Any, Any]:
    """Connect to a Unix socket; see `asyncio.loop.create_unix_connection`."""
    if fits(loop):
        return await aiofastnet.create_unix_connection(loop, factory, **kwargs)
    return await loop.create_unix_connection(factory, **kwargs)


async def create_server(
    loop: asyncio.AbstractEventLoop, factory: Factory, **kwargs: Any
) -> asyncio.Server:
    """Listen; see `asyncio.loop.create_server`."""
    if fits(loop):
        return await aiofastnet.create_server(loop, factory, **kwargs)
    return await loop.create_server(factory, **kwargs)


async def create_unix_server(
    loop: asyncio.AbstractEventLoop, factory: Factory, **kwargs: Any
) -> asyncio.Server:
    """Listen on a Unix socket; see `asyncio.loop.create_unix_server`."""
    if fits(loop):
        return await aiofastnet.create_unix_server(loop, factory, **kwargs)
    return await loop.create_unix_server(factory, **kwargs)


async def start_tls(
    loop: asyncio.AbstractEventLoop, transport: Any, protocol: Any, context: Any, **kwargs: Any
) -> Any:
    """Begin TLS on a transport of `create_connection`; see `asyncio.loop.start_tls`."""
    if fits(loop):
        return await aiofastnet.start_tls(loop, transport, protocol, context, **kwargs)
    return await loop.start_tls(transport, protocol, context, **kwargs)
