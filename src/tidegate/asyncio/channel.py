"""Messages between a transport and the coroutines that wait for them: the hot path.

Two things make it fast. A waiting ``recv()`` is resumed in the transport's read callback, in which
it takes message after message straight from the receive buffer, rather than by way of a queue and
of ``loop.call_soon``. And while further messages wait there, what is sent goes out with the answers
to them in one write.
"""

from __future__ import annotations

from asyncio import current_task
from typing import TYPE_CHECKING, Any

from ..exceptions import ConnectionClosedOK
from ..utils import has_left
from .hub import get_hub
from .operations import gives_coroutine

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..core.life import ENDING, GONE, NEVER, OPEN, Life
    from ..core.link import MOST_PENDING, WAITING, Link
    from .hub import HEADROOM
    from .operations import (
        AS_BYTES,
        AS_SENT,
        AS_TEXT,
        RECV,
        SEND,
        MessageIterator,
        new_operation,
    )
    from .sink import Sink
    from .waiter import Waiter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable

    from ..protocol import Protocol
    from ..typing import Data, DataLike

# A payload of which so much is missing is received where it stays, in bytes.
DIRECT = 32 * 1024

# Where the bytes go that are being received.
TO_HUB = 0
TO_PAYLOAD = 1
TO_SPARE = 2


