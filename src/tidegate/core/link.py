"""Messages and flow control of one connection, without waiting for anything.

A face gives a `Link` what the network received, tells it of the end of the stream, of room in the
write buffer and of time, and has two methods called: `receivable` when a receiver can go on,
`changed` when it should look at the output, at ``hold`` and at the deadline again. How it waits is
its own affair.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from ..exceptions import ConcurrencyError, ConnectionClosed, InvalidState
from ..extensions.permessage_deflate import PerMessageDeflate
from ..frames import CloseCode, Opcode
from ..protocol import CLOSED, CONNECTING, Protocol, State
from ..typing import BytesLike
from .tracing import tell, tracers

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..wire.kernels import monotonic
    from ..wire.reader import CONTROL
    from .life import (
        ASKED,
        CLOSING,
        ENDING,
        FAILING,
        GONE,
        LEFT,
        NEVER,
        NOTHING,
        OPEN,
        OPENING,
        PEER_IS_DEAD,
        REFUSED,
        Life,
    )

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..typing import DataLike, LoggerLike
    from .listener import Follower, Listener
    from .tally import Tally

# Who receives: nobody, somebody who waits for a message, somebody who takes fragments, or somebody
# who took some and gave up, so that nobody else can.
NOBODY = 0
WAITING = 1
STREAMING = 2
GAVE_UP = 3

# Why nothing is read from the network, a bit each: messages fill the queue, the event loop must get
# its turn, a listener's answers fill the write buffer, the program said so, too much came while the
# program is asked about the opening handshake.
QUEUE = 1
TURN = 2
ROOM = 4
PROGRAM = 8
HANDSHAKE = 16

# How long messages may be taken without the event loop getting its turn, in seconds. The clock is
# read every few messages, a power of two.
BUDGET = 0.001
CLOCK_EVERY = 8

# What is written but not flushed stays below this, in bytes, so that flow control works.
MOST_PENDING = 64 * 1024

# How many bytes may come behind a request while the program is asked about it.
MOST_EARLY = 64 * 1024

# How long a peer that doesn't answer keepalive is given to take note of it, in seconds.
DEAD_PEER_TIMEOUT = 1.0

NO_LIMIT = sys.maxsize

CLOSE_OPCODE = 8
PING_OPCODE = 9
PONG_OPCODE = 10


class Link:
    """One connection: what it receives and sends, in which state it is, and what is due when.

    Args:
        protocol: the connection as a Sans-I/O state machine.
        life: its state and its deadline.
        high: reading stops when more messages than this wait to be received; None for no limit.
        low: it goes on when there are no more than this.

    Attributes:
        hold: why nothing is to be read from the network; 0 if something is.
        full: whether the write buffer is over its limit.
        tally: where a server counts, None if nobody does.
        ends_early: whether who receives is told of the end when closing begins, not when it's done.
        latency: round-trip time of the last ping that was answered, in seconds; 0 before.

    """

    def __init__(self, protocol: Protocol, life: Life, high: int | None, low: int | None) -> None:
        protocol.frames_as_events = False
        self.protocol: Protocol = protocol
        self._logger: LoggerLike = protocol.logger
        self.life = life
        self.frame_reader = protocol.frame_reader
        self.writer = protocol.frame_writer
        self.opening = self.writer.state == 0
        if not self.opening:
            life.enter(OPEN)
        self.reception = NOBODY
        self.hold = 0
        self.high = NO_LIMIT if high is None else high
        self.low = NO_LIMIT if low is None else low
        self.failure: Exception | None = None
        self.cause: Exception | None = None
        self.activity = 0
        self.burst = 0
        self.burst_start = 0.0
        self.behind = False
        self.full = False
        self.ends_early = False
        self.within = False
        self.coalesces = True
        self.written = 0
        # How much of that is the opening handshake.
        self.preamble = 0
        self.tally: Tally | None = None
        self.listener: Listener | None = None
        self.followers: list[Follower] | None = None
        self.pending_pings: dict[bytes, tuple[Callable[[Any], object] | None, float]] = {}
        self.keepalive_ping: bytes | None = None
        self.unanswered_ping: bytes | None = None
        self.latency = 0.0

    # What a face does, each in its own way

    def receivable(self) -> None:
        """Let whoever receives go on."""

    def changed(self) -> None:
        """Send the output, read or don't, and set the timer, as it is now."""

    def process_event(self, event: Any) -> None:
        """Take in the request or the response of the opening handshake."""

    def abort(self) -> None:
        """End the connection without waiting for anything."""

    def silence(self, received_only: bool) -> float | None:
        """Give how long ago something was received, or sent if that counts, in seconds."""
        return None

    # What can be known

    @property
    def state(self) -> State:
        """State of the connection. Better use the connection and handle `ConnectionClosed`."""
        return self.protocol.state

    @property
    def logger(self) -> LoggerLike:
        """Where this connection logs. Log records have it as their attribute ``websocket``."""
        return logging.LoggerAdapter(self._logger, {"websocket": self})

    @logger.setter
    def logger(self, logger: LoggerLike) -> None:
        self._logger = logger

    @property
    def ended(self) -> bool:
        """Whether there is no connection any more."""
        return self.life.state == GONE

    @property
    def wants_input(self) -> bool:
        """Whether the face should read from the network."""
        return not self.hold

    @property
    def shaking_hands(self) -> bool:
        """Whether the opening handshake is going on, and may still succeed."""
        return bool(self.life.state <= ASKED)

    def counters(self) -> tuple[int, int, int, int, int]:
        """Give what `tidegate.core.tally.ConnectionStats` has, in its order."""
        reader = self.frame_reader
        writer = self.writer
        sent = 0 if self.opening else self.written + writer.pending - self.preamble
        return (
            reader.messages_read,
            writer.messages_written,
            reader.bytes_read,
            sent,
            reader.held,
        )

    def closed_error(self) -> ConnectionClosed:
        """Make the exception that says how the connection was closed."""
        exc = self.protocol.close_exc
        if self.cause is not None:
            # Whatever broke the connection tells more than "unexpected end of stream".
            exc.__cause__ = self.cause
        return exc

    # Bytes that came

    def received_elsewhere(self, data: bytes) -> None:
        """Take in bytes that were received elsewhere."""
        self.activity += 1
        if self.opening:
            self.opening_received(data)
            return
        self.frame_reader.feed(data)
        self.received()

    def opening_received(self, data: bytes) -> None:
        """Take in bytes of the opening handshake."""
        if self.life.state == REFUSED:
            # Whatever it is, nobody wants it any more.
            return
        protocol = self.protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if tracers:
                tell("received", self, event)
            self.process_event(event)
        if self.opening:
            early = protocol.reader
            if early is not None and protocol.parser is None and len(early.buffer) > MOST_EARLY:
                self.hold |= HANDSHAKE
        self.follow(None)

    def received(self) -> None:
        """Read what is in the reader's own buffer."""
        self.burst = 0
        self.within = True
        try:
            self.read()
        finally:
            self.within = False
            self.changed()

    def opened(self) -> None:
        """Begin with messages, the opening handshake being done; `received` has to follow."""
        self.opening = False
        self.hold &= ~HANDSHAKE
        self.preamble = self.written + self.writer.pending
        self.life.enter(OPEN)
        if self.tally is not None:
            self.tally.opened(self)
        if tracers:
            tell("opened", self)

    # Reading

    def read(self) -> None:
        """Give what was received to whoever waits for it, and queue the rest."""
        reader = self.frame_reader
        if self.listener is not None:
            self.read_for_listener(self.listener)
            return
        if self.reception == WAITING:
            if not reader.has_message():
                message = self.next_message(True)
                if message is not None:
                    reader.put(message)
            if reader.has_message() or self.is_over():
                self.receivable()
        if not reader.stopped:
            self.read_ahead()
        else:
            self.hold &= ~QUEUE
        if self.reception == STREAMING and (reader.has_fragment() or self.life.state == GONE):
            self.receivable()

    def read_for_listener(self, listener: Listener) -> None:
        """Give what was received to the listener."""
        given = False
        self.hold &= ~(QUEUE | ROOM)
        while not self.hold & PROGRAM:
            if self.full and self.life.state < CLOSING:
                # What it answers has to find room first.
                self.hold |= ROOM
                self.life.not_reading()
                break
            if self.over_budget():
                self.yield_turn()
                break
            message = self.next_message(True)
            if message is None:
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

    def over_budget(self) -> bool:
        """Whether the event loop must get its turn before the next message is taken."""
        if self.burst == 0:
            self.burst_start = monotonic()
            return False
        if self.burst & (CLOCK_EVERY - 1) or monotonic() - self.burst_start < BUDGET:
            return False
        return bool(self.frame_reader.held) or self.frame_reader.unread() > 0

    def yield_turn(self) -> None:
        """Give the event loop its turn before what was received is read on."""
        self.hold |= TURN
        self.behind = True

    def go_on(self) -> None:
        """Go on with what was received, the event loop having had its turn."""
        self.behind = False
        self.hold &= ~TURN
        self.received()

    def next_message(self, join: bool) -> Any:
        """Read a message; None if there is none. Control frames are dealt with on the way."""
        reader = self.frame_reader
        while True:
            try:
                message = reader.next_message(join)
            except Exception as exc:
                self.failed(exc)
                return None
            if message is not CONTROL:
                if message is None and reader.interrupted:
                    # Fragments are worth a look at the clock, too.
                    over_budget = self.over_budget()
                    self.burst = (self.burst | (CLOCK_EVERY - 1)) + 1
                    if not over_budget:
                        continue
                    self.yield_turn()
                return message
            over_budget = self.over_budget()
            self.burst += 1
            self.control_received(reader.opcode, reader.take_payload())
            if over_budget:
                self.yield_turn()
                return None

    def read_ahead(self) -> None:
        """Read messages that nobody waits for, up to the limit."""
        reader = self.frame_reader
        life = self.life
        while True:
            wanted = self.reception == WAITING and not reader.has_message()
            discards = life.state >= CLOSING
            if discards and reader.held > self.high:
                # After a Close frame was sent, messages beyond the limit are of no use any more,
                # nor are those behind them when there is room again: they would leave a gap.
                reader.discard()
            if reader.held > self.high and not wanted and not discards:
                self.hold |= QUEUE
                life.not_reading()
                return
            message = self.next_message(False)
            if message is None:
                if reader.queued:
                    # There is one more message in the queue, and maybe more to read.
                    reader.queued = False
                    continue
                if reader.held <= self.high or wanted or life.state >= CLOSING:
                    if self.hold & QUEUE:
                        self.read_again()
                    return
            else:
                reader.put(message)

    def read_again(self) -> None:
        """Let the face read again, for all that the queue has to do with it."""
        self.hold &= ~QUEUE
        # What it reads now is evidence that the peer couldn't give before.
        self.activity += 1

    def took_message(self) -> None:
        """Read on when there is room in the queue again."""
        if self.hold & QUEUE and self.frame_reader.held <= self.low:
            self.read_ahead()
            self.settle()
        if self.life.state == LEFT or self.life.state == FAILING:
            self.life.progressed()

    def wants_message(self) -> None:
        """Read on, because somebody waits for a message and there is none in the queue."""
        if self.hold & QUEUE:
            self.read_again()
            self.settle()

    def take(self) -> Any:
        """Take the next message; None if there is none, of which `nothing_to_take` tells more."""
        reader = self.frame_reader
        if reader.held and reader.has_message():
            message = reader.pop()
            self.took_message()
        else:
            message = self.next_message(True)
            if message is None:
                return None
        self.burst += 1
        return message

    def nothing_to_take(self) -> None:
        """Raise if there can't be a message any more; else see to it that one can come.

        Raises:
            ConnectionClosed: if there can't be.
            ConcurrencyError: if a listener receives the messages.
            InvalidState: if the connection is being closed, and ``ends_early`` is set.

        """
        if self.failure is not None:
            self.fail_deferred()
        if self.life.state == GONE:
            # Never in a variable: the exception's traceback would refer to it.
            raise self.closed_error()
        if self.listener is not None:
            raise ConcurrencyError("cannot call recv while a Listener receives the messages")
        if self.ends_early and self.life.state >= CLOSING:
            raise InvalidState("connection is closing")
        self.wants_message()

    def is_over(self) -> bool:
        """Whether there is nothing more to wait for, for who receives."""
        state = self.life.state
        return state == GONE or (self.ends_early and state >= CLOSING)

    def check_not_receiving(self, method: str) -> None:
        """Raise ConcurrencyError if somebody else is receiving."""
        if self.reception != NOBODY:
            raise ConcurrencyError(
                f"cannot call {method} while another coroutine is already running "
                "recv or recv_streaming"
            )

    def start_streaming(self) -> None:
        """Begin to take a message fragment by fragment.

        Raises:
            ConcurrencyError: if somebody else is receiving.

        """
        self.check_not_receiving("recv_streaming")
        self.reception = STREAMING

    def stop_streaming(self, midway: bool) -> None:
        """Take no more fragments; half a message can't be received by anybody else."""
        self.reception = GAVE_UP if midway and self.life.state != GONE else NOBODY

    def read_on(self) -> bool:
        """Read on if there is room in the queue again; say whether anything kept it from that."""
        if not self.hold & QUEUE:
            return False
        self.read_ahead()
        self.settle()
        return True

    # What came and isn't a message

    def control_received(self, opcode: int, data: bytes) -> None:
        """Take in a control frame."""
        if self.listener is not None and opcode != CLOSE_OPCODE:
            self.call_listener("on_ping" if opcode == PING_OPCODE else "on_pong", data)
        if opcode == PING_OPCODE and self.full:
            # A peer that doesn't read gets an answer to its latest ping only, when it reads again
            # (RFC 6455, section 5.5.3), so its pings don't fill the memory.
            self.unanswered_ping = data
            return
        try:
            self.protocol.receive_control(opcode, data)
        except Exception as exc:
            self.receive_failed(exc)
            return
        if opcode == PONG_OPCODE:
            self.acknowledge_pings(data)
        elif opcode == CLOSE_OPCODE:
            self.follow(None)
        elif self.writer.writes:
            self.wrote()

    def failed(self, exc: Exception) -> None:
        """Fail the connection, but not before the messages that came first were received."""
        self.frame_reader.stop()
        if self.frame_reader.has_message() and self.life.enter(FAILING):
            self.failure = exc
        else:
            self.receive_failed(exc)

    def fail_deferred(self) -> None:
        """Fail the connection because of what was received earlier."""
        if self.failure is not None:
            exc, self.failure = self.failure, None
            self.receive_failed(exc)

    def receive_failed(self, exc: Exception) -> None:
        """Fail the connection because of what was received."""
        self.protocol.receive_failed(exc)
        self.follow(None)

    def undecodable(self, exc: UnicodeDecodeError) -> None:
        """Fail the connection, from which the program wants text and got something else."""
        if self.life.state != GONE:
            self.receive_failed(exc)
            self.frame_reader.drop()

    # The end

    def follow(self, limit: float | None) -> None:
        """Follow the protocol to where it went: closing, or an answer that ends the connection.

        Args:
            limit: how long the end may take at most, in seconds; None is ``close_timeout``.

        """
        life = self.life
        if life.state != GONE and self.protocol.close_expected():
            if life.enter(REFUSED if self.protocol.state is CONNECTING else CLOSING, limit):
                if tracers:
                    tell("refused" if life.state == REFUSED else "closing", self)
                self.discard()
            elif limit is not None:
                life.hurry(limit)
        if self.ends_early and self.reception == WAITING and self.is_over():
            self.receivable()
        self.changed()

    def asked(self) -> None:
        """Take note that the program is asked about the opening handshake, and takes its time."""
        self.life.enter(ASKED)

    def farewell(self, limit: float) -> None:
        """End without a closing handshake when what was sent is out, or after so many seconds."""
        if self.life.enter(ENDING):
            # The peer's end may be behind messages for which there is no room.
            self.discard()
        self.life.hurry(limit)
        self.changed()

    def discard(self) -> None:
        """Read on although nobody takes messages: a Close frame may be behind them."""
        if self.hold:
            self.hold = self.hold & TURN
            if not self.opening and not self.within:
                if self.listener is None:
                    self.read_ahead()
                else:
                    self.received()

    def start_closing(self, code: CloseCode | int = 1000, reason: str = "") -> None:
        """Begin to close the connection, without waiting."""
        if self.protocol.state is State.OPEN:
            if self.writer.continuing:
                self.protocol.fail(CloseCode.INTERNAL_ERROR, "close during fragmented message")
            else:
                self.protocol.send_close(code, reason)
            self.follow(None)

    def peer_ended(self) -> None:
        """Take note that the peer has ended its stream, behind what is not read yet."""
        if self.opening:
            self.abort()
        elif self.life.enter(LEFT):
            self.note_silence(None)
            self.changed()

    def stream_ended(self) -> None:
        """Take in the end of the stream."""
        self.note_silence(None)
        self.read_rest()
        # What the program still receives can't be answered any more, so this doesn't wait for it.
        self.fail_deferred()
        self.end_protocol()
        self.life.enter(ENDING)
        self.changed()

    def read_rest(self) -> None:
        """Queue all that was received, because nothing more comes."""
        if not self.opening and self.frame_reader.unread():
            high, self.high = self.high, NO_LIMIT
            self.received()
            self.high = high

    def end_protocol(self) -> None:
        """Tell the protocol that nothing more comes."""
        protocol = self.protocol
        tally = self.tally
        if self.opening and tally is not None and protocol.state is CONNECTING:
            # One that was refused has had its line.
            protocol.announces_end = protocol.announces_end and tally.tells(protocol)
        protocol.receive_eof()

    def lost(self, exc: Exception | None) -> bool:
        """Take in that there is no connection any more; say whether that is new.

        Args:
            exc: why; None if nothing went wrong.

        """
        if self.life.state == GONE:
            return False
        self.note_silence(exc)
        self.read_rest()
        self.fail_deferred()
        self.end_protocol()
        if exc is not None:
            self.cause = exc
        self.opening = False
        self.hold = 0
        self.life.enter(GONE)
        if self.tally is not None:
            self.tally.lost(self)
        if tracers:
            tell("lost", self)
        if self.reception == GAVE_UP:
            self.reception = NOBODY
            self.frame_reader.drop()
        self.writer.take()
        for extension in self.protocol.extensions:
            if isinstance(extension, PerMessageDeflate):
                # Now rather than when the program lets go of the connection.
                extension.close()
        pings, self.pending_pings = self.pending_pings, {}
        for answered, _ in pings.values():
            if answered is not None:
                answered(self.closed_error())
        followers, self.followers = self.followers, None
        for follower in followers or ():
            follower.gone()
        self.received()
        return True

    def note_silence(self, exc: Exception | None) -> None:
        """Take down how long there was silence before an end that nobody announced.

        Args:
            exc: what broke the connection; None if its stream ended.

        """
        protocol = self.protocol
        unannounced = protocol.close_rcvd is None and protocol.close_sent is None
        if protocol.silence is None and unannounced and not self.opening:
            # What is sent to somebody who has gone is what breaks the connection.
            protocol.silence = self.silence(exc is not None)

    def end_listening(self) -> None:
        """Tell the listener of the end, and let go of it: it refers to this connection."""
        if self.listener is not None:
            self.call_listener("on_close", self.closed_error())
            self.listener = None

    def due(self, now: float, unsent: int) -> None:
        """Do what is due at the deadline.

        Args:
            now: the time by the clock of the connection's life, in seconds.
            unsent: how many bytes the network has not taken yet.

        """
        life = self.life
        state = life.state
        if now < life.deadline or state == GONE:
            return
        if state == OPEN:
            self.keepalive_due(now, unsent)
        elif state == FAILING:
            self.fail_deferred()
        elif state == LEFT:
            life.enter(CLOSING)
            self.discard()
        else:
            if state >= CLOSING:
                seconds = life.close_timeout
                self.cause = TimeoutError(
                    "the closing handshake wasn't done in time"
                    if seconds is None
                    else f"the closing handshake wasn't done within {seconds:g} s (close_timeout)"
                )
            if self.protocol.debug:
                what = "opening handshake" if state in (OPENING, ASKED) else "closing"
                self.logger.debug("! %s timed out, connection aborted", what)
            # It is over: there is nothing more to be done about it.
            life.deadline = NEVER
            self.abort()
        self.changed()

    # Keepalive

    def start_keepalive(self) -> None:
        """Send pings from now on, if the connection is to send any."""
        self.life.keep_alive()
        self.settle()

    def keepalive_due(self, now: float, unsent: int) -> None:
        """Send a ping, or look whether there was a sign of life since the last one."""
        life = self.life
        todo = life.keepalive(now, self.activity, not self.hold, self.written - unsent, unsent)
        if todo == NOTHING:
            return
        if todo == PEER_IS_DEAD:
            if self.protocol.debug:
                self.logger.debug("! nothing received since keepalive ping")
            self.protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
            self.follow(DEAD_PEER_TIMEOUT)
            return
        if self.full:
            # It would only wait behind the rest; whether the peer takes that is what counts.
            return
        data = self.send_ping(None, None)
        if self.protocol.debug:
            self.logger.debug("%% sent keepalive ping")
        if life.ping_timeout is None:
            # Earlier ones that weren't answered are of no interest any more.
            self.pending_pings = {
                payload: entry
                for payload, entry in self.pending_pings.items()
                if entry[0] or payload == data
            }
        else:
            self.keepalive_ping = data

    def send_ping(self, data: bytes | None, answered: Callable[[Any], object] | None) -> bytes:
        """Send a ping.

        Args:
            data: payload, 125 bytes at most; None is a random one.
            answered: called with the round-trip time in seconds, or with the exception that says
                how the connection was closed.

        Returns:
            The payload.

        """
        while data is None or data in self.pending_pings:
            data = os.urandom(4)
        self.protocol.send_ping(data)
        # Not the clock of a loop, which may stand still during a turn, and count milliseconds.
        self.pending_pings[data] = (answered, time.perf_counter())
        self.flush()
        return data

    def acknowledge_pings(self, data: bytes) -> None:
        """Tell those who wait for a pong with this payload, or for an earlier one."""
        if data not in self.pending_pings:
            # Not asked for, or the answer to an earlier ping that came after that to a later one.
            return
        now = time.perf_counter()
        # RFC 6455, section 5.5.3: a pong may answer the most recent ping only.
        for payload in list(self.pending_pings):
            answered, sent_at = self.pending_pings.pop(payload)
            if answered is not None:
                answered(now - sent_at)
            if payload == self.keepalive_ping:
                self.keepalive_ping = None
                self.life.pong_received(now - sent_at)
            if payload == data:
                self.latency = now - sent_at
                break

    # Writing

    def wrote(self) -> None:
        """See to it that what was written gets out.

        While whole messages wait to be taken in this very callback, their answers go out together,
        and so does all that a listener sends in one; otherwise nothing stays here.
        """
        if (
            self.within
            and self.coalesces
            and self.writer.pending < MOST_PENDING
            and (
                self.listener is not None
                or self.frame_reader.has_whole()
                or (self.frame_reader.held and self.frame_reader.has_message())
            )
        ):
            return
        self.flush()

    def flush(self) -> None:
        """Send what was written."""

    def send_made(self, frame: bytes) -> None:
        """Send a frame that was made already, while nothing is written and not flushed."""
        self.writer.append(frame)
        self.flush()

    def settle(self) -> None:
        """Have the face look at what has changed, unless it does so soon anyway."""
        if not self.within:
            self.changed()

    def write_plain(self, message: Any) -> bool:
        """Write a message of the most frequent kinds, if it is one and nothing is in the way."""
        writer = self.writer
        if type(message) is str:
            writer.write_text(message)
        elif type(message) is bytes:
            writer.write_bytes(2, message)
        else:
            return False
        self.wrote()
        return True

    def send_nowait(
        self, message: DataLike, text: bool | None = None, *, compress: bool | None = None
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
        # State.OPEN, as the writer has it.
        if writer.state != 1 or writer.continuing:
            self.check_sending()
        if text is not None or compress is not None or not self.write_plain(message):
            if not isinstance(message, (str, BytesLike)):
                raise TypeError("data must be str or bytes-like")
            opcode, data = frame_of(message, text)
            writer.write_data(opcode, data, True, compress)
            self.wrote()
        return not self.full

    def check_sending(self) -> None:
        """Raise because nothing can be sent now."""
        if self.life.state == GONE:
            raise self.closed_error()
        if self.writer.continuing:
            raise ConcurrencyError("cannot send while a fragmented message is being sent")
        raise InvalidState(f"connection is {self.protocol.state.name.lower()}")

    def room(self, there_is: bool) -> None:
        """Take note whether there is room in the write buffer.

        Args:
            there_is: whether it is below its limit.

        """
        self.full = not there_is
        if not there_is:
            return
        if self.unanswered_ping is not None:
            data, self.unanswered_ping = self.unanswered_ping, None
            if self.protocol.state is not CLOSED and self.protocol.state is not CONNECTING:
                self.protocol.write_control(Opcode.PONG, data)
                self.flush()
        if self.followers is not None:
            self.tell_followers()
        if self.listener is not None:
            self.call_listener("on_drain")
            if self.hold & ROOM:
                self.hold &= ~ROOM
                self.life.progressed()
                # The face reads it with what comes next, in a turn of its own.
                self.yield_turn()
                self.changed()

    # Others who write

    def add_follower(self, follower: Follower) -> None:
        """Have somebody told when they may write, and when the connection is gone."""
        self.followers = [*(self.followers or ()), follower]

    def remove_follower(self, follower: Follower) -> None:
        """Have them told no more."""
        self.followers = [one for one in self.followers or () if one is not follower] or None

    def tell_followers(self) -> None:
        """Tell those who follow the connection that they may write."""
        for follower in self.followers or ():
            follower.may_write()

    # Callbacks

    def listen(self, listener: Listener) -> None:
        """Have a `Listener` called from now on, instead of receiving messages."""
        self.listener = listener
        self.call_listener("on_open")

    def pause_reading(self) -> None:
        """Read nothing, for a listener that has enough."""
        self.hold |= PROGRAM
        self.life.not_reading()
        self.settle()

    def resume_reading(self) -> None:
        """Read again."""
        if self.hold & PROGRAM:
            self.hold &= ~PROGRAM
            self.yield_turn()
            self.settle()

    def call_listener(self, name: str, *args: Any) -> None:
        """Call a method of the listener, if there is one."""
        if self.listener is not None:
            try:
                getattr(self.listener, name)(*args)
            except Exception as exc:
                self.listener_failed(exc)

    def listener_failed(self, exc: Exception) -> None:
        """Close the connection because of an exception in the listener."""
        self.logger.error("connection listener failed", exc_info=exc)
        if self.protocol.state is State.OPEN:
            self.start_closing(CloseCode.INTERNAL_ERROR)


if not cython.compiled:
    # As compiled classes have it, so that it can be asked for.
    Link.latency = 0.0


def frame_of(message: Any, text: bool | None) -> tuple[int, Any]:
    """Give the opcode and the payload for a message."""
    if isinstance(message, str):
        return (Opcode.BINARY if text is False else Opcode.TEXT), message.encode()
    if isinstance(message, BytesLike):
        return (Opcode.TEXT if text else Opcode.BINARY), message
    raise TypeError("iterable must contain bytes or str")
