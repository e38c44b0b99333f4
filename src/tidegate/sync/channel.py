"""Messages between a socket and the threads that wait for them: the hot path."""

from __future__ import annotations

import time
from typing import Any

from ..exceptions import ConcurrencyError
from ..protocol import State
from .buffers import HEADROOM, SIZE, give_buffer, take_buffer
from .sending import send_anything

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..core.life import FAILING
    from ..core.link import NOBODY, WAITING
    from .reception import DIRECT, Reception

# How often a receiver whose time is up looks once more for the rest of what has begun to come.
MOST_LOOKS = 64


class Channel(Reception):
    """The part of a connection that moves messages between threads and a socket. See `Carrier`."""

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
        stays = False
        self.enter()
        try:
            if self.reception != NOBODY:
                self.refuse_receiver("recv")
            self.burst = 0
            self.handing = True
            message = self.take()
            if message is None:
                message = self.wait_for_message(timeout)
            if self.frame_reader.unread():
                stays = self.leave_rest()
        finally:
            self.handing = stays
            self.leave()
        if decode is None:
            return message
        return self.decoded(message, decode, timeout)

    def leave_rest(self) -> bool:
        """See to what came behind a message that was taken; say whether something stays there."""
        if not self.frame_reader.has_whole():
            # What isn't a message has its answer now.
            self.read_ahead()
            return False
        if not self.noticed:
            # There may be something else behind the next message, which may never be taken.
            self.noticed = True
            self.attendant.look_later(self)
        return True

    def failed(self, exc: Exception) -> None:
        """Fail the connection, but not before what was received first can be answered.

        The thread that a message is handed to has had no time for that yet.
        """
        if self.handing:
            self.frame_reader.stop()
            if self.life.enter(FAILING):
                self.failure = exc
                return
        Reception.failed(self, exc)

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
                    self.handing = False
                    message = self.read_message(deadline)
                    if message is not None:
                        return message
                    if self.out_of_time or looks > MOST_LOOKS:
                        raise TimeoutError(f"timed out in {timeout:.1f}s")
                    if deadline is not None and time.monotonic() >= deadline:
                        looks += 1
                self.burst = 0
                self.handing = True
                message = self.take()
                if message is not None:
                    return message
        finally:
            self.reception = NOBODY

    def read_message(self, deadline: float | None) -> Any:
        """Wait for bytes, and give the message that they bring; None if they bring none.

        The lock is held, but not while waiting. Afterwards, `out_of_time` says whether there were
        none in time.
        """
        reader = self.frame_reader
        rest = reader.unread()
        if rest > HEADROOM or self.owned or self.layers is not None or reader.has_room(DIRECT):
            self.out_of_time = not self.read_once(deadline)
            return None
        buffer = take_buffer()
        n = self.read_socket(buffer, HEADROOM, SIZE, deadline)
        self.out_of_time = n < 0
        message = None
        if n > 0:
            # Straight from there, without a copy.
            self.activity += 1
            self.handing = True
            # A timer may have gone off meanwhile.
            rest = reader.unread()
            if rest:
                buffer[HEADROOM - rest : HEADROOM] = reader.rest()
            reader.lend(buffer, HEADROOM - rest, HEADROOM + n)
            try:
                message = self.take()
                if message is not None and not reader.has_whole():
                    # What begins behind it, without one more copy.
                    self.read_ahead()
            finally:
                reader.give_back()
        give_buffer(buffer)
        return message

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
        self.enter()
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
                    if plain and (self.unsent or self.dropped):
                        self.drain_until(None if timeout is None else time.monotonic() + timeout)
                finally:
                    self.sender_left()
                if plain:
                    return
        finally:
            self.leave()
        send_anything(self, message, text, compress, timeout)

    def write_one(
        self, opcode: int, data: Any, fin: bool, compress: bool | None, deadline: float | None
    ) -> None:
        """Send a frame, and wait until the operating system has it; the lock is held."""
        self.check_open()
        self.senders += 1
        try:
            self.writer.write_data(opcode, data, fin, compress)
            self.flush()
            if self.unsent or self.dropped:
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
        if self.unsent and not self.senders and not self.ended:
            self.attendant.look(self)
