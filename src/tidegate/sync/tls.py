"""TLS inside a connection that has TLS itself, for threads."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import typing as t

__all__ = ["SocketLike", "TLSStream"]

# How much is encrypted at once, so that little memory is needed for large messages.
CHUNK_SIZE = 65536

READ_SIZE = 65536


class TLSStream:
    """TLS over something that has the methods of a socket, with the methods of a socket itself.

    ``SSLContext.wrap_socket()`` needs a socket of the operating system below; this doesn't, so that
    TLS to a server goes through TLS to a proxy. One thread may receive while another sends.

    Arguments:
        sock: the connection below, such as an ``ssl.SSLSocket``. It is closed with this stream.
        context: how to do TLS.
        server_hostname: the name in the server's certificate.
    """

    def __init__(self, sock: SocketLike, context: ssl.SSLContext, server_hostname: str) -> None:
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.object = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=server_hostname
        )
        # OpenSSL allows one thread at a time; it is held while data is moved, not while waiting.
        self.lock = threading.Lock()
        # Keeps what is encrypted in its order on its way out.
        self.sending = threading.Lock()

    def do_handshake(self, deadline: float | None = None) -> None:
        """Do the TLS handshake.

        Arguments:
            deadline: the ``time.monotonic()`` until which it has time, None for no limit.

        Raises:
            TimeoutError: if it takes longer.
            ssl.SSLError: if it fails.
        """
        while True:
            if deadline is not None:
                limit(self.sock, deadline)
            try:
                with self.lock:
                    self.object.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                if not self.fill():
                    raise ConnectionResetError() from None
            except ssl.SSLError:
                # The other side should learn why.
                self.flush()
                raise
            else:
                self.flush()
                return

    def flush(self) -> None:
        """Send what is encrypted."""
        with self.sending:
            with self.lock:
                data = self.outgoing.read()
            if data:
                self.sock.sendall(data)

    def fill(self) -> bool:
        """Wait for something to decrypt; say whether there is any."""
        data = self.sock.recv(READ_SIZE)
        with self.lock:
            if data:
                self.incoming.write(data)
            else:
                self.incoming.write_eof()
        return bool(data)

    # As in a socket

    def recv(self, size: int) -> bytes:
        """Wait for data; give none at the end of the stream."""
        while True:
            try:
                with self.lock:
                    return self.object.read(size)
            except ssl.SSLWantReadError:
                # TLS itself may have something to answer.
                self.flush()
                self.fill()
            except ssl.SSLEOFError:
                # It breaks off; an ssl.SSLSocket doesn't make a difference either.
                return b""

    def recv_into(self, buffer: bytearray | memoryview, size: int = 0) -> int:
        """Wait for data and put it into a buffer; give its size, 0 at the end of the stream."""
        view = memoryview(buffer)
        data = self.recv(size or len(view))
        view[: len(data)] = data
        return len(data)

    def pending(self) -> int:
        """Give how many bytes may be received without waiting, at least.

        ``select()`` cannot see these.
        """
        with self.lock:
            pending = self.object.pending() + self.incoming.pending
        below = getattr(self.sock, "pending", None)
        return pending + (below() if below is not None else 0)

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send data."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), CHUNK_SIZE):
            with self.sending:
                with self.lock:
                    self.object.write(view[start : start + CHUNK_SIZE])
                    encrypted = self.outgoing.read()
                self.sock.sendall(encrypted)

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Send data, all of it; give its size."""
        self.sendall(data)
        return len(memoryview(data).cast("B"))

    def shutdown(self, how: int) -> None:
        """End the stream: tell the other side, and shut down the connection below."""
        if how != socket.SHUT_RD:
            try:
                with self.lock:
                    self.object.unwrap()
            except ssl.SSLError:
                # The other side hasn't ended its stream yet, or not properly.
                pass
            try:
                self.flush()
            except OSError:
                pass
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

    def getsockname(self) -> t.Any:
        """Give the local address of the socket below."""
        return self.sock.getsockname()

    def getpeername(self) -> t.Any:
        """Give the remote address of the socket below."""
        return self.sock.getpeername()

    # As in an ssl.SSLSocket

    def version(self) -> str | None:
        """Give the version of TLS."""
        return self.object.version()

    def getpeercert(self, binary_form: bool = False) -> t.Any:
        """Give the certificate of the other side."""
        return self.object.getpeercert(binary_form)

    def selected_alpn_protocol(self) -> str | None:
        """Give the protocol that was agreed upon."""
        return self.object.selected_alpn_protocol()


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
