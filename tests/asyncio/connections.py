"""Connections to test with: both ends in this process, or one end of raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import struct

from tidegate.asyncio.client import connect, unix_connect
from tidegate.asyncio.server import serve, unix_serve
from tidegate.utils import accept_key

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def address(server, secure=False):
    """Give the URI of a server of this machine."""
    return f"{'wss' if secure else 'ws'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@contextlib.asynccontextmanager
async def pair(kind="plain", *, certificates=None, path=None, server=None, client=None):
    """Give both ends of a connection: the server's and the client's.

    Args:
        kind: ``plain``, ``tls`` or ``unix``.
        certificates: the contexts for TLS.
        path: where to make a Unix socket.
        server: arguments of the server.
        client: arguments of the client.

    """
    # A queue doesn't keep what was taken from it.
    accepted = asyncio.Queue()

    async def handler(connection):
        accepted.put_nowait(connection)
        await connection.wait_closed()

    server, client = dict(server or {}), dict(client or {})
    if kind == "unix":
        listening = unix_serve(handler, path, **server)
    else:
        if kind == "tls":
            server["ssl"], client["ssl"] = certificates
        listening = serve(handler, "127.0.0.1", 0, **server)
    async with listening as running:
        if kind == "unix":
            connecting = unix_connect(path, **client)
        else:
            connecting = connect(address(running, kind == "tls"), **client)
        async with connecting as connection:
            yield await accepted.get(), connection


def frame(opcode, data=b"", *, fin=True, mask=False, rsv=0):
    """Give the bytes of a frame; the mask key is zero, which changes nothing."""
    if isinstance(data, str):
        data = data.encode()
    first = (0x80 if fin else 0) | rsv | opcode
    length = len(data)
    bit = 0x80 if mask else 0
    if length < 126:
        head = struct.pack("!BB", first, bit | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    return head + (b"\0\0\0\0" if mask else b"") + data


def close_frame(code=1000, reason="", *, mask=False):
    """Give the bytes of a Close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode(), mask=mask)


class RawPeer:
    """One end of a connection that does what a test says, byte by byte."""

    def __init__(self, reader, writer, *, mask):
        self.reader = reader
        self.writer = writer
        self.mask = mask

    def send(self, opcode, data=b"", *, fin=True):
        """Send a frame."""
        self.writer.write(frame(opcode, data, fin=fin, mask=self.mask))

    def send_close(self, code=1000, reason=""):
        """Send a Close frame."""
        self.writer.write(close_frame(code, reason, mask=self.mask))

    async def receive(self):
        """Give the next frame: opcode and payload."""
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(await self.reader.readexactly(2), "big")
        elif length == 127:
            length = int.from_bytes(await self.reader.readexactly(8), "big")
        key = await self.reader.readexactly(4) if second & 0x80 else b"\0\0\0\0"
        data = await self.reader.readexactly(length)
        if any(key):
            data = bytes(byte ^ key[i & 3] for i, byte in enumerate(data))
        return first & 0x0F, data

    async def close_code(self):
        """Give the code of the Close frame that comes, whatever comes before it."""
        while True:
            opcode, data = await self.receive()
            if opcode == CLOSE:
                return int.from_bytes(data[:2], "big") if data else 1005

    async def finish(self, code=1000):
        """Do the closing handshake, and close the connection."""
        self.send_close(code)
        await self.close_code()
        await self.close()

    def stop_reading(self):
        """Read nothing any more; what is sent to it stays with the sender."""
        self.writer.transport.pause_reading()

    async def close(self):
        """Close the connection."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
)


def request(path="/", headers=""):
    """Give the bytes of an opening handshake request."""
    return REQUEST.format(path=path, headers=headers).encode()


@contextlib.asynccontextmanager
async def raw_client(server, *, headers="", limit=2**16):
    """Connect to a server by hand."""
    host, port = server.sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(host, port, limit=limit)
    peer = RawPeer(reader, writer, mask=True)
    try:
        writer.write(request(headers=headers))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        yield peer
    finally:
        await peer.close()


@contextlib.asynccontextmanager
async def raw_server(script=None, *, limit=2**16):
    """Run a server that a test drives by hand; give its URI and a queue of its peers.

    Args:
        script: coroutine function that is run with each peer, instead of the queue.

    """
    peers = asyncio.Queue()
    tasks = set()

    async def accept(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("iso-8859-1")
            key = head.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                + accept_key(key).encode()
                + b"\r\n\r\n"
            )
            peer = RawPeer(reader, writer, mask=False)
            if script is None:
                peers.put_nowait(peer)
            else:
                await script(peer)
                await peer.close()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=limit)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", peers
    finally:
        server.close()
        while tasks:
            await asyncio.wait(tasks)
        while not peers.empty():
            await peers.get_nowait().close()


async def turns(n=5):
    """Let the event loop run for some turns."""
    for _ in range(n):
        await asyncio.sleep(0)


async def until(condition):
    """Wait until something is so."""
    while not condition():
        await asyncio.sleep(0.001)
