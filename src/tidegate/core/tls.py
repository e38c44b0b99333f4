"""TLS without I/O: bytes in, bytes out, for whoever has a connection to carry them."""

from __future__ import annotations

import contextlib
import errno
import ssl
from typing import cast

__all__ = ["TLS", "cut_off"]

# The most plain text that fits into one record (RFC 8446, section 5.1).
RECORD_SIZE = 16384


class TLS:
    """One side of TLS, on the object that a context makes with its own ``wrap_bio()``.

    So whatever a program has set on the context, or changed in a subclass, counts. It calls nobody
    and waits for nothing: after each call, what `output` gives has to be sent, also after one that
    raises, because the other side should learn why. One thread at a time may use it.

    Args:
        context: how to do TLS.
        server_side: whether this is the server.
        server_hostname: the name in the server's certificate, for clients.
        peer: whom errors name, such as ``localhost:8765``.

    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        peer: str = "the other side",
    ) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.object = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side, server_hostname=server_hostname
        )
        # Bound once: they are what each message needs.
        self.read = self.object.read
        self.write = self.object.write
        self.decrypted = self.object.pending
        self.peer = peer
        # Whether the handshake is done.
        self.established = False
        # Whether nothing more can be decrypted, and whether that's because it was cut off.
        self.ended = False
        self.truncated = False
        # What decrypting ended with, behind data that is given first: OpenSSL says it only once.
        self.error: ssl.SSLError | None = None
        # Whether the end of the stream was told to the other side.
        self.closed = False

    def received(self, data: bytes | bytearray | memoryview) -> None:
        """Take what came from the other side."""
        # An empty write means nothing; the end has a method of its own.
        if len(data):
            self.incoming.write(data)

    def received_end(self) -> None:
        """Take note that the connection below has ended."""
        self.incoming.write_eof()

    def output(self) -> bytes:
        """Give what has to be sent to the other side."""
        return self.outgoing.read()

    def handshake(self) -> bool:
        """Go on with the handshake.

        Returns:
            Whether it is done; if not, the other side has to be heard.

        Raises:
            ssl.SSLError: if it fails; ``ssl.SSLCertVerificationError`` because of a certificate.
            ConnectionResetError: if the other side closed the connection.

        """
        if self.established:
            return True
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            if self.incoming.eof:
                raise cut_off(self.peer) from None
            return False
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise cut_off(self.peer) from None
        except ssl.SSLError as exc:
            raise self.named(exc) from None
        self.established = True
        return True

    def decrypt_into(self, buffer: bytearray | memoryview) -> int:
        """Put into a buffer what was decrypted, as much as fits; it may take several records.

        Args:
            buffer: where to put it; not empty.

        Returns:
            How many bytes there were. With none, the other side has to be heard, or `ended`.

        Raises:
            ssl.SSLError: if what came isn't TLS.

        """
        if self.error is not None:
            raise self.error
        view = memoryview(buffer)
        room = len(view)
        size = 0
        # Each call gives one record at most.
        while size < room and not self.ended:
            asked = room - size
            try:
                # Into a buffer, it gives the size.
                n = cast("int", self.read(asked, view[size:] if size else view))
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                n = 0
            except ssl.SSLEOFError:
                self.truncated = True
                n = 0
            except ssl.SSLError as exc:
                self.error = self.named(exc)
                if size:
                    break
                raise self.error from None
            if not n:
                self.ended = True
                break
            size += n
            # Asked for more, OpenSSL would say that there is nothing by an exception.
            if n < asked and not self.incoming.pending and not self.incoming.eof:
                break
        return size

    def encrypt(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt data, all of it, for `output`.

        Args:
            data: any size; memory for all of it is taken.

        Raises:
            ssl.SSLError: if there is no TLS (yet, or any more).

        """
        start = 0
        try:
            if type(data) is bytes and len(data) <= RECORD_SIZE:
                if data:
                    self.write(data)
                return
            view = memoryview(data).cast("B")
            size = len(view)
            while start < size:
                start += self.write(view[start : start + RECORD_SIZE])
        except ssl.SSLError as exc:
            raise self.named(exc) from None

    def close(self) -> bool:
        """Tell the other side that nothing more comes, if it hasn't been told.

        Returns:
            Whether the other side has said so as well.

        Raises:
            ssl.SSLError: if what came isn't TLS.

        """
        if not self.established:
            # There is nothing to end; OpenSSL would complain.
            self.closed = True
            return False
        try:
            self.object.unwrap()
        except ssl.SSLWantReadError:
            return False
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.truncated = self.truncated or not self.ended
            self.ended = True
            return not self.truncated
        except ssl.SSLError as exc:
            if exc.reason == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
                # Data was on its way, which nobody wants any more.
                return False
            raise self.named(exc) from None
        finally:
            self.closed = True
        self.ended = True
        return True

    def last_words(self, data: bytes) -> None:
        """Take what came before the connection below broke, when nothing more can be sent.

        The other side may have said in an alert why it ended.

        Args:
            data: what came, maybe nothing.

        Raises:
            ssl.SSLError: if it did.

        """
        self.received(data)
        # What else that came means is of no interest any more.
        with contextlib.suppress(ConnectionError):
            if self.handshake():
                self.decrypt_into(bytearray(RECORD_SIZE))

    def pending(self) -> int:
        """Give how many bytes there are that were not decrypted or not taken, at least."""
        return self.object.pending() + self.incoming.pending

    def has_input(self) -> bool:
        """Say whether there is something that was not decrypted or not taken."""
        return bool(self.incoming.pending or self.decrypted())

    def named(self, exc: ssl.SSLError) -> ssl.SSLError:
        """Give an error that says with whom it happened."""
        if isinstance(exc.strerror, str):
            exc.strerror = f"{self.peer}: {exc.strerror}"
        return exc


def cut_off(peer: str) -> ConnectionResetError:
    """Give the exception for an end during the handshake."""
    return ConnectionResetError(
        errno.ECONNRESET,
        f"{peer} closed the connection during the TLS handshake: does it speak TLS?",
    )
