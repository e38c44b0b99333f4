"""TLS inside a connection that has TLS itself, for threads."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import Any

from ..core.tls import TLS

__all__ = ["SocketLike", "TLSStream"]

# How much is encrypted at once, so that little memory is needed for large messages.
CHUNK_SIZE = 65536

READ_SIZE = 65536


class TLSStream:
    """TLS over something that has the methods of a socket, with the methods of a socket itself.

    ``SSLContext.wrap_socket()`` needs a socket of the operating system below; this doesn't, so that
    TLS to a server goes through TLS to a proxy. One thread may receive while another sends.

    Args:
        sock: the connection below, such as an ``ssl.SSLSocket``. It is closed with this stream.
        context: how to do TLS.
        server_hostname: the name in the server's certificate; None for the server itself.
        peer: whom errors name, by default the server's name.
    """

    def __init__(
        self,
        sock: SocketLike,
        context: ssl.SSLContext,
        server_hostname: str | None,
        peer: str | None = None,
    ) -> None:
        self.sock = sock
        self.tls = TLS(
            context,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
            peer=peer or server_hostname or "the client",
        )
        # OpenSSL allows one thread at a time; it is held while data is moved, not while waiting.
        self.lock = threading.Lock()
        # Keeps what is encrypted in its order on its way out.
        self.sending = threading.Lock()

    def do_handshake(self, deadline: float | None = None) -> None:
        """Do the TLS handshake.

        Args:
            deadline: the ``time.monotonic()`` until which it has time, None for no limit.

        Raises:
            TimeoutError: if it takes longer.
            ssl.SSLError: if it fails.
            ConnectionResetError: if the other side closed the connection.
        """
        while True:
            if deadline is not None:
                limit(self.sock, deadline)
            try:
                with self.lock:
                    done = self.tls.handshake()
            except ssl.SSLError:
                # The other side should learn why. If it is gone, the first error counts.
                with contextlib.suppress(OSError):
                    self.flush()
                raise
            self.flush()
            if done:
                return
            self.fill()

    def flush(self) -> None:
        """Send what is encrypted."""
        with self.sending:
            with self.lock:
                data = self.tls.output()
            if data:
                self.put(data)

    def put(self, data: bytes) -> None:
        """Send bytes as they stand.

        Raises:
            ssl.SSLError: if the other side has said why it takes no more.
            OSError: if it can't be done otherwise.
        """
        try:
            self.sock.sendall(data)
        except ConnectionError:
            last = b""
            with contextlib.suppress(ConnectionError):
                last = self.sock.recv(READ_SIZE)
            with self.lock:
                self.tls.last_words(last)
            raise

    def fill(self) -> None:
        """Wait for something to decrypt, or for the end."""
        try:
            data = self.sock.recv(READ_SIZE)
        except BrokenPipeError:
            # TLS below this one had something to say about a stream that broke off.
            data = b""
        with self.lock:
            if data:
                self.tls.received(data)
            else:
                self.tls.received_end()

    # As in a socket

    def recv(self, size: int) -> bytes:
        """Wait for data; give none at the end of the stream."""
        buffer = bytearray(size)
        return bytes(buffer[: self.recv_into(buffer)])

    def recv_into(self, buffer: bytearray | memoryview, size: int = 0) -> int:
        """Wait for data and put it into a buffer; give its size, 0 at the end of the stream.

        A stream that breaks off has ended, too; an ``ssl.SSLSocket`` doesn't make a difference
        either.
        """
        view = memoryview(buffer)[: size or None]
        while True:
            with self.lock:
                n = self.tls.decrypt_into(view)
                done = bool(n) or self.tls.ended or not len(view)
            if done:
                return n
            # TLS itself may have something to answer.
            self.flush()
            self.fill()

    def pending(self) -> int:
        """Give how many bytes may be received without waiting, at least.

        ``select()`` cannot see these.
        """
        with self.lock:
            pending = self.tls.pending()
        below = getattr(self.sock, "pending", None)
        return pending + (below() if below is not None else 0)

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send data."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), CHUNK_SIZE):
            with self.sending:
                with self.lock:
                    self.tls.encrypt(view[start : start + CHUNK_SIZE])
                    encrypted = self.tls.output()
                self.put(encrypted)

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Send data, all of it; give its size."""
        self.sendall(data)
        return len(memoryview(data).cast("B"))

    def shutdown(self, how: int) -> None:
        """End the stream: tell the other side, and shut down the connection below."""
        if how != socket.SHUT_RD:
            # The other side may not have ended its stream properly, or may be gone.
            with contextlib.suppress(OSError), self.lock:
                self.tls.close()
            with contextlib.suppress(OSError):
                self.flush()
        self.sock.shutdown(how)

    def close(self) -> None:
        """Close the connection below."""
        self.sock.close()

    def settimeout(self, timeout: float | None) -> None:
        """Limit how long each wait of the connection below may take, in seconds."""
        self.sock.settimeout(timeout)

    def gettimeout(self) -> float | None:
        """Give that limit."""
        return self.sock.gettimeout()

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """Set an option of the socket below."""
        self.sock.setsockopt(level, name, value)

    def fileno(self) -> int:
        """Give the file descriptor of the socket below; see `pending`."""
        return self.sock.fileno()

    def getsockname(self) -> Any:
        """Give the local address of the socket below."""
        return self.sock.getsockname()

    def getpeername(self) -> Any:
        """Give the remote address of the socket below."""
        return self.sock.getpeername()

    # As in an ssl.SSLSocket

    def version(self) -> str | None:
        """Give the version of TLS."""
        return self.tls.object.version()

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Give the certificate of the other side."""
        return self.tls.object.getpeercert(binary_form)

    def selected_alpn_protocol(self) -> str | None:
        """Give the protocol that was agreed upon."""
        return self.tls.object.selected_alpn_protocol()


SocketLike = socket.socket | TLSStream
"""A socket, or what has its methods; an ``ssl.SSLSocket`` is a socket."""


def limit(sock: SocketLike, deadline: float) -> None:
    """Give the next operation of a socket the time that is left.

    Raises:
        TimeoutError: if there is none.
    """
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    sock.settimeout(remaining)
