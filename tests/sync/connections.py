"""Connections of threads to test with: both ends in this process, or one end of raw bytes."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time

from tidegate.sync.client import connect, unix_connect
from tidegate.sync.server import serve, unix_serve
from tidegate.utils import accept_key

from ..asyncio.connections import CLOSE, close_frame, frame, request

# Longer than anything takes, in seconds.
LONG = 20


class Task(threading.Thread):
    """A thread whose outcome is asked for."""

    def __init__(self, function, *args, **kwargs):
        super().__init__(daemon=True)
        self.call = function, args, kwargs
        self.outcome = self.exception = None
        self.start()

    def run(self):
        function, args, kwargs = self.call
        try:
            self.outcome = function(*args, **kwargs)
        except BaseException as exc:
            self.exception = exc

    def result(self):
        """Wait for what the function returns or raises."""
        self.join(LONG)
        assert not self.is_alive(), "the thread is still running"
        if self.exception is not None:
            raise self.exception
        return self.outcome


@contextlib.contextmanager
def running(server):
    """Run a server in a thread."""
    task = Task(server.serve_forever)
    try:
        with server:
            yield server
    finally:
        task.result()


def address(server, secure=False):
    """Give the URI of a server of this machine."""
    return f"{'wss' if secure else 'ws'}://127.0.0.1:{server.socket.getsockname()[1]}/"


@contextlib.contextmanager
def serving(handler, **kwargs):
    """Run a server on this machine; give its URI."""
    with running(serve(handler, "127.0.0.1", 0, **kwargs)) as server:
        yield address(server, kwargs.get("ssl") is not None)


@contextlib.contextmanager
def pair(kind="plain", *, certificates=None, path=None, server=None, client=None):
    """Give both ends of a connection: the server's and the client's."""
    accepted = queue.SimpleQueue()
    server, client = dict(server or {}), dict(client or {})

    def handler(connection):
        accepted.put(connection)
        connection.wait_closed()

    if kind == "unix":
        listening = unix_serve(handler, path, **server)
    else:
        if kind == "tls":
            server["ssl"], client["ssl"] = certificates
        listening = serve(handler, "127.0.0.1", 0, **server)
    with running(listening):
        if kind == "unix":
            connection = unix_connect(path, **client)
        else:
            connection = connect(address(listening, kind == "tls"), **client)
        with connection:
            yield accepted.get(timeout=LONG), connection


class RawPeer:
    """One end of a connection that does what a test says, byte by byte."""

    def __init__(self, sock, *, mask):
        self.sock = sock
        self.mask = mask
        sock.settimeout(LONG)

    def send(self, opcode, data=b"", *, fin=True):
        """Send a frame."""
        self.sock.sendall(frame(opcode, data, fin=fin, mask=self.mask))

    def send_close(self, code=1000, reason=""):
        """Send a Close frame."""
        self.sock.sendall(close_frame(code, reason, mask=self.mask))

    def read(self, size):
        """Read so many bytes."""
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def receive(self):
        """Give the next frame: opcode and payload."""
        first, second = self.read(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(self.read(2 if length == 126 else 8), "big")
        key = self.read(4) if second & 0x80 else b"\0\0\0\0"
        data = self.read(length)
        if any(key):
            data = bytes(byte ^ key[i & 3] for i, byte in enumerate(data))
        return first & 0x0F, data

    def close_code(self):
        """Give the code of the Close frame that comes, whatever comes before it."""
        while True:
            opcode, data = self.receive()
            if opcode == CLOSE:
                return int.from_bytes(data[:2], "big") if data else 1005

    def finish(self, code=1000):
        """Do the closing handshake, and close the connection."""
        self.send_close(code)
        self.close_code()
        self.close()

    def ended(self):
        """Whether nothing more comes than the end."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def close(self):
        """Close the connection."""
        self.sock.close()


@contextlib.contextmanager
def raw_server(**kwargs):
    """Give a client's connection, and its peer, which a test drives by hand."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept():
            sock, _ = listening.accept()
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += sock.recv(65536)
            key = head.decode().split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                + accept_key(key).encode()
                + b"\r\n\r\n"
            )
            return RawPeer(sock, mask=False)

        task = Task(accept)
        kwargs = {"compression": None, **kwargs}
        connection = connect(f"ws://127.0.0.1:{listening.getsockname()[1]}/", **kwargs)
        peer = task.result()
        try:
            yield connection, peer
        finally:
            peer.close()
            connection.close()


@contextlib.contextmanager
def raw_client(uri, *, headers=""):
    """Connect to a server by hand."""
    host, port = uri.removeprefix("ws://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as sock:
        peer = RawPeer(sock, mask=True)
        sock.sendall(request(headers=headers))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += peer.read(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield peer


def until(condition):
    """Wait until something is so."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it doesn't come to that"
        time.sleep(0.001)
