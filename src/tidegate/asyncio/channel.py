"""Messages between a transport and the coroutines that wait for them: the hot path.

Two things make it fast. A waiting ``recv()`` is resumed in the transport's read callback, in which
it takes message after message straight from the receive buffer, rather than by way of a queue and
of ``loop.call_soon``. And what is sent meanwhile is written once, at the end of the callback.

``recv()`` and ``send()`` return objects that are coroutines by their methods
(`collections.abc.Coroutine`), so tasks, timeouts and cancellation work with them as with others.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from asyncio import current_task
from typing import TYPE_CHECKING, Any

from ..exceptions import ConcurrencyError, ConnectionClosedOK
from .hub import get_hub

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..wire.kernels import monotonic
    from ..wire.reader import CONTROL
    from .hub import HEADROOM
    from .waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from ..core.listener import Listener
    from ..wire.reader import FrameReader
    from ..wire.writer import FrameWriter

# State.OPEN, as the writer has it
OPEN = 1

# What an operation does: receive, receive in an iteration, send.
RECV = 0
NEXT = 1
SEND = 2

# How far it is.
NEW = 0
WAITING = 1
DONE = 2

# How a message is received.
AS_SENT = 0
AS_TEXT = 1
AS_BYTES = 2

# How long a coroutine may take messages without the event loop getting its turn, in seconds. The
# clock is read every few messages, a power of two.
BUDGET = 0.002
CLOCK_EVERY = 8

# A payload of which so much is missing is received where it stays, in bytes.
DIRECT = 32 * 1024

# What is written but not flushed stays below this, in bytes, so that flow control works.
MOST_PENDING = 64 * 1024

NO_LIMIT = sys.maxsize


class Operation:
    """A ``recv()`` or ``send()``: a coroutine by its methods.

    Nothing happens before it is awaited. One is made for each message, so they are made cheaply,
    by `new_operation`.
    """

    if TYPE_CHECKING:
        channel: Channel
        kind: int
        decode: int
        stage: int
        finished: bool
        message: Any
        options: tuple[Any, Any, Any] | None
        inner: Coroutine[Any, Any, None] | None

    def recv_step(self) -> Any:
        """Give the message and be finished, or give what to wait for."""
        channel = self.channel
        if self.stage == NEW:
            self.stage = DONE
            if channel.receiving or channel.streaming:
                channel.check_not_receiving("recv")
        elif self.stage == WAITING:
            self.stage = DONE
            channel.receiving = False
        else:
            raise RuntimeError("cannot reuse already awaited coroutine")
        reader = channel.reader
        if channel.over_budget():
            self.stage = WAITING
            channel.continue_soon()
            return channel.suspend()
        if reader.held and reader.has_message():
            message = reader.pop()
            channel.took_message()
        else:
            message = channel.next_message(True)
            if message is None:
                return self.recv_nothing()
        channel.burst += 1
        if self.decode != AS_SENT:
            return self.recv_decoded(message)
        self.finished = True
        return message

    def recv_decoded(self, message: Any) -> Any:
        """Give the message as the caller wants it, and be finished."""
        if self.decode == AS_BYTES:
            self.finished = True
            return message if isinstance(message, bytes) else message.encode()
        try:
            text = message if isinstance(message, str) else message.decode()
        except UnicodeDecodeError as exc:
            self.channel.undecodable(exc)
            return self.recv_nothing()
        self.finished = True
        return text

    def recv_nothing(self) -> Any:
        """Wait for a message, or raise because there can't be any."""
        channel = self.channel
        if channel.deferred is not None:
            channel.fail_deferred()
        if channel.ended:
            # Never in a variable: the exception's traceback would refer to it.
            try:
                raise channel.closed_error()
            except ConnectionClosedOK:
                if self.kind != NEXT:
                    raise
            raise StopAsyncIteration
        if channel.listener is not None:
            raise ConcurrencyError("cannot call recv while a Listener receives the messages")
        if channel.read_paused:
            channel.resume_reading()
        self.stage = WAITING
        return channel.suspend()

    def send_step(self) -> Any:
        """Send and be finished, or give what to wait for."""
        if self.stage != NEW:
            return self.inner_step()
        self.stage = DONE
        channel = self.channel
        writer = channel.writer
        message = self.message
        self.message = None
        if (
            writer.state == OPEN
            and not writer.continuing
            and not channel.write_paused
            and self.options is None
        ):
            plain = True
            if type(message) is str:
                writer.write_text(message)
            elif type(message) is bytes:
                writer.write_bytes(2, message)
            else:
                plain = False
            if plain:
                channel.wrote()
                if not channel.write_paused:
                    self.finished = True
                    return None
                self.inner = channel.drain()
                return self.inner_step()
        text, compress, timeout = self.options or (None, None, None)
        self.inner = channel.send_anything(message, text, compress, timeout)
        return self.inner_step()

    def inner_step(self) -> Any:
        """Go on with the coroutine that waits."""
        if self.inner is None:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self.stage = WAITING
        try:
            return self.inner.send(None)
        except StopIteration:
            self.stage = DONE
            self.finished = True
            self.inner = None
            return None
        except BaseException:
            self.stage = DONE
            self.inner = None
            raise

    def step(self) -> Any:
        """Give the outcome and be finished, or give what to wait for."""
        return self.send_step() if self.kind == SEND else self.recv_step()

    # What makes it a coroutine

    def __await__(self) -> Any:
        """Return itself, an iterator."""
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        outcome = self.step()
        if self.finished:
            raise StopIteration(outcome)
        return outcome

    def send(self, value: Any) -> Any:
        """Go on; see `collections.abc.Coroutine.send`."""
        return self.__next__()

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise an exception, usually a cancellation, where it waits."""
        inner = self.inner
        try:
            if inner is not None:
                return inner.throw(kind if value is None else value)
            raise_(kind, value, traceback)
        except BaseException:
            self.close()
            raise
        finally:
            # The traceback refers to this frame.
            kind = value = traceback = None

    def close(self) -> None:
        """End it. What was received meanwhile stays for the next one."""
        if self.stage == WAITING and self.kind != SEND:
            self.channel.receiving = False
        self.stage = DONE
        if self.inner is not None:
            inner, self.inner = self.inner, None
            inner.close()

    def __getattr__(self, name: str) -> Any:
        # Those that say what a task does, such as its repr(), ask for these.
        if name == "__name__":
            return "send" if self.kind == SEND else "recv"
        if name == "__qualname__":
            owner = "Connection" if self.channel is None else type(self.channel).__qualname__
            return f"{owner}.{self.__name__}"
        raise AttributeError(name)

    def __dealloc__(self) -> None:
        # Not __del__, which would take longer for each object.
        if self.channel is not None:
            if self.stage == NEW:
                warnings.warn(
                    f"coroutine '{self.__qualname__}' was never awaited",
                    RuntimeWarning,
                    stacklevel=2,
                )
            elif self.stage == WAITING and self.kind != SEND:
                self.channel.receiving = False


spare_operation = None

if not cython.compiled:
    Operation.__del__ = Operation.__dealloc__  # type: ignore[attr-defined]

    def take_spare() -> Operation | None:
        """Give an operation that was finished; none is kept here."""
        return None


def new_operation(channel: Channel, kind: int, decode: int, message: Any, options: Any) -> Any:
    """Make an operation."""
    operation = take_spare()
    if operation is None:
        # Not by calling the class, which would take longer.
        operation = Operation.__new__(Operation)
    operation.channel = channel
    operation.kind = kind
    operation.decode = decode
    operation.stage = NEW
    operation.finished = False
    operation.message = message
    operation.options = options
    operation.inner = None
    return operation


def raise_(kind: Any, value: Any, traceback: Any) -> None:
    """Raise what was given to a coroutine's ``throw()``."""
    try:
        if isinstance(kind, BaseException):
            raise kind
        if value is None:
            value = kind()
        elif not isinstance(value, BaseException):
            value = kind(value)
        raise value.with_traceback(traceback)
    finally:
        # The traceback refers to this frame.
        kind = value = traceback = None


