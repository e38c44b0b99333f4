"""A WebSocket connection on an asyncio transport, common to clients and servers."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Self, overload

from ..core.arguments import limits
from ..core.broadcast import broadcast
from ..core.facts import Facts, log_connection, payload
from ..core.pieces import Pieces
from ..exceptions import ConcurrencyError, ConnectionClosedOK
from ..frames import CloseCode
from ..protocol import Protocol
from ..signatures import present

# Programs of websockets 13 look for it here.
from ..typing import BytesLike as BytesLike
from ..utils import seconds_of_silence
from .channel import Channel
from .sink import Sink
from .waiting import drain, ensure_open, wait_closed

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        Awaitable,
        Coroutine,
        Iterable,
        Mapping,
    )
    from types import TracebackType
    from typing import Literal

    from ..proxyprotocol.header import Header
    from ..proxyprotocol.policy import Endpoints
    from ..typing import Address, Data, DataLike

__all__ = ["Connection", "broadcast"]

# Who gets nothing from a transport that is closed.
NOBODY_ELSE = asyncio.BufferedProtocol()

present(
    "Connection",
    *(Channel.recv, Channel.send, Channel.send_nowait),
    *(Channel.pause_reading, Channel.resume_reading),
)


# Transports take it for the buffered protocol that it is; to programs, it is a Protocol, too.
class Connection(Channel, Facts, asyncio.BufferedProtocol, asyncio.Protocol):
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
        coalesce: whether what is sent while whole messages that came together are taken one after
            the other goes out in one write.

    Attributes:
        request: the opening handshake request.
        response: the opening handshake response.
        latency: round-trip time of the last ping that was answered, in seconds; 0 before.

    """

    transport: asyncio.Transport
    endpoints: Endpoints | None
    # How long the opening handshake may take, where nobody else sees to that, in seconds.
    open_timeout: float | None = None

    def __init__(
        self,
        protocol: Protocol,
        *,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
        coalesce: bool = True,
    ) -> None:
        high, low = limits(max_queue)
        super().__init__(
            asyncio.get_running_loop(),
            protocol,
            self.open_timeout,
            ping_interval,
            ping_timeout,
            close_timeout,
            high,
            low,
        )
        log_connection(self)
        self.write_limit = write_limit
        self.coalesces = coalesce

    # What can be known

    if TYPE_CHECKING:

        @property
        def proxy_header(self) -> Header | None: ...

    def raw_socket(self) -> Any:
        """Give the socket; None without one."""
        if self.transport is None:
            return None
        try:
            sock: socket.socket | None = self.transport.get_extra_info("socket")
        except AttributeError:
            # asyncio's transport for TLS knows nothing any more when it is closed twice.
            return None
        return sock

    def silence(self, received_only: bool) -> float | None:
        """Give how long ago something was received, or sent if that counts, in seconds."""
        return seconds_of_silence(self.raw_socket(), received_only)

    def socket_address(self, which: str) -> Address:
        """Give an address of the socket: ``"sockname"`` or ``"peername"``; None without one."""
        return None if self.transport is None else self.transport.get_extra_info(which)

    @property
    def buffered_amount(self) -> int:
        """How many bytes were sent by this side but not yet taken by the operating system."""
        pending = self.protocol.frame_writer.pending
        return pending + (self.transport.get_write_buffer_size() if self.transport else 0)

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

    # Receiving and sending are the channel's. This says more of it than a compiled class can.

    if TYPE_CHECKING:

        @overload
        def recv(self, decode: Literal[True]) -> Coroutine[Any, Any, str]: ...
        @overload
        def recv(self, decode: Literal[False]) -> Coroutine[Any, Any, bytes]: ...
        @overload
        def recv(self, decode: bool | None = None) -> Coroutine[Any, Any, Data]: ...
        def recv(self, decode: bool | None = None) -> Coroutine[Any, Any, Data]:
            return super().recv(decode)

        # A mapping is an iterable, but no message. What can't be awaited is a mistake of the
        # program that type checkers find.
        @overload
        def send(
            self,
            message: Mapping[Any, Any],
            *,
            text: bool | None = None,
            compress: bool | None = None,
            timeout: float | None = None,
        ) -> object: ...
        @overload
        def send(
            self,
            message: DataLike | Iterable[DataLike] | AsyncIterable[DataLike],
            *,
            text: bool | None = None,
            compress: bool | None = None,
            timeout: float | None = None,
        ) -> Coroutine[Any, Any, None]: ...
        def send(self, message: Any, **options: Any) -> Any:
            return super().send(message, **options)

    @overload
    def recv_streaming(self, decode: Literal[True]) -> AsyncGenerator[str]: ...
    @overload
    def recv_streaming(self, decode: Literal[False]) -> AsyncGenerator[bytes]: ...
    @overload
    def recv_streaming(self, decode: bool | None = None) -> AsyncGenerator[Data]: ...
    async def recv_streaming(self, decode: bool | None = None) -> AsyncGenerator[Data]:
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
        pieces = Pieces(self, decode)
        try:
            while not pieces.complete:
                piece = pieces.take()
                if piece is not None:
                    yield piece
                    continue
                self.piece_waiter = self.loop.create_future()
                try:
                    await self.piece_waiter
                finally:
                    self.piece_waiter = None
        finally:
            pieces.leave()

    # Pings

    async def ping(self, data: DataLike | None = None) -> Awaitable[float]:
        """Send a ping.

        ::

            pong = await connection.ping()
            latency = await pong

        Args:
            data: payload, 125 bytes at most; random by default.

        Returns:
            An awaitable of the round-trip time in seconds, for those who want the answer.

        Raises:
            ConnectionClosed: when the connection is closed.
            ConcurrencyError: if a ping with the same payload wasn't answered yet.

        """
        content = None if data is None else payload(data)
        await ensure_open(self)
        if content in self.pending_pings:
            raise ConcurrencyError("already waiting for a pong with the same data")
        waiter: asyncio.Future[float] = self.loop.create_future()

        def answered(outcome: float | Exception) -> None:
            if waiter.done():
                return
            if isinstance(outcome, Exception):
                waiter.set_exception(outcome)
                # Nobody has to wait for a pong, so nobody has to see this exception.
                waiter.exception()
            else:
                waiter.set_result(outcome)

        self.send_ping(content, answered)
        await drain(self)
        return waiter

    async def pong(self, data: DataLike = b"") -> None:
        """Send a pong that nobody asked for, as a one-way heartbeat.

        Args:
            data: payload, 125 bytes at most.

        Raises:
            ConnectionClosed: when the connection is closed.

        """
        content = payload(data)
        await ensure_open(self)
        self.protocol.send_pong(content)
        self.flush()
        await drain(self)

    async def drain(self) -> None:
        """Wait until the write buffer is below its limit.

        Raises:
            ConnectionClosed: if the connection is closed meanwhile.

        """
        await drain(self)

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

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        await wait_closed(self)

    # What the transport calls

    def connection_made(self, transport: Any) -> None:
        """Begin with a transport."""
        self.transport = transport
        if isinstance(transport, Sink):
            self.sink = transport
        self.life.begin()
        header = self.proxy_header
        if header is not None:
            self.protocol.announced = True
            self.protocol.checks_health = header.command == "LOCAL"
        high, low = limits(self.write_limit)
        transport.set_write_buffer_limits(high, low)
        self.protocol.frame_writer.split = True
        self.settle()
        if getattr(transport, "has_options", False):
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
        self.stream_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody that the connection is closed."""
        if not self.lost(exc):
            return
        for drained in self.drain_waiters or ():
            if not drained.done():
                drained.set_result(None)
        if self.closed_waiter is not None and not self.closed_waiter.done():
            self.closed_waiter.set_result(None)
        if self.transport is not None:
            # asyncio's transport for TLS keeps methods of its protocol, which refers to it.
            try:
                self.transport.set_protocol(NOBODY_ELSE)
            except AttributeError:
                # It has let go of its protocol already, as it does when it is closed twice.
                pass
        self.sink = None
        self.end_listening()
