"""A WebSocket connection on an asyncio transport, common to clients and servers."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import sys
import weakref
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from ..core.arguments import limits
from ..core.broadcast import broadcast
from ..exceptions import ConcurrencyError, ConnectionClosed, ConnectionClosedOK, InvalidState
from ..extensions.permessage_deflate import PerMessageDeflate
from ..frames import CloseCode, Opcode
from ..protocol import CLOSED, CONNECTING, OPEN, Protocol, State
from ..typing import BytesLike
from .channel import Channel
from .pings import Pings

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator
    from types import TracebackType

    from ..core.listener import Listener
    from ..http11 import Request, Response
    from ..proxyprotocol.header import Header
    from ..proxyprotocol.policy import Endpoints
    from ..typing import Data, LoggerLike, Subprotocol

__all__ = ["Connection", "broadcast"]

# Who gets nothing from a transport that is closed.
NOBODY = asyncio.BufferedProtocol()

if sys.version_info >= (3, 12):
    # Mocks made to the specification of a connection ask for it.
    inspect.markcoroutinefunction(Channel.recv)
    inspect.markcoroutinefunction(Channel.send)


# Transports take it for the buffered protocol that it is; to programs, it is a Protocol, too.
class Connection(Pings, asyncio.BufferedProtocol, asyncio.Protocol):
    """A WebSocket connection on asyncio.

    Programs get connections from `connect` and `serve`; there is no need to make one.

    Receive with `recv` or ``async for message in connection``, send with `send`. Both raise
    `ConnectionClosed` when the connection is closed; the iteration just ends when it was closed
    normally.

    Args:
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

    request: Request | None = None
    response: Response | None = None
    endpoints: Endpoints | None = None
    connection_exc: Exception | None = None
    send_in_progress: asyncio.Future[None] | None = None
    close_deadline: float | None = None
    # The latest ping of a peer that doesn't read answers.
    _unanswered_ping: bytes | None = None
    # Whether recv_streaming() was left in the middle of a message.
    _gave_up = False

    def __init__(
        self,
        protocol: Protocol,
        *,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
    ) -> None:
        high, low = limits(max_queue)
        super().__init__(
            asyncio.get_running_loop(), protocol.frame_reader, protocol.frame_writer, high, low
        )
        protocol.frames_as_events = False
        self.protocol = protocol
        self._logger: LoggerLike = protocol.logger
        if protocol.logger.isEnabledFor(logging.INFO):
            # The protocol doesn't keep the connection.
            extra = {"websocket": weakref.proxy(self)}
            protocol.logger = logging.LoggerAdapter(protocol.logger, extra)
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.close_timeout = close_timeout
        self.write_limit = write_limit

        # Futures are made when somebody waits for them.
        self._closed_waiter: asyncio.Future[None] | None = None
        self._drain_waiters: list[asyncio.Future[None]] | None = None
        self.pending_pings = {}

    # What can be known

    @property
    def id(self) -> uuid.UUID:
        """A unique identifier of the connection, for logs."""
        return self.protocol.id

    @property
    def local_address(self) -> Any:
        """Local address: ``(host, port)`` for IPv4, longer for IPv6, a path for Unix sockets.

        Behind a load balancer that is trusted, the address that the client connected to. None
        before the connection is established.
        """
        if self.endpoints is not None:
            return self.endpoints.local_address
        return None if self.transport is None else self.transport.get_extra_info("sockname")

    @property
    def remote_address(self) -> Any:
        """Remote address, in the form of `local_address`.

        Behind a load balancer that is trusted, the client's.
        """
        if self.endpoints is not None:
            return self.endpoints.remote_address
        return None if self.transport is None else self.transport.get_extra_info("peername")

    @property
    def peer_address(self) -> Any:
        """Address at the other end of the socket, the load balancer's if there is one."""
        return None if self.transport is None else self.transport.get_extra_info("peername")

    @property
    def proxy_header(self) -> Header | None:
        """The PROXY protocol header that the connection began with, None if there was none."""
        return None if self.endpoints is None else self.endpoints.header

    @property
    def logger(self) -> LoggerLike:
        """Where this connection logs. Log records have it as their attribute ``websocket``."""
        return logging.LoggerAdapter(self._logger, {"websocket": self})

    @logger.setter
    def logger(self, logger: LoggerLike) -> None:
        self._logger = logger

    @property
    def state(self) -> State:
        """State of the connection. Better use the connection and handle `ConnectionClosed`."""
        return self.protocol.state

    @property
    def subprotocol(self) -> Subprotocol | None:
        """The subprotocol that was negotiated, None if there is none."""
        return self.protocol.subprotocol

    @property
    def close_code(self) -> int | None:
        """The code of the Close frame that was received, 1006 if the connection was lost.

        None before the connection is closed.
        """
        return self.protocol.close_code

    @property
    def close_reason(self) -> str | None:
        """The reason in the Close frame that was received, ``""`` if there was none.

        None before the connection is closed.
        """
        return self.protocol.close_reason

    @property
    def close_exc(self) -> ConnectionClosed:
        """The exception that says how the connection was closed."""
        return self.closed_error()

    @property
    def buffered_amount(self) -> int:
        """How many bytes were sent by this side but not yet taken by the operating system."""
        pending = self.protocol.frame_writer.pending
        return pending + (self.transport.get_write_buffer_size() if self.transport else 0)

    def closed_error(self) -> ConnectionClosed:
        """Make the exception that says how the connection was closed."""
        exc = self.protocol.close_exc
        if self.connection_exc is not None:
            # Whatever broke the connection tells more than "unexpected end of stream".
            exc.__cause__ = self.connection_exc
        return exc

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None or issubclass(exc_type, ConnectionClosedOK):
            await self.close()
        else:
            await self.close(CloseCode.INTERNAL_ERROR)

    # Receiving

    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]:
        """Receive the next message fragment by fragment, as they arrive.

        Cancel it before the first fragment if you must: afterwards, the rest of the message is
        lost, and no other message can be received on the connection.

        Args:
            decode: True gives text, also of a binary message, False gives bytes, also of a text
                message; None gives what was sent.

        Raises:
            ConnectionClosed: when the connection is closed.
            ConcurrencyError: if another coroutine is receiving.

        """
        self.check_not_receiving("recv_streaming")
        reader = self.protocol.frame_reader
        self.streaming = True
        begun = False
        decoder = None
        try:
            while True:
                fragment = reader.pop_fragment()
                if fragment is None:
                    if self.deferred is not None:
                        self.fail_deferred()
                    if self.ended:
                        raise self.closed_error()
                    if self.read_paused:
                        self.read_ahead()
                        if reader.has_fragment():
                            continue
                    self.piece_waiter = self.loop.create_future()
                    try:
                        await self.piece_waiter
                    finally:
                        self.piece_waiter = None
                    continue
                begun = True
                data, text, last = fragment
                if self.read_paused and reader.held <= self.low:
                    self.read_ahead()
                if text if decode is None else decode:
                    if decoder is None:
                        import codecs

                        decoder = codecs.getincrementaldecoder("utf-8")()
                    try:
                        piece = decoder.decode(data, last)
                    except UnicodeDecodeError as exc:
                        self.undecodable(exc)
                        await self.wait_closed()
                        raise self.closed_error()  # noqa: B904 - its cause is the exception
                    yield piece
                else:
                    yield data
                if last:
                    begun = False
                    return
        finally:
            # Half a message can't be received by anybody else.
            self.streaming = self._gave_up = begun and not self.ended

    async def iterate(self) -> AsyncIterator[Data]:
        """Iterate over messages by way of `recv`."""
        try:
            while True:
                yield await self.recv()
        except ConnectionClosedOK:
            return

    def undecodable(self, exc: UnicodeDecodeError) -> None:
        """Fail the connection, from which the program wants text and got something else."""
        if not self.ended:
            self.receive_failed(exc)
            self.protocol.frame_reader.drop()

    # Sending

    async def send_anything(
        self, message: Any, text: bool | None, compress: bool | None, timeout: float | None
    ) -> None:
        """Send a message of any type; `send` does the most frequent cases itself."""
        if isinstance(message, Mapping):
            raise TypeError("data is a dict-like object")
        if not isinstance(message, (str, BytesLike, Iterable, AsyncIterable)):
            raise TypeError("data must be str, bytes, iterable, or async iterable")
        if timeout is None:
            await self._send_anything(message, text, compress)
        else:
            async with asyncio.timeout(timeout):
                await self._send_anything(message, text, compress)

    async def _send_anything(self, message: Any, text: bool | None, compress: bool | None) -> None:
        # Fragments of two messages must not be interleaved (RFC 6455, section 5.4).
        while self.send_in_progress is not None:
            await asyncio.shield(self.send_in_progress)
        if isinstance(message, (str, BytesLike)):
            opcode, data = frame_of(message, text)
            await self._ensure_open()
            self.protocol.frame_writer.write_data(opcode, data, True, compress)
            self.flush()
            await self.drain()
            return
        self.send_in_progress = self.loop.create_future()
        try:
            if isinstance(message, AsyncIterable):
                await self._send_fragments(aiter(message), text, compress)
            else:
                await self._send_fragments(as_async(message), text, compress)
        finally:
            self.send_in_progress.set_result(None)
            self.send_in_progress = None

    async def _send_fragments(
        self, fragments: AsyncIterator[Any], text: bool | None, compress: bool | None
    ) -> None:
        writer = self.protocol.frame_writer
        try:
            first = await anext(fragments)
        except StopAsyncIteration:
            return
        kind = str if isinstance(first, str) else BytesLike
        opcode, data = frame_of(first, text)
        await self._ensure_open()
        try:
            writer.write_data(opcode, data, False, compress)
            self.flush()
            await self.drain()
            async for fragment in fragments:
                if not isinstance(fragment, kind):
                    raise TypeError("iterable must contain uniform types")
                _, data = frame_of(fragment, text)
                await self._ensure_open()
                writer.write_data(Opcode.CONT, data, False, compress)
                self.flush()
                await self.drain()
            await self._ensure_open()
            writer.write_data(Opcode.CONT, b"", True, compress)
            self.flush()
            await self.drain()
        except BaseException:
            # The message can't be completed, and nothing else may be sent before that.
            if self.state is OPEN:
                self.protocol.fail(CloseCode.INTERNAL_ERROR, "error in fragmented message")
                self.closing_started()
            raise

    async def _ensure_open(self) -> None:
        """Raise ConnectionClosed if nothing can be sent any more, when it is known why."""
        if self.state is CONNECTING:
            raise InvalidState("the opening handshake isn't done yet")
        if self.state is not OPEN:
            await self.wait_closed()
            raise self.closed_error()

    async def drain(self, timeout: float | None = None) -> None:
        """Wait until the write buffer is below its limit.

        Raises:
            ConnectionClosed: if the connection is closed meanwhile.
            TimeoutError: if it takes longer than ``timeout`` seconds.

        """
        if self.write_paused and not self.ended:
            waiter = self.loop.create_future()
            if self._drain_waiters is None:
                self._drain_waiters = []
            self._drain_waiters.append(waiter)
            try:
                async with asyncio.timeout(timeout):
                    await waiter
            finally:
                if self._drain_waiters is not None and waiter in self._drain_waiters:
                    self._drain_waiters.remove(waiter)
            if self.ended:
                raise self.closed_error()

    # Callbacks

    def listen(self, listener: Listener) -> None:
        """Have a `Listener` called from now on, instead of receiving messages."""
        self.listener = listener
        self.call_listener("on_open")

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
        if self.state is OPEN:
            self.start_closing(CloseCode.INTERNAL_ERROR)

    def check_sending(self) -> None:
        """Raise because nothing can be sent now."""
        if self.ended:
            raise self.closed_error()
        if self.protocol.frame_writer.continuing:
            raise ConcurrencyError("cannot send while a fragmented message is being sent")
        raise InvalidState(f"connection is {self.state.name.lower()}")

    def write_anything(self, message: Any, text: bool | None, compress: bool | None) -> None:
        """Write a message that isn't fragmented."""
        if not isinstance(message, (str, BytesLike)):
            raise TypeError("data must be str or bytes-like")
        opcode, data = frame_of(message, text)
        self.protocol.frame_writer.write_data(opcode, data, True, compress)

    # Closing

    async def close(self, code: CloseCode | int = 1000, reason: str = "") -> None:
        """Close the connection, with the closing handshake, in at most ``close_timeout`` seconds.

        Does nothing but wait when the connection is being closed or is closed.

        Args:
            code: close code, 1000 or another that may be sent (RFC 6455, section 7.4).
            reason: close reason, 123 bytes in UTF-8 at most.

        Raises:
            ProtocolError: if the code or the reason can't be sent.

        """
        self.start_closing(code, reason)
        await self.wait_closed()

    def start_closing(self, code: CloseCode | int = 1000, reason: str = "") -> None:
        """Begin to close the connection, without waiting."""
        if self.state is OPEN:
            if self.protocol.frame_writer.continuing:
                self.protocol.fail(CloseCode.INTERNAL_ERROR, "close during fragmented message")
            else:
                self.protocol.send_close(code, reason)
            self.closing_started()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        if not self.ended:
            if self._closed_waiter is None:
                self._closed_waiter = self.loop.create_future()
            await asyncio.shield(self._closed_waiter)

    def closing_started(self, timeout: float | None = None) -> None:
        """Send what the protocol has to send, and put a time limit on the end of the connection."""
        self.flush()
        if self.ended or not self.protocol.close_expected():
            return
        if not self.draining:
            # The Close frame may be behind messages that nobody takes.
            self.draining = True
            if self.read_paused:
                self.read_ahead()
        limit = self.close_timeout
        if timeout is not None and (limit is None or timeout < limit):
            limit = timeout
        if limit is not None and self.close_deadline is None:
            self.close_deadline = self.loop.time() + limit
            self.hub.call_at(self.close_deadline, self, "close_timed_out")

    def close_timed_out(self) -> None:
        """Abort the connection, the time for closing it being over."""
        if not self.ended and self.transport is not None:
            if self.protocol.debug:
                self.logger.debug("! closing timed out, connection aborted")
            self.transport.abort()

    # What the channel calls

    def opening_received(self, data: bytes) -> None:
        """Take in bytes of the opening handshake."""
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            self.process_event(event)
        self.closing_started()

    def process_event(self, event: Any) -> None:
        """Take in the request or the response of the opening handshake."""

    def opened(self) -> None:
        """Begin with messages, the opening handshake being done."""
        self.opening = False
        self.start_keepalive()
        self.received()

    def control_received(self, opcode: int, data: bytes) -> None:
        """Take in a control frame."""
        if self.listener is not None and opcode != Opcode.CLOSE:
            self.call_listener("on_ping" if opcode == Opcode.PING else "on_pong", data)
        if opcode == Opcode.PING and self.write_paused:
            # A peer that doesn't read gets an answer to its latest ping only, when it reads again
            # (RFC 6455, section 5.5.3), so its pings don't fill the memory.
            self._unanswered_ping = data
            return
        try:
            self.protocol.receive_control(opcode, data)
        except Exception as exc:
            self.receive_failed(exc)
            return
        if opcode == Opcode.PONG:
            self.acknowledge_pings(data)
        elif opcode == Opcode.CLOSE:
            self.closing_started()

    def receive_failed(self, exc: Exception) -> None:
        """Fail the connection because of what was received."""
        self.protocol.receive_failed(exc)
        self.closing_started()

    def defer_failure(self) -> None:
        """Fail the connection when the messages before the failure were received, or later."""
        limit = self.close_timeout if self.close_timeout is not None else 10
        self.hub.call_at(self.loop.time() + limit, self, "fail_deferred")

    def fail_deferred(self) -> None:
        """Fail the connection because of what was received earlier."""
        if self.deferred is not None:
            exc, self.deferred = self.deferred, None
            self.receive_failed(exc)

    def write_end(self, writes: list[bytes]) -> None:
        """Write the last bytes, and end the stream."""
        self.eof_written = True
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

    # What the transport calls

    def connection_made(self, transport: Any) -> None:
        """Begin with a transport."""
        self.transport = transport
        header = self.proxy_header
        if header is not None:
            self.protocol.checks_health = header.command == "LOCAL"
        high, low = limits(self.write_limit)
        transport.set_write_buffer_limits(high, low)
        self.protocol.frame_writer.split = True
        if getattr(transport, "inherits_options", False):
            # From the listening socket, which has them.
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # Frames must not wait for the acknowledgement of earlier ones.
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            except OSError:
                pass

    def eof_received(self) -> None:
        """Take in the end of the stream; the transport closes itself then."""
        self._read_rest()
        # What the program still receives can't be answered any more, so this doesn't wait for it.
        self.fail_deferred()
        self.protocol.receive_eof()
        self.flush()

    def _read_rest(self) -> None:
        """Queue all that was received, because nothing more comes."""
        if not self.opening and self.protocol.frame_reader.unread():
            high, self.high = self.high, 2**62
            self.received()
            self.high = high

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody that the connection is closed."""
        if self.ended:
            return
        self._read_rest()
        self.fail_deferred()
        self.protocol.receive_eof()
        self.connection_exc = exc
        self.opening = False
        self.ended = True
        if self._gave_up:
            self.streaming = False
            self.protocol.frame_reader.drop()
        self.protocol.frame_writer.take()
        for extension in self.protocol.extensions:
            if isinstance(extension, PerMessageDeflate):
                # Now rather than when the program lets go of the connection.
                extension.close()
        for waiter, _ in self.pending_pings.values():
            if waiter is not None and not waiter.done():
                waiter.set_exception(self.closed_error())
                # Nobody has to wait for a pong, so nobody has to see this exception.
                waiter.exception()
        self.pending_pings.clear()
        for drained in self._drain_waiters or ():
            if not drained.done():
                drained.set_result(None)
        if self._closed_waiter is not None and not self._closed_waiter.done():
            self._closed_waiter.set_result(None)
        self.received()
        if self.transport is not None:
            # asyncio's transport for TLS keeps methods of its protocol, which refers to it.
            try:
                self.transport.set_protocol(NOBODY)
            except AttributeError:
                # It has let go of its protocol already, as it does when it is closed twice.
                pass
        if self.listener is not None:
            self.call_listener("on_close", self.closed_error())
            # It refers to this connection, which refers to it.
            self.listener = None

    def pause_writing(self) -> None:
        """Make those who send wait: the write buffer is over its limit."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """Let those who send go on: the write buffer is below its limit."""
        self.write_paused = False
        for waiter in self._drain_waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        self._drain_waiters = None
        if self._unanswered_ping is not None:
            data, self._unanswered_ping = self._unanswered_ping, None
            if self.state is not CLOSED and self.state is not CONNECTING:
                self.protocol.write_control(Opcode.PONG, data)
                self.flush()
        if self.listener is not None:
            self.call_listener("on_drain")


def frame_of(message: Any, text: bool | None) -> tuple[int, Any]:
    """Give the opcode and the payload for a message."""
    if isinstance(message, str):
        return (Opcode.BINARY if text is False else Opcode.TEXT), message.encode()
    if isinstance(message, BytesLike):
        return (Opcode.TEXT if text else Opcode.BINARY), message
    raise TypeError("iterable must contain bytes or str")


async def as_async(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Iterate over an iterable asynchronously."""
    for item in items:
        yield item
