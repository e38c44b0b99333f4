"""The clients that block, all with default settings but without compression.

``socket`` is what Python itself takes for the same bytes: prepared frames on a bare socket, and
answers that are counted, but not read.
"""

from __future__ import annotations

import base64
import functools
import importlib
import os
import socket
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from . import common
from .streaming import streaming_server


class Bare:
    """A connection that knows how long its messages are, and nothing else of WebSocket."""

    def __init__(self, task: common.Task) -> None:
        self.expected = frame_size(task.size)
        self.buffer = memoryview(bytearray(max(self.expected, 65536)))
        self.frames = {payload: masked(payload) for payload in (task.payload, "?")}
        where = urlsplit(task.url)
        assert where.hostname is not None and where.port is not None
        sock = socket.create_connection((where.hostname, where.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if task.context is not None:
            sock = task.context.wrap_socket(sock)
        self.sock = sock
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, message: str | bytes) -> None:
        self.sock.sendall(self.frames[message])

    def recv(self) -> None:
        missing = self.expected
        while missing:
            missing -= self.sock.recv_into(self.buffer, missing)

    def close(self) -> None:
        self.sock.close()


def frame_size(size: int) -> int:
    """Give how long a frame of a server is."""
    return size + (2 if size < 126 else 4 if size < 65536 else 10)


def masked(payload: str | bytes) -> bytes:
    """Give the frame of a message, masked with zeros."""
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0xFE]) + size.to_bytes(2, "big")
    else:
        length = bytes([0xFF]) + size.to_bytes(8, "big")
    return (b"\x81" if isinstance(payload, str) else b"\x82") + length + bytes(4) + data


def open_connection(library: str, task: common.Task) -> Any:
    """Connect with one of the libraries."""
    if library == "socket":
        return Bare(task)
    if library == "websocket":
        module: Any = importlib.import_module("websocket")
        tls = {} if task.context is None else {"context": task.context}
        nodelay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        connection = module.create_connection(task.url, sslopt=tls, sockopt=nodelay)
        if task.binary:
            opcode = module.ABNF.OPCODE_BINARY
            connection.send = functools.partial(connection.send, opcode=opcode)
        return connection
    module = importlib.import_module(f"{library}.sync.client")
    return module.connect(task.url, compression=None, proxy=None, ssl=task.context)


def roundtrip(connection: Any, task: common.Task) -> None:
    payload = task.payload
    sent_at = 0.0
    task.begin()
    while task.count(sent_at):
        sent_at = time.perf_counter()
        connection.send(payload)
        connection.recv()


def receive(connection: Any, task: common.Task) -> None:
    received_at = 0.0
    task.begin()
    while task.count(received_at, common.RECEIVE_TURN):
        received_at = time.perf_counter()
        for _ in range(common.RECEIVE_TURN):
            connection.recv()


OPERATIONS = {"roundtrip": roundtrip, "receive": receive}


def main() -> None:
    library = sys.argv.pop(1)
    task = common.parse()
    with streaming_server(task):
        connection = open_connection(library, task)
        OPERATIONS[task.operation](connection, task)
        task.print_figures()
    connection.close()


if __name__ == "__main__":
    main()
