"""Protocols that take notes, and servers for them, on transports of all kinds."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket

import pytest

from tidegate.asyncio.poller.server import listen_tcp

KINDS = ["poller", "loop"]

kinds = pytest.mark.parametrize("kind", KINDS)
"""Runs a test on the transports of the poller, and on those of the event loop, which they copy."""

needs_poller = pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll on this system")


class Notes:
    """What a protocol was told."""

    def __init__(self):
        self.calls = []
        self.data = bytearray()
        self.transport = None
        self.changed = asyncio.Event()
        self.keep_open = False

    def note(self, *call):
        self.calls.append(call)
        self.changed.set()

    @property
    def names(self):
        """The calls, those that bring data left out."""
        return [call[0] for call in self.calls if call[0] != "data_received"]

    async def until(self, condition):
        """Wait until something holds."""
        while not condition(self):
            self.changed.clear()
            await self.changed.wait()

    async def until_called(self, name):
        await self.until(lambda self: name in self.names)

    async def until_received(self, n):
        await self.until(lambda self: len(self.data) >= n)

    def lost_because(self):
        """The argument of connection_lost()."""
        [exc] = [call[1] for call in self.calls if call[0] == "connection_lost"]
        return exc

    def connection_made(self, transport):
        self.transport = transport
        # What is written has to wait soon.
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        self.note("connection_made")

    def eof_received(self):
        self.note("eof_received")
        return self.keep_open

    def connection_lost(self, exc):
        self.note("connection_lost", exc)

    def pause_writing(self):
        self.note("pause_writing")

    def resume_writing(self):
        self.note("resume_writing")


class Plain(Notes, asyncio.Protocol):
    def data_received(self, data):
        assert type(data) is bytes
        self.data += data
        self.note("data_received", len(data))


class Buffered(Notes, asyncio.BufferedProtocol):
    size = 100_000

    def get_buffer(self, sizehint):
        self.buffer = bytearray(self.size)
        return self.buffer

    def buffer_updated(self, nbytes):
        assert nbytes > 0
        self.data += self.buffer[:nbytes]
        self.note("data_received", nbytes)


class Echo(Plain):
    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


@contextlib.asynccontextmanager
async def listening(kind, factory):
    """A server; gives its address and a list of the protocols that it made."""
    made = []

    def make():
        made.append(factory())
        return made[-1]

    loop = asyncio.get_running_loop()
    if kind == "poller":
        server = await listen_tcp(loop, make, host="127.0.0.1", port=0)
    else:
        server = await loop.create_server(make, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname(), made
    finally:
        server.close()
        if kind == "poller":
            # Since Python 3.12, asyncio's server waits for its connections.
            await server.wait_closed()


class Client:
    """The other side: a socket without a transport."""

    def __init__(self, sock):
        self.sock = sock
        self.loop = asyncio.get_running_loop()

    async def send(self, data):
        await self.loop.sock_sendall(self.sock, data)

    async def receive(self, n):
        """Receive so many bytes, or all to the end of the stream."""
        data = bytearray()
        while len(data) < n:
            more = await self.loop.sock_recv(self.sock, min(n - len(data), 1 << 18))
            if not more:
                break
            data += more
        return bytes(data)

    async def receive_to_end(self):
        return await self.receive(1 << 40)

    def shutdown(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """End the connection without a word."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


@contextlib.asynccontextmanager
async def connected(kind, factory):
    """A connection: gives the client and the server's protocol."""
    async with listening(kind, factory) as (address, made), dial(address) as client:
        while not made or made[0].transport is None:
            await asyncio.sleep(0)
        notes = made[0]
        try:
            yield client, notes
        finally:
            if "connection_lost" not in notes.names:
                notes.transport.abort()
                await notes.until_called("connection_lost")


@contextlib.asynccontextmanager
async def dial(address):
    """A client with a small receive buffer, too."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        yield Client(sock)


async def turns(n=5):
    """Let the event loop turn so many times, looking at descriptors each time."""
    for _ in range(n):
        await asyncio.sleep(0.001)


@contextlib.contextmanager
def exceptions_told():
    """The contexts that the event loop's exception handler gets."""
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    contexts = []
    loop.set_exception_handler(lambda loop, context: contexts.append(context))
    try:
        yield contexts
    finally:
        loop.set_exception_handler(handler)
