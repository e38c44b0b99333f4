"""How the tests use the face for threads: as coroutines that never wait for an event loop."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import time

from tidegate import sync as package
from tidegate.sync import client, router, server

from ..sync.connections import Task, running


def finish(coroutine):
    """Run a coroutine in this thread; what it awaits blocks."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for an event loop")


class Awaited:
    """A connection whose methods are awaited."""

    def __init__(self, connection):
        self.__dict__["connection"] = connection

    def __getattr__(self, name):
        value = getattr(self.connection, name)
        if name == "recv_streaming":
            return lambda *args, **kwargs: stepping(value(*args, **kwargs))
        if not inspect.ismethod(value) and not inspect.isbuiltin(value):
            return value
        if name in ("respond", "drop_references"):
            return value

        async def method(*args, **kwargs):
            return value(*args, **kwargs)

        return method

    def __setattr__(self, name, value):
        setattr(self.connection, name, value)

    def __eq__(self, other):
        return self.connection is (other.connection if isinstance(other, Awaited) else other)

    def __hash__(self):
        return hash(self.connection)

    def __aiter__(self):
        return stepping(iter(self.connection))


async def stepping(iterator):
    """Iterate asynchronously."""
    try:
        for item in iterator:
            yield item
    finally:
        iterator.close()


class Running:
    """A server whose connections are used so."""

    def __init__(self, server):
        self.server = server

    def __getattr__(self, name):
        value = getattr(self.server, name)
        if name in ("connections", "all_connections"):
            return {Awaited(connection) for connection in value}
        return value


class Connecting:
    """A context manager, asynchronous iterator and awaitable that connects."""

    def __init__(self, make):
        self.make = make

    async def __aenter__(self):
        self.connecting = self.make()
        return Awaited(self.connecting.__enter__())

    async def __aexit__(self, *exc):
        self.connecting.__exit__(*exc)

    def __await__(self):
        return self.connect().__await__()

    async def connect(self):
        return Awaited(self.make().connect())

    async def __aiter__(self):
        connections = iter(self.make())
        try:
            for connection in connections:
                yield Awaited(connection)
        finally:
            connections.close()


class OnThreads:
    """`tidegate.sync`."""

    name = "threads"
    package = package
    client = client
    server = server
    router = router

    def run(self, coroutine):
        """Run a test."""
        before = set(threading.enumerate())
        finish(coroutine)
        deadline = time.monotonic() + 10
        while left := {thread for thread in set(threading.enumerate()) - before if is_ours(thread)}:
            assert time.monotonic() < deadline, left
            time.sleep(0.001)

    @contextlib.asynccontextmanager
    async def _serving(self, made):
        with running(made):
            yield made.socket.getsockname(), Running(made)

    def serve(self, handler, **kwargs):
        """Run a server; gives its address, and the server."""
        return self._serving(self.server.serve(as_plain(handler), "127.0.0.1", 0, **kwargs))

    def unix_serve(self, handler, path, **kwargs):
        """Run a server on a Unix socket."""
        return self._serving(self.server.unix_serve(as_plain(handler), path, **kwargs))

    def route(self, url_map, **kwargs):
        """Run a server with a router."""
        plain = functools.cache(as_plain)
        rules = [rule.empty() for rule in url_map.iter_rules()]
        for rule in rules:
            rule.endpoint = plain(rule.endpoint)
        return self._serving(self.router.route(type(url_map)(rules), "127.0.0.1", 0, **kwargs))

    def connect(self, uri, **kwargs):
        """Connect; a context manager."""
        kwargs.setdefault("proxy", None)
        return Connecting(lambda: self.client.connect(uri, legacy=False, **kwargs))

    def unix_connect(self, path, uri=None, **kwargs):
        """Connect to a Unix socket; a context manager."""
        return Connecting(lambda: self.client.unix_reconnect(path, uri, **kwargs))

    def reconnect(self, uri, **kwargs):
        """Connect again and again; an asynchronous iterator."""
        kwargs.setdefault("proxy", None)
        return Connecting(lambda: self.client.reconnect(uri, **kwargs))

    async def recv(self, connection, timeout):
        """Receive; TimeoutError if nothing comes."""
        return await connection.recv(timeout)

    async def close(self, connection, *args):
        """Close a connection."""
        await connection.close(*args)

    async def ping(self, connection, timeout=10):
        """Send a ping and wait for its answer."""
        if not (await connection.ping()).wait(timeout):
            raise TimeoutError

    async def close_server(self, server, *args, **kwargs):
        """Close a server."""
        server.shutdown(*args, **kwargs)

    async def broadcast(self, connections, message, **kwargs):
        """Send to many."""
        ends = [getattr(each, "connection", each) for each in connections]
        self.server.broadcast(ends, message, **kwargs)

    async def sleep(self, seconds):
        """Let some time pass."""
        time.sleep(seconds)

    async def blocking(self, function, *args):
        """Call a function that blocks."""
        return function(*args)

    @contextlib.asynccontextmanager
    async def meanwhile(self, function, *args):
        """Do something else until the end of the block, which waits for it."""
        task = Task(lambda: finish(function(*args)))
        yield
        task.result()


def is_ours(thread):
    """Whether it isn't one of the proxies that tests start."""
    return not thread.name.startswith("asyncio_")


def as_plain(handler):
    """Make a handler of a coroutine function."""

    def plain(connection, **kwargs):
        finish(handler(Awaited(connection), **kwargs))

    return plain
