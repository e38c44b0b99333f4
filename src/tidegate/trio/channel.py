"""Messages between a socket and the tasks that wait for them: what is done without waiting.

The task that receives reads the socket itself, and waits for it itself, so that nobody has to be
woken in between. While nobody receives, an attendant does it, see `attendant`.
"""

from __future__ import annotations

import contextlib
import itertools
import ssl
from typing import TYPE_CHECKING, Any

import trio

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..asyncio.poller.syscalls import receive
    from ..core.life import GONE, NEVER, OPEN, Life
    from ..core.link import BUDGET, CLOCK_EVERY, NOBODY, TURN, WAITING
    from ..wire.kernels import monotonic
    from .output import Output

if TYPE_CHECKING:
    from ..core.tls import TLS
    from ..protocol import Protocol
    from .way import Way

# For modules that aren't compiled, which don't see constants of C.
STATE_OPEN: int = OPEN
RECEIVED_BY_NOBODY: int = NOBODY
RECEIVED_BY_WAITING: int = WAITING
HELD_FOR_TURN: int = TURN

# How much is received at once, in bytes.
BUFFER_SIZE = 64 * 1024

# A payload of which so much is missing is received where it stays, in bytes.
DIRECT = 32 * 1024


class Hub:
    """What the connections of one run share: buffers for what is being received."""

    def __init__(self) -> None:
        self.buffer = bytearray(BUFFER_SIZE)
        self.view = memoryview(self.buffer)
        self.plain = memoryview(bytearray(BUFFER_SIZE))


_hub: trio.lowlevel.RunVar[Hub] = trio.lowlevel.RunVar("tidegate")


def get_hub() -> Hub:
    """Give the hub of this run of trio."""
    try:
        return _hub.get()
    except LookupError:
        hub = Hub()
        _hub.set(hub)
        return hub