if cython.compiled:
    tidegate_set_send(Operation, operation_send)  # type: ignore[name-defined]  # noqa: F821


class MessageIterator:
    """What ``async for`` takes messages from."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def __aiter__(self) -> MessageIterator:
        return self

    def __anext__(self) -> Any:
        return new_operation(self.channel, NEXT, AS_SENT, None, None)


class Channel:
    """The part of a connection that moves messages.

    Args:
        loop: the event loop.
        reader: reads frames.
        writer: writes frames.
        high: reading stops when more messages than this wait to be received.
        low: it goes on when there are no more than this.

    """

    if TYPE_CHECKING:
        # What the connection adds.
        def opening_received(self, data: bytes) -> None: ...
        def control_received(self, opcode: int, data: bytes) -> None: ...
        def receive_failed(self, exc: Exception) -> None: ...
        def undecodable(self, exc: UnicodeDecodeError) -> None: ...
        def iterate(self) -> AsyncIterator[Any]: ...
        def defer_failure(self) -> None: ...
        def fail_deferred(self) -> None: ...
        def closed_error(self) -> Exception: ...
        def write_end(self, writes: list[bytes]) -> None: ...
        def listener_failed(self, exc: Exception) -> None: ...
        def check_sending(self) -> None: ...
        def write_anything(
            self, message: Any, text: bool | None, compress: bool | None
        ) -> None: ...
        def drain(self, timeout: float | None = None) -> Coroutine[Any, Any, None]: ...
        def send_anything(
            self, message: Any, text: bool | None, compress: bool | None, timeout: float | None
        ) -> Coroutine[Any, Any, None]: ...

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reader: FrameReader,
        writer: FrameWriter,
        high: int | None,
        low: int | None,
    ) -> None:
        self.loop = loop
        self.hub = get_hub(loop)
        self.transport: Any = None
        self.reader = reader
        self.writer = writer
        self.opening = writer.state == 0
        self.ended = False
        self.waiter = Waiter(loop)
        self.receiving = False
        self.streaming = False
        self.piece_waiter: asyncio.Future[None] | None = None
        self.read_paused = False
        self.high = NO_LIMIT if high is None else high
        self.low = NO_LIMIT if low is None else low
        self.draining = False
        self.deferred: Exception | None = None
        self.activity = 0
        self.direct = False
        self.spare: bytearray | None = None
        self.burst = 0
        self.burst_start = 0.0
        self.continuing = False
        self.write_paused = False
        self.in_callback = False
        self.turn_written = False
        self.eof_written = False
        self.listener: Listener | None = None

    # What the program calls

    def recv(self, decode: bool | None = None) -> Coroutine[Any, Any, Any]:
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
        operation: Coroutine[Any, Any, Any] = new_operation(self, RECV, how, None, None)
        return operation

    def send(
        self,
        message: Any,
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
        operation: Coroutine[Any, Any, None] = new_operation(self, SEND, AS_SENT, message, options)
        return operation

    def send_nowait(
        self, message: Any, text: bool | None = None, *, compress: bool | None = None
    ) -> bool:
        """Send a message without waiting, whatever is in the write buffer.

        Args:
            message: ``str``, ``bytes``, ``bytearray`` or ``memoryview``.
            text: send text as binary (False) or bytes, which must be UTF-8, as text (True).
            compress: whether to compress this message, where compression was negotiated.

        Returns:
            Whether the write buffer is below its limit. If it isn't, it is wise to send no more
            before `Listener.on_drain`.

        Raises:
            ConnectionClosed: if the connection is closed.
            InvalidState: if it is being closed.
            ConcurrencyError: if a fragmented message is being sent.
            TypeError: if the message has another type.

        """
        writer = self.writer
        if writer.state != OPEN or writer.continuing:
            self.check_sending()
        if type(message) is str and text is None and compress is None:
            writer.write_text(message)
        elif type(message) is bytes and text is None and compress is None:
            writer.write_bytes(2, message)
        else:
            self.write_anything(message, text, compress)
        self.wrote()
        return not self.write_paused

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over messages until the connection is closed.

        Raises:
            ConnectionClosedError: when it wasn't closed normally (1000, 1001 or no code).

        """
        # A subclass may do more in recv(), and an instance may have been given another.
        if getattr(self.recv, "__func__", None) is Channel.recv:
            return MessageIterator(self)
        return self.iterate()

    def check_not_receiving(self, method: str) -> None:
        """Raise ConcurrencyError if another coroutine is receiving."""
        if self.receiving or self.streaming:
            raise ConcurrencyError(
                f"cannot call {method} while another coroutine is already running "
                "recv or recv_streaming"
            )

    # What the transport calls

    def get_buffer(self, sizehint: int) -> Any:
        """Give the place for the bytes to receive."""
        # What was given before and not filled is forgotten.
        self.direct = False
        self.spare = None
        if not self.opening:
            room = self.reader.room(DIRECT)
            if room is not None:
                self.direct = True
                return room
        if self.hub.in_use or not self.hub.shared:
            self.spare = bytearray(MOST_PENDING)
            return self.spare
        return self.hub.view

    def can_share(self) -> bool:
        """Whether `get_buffer` would give the hub's buffer."""
        if self.hub.in_use or not self.hub.shared:
            return False
        return self.opening or not self.reader.has_room(DIRECT)

    def buffer_updated(self, nbytes: int) -> None:
        """Take in the bytes that were received."""
        if self.spare is not None:
            data = bytes(self.spare[:nbytes])
            self.spare = None
            self.data_received(data)
            return
        if self.opening:
            self.activity += 1
            self.opening_received(bytes(self.hub.view[:nbytes]))
            return
        try:
            if self.direct:
                self.direct = False
                self.receive_direct(nbytes)
            else:
                self.receive_shared(nbytes)
        finally:
            self.flush()

    def receive_direct(self, nbytes: int) -> None:
        """Take in the bytes that were received where they stay."""
        self.activity += 1
        try:
            self.reader.received_in_room(nbytes)
        except Exception as exc:
            self.failed(exc)
        self.received()

    def receive_shared(self, nbytes: int) -> None:
        """Take in the bytes that were received into the hub's buffer; the caller flushes."""
        hub = self.hub
        reader = self.reader
        self.activity += 1
        self.burst = 0
        self.in_callback = True
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
            self.in_callback = False

    def data_received(self, data: bytes) -> None:
        """Take in bytes that were received elsewhere."""
        self.activity += 1
        if self.opening:
            self.opening_received(data)
            return
        self.reader.feed(data)
        self.received()

    def received(self) -> None:
        """Read what is in the reader's own buffer."""
        self.burst = 0
        self.in_callback = True
        try:
            self.read()
        finally:
            self.in_callback = False
            self.flush()

    # Reading

    def read(self) -> None:
        """Give what was received to whoever waits for it, and queue the rest."""
        reader = self.reader
        if self.listener is not None:
            self.read_for_listener(self.listener)
            return
        if self.receiving:
            if not reader.has_message():
                message = self.next_message(True)
                if message is not None:
                    reader.put(message)
            if reader.has_message() or self.ended:
                self.wake_receiver()
        if not reader.stopped:
            self.read_ahead()
        elif self.read_paused:
            self.resume_reading()
        if (
            self.piece_waiter is not None
            and (reader.has_fragment() or self.ended)
            and not self.piece_waiter.done()
        ):
            self.piece_waiter.set_result(None)

    def read_for_listener(self, listener: Listener) -> None:
        """Give what was received to the listener."""
        given = False
        while True:
            if self.over_budget():
                self.yield_turn()
                break
            message = self.next_message(True)
            if message is None:
                if self.read_paused:
                    self.resume_reading()
                break
            self.burst += 1
            given = True
            try:
                listener.on_message(message)
            except Exception as exc:
                self.listener_failed(exc)
                return
        if given:
            try:
                listener.on_batch()
            except Exception as exc:
                self.listener_failed(exc)

    def wake_receiver(self) -> None:
        """Resume the coroutine that waits for a message."""
        if self.waiter.callback is not None:
            # Within another task's step, that one has to come to its end first.
            if current_task(self.loop) is None:
                self.waiter.wake()
            else:
                self.waiter.schedule()

    def suspend(self) -> Waiter:
        """Give what a coroutine that receives has to wait for."""
        self.receiving = True
        self.burst = 0
        self.waiter.start()
        return self.waiter

    def over_budget(self) -> bool:
        """Whether the event loop must get its turn before the next message is taken."""
        if self.burst == 0:
            self.burst_start = monotonic()
            return False
        if self.burst & (CLOCK_EVERY - 1) or monotonic() - self.burst_start < BUDGET:
            return False
        return bool(self.reader.held) or self.reader.unread() > 0

    def yield_turn(self) -> None:
        """Give the event loop its turn before what was received is read on."""
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
        self.continue_soon()

    def continue_soon(self) -> None:
        """Go on with what was received in the next turn of the loop."""
        if not self.continuing:
            self.continuing = True
            self.loop.call_soon(self.continue_reading)

    def continue_reading(self) -> None:
        """Go on with what was received."""
        self.continuing = False
        self.received()

    def next_message(self, join: bool) -> Any:
        """Read a message; None if there is none. Control frames are dealt with on the way."""
        reader = self.reader
        while True:
            try:
                message = reader.next_message(join)
            except Exception as exc:
                self.failed(exc)
                return None
            if message is not CONTROL:
                return message
            over_budget = self.over_budget()
            self.burst += 1
            self.control_received(reader.opcode, reader.take_payload())
            if self.writer.writes:
                self.wrote()
            if over_budget:
                self.yield_turn()
                return None

    def failed(self, exc: Exception) -> None:
        """Fail the connection, but not before the messages that came first were received."""
        self.reader.stop()
        if self.reader.has_message():
            self.deferred = exc
            self.defer_failure()
        else:
            self.receive_failed(exc)

    def read_ahead(self) -> None:
        """Read messages that nobody waits for, up to the limit."""
        reader = self.reader
        while True:
            wanted = self.receiving and not reader.has_message()
            # After a Close frame was sent, messages beyond the limit are of no use any more.
            reader.discarding = self.draining and reader.held > self.high
            if reader.held > self.high and not wanted and not self.draining:
                if not self.read_paused:
                    self.read_paused = True
                    self.transport.pause_reading()
                return
            message = self.next_message(False)
            if message is None:
                if reader.queued:
                    # There is one more message in the queue, and maybe more to read.
                    reader.queued = False
                    continue
                if reader.held <= self.high or wanted or self.draining:
                    if self.read_paused:
                        self.resume_reading()
                    return
            elif reader.held <= self.high:
                reader.put(message)

    def took_message(self) -> None:
        """Read on when there is room in the queue again."""
        if self.read_paused and self.reader.held <= self.low:
            self.read_ahead()

    def resume_reading(self) -> None:
        """Let the transport read again, unless there is still something to read before."""
        if self.continuing:
            return
        self.read_paused = False
        if self.transport is not None and not self.ended:
            self.transport.resume_reading()

    # Writing

    def wrote(self) -> None:
        """See to it that what was written gets out."""
        if self.writer.pending >= MOST_PENDING:
            self.flush()
        elif not self.in_callback and not self.turn_written:
            # The first of this turn goes out at once, what follows together.
            self.turn_written = True
            self.hub.flush_later(self)
            self.flush()

    def end_turn(self) -> None:
        """Flush what was written in this turn of the loop after the first time."""
        self.turn_written = False
        self.flush()

    def take_output(self) -> bytes | None:
        """Take what was written as one piece of bytes; None if there is nothing left to do."""
        writer = self.writer
        writes = writer.writes
        n = len(writes)
        if not n:
            return None
        if self.eof_written or not writes[n - 1] or writer.pending >= MOST_PENDING:
            self.flush()
            return None
        writer.take()
        return writes[0] if n == 1 else b"".join(writes)

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
        writes = writer.take()
        if not writes[len(writes) - 1]:
            self.write_end(writes)
        elif len(writes) == 1:
            self.transport.write(writes[0])
        elif large:
            self.transport.writelines(writes)
        else:
            self.transport.write(b"".join(writes))
