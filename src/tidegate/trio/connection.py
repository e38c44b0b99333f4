"""A WebSocket connection on trio, common to clients and servers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

import trio

from ..core.arguments import limits
from ..core.broadcast import broadcast as broadcast_now
from ..core.facts import Facts, log_connection, payload
from ..exceptions import ConcurrencyError, ConnectionClosedOK
from ..frames import CloseCode
from ..utils import seconds_of_silence
from . import attendant
from .receiving import Receiving
from .sending import drain, ensure_open, send_anything
from .way import Way, address_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from types import TracebackType

    from ..protocol import Protocol
    from ..typing import DataLike

__all__ = ["Connection", "broadcast"]


class Connection(Receiving, Facts, trio.abc.AsyncResource):
    """A WebSocket connection on trio.

    Programs get connections from `connect` and `serve`; there is no need to make one.

    Receive with `recv` or ``async for message in connection``, send with `send`. Both raise
    `ConnectionClosed` when the connection is closed; the iteration just ends when it was closed
    normally.

    Methods that needn't wait notice a cancellation, but let other tasks have their turn only when
    some time was used up, rather than at each call; ``trio.lowlevel.checkpoint()`` does at once.

    Args:
        nursery: where its own tasks run; None is beside the program, until the connection is
            closed.
        stream: what carries it: a `trio.abc.Stream`.
        protocol: the connection as a Sans-I/O state machine.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        max_queue: how many frames may wait to be received before reading stops, ``high`` or
            ``(high, low)``; reading goes on at ``low``, a quarter of ``high`` by default. None for
            no limit.
        write_limit: size of the write buffer in bytes from which on `send` waits, ``high`` or
            ``(high, low)``; it goes on at ``low``.

    Attributes:
        request: the opening handshake request.
        response: the opening handshake response.
        latency: round-trip time of the last ping that was answered, in seconds; 0 before.

    """

    def __init__(
        self,
        nursery: trio.Nursery | None,
        stream: trio.abc.Stream | Way,
        protocol: Protocol,
        *,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
    ) -> None:
        high, low = limits(max_queue)
        super().__init__(protocol, ping_interval, ping_timeout, close_timeout, high, low)
        self.high_water, self.low_water = limits(write_limit)
        log_connection(self)
        self.nursery = nursery
        self.sends = False
        self.pumping: trio.CancelScope | None = None
        self.pumping_out: trio.CancelScope | None = None
        header = self.proxy_header
        if header is not None:
            protocol.announced = True
            protocol.checks_health = header.command == "LOCAL"
        protocol.frame_writer.split = True
        way = stream if isinstance(stream, Way) else Way(stream=stream)
        # Kept, because there are none any more when the connection is closed.
        self.addresses = {
            which: address_of(way.sock, way.stream, f"get{which}")
            for which in ("sockname", "peername")
        }
        self.way = way

    def start(self) -> None:
        """Begin to exchange bytes."""
        self.take_over(self.way)
        if self.stream is not None:
            self.spawn(attendant.pump_in)
        self.spawn(attendant.attend)

    def spawn(self, function: Callable[[Connection], Awaitable[None]]) -> None:
        """Run one of the connection's own tasks."""
        if self.nursery is None:
            trio.lowlevel.spawn_system_task(function, self)
        else:
            self.nursery.start_soon(function, self)

    # What can be known

    def silence(self, received_only: bool) -> float | None:
        """Give how long ago something was received, or sent if that counts, in seconds."""
        return seconds_of_silence(self.sock, received_only)

    def socket_address(self, which: str) -> Any:
        """Give an address of the socket: ``"sockname"`` or ``"peername"``; None without one."""
        return self.addresses[which]

    @property
    def buffered_amount(self) -> int:
        """How many bytes were sent by this side but not yet taken by the operating system."""
        return self.protocol.frame_writer.pending + len(self.backlog)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None or issubclass(exc_type, ConnectionClosedOK):
            await self.aclose()
        else:
            await self.aclose(CloseCode.INTERNAL_ERROR)

    # Sending

    async def send(
        self,
        message: DataLike | Iterable[DataLike] | Any,
        *,
        text: bool | None = None,
        compress: bool | None = None,
        timeout: float | None = None,
    ) -> None:
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
                nevertheless if there was room when it came, and it wasn't fragmented.

        """
        if self.spent():
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        if text is None and compress is None and timeout is None and self.send_now(message):
            if self.full:
                await drain(self)
            return
        await send_anything(self, message, text, compress, timeout)

    async def drain(self) -> None:
        """Wait until the write buffer is below its limit.

        Raises:
            ConnectionClosed: if the connection is closed meanwhile.

        """
        await trio.lowlevel.checkpoint_if_cancelled()
        await drain(self)

    # Pings

    async def ping(self, data: DataLike | None = None, *, ack_on_close: bool = False) -> trio.Event:
        """Send a ping.

        ::

            pong = await connection.ping()
            await pong.wait()

        Args:
            data: payload, 125 bytes at most; random by default.
            ack_on_close: set the event also when the connection is closed.

        Returns:
            An event that is set when the answer comes; `latency` tells how long it took.

        Raises:
            ConnectionClosed: when the connection is closed.
            ConcurrencyError: if a ping with the same payload wasn't answered yet.

        """
        content = None if data is None else payload(data)
        await trio.lowlevel.checkpoint_if_cancelled()
        await ensure_open(self)
        if content in self.pending_pings:
            raise ConcurrencyError("already waiting for a pong with the same data")
        event = trio.Event()

        def answered(outcome: float | Exception) -> None:
            if ack_on_close or not isinstance(outcome, Exception):
                event.set()

        self.send_ping(content, answered)
        if self.parked:
            self.kick()
        await drain(self)
        return event

    async def pong(self, data: DataLike = b"") -> None:
        """Send a pong that nobody asked for, as a one-way heartbeat.

        Args:
            data: payload, 125 bytes at most.

        Raises:
            ConnectionClosed: when the connection is closed.

        """
        content = payload(data)
        await trio.lowlevel.checkpoint_if_cancelled()
        await ensure_open(self)
        self.protocol.send_pong(content)
        self.flush()
        await drain(self)

    # Closing

    async def aclose(self, code: CloseCode | int = 1000, reason: str = "") -> None:
        """Close the connection, with the closing handshake, in at most ``close_timeout`` seconds.

        Does nothing but wait when the connection is being closed or is closed. When it is
        cancelled, the connection is closed at once.

        Args:
            code: close code, 1000 or another that may be sent (RFC 6455, section 7.4).
            reason: close reason, 123 bytes in UTF-8 at most.

        Raises:
            ProtocolError: if the code or the reason can't be sent.

        """
        self.start_closing(code, reason)
        try:
            await self.wait_closed()
        except BaseException:
            self.abort()
            raise

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        if self.ended:
            await trio.lowlevel.checkpoint()
            return
        if self.closed_event is None:
            self.closed_event = trio.Event()
        with self.watching():
            await self.closed_event.wait()

    # What the link and the attendant call

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Have the network be read from meanwhile, whoever receives."""
        self.watchers += 1
        if self.parked:
            self.kick()
        try:
            yield
        finally:
            self.watchers -= 1

    @property
    def unsent(self) -> int:
        """How many bytes the network has not taken yet."""
        return len(self.backlog)

    def rearm(self) -> None:
        """Have the attendant wake up at the new deadline."""
        if self.scope is not None:
            self.wake_at = min(self.life.deadline, self.look_at)
            self.scope.deadline = self.wake_at

    def kick(self) -> None:
        """Have the attendant look at the connection now."""
        if self.scope is not None:
            self.scope.cancel()

    def start_sending(self) -> None:
        """Have what is in the backlog sent as the network takes it."""
        if not self.sends:
            self.sends = True
            self.spawn(attendant.send_rest if self.stream is None else attendant.pump_out)

    def finished(self) -> None:
        """The connection is gone: let go of what it kept."""
        for scope in (self.pumping, self.pumping_out):
            if scope is not None:
                scope.cancel()


async def broadcast(
    connections: Iterable[Connection],
    message: DataLike,
    *,
    raise_exceptions: bool = False,
    text: bool | None = None,
) -> None:
    """Send a message to many connections.

    The frame is made once, and compressed once for all connections that negotiated the same
    parameters. A connection that isn't open, or that is in the middle of a fragmented message, is
    left out. A slow receiver doesn't hold up the others, nor this: what it doesn't read stays in
    its write buffer, until keepalive finds it dead; see the connection's ``buffered_amount``.

    Args:
        connections: where to send.
        message: ``str``, ``bytes``, ``bytearray`` or ``memoryview``.
        raise_exceptions: raise an `ExceptionGroup` of what went wrong at the end, rather than log
            it.
        text: send text as binary (False) or bytes as text (True).

    Raises:
        TypeError: if the message has another type.

    """
    await trio.lowlevel.checkpoint()
    broadcast_now(connections, message, text=text, raise_exceptions=raise_exceptions)