class Channel(Link):
    """The part of a connection that moves messages on an event loop.

    Args:
        loop: the event loop.
        protocol: the connection as a Sans-I/O state machine.
        open_timeout: how long the opening handshake may take, in seconds; None for no limit here.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        high: reading stops when more messages than this wait to be received.
        low: it goes on when there are no more than this.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: Protocol,
        open_timeout: float | None,
        ping_interval: float | None,
        ping_timeout: float | None,
        close_timeout: float | None,
        high: int | None,
        low: int | None,
    ) -> None:
        hub = get_hub(loop)
        life = Life(hub.clock, open_timeout, ping_interval, ping_timeout, close_timeout)
        Link.__init__(self, protocol, life, high, low)
        self.loop = loop
        # Then each step of a task has to be the event loop's, which says which of them are slow.
        self.debug = loop.get_debug()
        self.hub = hub
        self.transport: Any = None
        self.sink: Sink | None = None
        self.waiter = Waiter(loop)
        self.timer_at = NEVER
        self.reading = True
        self.scheduled = False
        self.target = TO_HUB
        self.spare: bytearray | None = None
        self.eof_written = False
        # Futures are made when somebody waits for them.
        self.piece_waiter: asyncio.Future[None] | None = None
        self.closed_waiter: asyncio.Future[None] | None = None
        self.drain_waiters: list[asyncio.Future[None]] | None = None
        self.send_in_progress: asyncio.Future[None] | None = None

    # What the program calls

    def recv(self, decode: bool | None = None) -> Coroutine[Any, Any, Data]:
        """Receive the next message.

        When it is cancelled, no message is lost: the next call receives it.

        Args:
            decode: True gives text, also of a binary message, False gives bytes, also of a text
                message; None gives what was sent.

        Returns:
            The message: ``str`` or ``bytes``.

        Raises:
            ConnectionClosed: when the connection is closed and all messages were received.
            ConcurrencyError: if another coroutine is receiving.

        """
        how = AS_SENT if decode is None else AS_TEXT if decode else AS_BYTES
        operation: Coroutine[Any, Any, Data] = new_operation(
            self, self.waiter, RECV, how, None, None
        )
        return operation

    def send(
        self,
        message: DataLike | Iterable[DataLike] | AsyncIterable[DataLike],
        *,
        text: bool | None = None,
        compress: bool | None = None,
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Send a message.

        It returns when the message is on its way or in the write buffer; while the buffer is over
        its limit (``write_limit``), it waits. An iterable or asynchronous iterable of ``str`` or of
        bytes-like objects is sent as a fragmented message, each item when it comes.

        A cancellation leaves a message whole: sent or not at all. Cancelling a fragmented one that
        was begun closes the connection with code 1011, as nothing else could follow it.

        Args:
            message: ``str``, sent as text; ``bytes``, ``bytearray`` or ``memoryview``, sent as
                binary; or an iterable of either.
            text: send text as binary (False) or bytes, which must be UTF-8, as text (True).
            compress: whether to compress this message, where compression was negotiated.
            timeout: how long to wait for room in the write buffer, in seconds.

        Raises:
            ConnectionClosed: if the connection is closed.
            TypeError: if the message has another type, among them a mapping.
            TimeoutError: when the time is up; the message was then put into the write buffer
                nevertheless if it wasn't fragmented and nobody else was sending.

        """
        options = None
        if text is not None or compress is not None or timeout is not None:
            options = (text, compress, timeout)
        operation: Coroutine[Any, Any, None] = new_operation(
            self, None, SEND, AS_SENT, message, options
        )
        return operation

    def __aiter__(self) -> AsyncIterator[Data]:
        """Iterate over messages until the connection is closed.

        Raises:
            ConnectionClosedError: when it wasn't closed normally (1000, 1001 or no code).

        """
        # A subclass may do more in recv(), and an instance may have been given another.
        if getattr(self.recv, "__func__", None) is Channel.recv:
            return MessageIterator(self, self.waiter)
        return iterate(self)

    # What the link calls

    def receivable(self) -> None:
        """Resume the coroutine that receives."""
        if self.reception == WAITING:
            if self.waiter.callback is not None:
                # Within another task's step, that one has to come to its end first.
                if not self.debug and current_task(self.loop) is None:
                    self.waiter.wake()
                else:
                    self.waiter.schedule()
        elif self.piece_waiter is not None and not self.piece_waiter.done():
            self.piece_waiter.set_result(None)

    def changed(self) -> None:
        """Send the output, read or don't, and set the timer, as it is now."""
        if self.writer.writes:
            self.flush()
        if self.behind and not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self.continue_reading)
        life = self.life
        if self.transport is None or life.state == GONE:
            return
        if (self.hold == 0) != self.reading:
            self.reading = not self.reading
            if self.reading:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()
        if life.deadline < self.timer_at:
            self.hub.schedule(self, life.deadline)

    def continue_reading(self) -> None:
        """Go on with what was received, the event loop having had its turn."""
        self.scheduled = False
        if self.behind:
            self.go_on()

    def abort(self) -> None:
        """End the connection without waiting for anything."""
        if self.transport is not None:
            self.transport.abort()

    def timer_fired(self, when: float) -> None:
        """Do what is due, the time of an entry in the hub's heap having come."""
        if when != self.timer_at:
            # There was an earlier one since.
            return
        self.timer_at = NEVER
        life = self.life
        if life.state == GONE:
            return
        now = self.loop.time()
        unread = now >= life.deadline and life.state == OPEN and self.hold != 0
        # Transports of the loop don't see the end of a stream that they don't read.
        if unread and self.sink is None and has_left(self.transport.get_extra_info("socket")):
            self.peer_ended()
        unsent = 0 if self.transport is None else self.transport.get_write_buffer_size()
        self.due(now, unsent)
        self.changed()

    # What the transport calls

    def get_buffer(self, sizehint: int) -> Any:
        """Give the place for the bytes to receive."""
        # What was given before and not filled is forgotten.
        self.target = TO_HUB
        self.spare = None
        if not self.opening:
            room = self.frame_reader.room(DIRECT)
            if room is not None:
                self.target = TO_PAYLOAD
                return room
        if self.hub.in_use or not self.hub.shared:
            self.target = TO_SPARE
            self.spare = bytearray(MOST_PENDING)
            return self.spare
        return self.hub.view

    def can_share(self) -> bool:
        """Whether `get_buffer` would give the hub's buffer."""
        if self.hub.in_use or not self.hub.shared:
            return False
        return self.opening or not self.frame_reader.has_room(DIRECT)

    def buffer_updated(self, nbytes: int) -> None:
        """Take in the bytes that were received."""
        if self.target == TO_SPARE:
            assert self.spare is not None
            data = bytes(self.spare[:nbytes])
            self.spare = None
            self.received_elsewhere(data)
        elif self.opening:
            self.received_elsewhere(bytes(self.hub.view[:nbytes]))
        elif self.target == TO_PAYLOAD:
            self.target = TO_HUB
            self.receive_direct(nbytes)
        else:
            try:
                self.receive_shared(nbytes)
            finally:
                self.changed()

    def receive_direct(self, nbytes: int) -> None:
        """Take in the bytes that were received where they stay."""
        self.activity += 1
        try:
            self.frame_reader.received_in_room(nbytes)
        except Exception as exc:
            self.failed(exc)
        self.received()

    def receive_shared(self, nbytes: int) -> None:
        """Take in the bytes that were received into the hub's buffer; `changed` has to follow."""
        hub = self.hub
        reader = self.frame_reader
        self.activity += 1
        self.burst = 0
        self.within = True
        try:
            rest = reader.unread()
            if rest > HEADROOM:
                reader.feed(hub.view[:nbytes])
            else:
                if rest:
                    hub.buffer[HEADROOM - rest : HEADROOM] = reader.rest()
                reader.lend(hub.buffer, HEADROOM - rest, HEADROOM + nbytes)
                hub.in_use = True
            self.read()
        finally:
            reader.give_back()
            hub.in_use = False
            self.within = False

    def data_received(self, data: bytes) -> None:
        """Take in bytes that were received elsewhere."""
        self.received_elsewhere(data)

    def pause_writing(self) -> None:
        """Make those who send wait: the write buffer is over its limit."""
        self.room(False)

    def resume_writing(self) -> None:
        """Let those who send go on: the write buffer is below its limit."""
        for waiter in self.drain_waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        self.drain_waiters = None
        self.room(True)

    # Writing

    def write_data(self, opcode: int, data: Any, fin: bool, compress: bool | None) -> None:
        """Write a frame, and send it."""
        self.writer.write_data(opcode, data, fin, compress)
        self.flush()
        if fin and self.followers is not None:
            # Nothing could be sent while a fragmented message was.
            self.tell_followers()

    def flush(self) -> None:
        """Give what was written to the transport."""
        writer = self.writer
        if not writer.writes or self.transport is None:
            return
        if self.eof_written:
            # Nothing can follow the end of the stream.
            writer.take()
            return
        large = writer.split and writer.pending >= MOST_PENDING
        self.written += writer.pending
        writes = writer.take()
        if not writes[len(writes) - 1]:
            self.write_end(writes)
        elif len(writes) == 1:
            if self.sink is not None:
                self.sink.write_now(writes[0])
            else:
                self.transport.write(writes[0])
        elif large:
            self.transport.writelines(writes)
        elif self.sink is not None:
            self.sink.write_now(b"".join(writes))
        else:
            self.transport.write(b"".join(writes))

    def send_made(self, frame: bytes) -> None:
        """Send a frame that was made already, while nothing is written and not flushed."""
        if self.sink is None or self.eof_written:
            self.writer.append(frame)
            self.flush()
        else:
            self.written += len(frame)
            self.sink.write_now(frame)

    def write_end(self, writes: list[bytes]) -> None:
        """Write the last bytes, and end the stream."""
        self.eof_written = True
        self.life.enter(ENDING)
        data = b"".join(writes)
        if data:
            self.transport.write(data)
        if self.transport.can_write_eof():
            try:
                self.transport.write_eof()
            except (OSError, RuntimeError):
                # The connection was lost, or is being closed.
                pass
        else:
            # TLS has no half-close.
            self.transport.close()


if cython.compiled:
    gives_coroutine(Channel.recv)
    gives_coroutine(Channel.send)
else:
    Channel.recv = gives_coroutine(Channel.recv)  # type: ignore[method-assign]
    Channel.send = gives_coroutine(Channel.send)  # type: ignore[method-assign]


async def iterate(channel: Channel) -> AsyncIterator[Data]:
    """Iterate over messages by way of ``recv()``."""
    try:
        while True:
            yield await channel.recv()
    except ConnectionClosedOK:
        return