class Channel(Output):
    """The part of a connection that moves messages on trio.

    Args:
        protocol: the connection as a Sans-I/O state machine.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        high: reading stops when more messages than this wait to be received.
        low: it goes on when there are no more than this.

    """

    def __init__(
        self,
        protocol: Protocol,
        ping_interval: float | None,
        ping_timeout: float | None,
        close_timeout: float | None,
        high: int | None,
        low: int | None,
    ) -> None:
        # Whoever opens the connection sees to the time limit of that.
        life = Life(trio.current_time, None, ping_interval, ping_timeout, close_timeout)
        Output.__init__(self, protocol, life, high, low)
        self.hub = get_hub()
        self.read_ended = False
        # Events are made when somebody waits for them.
        self.message_event: trio.Event | None = None
        self.closed_event: trio.Event | None = None
        self.send_in_progress: trio.Event | None = None
        self.resumed: trio.Event | None = None
        # The scope in which the attendant waits, until when, and whether it waits for nothing else.
        self.scope: trio.CancelScope | None = None
        self.wake_at = -NEVER
        self.parked = False
        # Whether reading was on hold when it was looked at last.
        self.held_back = False
        self.takes = 0
        self.steps = 0
        self.steps_start = 0.0

    def take_over(self, way: Way) -> None:
        """Go on with a connection, encrypted as it is, and with what was received from it."""
        self.carry_on(way.sock, way.stream)
        self.layers = way.layers or None
        rest, way.rest = way.rest, b""
        if rest:
            self.feed(rest)
        if self.layers is not None:
            # They may hold something already.
            self.decrypt(b"")

    # What a subclass does, waiting

    def rearm(self) -> None:
        """Have the attendant wake up at the new deadline."""

    def receiver_left(self) -> None:
        """Leave reading to the attendant, at once or when nobody has received for a while."""

    def finished(self) -> None:
        """The connection is gone: let go of what it kept."""

    # What the link calls

    def receivable(self) -> None:
        """Wake the task that receives, if it doesn't wait for the socket itself."""
        if self.message_event is not None:
            self.message_event.set()

    def changed(self) -> None:
        """Send the output, read or don't, and set the timer, as it is now."""
        if self.writer.writes:
            self.flush()
        life = self.life
        if life.state == GONE:
            return
        if life.deadline < self.wake_at:
            self.rearm()
        if self.parked:
            if self.hold & TURN or (self.hold == 0 and life.state > OPEN):
                self.kick()
            elif self.hold == 0 and self.held_back:
                # What could not be read before may be a ping, and nobody may receive again.
                self.receiver_left()
        self.held_back = self.hold != 0
        if self.resumed is not None and self.hold == 0:
            self.resumed.set()

    def abort(self) -> None:
        """End the connection without waiting for anything."""
        self.finish(None)

    # Turns

    def spent(self) -> bool:
        """Whether others must get their turn, after much that didn't have to wait."""
        if self.steps == 0:
            self.steps_start = monotonic()
        self.steps += 1
        if self.steps & (CLOCK_EVERY - 1) or monotonic() - self.steps_start < BUDGET:
            return False
        self.rested()
        return True

    def rested(self) -> None:
        """Begin to count anew, others having their turn."""
        self.steps = 0
        self.burst = 0

    # Reading

    def read_socket(self) -> bool:
        """Take in what the socket has, at most a buffer; say whether there was anything."""
        if self.sock is None or self.read_ended:
            return False
        try:
            if self.layers is None and not self.opening and self.frame_reader.has_room(DIRECT):
                return self.read_in_place()
            if self.fd >= 0:
                n = receive(self.sock, self.fd, self.hub.buffer, 0, BUFFER_SIZE)
            else:
                n = receive_anywhere(self.sock, self.hub.view)
        except OSError as exc:
            self.finish(exc)
            return True
        if n < 0:
            if self.broken is None:
                return False
            self.finish(self.broken)
        elif n == 0:
            self.input_ended()
        else:
            self.activity += 1
            if self.layers is None:
                self.feed(self.hub.view[:n])
            else:
                self.decrypt(self.hub.view[:n])
        return True

    def read_in_place(self) -> bool:
        """Receive the rest of a large payload where it stays."""
        assert self.sock is not None
        try:
            n = self.sock.recv_into(self.frame_reader.room(DIRECT))
        except BlockingIOError:
            return False
        if n == 0:
            self.input_ended()
            return True
        self.activity += 1
        try:
            self.frame_reader.received_in_room(n)
        except Exception as exc:
            self.failed(exc)
        return True

    def feed(self, data: Any) -> None:
        """Take in bytes; messages are taken out of them by whoever wants one."""
        if self.opening:
            self.opening_received(bytes(data))
            # Whoever waits for it while another task reads.
            self.receivable()
        else:
            self.frame_reader.feed(data)

    def decrypt(self, data: Any) -> None:
        """Take in bytes that came in TLS, maybe in another TLS."""
        assert self.layers is not None
        last = self.layers[len(self.layers) - 1]
        try:
            for layer, inner in itertools.pairwise(self.layers):
                layer.received(data)
                data = read_all(layer, self.hub.plain)
                if layer.ended:
                    inner.received_end()
            last.received(data)
            while n := last.decrypt_into(self.hub.plain):
                self.feed(self.hub.plain[:n])
                if n < BUFFER_SIZE and last.error is None:
                    # That was all.
                    break
            # TLS may have something to answer.
            self.put(self.sealed(b""))
        except ssl.SSLError as exc:
            with contextlib.suppress(ssl.SSLError):
                self.put(self.sealed(b""))
            self.finish(exc)
            return
        if last.ended:
            self.input_ended()

    def stream_received(self, data: bytes | bytearray) -> None:
        """Take in bytes from a stream; none are its end."""
        if not data:
            self.input_ended()
            return
        self.activity += 1
        if self.layers is None:
            self.feed(bytes(data))
        else:
            self.decrypt(data)

    def deliver(self) -> None:
        """Give what was received to whoever waits for it, and queue the rest."""
        if not self.opening and self.life.state != GONE:
            self.received()

    def input_ended(self) -> None:
        """Take in the end of the stream."""
        if self.read_ended:
            return
        self.read_ended = True
        self.stream_ended()
        self.finish_if_sent()

    # Taking messages

    def take_now(self) -> Any:
        """Take a message that was received, or that the socket has; None if there is none."""
        self.takes += 1
        message = self.take()
        if message is None and not self.hold and self.sock is not None and self.read_socket():
            if not self.parked:
                # The attendant waits for more to come, and there may be a ping behind the message.
                self.kick()
            return self.take()
        return message

    def expect_more(self) -> None:
        """Raise if there can't be a message any more; else see to it that one can come."""
        self.nothing_to_take()

    def take_more(self) -> Any:
        """Take a message, the socket having something; None if there is none yet."""
        if self.hold & TURN:
            self.go_on()
        else:
            self.rested()
            self.read_socket()
        return self.take()

    # The end

    def finish_if_sent(self) -> None:
        """Finish if the peer has ended its stream, and what was sent is out."""
        if self.read_ended and (not self.backlog or self.broken is not None):
            self.finish(self.broken)

    def finish(self, exc: Exception | None) -> None:
        """Close the socket, and tell everybody that the connection is closed."""
        if self.life.state == GONE:
            return
        # The socket knows it, which is closed now.
        self.note_silence(exc)
        sock, self.sock = self.sock, None
        if sock is not None:
            try:
                trio.lowlevel.notify_closing(self.handle)
            except RuntimeError:
                # Trio runs no more.
                pass
            sock.close()
        self.handle = None
        self.fd = -1
        self.read_ended = True
        self.lost(exc)
        self.backlog.clear()
        self.layers = None
        if self.room_event is not None:
            self.room_event.set()
        if self.closed_event is not None:
            self.closed_event.set()
        if self.resumed is not None:
            self.resumed.set()
        self.kick()
        self.finished()


def read_all(layer: TLS, buffer: memoryview) -> bytes:
    """Decrypt all that there is."""
    pieces = []
    while n := layer.decrypt_into(buffer):
        pieces.append(bytes(buffer[:n]))
    return b"".join(pieces)


def receive_anywhere(sock: Any, view: memoryview) -> int:
    """Receive; give the number of bytes, 0 at the end of the stream, -1 for not now."""
    try:
        n: int = sock.recv_into(view)
        return n
    except BlockingIOError:
        return -1
