"""TLS, and TLS inside TLS, between a socket and a connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence

from .buffers import give_buffer, take_buffer
from .tls import SocketLike, TLSStream

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..core.tls import TLS


class Layers:
    """One or more TLS connections, one inside the other. One thread at a time may use them.

    Args:
        tls: the connections, the outermost first.

    Attributes:
        ended: whether the other side has ended its stream.
        failure: what was wrong behind what `decrypt` gave last; None if nothing was.

    """

    def __init__(self, tls: Sequence[TLS]) -> None:
        self.tls = tuple(tls)
        self.ended = False
        self.failure: OSError | None = None

    def decrypt(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take what came over the socket; give what was in it.

        What TLS itself has to say is there to `output` then, also after a failure.
        """
        found: bytes | bytearray | memoryview = data
        buffer = take_buffer()
        size = len(buffer)
        for tls in self.tls:
            tls.received(found)
            plain = b""
            n = size
            try:
                # Less than there is room for is all that there is.
                while n == size:
                    n = tls.decrypt_into(buffer)
                    piece = bytes(memoryview(buffer)[:n])
                    plain = plain + piece if plain else piece
            except ssl.SSLError:
                # What is wrong is kept there.
                pass
            found = plain
            if tls.error is not None:
                self.failure = tls.error
            self.ended = self.ended or tls.ended
        give_buffer(buffer)
        return bytes(found)

    def encrypt(self, data: bytes) -> bytes:
        """Give what has to be sent over the socket instead of some data."""
        tls = self.tls[len(self.tls) - 1]
        tls.encrypt(data)
        if len(self.tls) == 1:
            return tls.output()
        return self.output()

    def output(self) -> bytes:
        """Give what TLS itself has to send."""
        data = b""
        for tls in reversed(self.tls):
            if data:
                tls.encrypt(data)
            data = tls.output()
        return data

    def close(self) -> bytes:
        """Give what tells the other side that nothing more comes."""
        data = b""
        for tls in reversed(self.tls):
            if data:
                tls.encrypt(data)
            with contextlib.suppress(ssl.SSLError):
                # What is wrong with what came is of no interest any more.
                tls.close()
            data = tls.output()
        return data


def flatten(sock: SocketLike) -> tuple[socket.socket, Layers | None]:
    """Give the socket below TLS, and the TLS, which goes on without the streams."""
    tls: list[TLS] = []
    while isinstance(sock, TLSStream):
        tls.insert(0, sock.tls)
        sock = sock.sock
    return sock, Layers(tls) if tls else None
