"""Connections that have joined a hub, to test with."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.pubsub import EngineError, Hub

from ..asyncio.connections import address, until

__all__ = [
    "Audience",
    "all_of",
    "audience",
    "hubs",
    "nothing_more",
    "publish_many",
    "take",
    "until",
]


class Audience:
    """A server, its connections in the order in which clients come, and the clients."""

    def __init__(self, server, secure):
        self.server = server
        self.secure = secure
        self.accepted = []
        self.clients = []
        self.stack = contextlib.AsyncExitStack()

    async def come(self, **kwargs):
        """Give the server's and the client's end of a new connection."""
        before = len(self.accepted)
        client = await self.stack.enter_async_context(
            connect(address(self.server, self.secure), **kwargs)
        )
        await until(lambda: len(self.accepted) > before)
        self.clients.append(client)
        return self.accepted[-1], client


@contextlib.asynccontextmanager
async def audience(count=0, *, certificates=None, **kwargs):
    """Run a server, and connect so many clients."""
    sock = socket.create_server(("127.0.0.1", 0))
    # Connections inherit it: what isn't read soon waits in this process.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**14)
    there = None

    async def handler(connection):
        there.accepted.append(connection)
        await connection.wait_closed()

    client = {}
    if certificates is not None:
        kwargs["ssl"], client["ssl"] = certificates
    async with serve(handler, sock=sock, **kwargs) as server:
        there = Audience(server, certificates is not None)
        async with there.stack:
            for _ in range(count):
                await there.come(**client)
            yield there


async def all_of(client, count, timeout=10):
    """Receive so many messages."""
    async with asyncio.timeout(timeout):
        return [await client.recv() for _ in range(count)]


async def nothing_more(client):
    """Fail if there is another message; what was sent before has come by then."""
    await (await client.ping())
    try:
        async with asyncio.timeout(0.01):
            message = await client.recv()
    except TimeoutError:
        return
    raise AssertionError(f"another message: {message!r:.100}")


@contextlib.asynccontextmanager
async def hubs(count, server, **kwargs):
    """Give so many hubs on a server."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Hub(server.url, **kwargs)) for _ in range(count)]


async def take(messages, count, timeout=20):
    """Give the data of so many messages."""
    async with asyncio.timeout(timeout):
        return [(await anext(messages)).data for _ in range(count)]


async def publish_many(hub, topic, count, pause=0.0):
    """Publish numbers; give those that the engine has taken."""
    taken = []
    for number in range(count):
        receipt = hub.publish(topic, str(number))
        try:
            await receipt
        except EngineError:
            pass
        else:
            taken.append(str(number))
        await asyncio.sleep(pause)
    return taken
