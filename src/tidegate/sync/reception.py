"""A connection on a socket, as far as it receives.

The thread that receives reads the socket itself. While nobody does, the attendant reads, so that
pings are answered and a close is noticed.
"""

from __future__ import annotations

import time
from typing import Any

from ..utils import has_left
from .buffers import HEADROOM, SIZE, give_buffer, take_buffer
from .waits import receive, receive_waiting

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..core.life import CLOSING, GONE, NEVER, OPEN, REFUSED
    from .carrier import Carrier
    from .syscalls import is_fast, receive_into, wait_and_receive

# A payload of which so much is missing is received where it stays, in bytes.
DIRECT = 32 * 1024

# How often the attendant reads from one connection before others have their turn.
MOST_READS = 16

# How long the attendant waits for a thread that is inside of a connection, in seconds: mostly it is
# the one that asked for it.
PATIENCE = 0.005


class Reception(Carrier):
    """The part of a connection that receives. See `Carrier`."""

    def read_once(self, deadline: float | None) -> bool:
        """Wait for bytes and take them in, without reading messages; False when the time is up.

        The lock is held, but not while waiting.
        """
        if self.owned:
            # Somebody who waits for the end reads.
            return self.wait_for_bell(deadline)
        room = None if self.opening or self.layers is not None else self.frame_reader.room(DIRECT)
        if room is not None:
            n = self.read_socket(room, 0, len(room), deadline)
            if n > 0:
                self.activity += 1
                try:
                    self.frame_reader.received_in_room(n)
                except Exception as exc:
                    self.failed(exc)
            return n >= 0
        buffer = take_buffer()
        n = self.read_socket(buffer, HEADROOM, SIZE, deadline)
        if n > 0:
            self.take_in(memoryview(buffer)[HEADROOM : HEADROOM + n])
        give_buffer(buffer)
        return n >= 0

    def read_socket(self, buffer: Any, start: int, size: int, deadline: float | None) -> int:
        """Wait for bytes; give their number, 0 at the end, which is taken in, -1 out of time.

        The lock is held, but not while waiting. Nobody else may be reading.
        """
        n = -1
        failure: OSError | None = None
        self.owned = True
        self.entries += 1
        self.leave()
        try:
            if is_fast():
                n = wait_and_receive(self.sock, self.fd, buffer, start, size, deadline)
            else:
                n = receive_waiting(self.sock, memoryview(buffer)[start : start + size], deadline)
        except OSError as exc:
            failure = exc
        finally:
            self.enter_again()
            self.owned = False
            if self.forgotten or self.dropped:
                self.forgotten = False
                self.attendant.look(self)
            if self.life.state == GONE:
                self.close_socket()
        if failure is not None:
            self.end(failure)
            return 0
        if n == 0:
            self.input_ended()
        return n

    def take_in(self, data: Any) -> None:
        """Take in bytes that were received; they are not read yet, unless the stream ended."""
        self.activity += 1
        if self.layers is not None:
            self.take_in_encrypted(data)
        else:
            self.take_in_plain(data)

    def take_in_plain(self, data: Any) -> None:
        """Take in bytes of the connection itself."""
        if self.opening:
            self.opening_received(bytes(data))
        else:
            self.frame_reader.feed(data)

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
                if is_fast():
                    n = receive_into(self.sock, self.fd, buffer, 0, SIZE)
                else:
                    n = receive(self.sock, memoryview(buffer)[:SIZE])
            except OSError as exc:
                self.end(exc)
                break
            if n < 0:
                break
            if not n:
                self.input_ended()
                break
            self.take_in(memoryview(buffer)[:n])
            if not self.opening and self.life.state != GONE:
                self.received()
        give_buffer(buffer)

    def receive_rest(self) -> None:
        """Take in what came before the connection broke."""
        self.hold = 0
        self.read_available()

    def input_ended(self) -> None:
        """Take in the end of the stream."""
        if not self.at_end:
            self.at_end = True
            self.stream_ended()
            self.finish()

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
        if not self.enter(timeout=PATIENCE):
            return -1
        self.noticed = True
        try:
            if writable and self.unsent:
                self.send_rest()
            if self.life.state == GONE:
                return 0
            if self.dropped and not self.owned:
                self.receive_rest()
                self.end(self.cause)
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
            if not self.opening and self.frame_reader.unread():
                self.received()
            # What comes from now on has nothing to do with what a thread has taken.
            self.handing = False
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
            self.leave()

    def timer_fired(self, when: float) -> bool:
        """Do what is due, the time of an entry among the timers having come.

        Returns:
            Whether it was done; if not, somebody else is busy with the connection.

        """
        if not self.enter(blocking=False):
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
            self.leave()
        return True
