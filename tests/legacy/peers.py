"""Peers for the tests of the older API."""

from __future__ import annotations

import asyncio
import contextlib
import warnings

from tidegate.legacy.client import connect
from tidegate.legacy.server import serve

REQUEST = (
    "GET {path} HTTP/1.1\r\n"
    "Host: example.com\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "{more}\r\n"
)


async def echo(websocket):
    """Give every message back."""
    async for message in websocket:
        await websocket.send(message)


def port_of(server):
    """The port a server listens on."""
    return server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def connected(handler=echo, path="/", client=None, **kwargs):
    """A client that is connected to a server; give both ends.

    Args:
        handler: what the server runs; it has to run until the connection is closed.
        path: path and query of the client's URI.
        client: arguments of the client.
        **kwargs: arguments of the server.

    """
    connections = []

    async def remember(websocket):
        connections.append(websocket)
        await handler(websocket)

    async with serve(remember, "127.0.0.1", 0, **kwargs) as server:
        uri = f"ws://127.0.0.1:{port_of(server)}{path}"
        async with connect(uri, **(client or {})) as websocket:
            while not connections:
                await asyncio.sleep(0)
            yield websocket, connections[0]


async def answer(port, request):
    """Send bytes to a server and give all that it answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    response = await reader.read()
    writer.close()
    await writer.wait_closed()
    return response


@contextlib.asynccontextmanager
async def raw_server(converse):
    """A server that speaks as ``converse(reader, writer)`` does; give its port."""
    conversations = []

    async def run(reader, writer):
        conversations.append((asyncio.current_task(), writer))
        with contextlib.suppress(OSError, EOFError):
            await converse(reader, writer)
        writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for _, writer in conversations:
            writer.transport.abort()
        await asyncio.gather(*(task for task, _ in conversations))


@contextlib.contextmanager
def deprecated():
    """Let deprecation warnings pass, and collect them."""
    from tidegate.legacy import deprecations

    deprecations._warned.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
    deprecations._warned.clear()
