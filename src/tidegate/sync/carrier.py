"""A connection on a socket, as far as it sends and ends.

What is about a connection is done under its lock, which nobody holds while waiting, so that no two
threads are inside of it, or of its TLS.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from .attendant import get_attendant
from .waits import prepare, transmit, wait

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..core.life import ENDING, GONE, NEVER, Life
    from ..core.link import Link
    from .syscalls import is_fast, send_from

if TYPE_CHECKING:
    from ..protocol import Protocol
    from .layers import Layers

# How much of what there was no room for is sent at once, in bytes.
MOST_SENT = 256 * 1024


class Carrier(Link):
    """The part of a connection that has the socket, sends, and ends.

    Args:
        sock: the socket.
        protocol: the connection as a Sans-I/O state machine.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        high: reading stops when more messages than this wait to be received.
        low: it goes on when there are no more than this.

    """

    def __init__(
        self,
        sock: socket.socket,
        protocol: Protocol,
        ping_interval: float | None,
        ping_timeout: float | None,
        close_timeout: float | None,
        high: int | None,
        low: int | None,
    ) -> None:
        life = Life(time.monotonic, None, ping_interval, ping_timeout, close_timeout)
        Link.__init__(self, protocol, life, high, low)
        # A signal handler, or the collector, may come back to a connection within one.
        self.lock = threading.RLock()
        # Bound once: they are what each message needs.
        self.enter = self.lock.acquire
        self.leave = self.lock.release
        self.bell: threading.Condition | None = None
        self.sock = sock
        self.fd = sock.fileno()
        self.layers: Layers | None = None
        self.unsent = bytearray()
        # Whether what had to be sent was given up, or couldn't be sent: the connection is about to
        # be gone.
        self.dropped = False
        self.timer_at = NEVER
        self.reading = True
        # Whether a thread reads from the socket, how many wait for it to take something, and how
        # many see to it that what they wrote gets out.
        self.owned = False
        self.waiting = 0
        self.senders = 0
        self.fragmenting = False
        # For the attendant: whether it wants to know when the thread that reads goes on, whether it
        # comes back soon, and how often a thread has begun to read.
        self.ref: Any = None
        self.attended = False
        self.forgotten = False
        # Whether a thread has just taken a message, behind which there is more to read.
        self.handing = False
        self.noticed = False
        self.entries = 0
        self.at_end = False
        self.eof_written = False
        prepare(sock)
        self.attendant = get_attendant()
        self.attendant.watch(self)
        if not self.opening:
            self.settle()

    # Sending, without waiting

    def flush(self) -> None:
        """Send what was written, as far as there is room."""
        writer = self.writer
        if not writer.writes:
            return
        if self.eof_written or self.life.state == GONE:
            # Nothing can follow the end of the stream.
            writer.take()
            return
        self.written += writer.pending
        writes = writer.take()
        last = not writes[len(writes) - 1]
        data = writes[0] if len(writes) == 1 else b"".join(writes)
        if self.layers is not None:
            if data:
                data = self.layers.encrypt(data)
            if last:
                data += self.layers.close()
        if last:
            self.life.enter(ENDING)
            self.eof_written = True
        if data:
            self.put(data)
        if last:
            self.output_ended()

    def put(self, data: bytes) -> None:
        """Send bytes as they stand, or keep those for which there is no room."""
        if self.unsent:
            self.unsent += data
            return
        n = self.transmit(data)
        if n < len(data):
            self.unsent += memoryview(data)[n:]
            self.room(False)
            if not self.senders:
                self.attendant.look(self)

    def transmit(self, data: bytes) -> int:
        """Send bytes as they stand; give the number of those for which there was room."""
        try:
            n = send_from(self.sock, self.fd, data) if is_fast() else transmit(self.sock, data)
        except OSError as exc:
            self.output_broken(exc)
            return len(data)
        return max(n, 0)

    def send_rest(self) -> None:
        """Send what there was no room for."""
        n = self.transmit(bytes(self.unsent[:MOST_SENT]))
        del self.unsent[:n]
        if self.unsent or self.dropped or self.life.state == GONE:
            return
        # A large one keeps its memory.
        self.unsent = bytearray()
        self.room(True)
        if self.eof_written:
            self.output_ended()
        self.ring()

    def output_ended(self) -> None:
        """End the stream when all before its end was sent."""
        if self.unsent or self.life.state == GONE:
            return
        if self.at_end:
            self.finish()
            return
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            # The connection was lost.
            pass
        if not self.owned:
            self.attendant.look(self)

    def output_broken(self, exc: OSError) -> None:
        """Take in that nothing can be sent any more; what was received before counts still."""
        self.cause = exc
        self.drop()
        if not self.owned:
            self.receive_rest()
            self.end(exc)

    def receive_rest(self) -> None:
        """Take in what came before the connection broke."""

    def drop(self) -> None:
        """Give up what is to be sent, and have the thread that reads, if there is one, go on."""
        self.unsent.clear()
        self.eof_written = True
        self.dropped = True
        if self.owned:
            self.shut_down()

    # Waiting

    def enter_again(self) -> None:
        """Take the lock again after waiting, also if a signal's handler raises meanwhile."""
        interruption: BaseException | None = None
        while True:
            try:
                self.enter()
                break
            except BaseException as exc:
                interruption = exc
        if interruption is not None:
            raise interruption

    def drain_until(self, deadline: float | None) -> None:
        """Wait until all is sent; the lock is held, but not while waiting.

        Raises:
            ConnectionClosed: if the connection is closed meanwhile.
            TimeoutError: when the time is up.

        """
        while self.unsent and self.life.state != GONE:
            self.waiting += 1
            self.leave()
            try:
                there_is = wait(self.sock, True, deadline)
            finally:
                self.enter_again()
                self.waiting -= 1
                self.close_socket()
            if self.unsent:
                if not there_is:
                    raise TimeoutError("the peer doesn't take what is sent")
                self.send_rest()
        if self.dropped:
            # Not before it is known why, which the thread that reads finds out.
            while self.life.state != GONE:
                self.wait_for_bell(None)
        if self.life.state == GONE:
            raise self.closed_error()

    def ring(self) -> None:
        """Wake those who wait for something other than the socket."""
        if self.bell is not None:
            self.bell.notify_all()

    def wait_for_bell(self, deadline: float | None) -> bool:
        """Wait until something happens; False when the time is up."""
        if self.bell is None:
            self.bell = threading.Condition(self.lock)
        if deadline is None:
            self.bell.wait()
            return True
        seconds = deadline - time.monotonic()
        return seconds > 0 and self.bell.wait(seconds)

    # The end

    def finish(self) -> None:
        """Let go of the connection when both directions have ended."""
        if self.at_end and not self.unsent:
            self.end(None)

    def end(self, exc: Exception | None) -> None:
        """Take in that there is no connection any more."""
        self.unsent.clear()
        if not self.lost(exc):
            return
        self.attendant.forget(self)
        self.shut_down()
        self.close_socket()
        self.ring()
        self.gone()

    def let_go(self) -> None:
        """End the connection, which nobody has any more, as it is: the peer isn't told.

        In a child process, the parent's connection stays as it is.
        """
        if self.life is not None and self.life.enter(GONE) and self.attendant is not None:
            self.attendant.forget(self)
            self.sock.close()

    def gone(self) -> None:
        """Is called when there is no connection any more."""

    def shut_down(self) -> None:
        """Wake the threads that wait for the socket: closing it wouldn't."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The peer is gone already.
            pass

    def close_socket(self) -> None:
        """Close the socket, unless there are threads that use it: the last one does."""
        if not self.owned and not self.waiting and self.life.state == GONE:
            self.sock.close()

    def abort(self) -> None:
        """End the connection without waiting for anything."""
        if self.life.state == GONE:
            return
        self.drop()
        if not self.owned:
            self.end(None)

    # What the link calls

    def receivable(self) -> None:
        """Let the thread that receives go on."""
        self.ring()

    def changed(self) -> None:
        """Send the output, read or don't, and set the timer, as it is now."""
        if self.writer.writes:
            self.flush()
        life = self.life
        if life.state == GONE:
            return
        if (self.hold == 0) != self.reading:
            self.reading = not self.reading
            if self.reading:
                self.attendant.look(self)
        if life.deadline < self.timer_at:
            self.timer_at = life.deadline
            self.attendant.schedule(self, life.deadline)
