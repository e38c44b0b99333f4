"""What a connection on trio sends: from frames to the socket, by way of TLS and of a backlog."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

import trio

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..asyncio.poller.syscalls import transmit
    from ..core.life import ENDING, Life
    from ..core.link import MOST_PENDING, Link

if TYPE_CHECKING:
    from ..core.tls import TLS
    from ..protocol import Protocol

# How much is encrypted, or given to the operating system, at once, in bytes.
AT_ONCE = 256 * 1024

# Where system calls are made without a Python call around them, if this is compiled.
HAS_CALLS = sys.platform == "linux"


class Output(Link):
    """The part of a connection that sends.

    Args:
        protocol: the connection as a Sans-I/O state machine.
        life: its state and its deadline.
        high: reading stops when more messages than this wait to be received.
        low: it goes on when there are no more than this.

    """

    def __init__(self, protocol: Protocol, life: Life, high: int | None, low: int | None) -> None:
        Link.__init__(self, protocol, life, high, low)
        self.sock: socket.socket | None = None
        self.fd = -1
        self.handle: Any = None
        self.stream: trio.abc.Stream | None = None
        self.layers: list[TLS] | None = None
        self.backlog = bytearray()
        self.eof_written = False
        self.broken: Exception | None = None
        self.high_water = 0
        self.low_water = 0
        # Made when somebody waits for it.
        self.room_event: trio.Event | None = None

    def carry_on(self, sock: socket.socket | None, stream: trio.abc.Stream | None) -> None:
        """Send on a socket, or on a stream instead."""
        self.sock = sock
        self.stream = stream
        if sock is not None:
            # A number is what trio has the least to do with.
            self.handle = sock if sys.platform == "win32" else sock.fileno()
            if HAS_CALLS:
                self.fd = sock.fileno()

    # What a subclass does

    def kick(self) -> None:
        """Have the attendant look at the connection now."""

    def start_sending(self) -> None:
        """Have what is in the backlog sent as the network takes it."""

    def finish_if_sent(self) -> None:
        """Finish if the peer has ended its stream, and what was sent is out."""

    # Writing

    def send_now(self, message: Any) -> bool:
        """Send a message of the most frequent kinds if nothing is in the way."""
        writer = self.writer
        # State.OPEN, as the writer has it.
        return (
            writer.state == 1
            and not writer.continuing
            and not self.full
            and self.write_plain(message)
        )

    def write_data(self, opcode: int, data: Any, fin: bool, compress: bool | None) -> None:
        """Write a frame, and send it."""
        self.writer.write_data(opcode, data, fin, compress)
        self.flush()

    def flush(self) -> None:
        """Give what was written to the operating system, as much as it takes."""
        writer = self.writer
        if not writer.writes or (self.handle is None and self.stream is None):
            return
        if self.eof_written or self.broken is not None:
            # Nothing can follow.
            writer.take()
            return
        self.written += writer.pending
        large = writer.pending >= MOST_PENDING
        writes = writer.take()
        ends = not writes[len(writes) - 1]
        if len(writes) == 1:
            self.put_sealed(writes[0])
        elif not large:
            self.put_sealed(b"".join(writes))
        else:
            for data in writes:
                self.put_sealed(data)
        if ends:
            self.write_end()

    def put_sealed(self, data: bytes) -> None:
        """Send bytes, encrypted if they have to be."""
        if self.layers is None:
            self.put(data)
            return
        try:
            for start in range(0, len(data), AT_ONCE):
                self.put(self.sealed(data[start : start + AT_ONCE]))
        except ssl.SSLError as exc:
            self.fail_sending(exc)

    def sealed(self, data: bytes) -> bytes:
        """Give what has to be sent for these bytes, and for TLS itself."""
        for layer in reversed(self.layers or ()):
            if data:
                layer.encrypt(data)
            data = layer.output()
        return data

    def put(self, data: bytes) -> None:
        """Send bytes as they are; what isn't taken now waits in the backlog."""
        if not data or self.broken is not None:
            return
        if self.backlog or self.sock is None:
            self.backlog += data
        else:
            try:
                if self.fd >= 0:
                    n = transmit(self.sock, self.fd, data)
                else:
                    n = transmit_anywhere(self.sock, data)
            except OSError as exc:
                self.fail_sending(exc)
                return
            if n == len(data):
                return
            self.backlog += memoryview(data)[max(n, 0) :]
        self.start_sending()
        if not self.full and len(self.backlog) > self.high_water:
            self.room(False)

    def send_backlog(self) -> None:
        """Send what waits in the backlog, as much as the socket takes."""
        assert self.sock is not None
        try:
            with memoryview(self.backlog) as view, view[:AT_ONCE] as first:
                n = transmit_anywhere(self.sock, first)
        except OSError as exc:
            self.fail_sending(exc)
            return
        if n > 0:
            self.sent(n)

    def sent(self, n: int) -> None:
        """Take note that so much of the backlog was taken."""
        del self.backlog[:n]
        if self.full and len(self.backlog) <= self.low_water:
            self.room(True)
            if self.room_event is not None:
                self.room_event.set()
                self.room_event = None
        if not self.backlog:
            if self.eof_written:
                self.shut_down()
            self.finish_if_sent()

    def fail_sending(self, exc: Exception) -> None:
        """Take note that nothing can be sent any more; what came before can still be received."""
        if self.broken is None:
            self.broken = exc
            self.backlog.clear()
            # Whoever has sent this waits for room, and is told instead.
            self.full = True
            self.kick()

    def write_end(self) -> None:
        """End the stream behind what was written."""
        self.eof_written = True
        self.life.enter(ENDING)
        for layer in reversed(self.layers or ()):
            with contextlib.suppress(ssl.SSLError):
                layer.close()
            with contextlib.suppress(ssl.SSLError):
                self.put(self.sealed(b""))
        if self.stream is not None:
            self.start_sending()
        elif not self.backlog:
            self.shut_down()

    def shut_down(self) -> None:
        """End the stream, everything having been sent."""
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                # The connection was lost.
                pass


def transmit_anywhere(sock: socket.socket, data: Any) -> int:
    """Send bytes; give the number of those that were taken, -1 for not now."""
    try:
        return sock.send(data)
    except BlockingIOError:
        return -1
