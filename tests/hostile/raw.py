"""The protocol by hand: frames as they are wanted, right or wrong, and sockets that block."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import ssl
import struct
import zlib
from base64 import b64encode
from typing import NamedTuple

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}

# How a peer is found to be gone.
GONE = ConnectionError, ssl.SSLError

# What is waited for comes at once, or never.
PATIENCE = 20


class Frame(NamedTuple):
    """A frame, in which everything may be wrong.

    Args:
        opcode: four bits.
        data: payload, as it is sent before masking.
        fin: whether it is final.
        rsv: the three reserved bits, 4 for RSV1.
        form: 16 or 64 to have the length in so many bits, though fewer would do.
        length: what is said of the length; None for the truth.
        wrong_mask: whether to mask when nobody should, and not when everybody should.

    """

    opcode: int
    data: bytes = b""
    fin: bool = True
    rsv: int = 0
    form: int = 7
    length: int | None = None
    wrong_mask: bool = False

    def wire(self, masked: bool) -> bytes:
        """Give it as a client sends it, masked, or as a server."""
        length = len(self.data) if self.length is None else self.length
        masked ^= self.wrong_mask
        bit = 0x80 if masked else 0
        first = self.fin << 7 | self.rsv << 4 | self.opcode
        if self.form == 64 or length >= 65536:
            head = struct.pack("!BBQ", first, bit | 127, length)
        elif self.form == 16 or length >= 126:
            head = struct.pack("!BBH", first, bit | 126, length)
        else:
            head = struct.pack("!BB", first, bit | length)
        if not masked:
            return head + self.data
        key = b"\x37\xfa\x21\x3d"
        return head + key + mask(self.data, key)


def mask(data: bytes, key: bytes) -> bytes:
    """Mask, or unmask."""
    size = len(data)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")


def text(data: str | bytes, **kwargs: object) -> Frame:
    """Make a text message in one frame, or the first frame of one."""
    return Frame(TEXT, data.encode() if isinstance(data, str) else data, **kwargs)


def close(code: int | None = 1000, reason: bytes = b"") -> Frame:
    """Make a Close frame; without a code it is empty."""
    return Frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def wire(frames: object, masked: bool) -> bytes:
    """Give frames, and bytes among them, as they are sent."""
    return b"".join(each if isinstance(each, bytes) else each.wire(masked) for each in frames)


class Received(NamedTuple):
    """What a peer has sent after the opening handshake, until the end of its stream.

    Args:
        messages: data frames with the fragments joined, as opcode and payload.
        pongs: payloads of pongs.
        code: of the Close frame; 1005 if it had none, 1006 if there was no Close frame.
        rest: bytes behind the Close frame, or of an incomplete frame.

    """

    messages: tuple[tuple[int, bytes], ...]
    pongs: tuple[bytes, ...]
    code: int
    rest: bytes = b""


def received(data: bytes, masked: bool) -> Received:
    """Take apart what a peer has sent, and see to it that it was right itself."""
    messages: list[tuple[int, bytes]] = []
    pongs = []
    opened: list | None = None
    while len(data) >= 2:
        fin, opcode, length = data[0] >= 0x80, data[0] & 0x0F, data[1] & 0x7F
        assert (data[1] >= 0x80) == masked, "incorrect masking"
        start = {126: 4, 127: 10}.get(length, 2)
        if length > 125:
            length = int.from_bytes(data[2:start], "big")
        end = start + 4 * masked + length
        if len(data) < end:
            break
        assert data[0] & 0x30 == 0, "reserved bits"
        compressed = data[0] & 0x40
        payload = data[end - length : end]
        if masked:
            payload = mask(payload, data[start : start + 4])
        data = data[end:]
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            payload[2:].decode()
            return Received(tuple(messages), tuple(pongs), code, data)
        if opcode == PONG:
            pongs.append(payload)
        elif opcode != PING:
            assert (opcode == CONT) == (opened is not None), "fragments in disorder"
            if opened is None:
                opened = [opcode, b"", compressed]
            opened[1] += payload
            if fin:
                messages.append((opened[0], inflate(opened[1]) if opened[2] else opened[1]))
                opened = None
    return Received(tuple(messages), tuple(pongs), 1006, data)


def deflate(data: bytes, wbits: int = -15) -> bytes:
    """Compress a message that nothing else depends on (RFC 7692, section 7.2.1)."""
    compressor = zlib.compressobj(wbits=wbits)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflate(data: bytes) -> bytes:
    """Decompress a message that depends on no other."""
    return zlib.decompressobj(wbits=-15).decompress(data + b"\0\0\xff\xff")


def request(target: str = "/", method: str = "GET", version: str = "HTTP/1.1", **changes) -> bytes:
    """Make a request.

    Args:
        target: what stands behind the method.
        method: the method.
        version: the version.
        changes: other values of headers, `_` for `-` in their names; None for none, a list for
            several of the same name.

    """
    headers = dict(HEADERS)
    names = {name.lower(): name for name in headers}
    for name, value in changes.items():
        plain = name.replace("_", "-")
        headers[names.get(plain.lower(), plain)] = value
    lines = [f"{method} {target} {version}"]
    for name, value in headers.items():
        values = value if isinstance(value, list) else [value]
        lines += [f"{name}: {each}" for each in values if each is not None]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def accept_key(key: str) -> str:
    """Give what answers a key (RFC 6455, section 4.2.2)."""
    digest = hashlib.sha1(
        f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False
    )
    return b64encode(digest.digest()).decode()


def key_of(head: bytes) -> str:
    """Give the key of a request."""
    return re.search(rb"(?i)Sec-WebSocket-Key: (.*)\r\n", head)[1].decode()


def response(head: bytes, *lines: str) -> bytes:
    """Make the response that accepts a request, with more header lines."""
    usual = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key_of(head))}",
    ]
    return "\r\n".join([*usual, *lines, "", ""]).encode("latin-1")


def read_head(sock: socket.socket) -> bytes:
    """Read a request or a response, as far as it comes."""
    data = b""
    # Nothing of what is behind it is taken.
    with contextlib.suppress(*GONE):
        while not data.endswith(b"\r\n\r\n"):
            more = sock.recv(1)
            if not more:
                break
            data += more
    return data


def read_all(sock: socket.socket) -> bytes:
    """Read to the end of the stream, however it ends."""
    data = bytearray()
    with contextlib.suppress(*GONE):
        while more := sock.recv(65536):
            data += more
    return bytes(data)


def send(sock: socket.socket, data: bytes, step: int = 0) -> None:
    """Send bytes, in steps; a peer that leaves meanwhile is no fault."""
    pieces = [data] if not step else [data[i : i + step] for i in range(0, len(data), step)]
    with contextlib.suppress(*GONE):
        for piece in pieces:
            sock.sendall(piece)


def status(head: bytes) -> int:
    """Give the status of a response; 0 if there is none."""
    match = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", head)
    return int(match[1]) if match else 0


def connect(port: int, context: object = None) -> socket.socket:
    """Connect to a server on this machine, with TLS if there is a context for it."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return sock
    try:
        return context.wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise


def cut_off(sock: socket.socket) -> None:
    """End this direction as a network does that is cut: TLS isn't told."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_WR)
