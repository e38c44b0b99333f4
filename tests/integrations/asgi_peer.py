"""uvicorn inside a test, and a peer that may misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct

import uvicorn

OURS = "tidegate.integrations.uvicorn:WebSocketProtocol"

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@contextlib.asynccontextmanager
async def running(app, ws=OURS, **options):
    """Run uvicorn without its main loop, which has signals and waits; give the server.

    Its ``port`` is the one that it listens on.
    """
    options = {"lifespan": "off", "log_config": None, "timeout_graceful_shutdown": 10} | options
    config = uvicorn.Config(app, port=0, ws=ws, **options)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    await server.on_tick(0)
    if config.uds is None:
        server.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        await server.shutdown()
        assert not server.server_state.connections
        assert not server.server_state.tasks


def frame(opcode, payload=b"", *, fin=True, masked=True):
    """Make a frame as a client sends it."""
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", fin << 7 | opcode, mask_bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", fin << 7 | opcode, mask_bit | 126, size)
    else:
        head = struct.pack("!BBQ", fin << 7 | opcode, mask_bit | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def close(code, reason=""):
    """Make a Close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


class Peer:
    """A client that sends what it is told to, frame by frame."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port, **options):
        """Connect, and no more; ``port`` may be the path of a Unix socket."""
        if isinstance(port, str):
            return cls(*await asyncio.open_unix_connection(port))
        return cls(*await asyncio.open_connection("127.0.0.1", port, **options))

    async def ask(self, path="/", *headers, method="GET", version="13"):
        """Send the request of an opening handshake."""
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            f"Sec-WebSocket-Version: {version}",
            *headers,
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def answer(self):
        """Give the status and the headers of the response."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")[:-2]
        items = [line.partition(":")[::2] for line in lines]
        return int(status.split(" ")[1]), [(name.lower(), value.strip()) for name, value in items]

    async def body(self, headers):
        """Give the rest of the response, which may be in chunks, as text."""
        data = (await self.reader.read()).decode()
        if ("transfer-encoding", "chunked") not in headers:
            return data
        parts = data.split("\r\n")
        return "".join(parts[1::2])

    def write(self, *frames):
        """Send frames in one segment."""
        self.writer.write(b"".join(frames))

    async def read(self):
        """Give the next frame, as opcode and payload."""
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def read_closing(self):
        """Give the code and the reason of the Close frame that comes next, or how it ends else."""
        try:
            while True:
                opcode, payload = await self.read()
                if opcode == CLOSE:
                    if not payload:
                        return "close"
                    (code,) = struct.unpack("!H", payload[:2])
                    return f"close {code} {payload[2:].decode()}".rstrip()
        except (asyncio.IncompleteReadError, ConnectionError):
            return "nothing"

    async def leave(self):
        """Close the connection."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def abort(self):
        """Break the connection."""
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(server, path="/", *headers):
    """Open a WebSocket connection to a server; give the peer."""
    peer = await Peer.connect(server.port)
    try:
        await peer.ask(path, *headers)
        status, _ = await peer.answer()
        assert status == 101
        yield peer
    finally:
        await peer.leave()
