"""The other ends of the connections: blocking sockets, which do one thing after the other."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
import threading
import zlib

MASK = b"\x37\xfa\x21\x3d"
TEXT, BINARY = 1, 2
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TIMEOUT = 120.0  # seconds; under callgrind, and on a busy machine


def frame(opcode: int, data: bytes, mask: bytes = MASK, compressed: bool = False) -> bytes:
    """Give a frame, masked unless the mask is empty."""
    bit = 0x80 if mask else 0
    head = bytes([0x80 | (0x40 if compressed else 0) | opcode])
    if len(data) < 126:
        head += bytes([bit | len(data)])
    elif len(data) < 0x10000:
        head += struct.pack("!BH", bit | 126, len(data))
    else:
        head += struct.pack("!BQ", bit | 127, len(data))
    if mask and data:
        key = (mask * (len(data) // 4 + 1))[: len(data)]
        number = int.from_bytes(data, "big") ^ int.from_bytes(key, "big")
        data = number.to_bytes(len(data), "big")
    return head + mask + data


class Peer:
    """One connection to a server.

    Args:
        port: where the server is.
        path: what to ask for.
        tls: whether to use TLS.
        compression: whether to offer compression.

    """

    def __init__(
        self, port: int, path: str = "/", *, tls: bool = False, compression: bool = False
    ) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)
        self.buffer = bytearray()
        self.request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\n{OFFER if compression else ''}"
            "User-Agent: Python/3.11 counting\r\n\r\n"
        ).encode()

    def open(self) -> None:
        """Do the opening handshake."""
        self.sock.sendall(self.request)
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise RuntimeError(f"the server answers {bytes(head)!r}")
        self.buffer = rest

    def more(self) -> None:
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError("the server ended the connection")
        self.buffer += data

    def receive(self, count: int) -> None:
        """Receive so many frames."""
        for _ in range(count):
            self.need(2)
            size, start = self.buffer[1] & 0x7F, 2
            if size >= 126:
                start = 4 if size == 126 else 10
                self.need(start)
                size = int.from_bytes(self.buffer[2:start], "big")
            self.need(start + size)
            del self.buffer[: start + size]

    def need(self, size: int) -> None:
        while len(self.buffer) < size:
            self.more()

    def close(self) -> None:
        """Do the closing handshake; the server ends the connection."""
        self.sock.sendall(frame(8, b"\x03\xe8"))
        self.receive(1)
        while self.sock.recv(100):
            pass
        self.sock.close()


class Compressor:
    """What makes compressed frames, with the context kept."""

    def __init__(self) -> None:
        self.deflate = zlib.compressobj(wbits=-12)

    def frame(self, text: bytes) -> bytes:
        data = self.deflate.compress(text) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        return frame(TEXT, data[:-4], compressed=True)


class EchoServer:
    """Gives back, in a thread, each message of one client, which sends one at a time."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(TIMEOUT)
        self.port = self.listening.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        sock = self.listening.accept()[0]
        sock.settimeout(TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.listening, sock:
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(4096)
            lines = dict(line.split(b": ", 1) for line in head.splitlines() if b": " in line)
            key = {name.lower(): value for name, value in lines.items()}[b"sec-websocket-key"]
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            answer = frame(TEXT, b"x" * 64, b"")
            # A message of 64 bytes has a head of 6, mask included.
            while data := sock.recv(70, socket.MSG_WAITALL):
                if data[0] == 0x88:
                    # 1000, whatever it says.
                    sock.sendall(frame(8, b"\x03\xe8", b""))
                    return
                sock.sendall(answer)
