"""Messages between a socket and the threads that wait for them.

The thread that receives reads the socket itself. While nobody does, the attendant reads, so that
pings are answered and a close is noticed. What is about the connection is done under its lock,
which nobody holds while waiting, so that no two threads are inside of it, or of its TLS.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from ..exceptions import ConcurrencyError
from ..protocol import State
from ..utils import has_left
from .attendant import get_attendant
from .buffers import give_buffer, take_buffer
from .waits import prepare, receive, receive_waiting, transmit, wait

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..core.life import CLOSING, ENDING, GONE, NEVER, OPEN, REFUSED, Life
    from ..core.link import NOBODY, WAITING, Link

if TYPE_CHECKING:
    from ..protocol import Protocol
    from .layers import Layers

# A payload of which so much is missing is received where it stays, in bytes.
DIRECT = 32 * 1024

# How long the attendant waits for a thread that is inside of a connection, in seconds: mostly it is
# the one that asked for it.
PATIENCE = 0.005

# How much of what there was no room for is sent at once, in bytes.
MOST_SENT = 256 * 1024

# How often the attendant reads from one connection before others have their turn.
MOST_READS = 16

# How often a receiver whose time is up looks once more for the rest of what has begun to come.
MOST_LOOKS = 64


class Channel(Link):
    """The part of a connection that moves messages between threads and a socket.

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
        self.bell: threading.Condition | None = None
        self.sock = sock
        self.fd = sock.fileno()
        self.layers: Layers | None = None
        self.unsent = bytearray()
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
        self.noticed = False
        self.entries = 0
        self.at_end = False
        self.eof_written = False
        prepare(sock)
        self.attendant = get_attendant()
        self.attendant.watch(self)
        if not self.opening:
            self.settle()

    # Receiving

    def recv(self, timeout: float | None = None, decode: bool | None = None) -> Any:
        """Receive the next message.

        Args:
            timeout: how long to wait, in seconds; None for ever; 0 takes only what is there.
            decode: True gives text, also of a binary message, False gives bytes, also of a text
                message; None gives what was sent.

        Returns:
            The message: ``str`` or ``bytes``.

        Raises:
            TimeoutError: when the time is up; no part of a message is lost then.
            ConnectionClosed: when the connection is closed and all messages were received.
            ConcurrencyError: if another thread is receiving.

        """
        self.lock.acquire()
        try:
            if self.reception != NOBODY:
                self.refuse_receiver("recv")
            self.burst = 0
            message = self.take()
            if message is None:
                message = self.wait_for_message(timeout)
            if self.reader.unread():
                self.leave_rest()
        finally:
            self.lock.release()
        if decode is None:
            return message
        return self.decoded(message, decode, timeout)

    def leave_rest(self) -> None:
        """See to what came behind a message that was taken."""
        if not self.reader.has_whole():
            # What isn't a message has its answer now.
            self.read_ahead()
        elif not self.noticed:
            # There may be something else behind the next message, which may never be taken.
            self.noticed = True
            self.attendant.look_later(self)

    def decoded(self, message: Any, decode: bool, timeout: float | None) -> Any:
        """Give a message as the program wants it."""
        if not decode:
            return message.encode() if isinstance(message, str) else message
        try:
            return message if isinstance(message, str) else message.decode()
        except UnicodeDecodeError as exc:
            with self.lock:
                self.undecodable(exc)
        return self.recv(timeout)

    def refuse_receiver(self, method: str) -> None:
        """Raise ConcurrencyError because somebody else is receiving."""
        raise ConcurrencyError(
            f"cannot call {method} while another thread is already running recv or recv_streaming"
        )

    def wait_for_message(self, timeout: float | None) -> Any:
        """Wait for a message; the lock is held, but not while waiting."""
        deadline = None if timeout is None else time.monotonic() + timeout
        looks = 0
        self.reception = WAITING
        try:
            while True:
                if self.behind:
                    self.go_on()
                else:
                    self.nothing_to_take()
                    if not self.read_once(deadline) or looks > MOST_LOOKS:
                        raise TimeoutError(f"timed out in {timeout:.1f}s")
                    if deadline is not None and time.monotonic() >= deadline:
                        looks += 1
                self.burst = 0
                message = self.take()
                if message is not None:
                    return message
        finally:
            self.reception = NOBODY

    def read_once(self, deadline: float | None) -> bool:
        """Wait for bytes and take them in, without reading messages; False when the time is up.

        The lock is held, but not while waiting.
        """
        if self.owned:
            # Somebody who waits for the end reads.
            return self.wait_for_bell(deadline)
        self.owned = True
        self.entries += 1
        room = None if self.opening or self.layers is not None else self.reader.room(DIRECT)
        buffer = take_buffer() if room is None else room
        n = -1
        failure: OSError | None = None
        self.lock.release()
        try:
            n = receive_waiting(self.sock, buffer, deadline)
        except OSError as exc:
            failure = exc
        finally:
            self.enter_again()
            self.owned = False
            if self.forgotten:
                self.forgotten = False
                self.attendant.look(self)
            if self.life.state == GONE:
                self.close_socket()
        if failure is not None:
            self.end(failure)
        elif n >= 0:
            self.take_in(buffer, n, room is not None)
        if room is None:
            give_buffer(buffer)
        return n >= 0 or failure is not None

    def enter_again(self) -> None:
        """Take the lock again after waiting, also if a signal's handler raises meanwhile."""
        interruption: BaseException | None = None
        while True:
            try:
                self.lock.acquire()
                break
            except BaseException as exc:
                interruption = exc
        if interruption is not None:
            raise interruption

    def take_in(self, buffer: Any, n: int, direct: bool) -> None:
        """Take in bytes that were received; they are not read yet, unless the stream ended."""
        if not n:
            self.input_ended()
            return
        self.activity += 1
        if direct:
            try:
                self.reader.received_in_room(n)
            except Exception as exc:
                self.failed(exc)
        elif self.layers is not None:
            self.take_in_encrypted(memoryview(buffer)[:n])
        else:
            self.take_in_plain(memoryview(buffer)[:n])

    def take_in_plain(self, data: Any) -> None:
        """Take in bytes of the connection itself."""
        if self.opening:
            self.opening_received(bytes(data))
        else:
            self.reader.feed(data)

    def take_in_encrypted(self, data: Any) -> None:
        """Take in bytes of TLS."""
        layers = self.layers
        assert layers is not None
        plain = layers.decrypt(data)
        if plain:
            self.take_in_plain(plain)
        answer = layers.output()
        if answer and not self.eof_written:
            self.put(answer)
        if layers.failure is not None:
            self.end(layers.failure)
        elif layers.ended:
            self.input_ended()

    def read_more(self, deadline: float | None) -> bool:
        """Read on, or wait for bytes and read them; False when the time is up. The lock is held."""
        if self.behind:
            self.go_on()
            return True
        if not self.read_once(deadline):
            return False
        if not self.opening:
            self.received()
        return True

    def read_available(self) -> None:
        """Take in and read what is there, without waiting; the attendant's part."""
        buffer = take_buffer()
        for _ in range(MOST_READS):
            if self.hold or self.owned or self.life.state == GONE or self.at_end:
                break
            try:
                n = receive(self.sock, buffer)
            except OSError as exc:
                self.end(exc)
                break
            if n < 0:
                break
            self.take_in(buffer, n, False)
            if n and not self.opening and self.life.state != GONE:
                self.received()
        give_buffer(buffer)

    def input_ended(self) -> None:
        """Take in the end of the stream."""
        if not self.at_end:
            self.at_end = True
            self.stream_ended()
            self.finish()

    # Sending

    def send(
        self,
        message: Any,
        *,
        text: bool | None = None,
        compress: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        """Send a message.

        It returns when the operating system has all of it. An iterable of ``str`` or of bytes-like
        objects is sent as a fragmented message, each item when it comes.

        Args:
            message: ``str``, sent as text; ``bytes``, ``bytearray`` or ``memoryview``, sent as
                binary; or an iterable of either.
            text: send text as binary (False) or bytes, which must be UTF-8, as text (True).
            compress: whether to compress this message, where compression was negotiated.
            timeout: how long to wait for the peer to take earlier data, in seconds.

        Raises:
            ConnectionClosed: if the connection is closed.
            ConcurrencyError: if another thread is sending a fragmented message.
            TypeError: if the message has another type, among them a mapping.
            TimeoutError: when the time is up; the message goes out nevertheless, when the peer
                reads, unless it is fragmented: then the connection is closed.

        """
        self.lock.acquire()
        try:
            if (
                text is None
                and compress is None
                and self.writer.state == 1
                and not self.fragmenting
                and not self.unsent
            ):
                self.senders += 1
                try:
                    plain = self.write_plain(message)
                    if plain and self.unsent:
                        self.drain_until(None if timeout is None else time.monotonic() + timeout)
                finally:
                    self.sender_left()
                if plain:
                    return
        finally:
            self.lock.release()
        self.send_anything(message, text, compress, timeout)

    def send_anything(
        self, message: Any, text: bool | None, compress: bool | None, timeout: float | None
    ) -> None:
        """Send a message of any type; `send` does the most frequent cases itself."""
        raise NotImplementedError

    def write_one(
        self, opcode: int, data: Any, fin: bool, compress: bool | None, deadline: float | None
    ) -> None:
        """Send a frame, and wait until the operating system has it; the lock is held."""
        self.check_open()
        self.senders += 1
        try:
            self.writer.write_data(opcode, data, fin, compress)
            self.flush()
            if self.unsent:
                self.drain_until(deadline)
        finally:
            self.sender_left()

    def check_open(self) -> None:
        """Raise ConnectionClosed, when it is known why, if nothing can be sent; lock held."""
        if self.opening:
            self.check_sending()
        if self.protocol.state is not State.OPEN:
            self.wait_for_end(None)
            raise self.closed_error()

    def sender_left(self) -> None:
        """Have the attendant see to what a sender leaves behind."""
        self.senders -= 1
        if self.unsent and not self.senders and self.life.state != GONE:
            self.attendant.look(self)

    def drain_until(self, deadline: float | None) -> None:
        """Wait until all is sent; the lock is held, but not while waiting.

        Raises:
            ConnectionClosed: if the connection is closed meanwhile.
            TimeoutError: when the time is up.

        """
        while self.unsent and self.life.state != GONE:
            self.waiting += 1
            self.lock.release()
            try:
                there_is = wait(self.sock, True, deadline)
            finally:
                self.enter_again()
                self.waiting -= 1
            if self.life.state == GONE:
                self.close_socket()
            elif there_is:
                self.send_rest()
            else:
                raise TimeoutError("the peer doesn't take what is sent")
        if self.life.state == GONE:
            raise self.closed_error()

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
        try:
            n = transmit(self.sock, data)
        except OSError as exc:
            self.output_broken(exc)
            return
        if n < len(data):
            self.unsent += memoryview(data)[max(n, 0) :]
            self.room(False)
            if not self.senders:
                self.attendant.look(self)

    def send_rest(self) -> None:
        """Send what there was no room for."""
        try:
            n = transmit(self.sock, bytes(self.unsent[:MOST_SENT]))
        except OSError as exc:
            self.output_broken(exc)
            return
        if n > 0:
            del self.unsent[:n]
        if self.unsent or self.life.state == GONE:
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
        self.unsent.clear()
        self.eof_written = True
        self.cause = exc
        if self.owned:
            self.shut_down()
            return
        if not self.opening:
            self.hold = 0
            self.read_available()
        self.end(exc)

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
        self.unsent.clear()
        self.eof_written = True
        if self.owned:
            self.shut_down()
        else:
            self.end(None)

    def wait_for_end(self, timeout: float | None) -> bool:
        """Wait until there is no connection any more; the lock is held, but not while waiting."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.life.state != GONE:
            ending = self.life.state >= CLOSING or self.life.state == REFUSED
            if self.behind or (ending and not self.owned and not self.hold):
                if not self.read_more(deadline):
                    return False
            else:
                self.attendant.look(self)
                if not self.wait_for_bell(deadline):
                    return False
        return True

    # What the link calls, and what waits for it

    def receivable(self) -> None:
        """Let the thread that receives go on."""
        self.ring()

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

    # What the attendant calls, in its thread

    def attend(self, readable: bool, writable: bool, seen: int) -> int:
        """Do what nobody else does.

        Args:
            readable: whether there is something to read.
            writable: whether there is room to write.
            seen: how often others had begun to read when they were busy with the connection the
                last time; -1 if they weren't.

        Returns:
            What to look for next: 1 for input, 2 for room, or both; 0 for nothing; -1 if somebody
            else is busy with the connection, so that it is to be looked at again.

        """
        if not self.lock.acquire(timeout=PATIENCE):
            return -1
        self.noticed = True
        try:
            if writable and self.unsent:
                self.send_rest()
            if self.life.state == GONE:
                return 0
            writes = 2 if self.unsent and not self.senders else 0
            if self.owned:
                if self.entries == seen or writes:
                    # It doesn't do anything soon; it says when it does.
                    self.forgotten = True
                    self.noticed = False
                    return writes
                return -1
            if seen >= 0 and self.entries != seen and not writes:
                return -1
            if self.behind:
                self.go_on()
            if not self.opening and self.reader.unread():
                self.received()
            if readable:
                self.read_available()
            if self.ended:
                return 0
            if self.behind:
                return -1
            self.noticed = False
            writes = 2 if self.unsent and not self.senders else 0
            opening = self.opening and self.life.state != REFUSED
            return writes if self.hold or opening or self.at_end else writes | 1
        finally:
            self.lock.release()

    def timer_fired(self, when: float) -> bool:
        """Do what is due, the time of an entry among the timers having come.

        Returns:
            Whether it was done; if not, somebody else is busy with the connection.

        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if when == self.timer_at and self.life.state != GONE:
                self.timer_at = NEVER
                now = time.monotonic()
                unread = now >= self.life.deadline and self.life.state == OPEN and self.hold != 0
                if unread and has_left(self.sock):
                    self.peer_ended()
                self.due(now, len(self.unsent))
                self.changed()
        finally:
            self.lock.release()
        return True
