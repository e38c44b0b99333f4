"""How a server ends without sending all its clients elsewhere in the same moment."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING

from ..protocol import OPEN

if TYPE_CHECKING:
    from ..frames import CloseCode
    from .server import Server
    from .server_connection import ServerConnection

# How long nothing is looked at while the closing is spread over a time, in seconds: at least, and
# at most, since connections also end by themselves.
SHORTEST = 0.02
LONGEST = 0.2

# How long a handler may take to end when it's cancelled, in seconds.
HANDLER_TIMEOUT = 1.0


async def drain_server(
    server: Server, timeout: float, code: CloseCode | int, reason: str, spread: float
) -> int:
    """Do what `Server.drain` says."""
    if not 0 <= spread <= timeout:
        raise ValueError(f"spread must be from 0 to timeout, which is {timeout!r}, not {spread!r}")
    # This one raises if the code or the reason can't be sent.
    server.close(False, code, reason)
    try:
        async with asyncio.timeout(timeout):
            # It has begun to close then: nobody is accepted any more.
            await asyncio.sleep(0)
            await close_all(server, code, reason, spread)
            # And those whose opening handshake ended just then.
            server.close(True, code, reason)
            await server.wait_closed()
    except TimeoutError:
        pass
    left = list(server.all_connections)
    for connection in left:
        connection.abort()
    tasks = list(server.handler_tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        _, hanging = await asyncio.wait(tasks, timeout=HANDLER_TIMEOUT)
        if hanging:
            server.logger.error("%d connection handlers don't end", len(hanging))
            return len(left)
    await server.wait_closed()
    return len(left)


async def close_all(server: Server, code: CloseCode | int, reason: str, spread: float) -> None:
    """Begin to close all connections of a server, in any order, spread over a time in seconds."""
    waiting: list[ServerConnection] = list(server.connections)
    random.shuffle(waiting)
    count = len(waiting)
    loop = server.get_loop()
    start = loop.time()
    while waiting:
        elapsed = loop.time() - start
        due = count if elapsed >= spread else math.ceil(count * elapsed / spread)
        while waiting and (count - len(waiting) < due or waiting[-1].state is not OPEN):
            waiting.pop().start_closing(code, reason)
        if waiting:
            await asyncio.sleep(min(max(SHORTEST, spread / count), LONGEST))
