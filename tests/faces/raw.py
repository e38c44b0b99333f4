"""Peers that do what no library does, on blocking sockets."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading

from tidegate.frames import Frame, Opcode
from tidegate.utils import accept_key

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(opcode, data=b"", fin=True, *, mask):
    """The bytes of a frame."""
    return Frame(Opcode(opcode), data, fin).serialize(mask=mask)


def close_code(data):
    """The code of the Close frame that unmasked bytes end with."""
    place = data.rindex(b"\x88")
    return struct.unpack("!H", data[place + 2 : place + 4])[0]


def read_head(sock):
    """Read a request or a response."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(1)
        if not more:
            break
        data += more
    return data


def read_all(sock):
    """Read to the end."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := sock.recv(65536):
            data += more
    return data


def open_client(address):
    """Connect to a server, opening handshake included."""
    sock = socket.create_connection(address[:2], timeout=10)
    sock.sendall(REQUEST)
    assert read_head(sock).startswith(b"HTTP/1.1 101 ")
    return sock


def exchange(address, data, *, opened=True):
    """Send bytes to a server; give what it answers until it ends the connection."""
    sock = open_client(address) if opened else socket.create_connection(address[:2], timeout=10)
    with sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(data)
        return read_all(sock)


def answer(sock):
    """Accept the opening handshake of a client."""
    key = re.search(rb"Sec-WebSocket-Key: (.*)\r\n", read_head(sock))[1].decode()
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
    )


@contextlib.asynccontextmanager
async def server(face, script, *, opened=True):
    """Run a server in a thread that plays a script on each connection; gives its address."""
    stop = threading.Event()

    def play(sock):
        with sock, contextlib.suppress(OSError):
            sock.settimeout(10)
            if opened:
                answer(sock)
            script(sock)
            # Nothing is closed before the test is done, unless the script does it.
            if sock.fileno() >= 0:
                stop.wait(10)

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=play, args=(sock,))
            thread.start()
            threads.append(thread)

    def join():
        accepting.join()
        for thread in threads:
            thread.join()

    threads = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()
        finally:
            stop.set()
            # Closing it doesn't wake whoever waits in accept().
            listener.shutdown(socket.SHUT_RDWR)
            await face.blocking(join)
