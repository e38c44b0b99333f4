"""How the tests use a face: as coroutines, whatever it is.

A driver has the same few methods for each; connections are used as they are, but for what the faces
call differently. What waits is awaited, so a driver for threads runs a test without an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import warnings

from tidegate import asyncio as on_asyncio
from tidegate.asyncio import client, router, server

from ..conftest import run_strictly as run_on_asyncio
from .threads import OnThreads

try:
    import trio
except ImportError:
    trio = None


class OnAsyncio:
    """`tidegate.asyncio`."""

    name = "asyncio"
    package = on_asyncio
    client = client
    server = server
    router = router

    def run(self, coroutine):
        """Run a test."""
        run_on_asyncio(coroutine, asyncio.new_event_loop)

    @contextlib.asynccontextmanager
    async def serve(self, handler, **kwargs):
        """Run a server; gives its address, and the server."""
        async with self.server.serve(handler, "127.0.0.1", 0, **kwargs) as running:
            yield running.sockets[0].getsockname(), running

    @contextlib.asynccontextmanager
    async def unix_serve(self, handler, path, **kwargs):
        """Run a server on a Unix socket."""
        async with self.server.unix_serve(handler, path, **kwargs):
            yield

    @contextlib.asynccontextmanager
    async def route(self, url_map, **kwargs):
        """Run a server with a router."""
        async with self.router.route(url_map, "127.0.0.1", 0, **kwargs) as running:
            yield running.sockets[0].getsockname(), running

    def connect(self, uri, **kwargs):
        """Connect; a context manager."""
        kwargs.setdefault("proxy", None)
        return self.client.connect(uri, **kwargs)

    def unix_connect(self, path, uri=None, **kwargs):
        """Connect to a Unix socket; a context manager."""
        return self.client.unix_connect(path, uri, **kwargs)

    def reconnect(self, uri, **kwargs):
        """Connect again and again; an asynchronous iterator."""
        kwargs.setdefault("proxy", None)
        return self.client.connect(uri, **kwargs)

    async def recv(self, connection, timeout):
        """Receive; TimeoutError if nothing comes."""
        async with asyncio.timeout(timeout):
            return await connection.recv()

    async def close(self, connection, *args):
        """Close a connection."""
        await connection.close(*args)

    async def ping(self, connection, timeout=10):
        """Send a ping and wait for its answer."""
        async with asyncio.timeout(timeout):
            await (await connection.ping())

    async def close_server(self, running, *args, **kwargs):
        """Close a server."""
        running.close(*args, **kwargs)
        await running.wait_closed()

    def broadcast(self, connections, message, **kwargs):
        """Send to many, which is awaited."""
        self.server.broadcast(connections, message, **kwargs)
        return asyncio.sleep(0)

    async def sleep(self, seconds):
        """Let some time pass."""
        await asyncio.sleep(seconds)

    async def blocking(self, function, *args):
        """Call a function that blocks."""
        return await asyncio.to_thread(function, *args)

    @contextlib.asynccontextmanager
    async def meanwhile(self, function, *args):
        """Do something else until the end of the block, which waits for it."""
        task = asyncio.create_task(function(*args))
        yield
        await task


class OnLegacy(OnAsyncio):
    """`tidegate.legacy`: what is true of the API of before as well."""

    name = "legacy"

    def __init__(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from tidegate import legacy as package
            from tidegate.legacy import client, server

        self.package = package
        self.client = client
        self.server = server

    @contextlib.asynccontextmanager
    async def serve(self, handler, **kwargs):
        async with self.server.serve(handler, "127.0.0.1", 0, **kwargs) as running:
            yield running.sockets[0].getsockname(), running

    def connect(self, uri, **kwargs):
        kwargs.setdefault("proxy", None)
        return self.client.connect(uri, **kwargs)


class OnTrio(OnAsyncio):
    """`tidegate.trio`."""

    name = "trio"

    def __init__(self):
        from tidegate import trio as package
        from tidegate.trio import client, router, server

        self.package = package
        self.client = client
        self.server = server
        self.router = router

    def run(self, coroutine):
        from ..trio.running import run_strictly

        async def function():
            await coroutine

        trio.run(run_strictly, function)

    @contextlib.asynccontextmanager
    async def _serve(self, function, *args, **kwargs):
        async with trio.open_nursery() as nursery:
            running = await nursery.start(functools.partial(function, *args, **kwargs))
            async with running:
                yield running.listeners[0].socket.getsockname(), running

    def serve(self, handler, **kwargs):
        return self._serve(self.server.serve, handler, 0, host="127.0.0.1", **kwargs)

    def unix_serve(self, handler, path, **kwargs):
        return self._serve(self.server.unix_serve, handler, path, **kwargs)

    def route(self, url_map, **kwargs):
        return self._serve(self.router.route, url_map, 0, host="127.0.0.1", **kwargs)

    async def recv(self, connection, timeout):
        with trio.move_on_after(timeout):
            return await connection.recv()
        raise TimeoutError

    async def close(self, connection, *args):
        await connection.aclose(*args)

    async def ping(self, connection, timeout=10):
        with trio.fail_after(timeout):
            await (await connection.ping()).wait()

    async def close_server(self, running, *args, **kwargs):
        await running.aclose(*args, **kwargs)

    def broadcast(self, connections, message, **kwargs):
        return self.server.broadcast(connections, message, **kwargs)

    async def sleep(self, seconds):
        await trio.sleep(seconds)

    async def blocking(self, function, *args):
        return await trio.to_thread.run_sync(function, *args)

    @contextlib.asynccontextmanager
    async def meanwhile(self, function, *args):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(function, *args)
            yield


def faces():
    """The faces that there are here."""
    yield OnAsyncio()
    yield OnThreads()
    if trio is not None:
        yield OnTrio()


async def echo(connection):
    """Send back what comes: a handler."""
    async for message in connection:
        await connection.send(message)


def uri_of(address, path="/", scheme="ws"):
    """Where a server is."""
    return f"{scheme}://{address[0]}:{address[1]}{path}"


@contextlib.asynccontextmanager
async def pair(face, *, server=None, **kwargs):
    """Give both ends of a connection, the client's first; `server` has arguments of the server."""
    ends = []
    done = []

    async def keep(connection):
        ends.append(connection)
        while not done:
            await face.sleep(0.002)

    async with (
        face.serve(keep, **(server or {})) as (address, _),
        face.connect(uri_of(address), **kwargs) as connection,
    ):
        try:
            while not ends:
                await face.sleep(0.001)
            yield connection, ends[0]
        finally:
            done.append(True)
