"""A connection as the older API has it, common to clients and servers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from .. import identity
from ..asyncio.operations import gives_coroutine
from ..core.broadcast import broadcast as broadcast_to_connections
from ..datastructures import Headers
from ..exceptions import ConnectionClosed, ConnectionClosedOK
from ..frames import CloseCode
from ..protocol import CLIENT, CONNECTING, OPEN, SERVER, Protocol, State
from .coated import Coated
from .deprecations import warn_once

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Coroutine, Iterable

    from ..extensions.base import Extension
    from ..frames import Close
    from ..typing import Address, Data, DataLike, LoggerLike, Origin, Subprotocol

__all__ = ["WebSocketCommonProtocol", "broadcast"]

# How long closing may take unless a program says otherwise, in seconds.
CLOSE_TIMEOUT = 10


class WebSocketCommonProtocol(asyncio.Protocol):
    """A WebSocket connection.

    Receive with `recv` or ``async for message in websocket``, send with `send`.

    It is a thin coat over a connection of `tidegate.asyncio`, whose limits and time-outs it has.

    Args:
        logger: where to log; the default is ``tidegate.protocol``.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; 10 by default.
        max_size: limit on incoming messages in bytes, after decompression; None for no limit.
        max_queue: how many messages may wait to be received before reading stops; None for no
            limit.
        read_limit: accepted for programs that give it. What was received and not parsed is never
            more than one read of the socket.
        write_limit: size of the write buffer in bytes from which on `send` waits.
        host: what the program connects to or listens on.
        port: the same.
        secure: whether the connection uses TLS.
        legacy_recv: have `recv` return None when the connection is closed (deprecated).
        loop: the running event loop (deprecated).
        timeout: what ``close_timeout`` was called once (deprecated).

    Attributes:
        path: path and query of the request.
        request_headers: headers of the opening handshake request.
        response_headers: headers of the opening handshake response.
        subprotocol: the subprotocol that was negotiated, None if there is none.
        extensions: the extensions that were negotiated.
        origin: the Origin header.

    """

    is_client: bool = False
    side: str = "undefined"

    path: str
    request_headers: Headers
    response_headers: Headers
    subprotocol: Subprotocol | None = None
    origin: Origin | None = None
    transport: Any = None

    def __init__(
        self,
        *,
        logger: LoggerLike | None = None,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = None,
        max_size: int | None = 2**20,
        max_queue: int | None = 2**5,
        read_limit: int = 2**16,
        write_limit: int = 2**16,
        host: str | None = None,
        port: int | None = None,
        secure: bool | None = None,
        legacy_recv: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        timeout: float | None = None,
    ) -> None:
        if loop is not None and loop is not asyncio.get_running_loop():
            raise RuntimeError("loop= is another event loop than the one that runs")
        if close_timeout is None:
            close_timeout = CLOSE_TIMEOUT if timeout is None else timeout
        if logger is None:
            logger = self.default_logger()
        self.max_queue = max_queue
        self.read_limit = read_limit
        self.write_limit = write_limit
        self.legacy_recv = legacy_recv
        self._host = host
        self._port = port
        self._secure = secure
        self._coated = self.coated(
            max_size,
            logger,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
        )
        self._coated.coat = self
        self.loop = self._coated.loop
        self.extensions: list[Extension] = []

    @classmethod
    def default_logger(cls) -> LoggerLike:
        """The logger that is used when none is given."""
        return logging.getLogger(f"{identity.loggers}.protocol")

    def coated(self, max_size: int | None, logger: LoggerLike, **options: Any) -> Any:
        """Make the connection that this is the coat of."""
        side = CLIENT if self.is_client else SERVER
        protocol = Protocol(side, state=CONNECTING, max_size=max_size, logger=logger)
        return Coated(protocol, **options)

    # What can be known

    @property
    def id(self) -> uuid.UUID:
        """A unique identifier of the connection, for logs."""
        return self._coated.protocol.id  # type: ignore[no-any-return]

    @property
    def logger(self) -> LoggerLike:
        """Where this connection logs."""
        return self._coated.logger  # type: ignore[no-any-return]

    @logger.setter
    def logger(self, logger: LoggerLike) -> None:
        self._coated.logger = self._coated.protocol.logger = logger

    @property
    def debug(self) -> bool:
        """Whether frames are logged."""
        return self._coated.protocol.debug  # type: ignore[no-any-return]

    @property
    def ping_interval(self) -> float | None:
        """Time between keepalive pings in seconds; None for none."""
        return self._coated.ping_interval  # type: ignore[no-any-return]

    @ping_interval.setter
    def ping_interval(self, seconds: float | None) -> None:
        self._coated.ping_interval = seconds

    @property
    def ping_timeout(self) -> float | None:
        """How long to wait for a sign of life, in seconds; None for ever."""
        return self._coated.ping_timeout  # type: ignore[no-any-return]

    @ping_timeout.setter
    def ping_timeout(self, seconds: float | None) -> None:
        self._coated.ping_timeout = seconds

    @property
    def close_timeout(self) -> float | None:
        """How long closing may take, in seconds."""
        return self._coated.close_timeout  # type: ignore[no-any-return]

    @close_timeout.setter
    def close_timeout(self, seconds: float | None) -> None:
        self._coated.close_timeout = seconds

    @property
    def max_size(self) -> int | None:
        """Limit on incoming messages in bytes; None for no limit."""
        return self._coated.protocol.max_message_size  # type: ignore[no-any-return]

    @max_size.setter
    def max_size(self, size: int | None) -> None:
        self._coated.protocol.max_message_size = size

    @property
    def latency(self) -> float:
        """Round-trip time of the last ping that was answered, in seconds; 0 before."""
        return self._coated.latency  # type: ignore[no-any-return]

    @property
    def local_address(self) -> Address:
        """Local address: ``(host, port)`` for IPv4, longer for IPv6, a path for Unix sockets.

        None before the connection is established.
        """
        return self._coated.local_address

    @property
    def remote_address(self) -> Address:
        """Remote address, in the form of `local_address`."""
        return self._coated.remote_address

    @property
    def state(self) -> State:
        """State of the connection."""
        return self._coated.protocol.state  # type: ignore[no-any-return]

    @property
    def open(self) -> bool:
        """Whether the connection can be used.

        Better use it and handle `ConnectionClosed`: it may be closed before the next line runs.
        """
        return self._coated.protocol.state is OPEN

    @property
    def closed(self) -> bool:
        """Whether the connection is closed. While it is being closed, it is neither."""
        return self._coated.ended  # type: ignore[no-any-return]

    @property
    def close_rcvd(self) -> Close | None:
        """The Close frame that was received, None if there was none."""
        return self._coated.protocol.close_rcvd  # type: ignore[no-any-return]

    @property
    def close_sent(self) -> Close | None:
        """The Close frame that was sent, None if there was none."""
        return self._coated.protocol.close_sent  # type: ignore[no-any-return]

    @property
    def close_code(self) -> int | None:
        """The code of the Close frame that was received, 1006 if the connection was lost.

        None before the connection is closed.
        """
        return self._coated.close_code  # type: ignore[no-any-return]

    @property
    def close_reason(self) -> str | None:
        """The reason in the Close frame that was received, ``""`` if there was none.

        None before the connection is closed.
        """
        return self._coated.close_reason  # type: ignore[no-any-return]

    @property
    def host(self) -> str | None:
        """What the program connects to or listens on (deprecated)."""
        warn_once("WebSocketCommonProtocol.host", f"use {self._address_name()}[0]")
        return self._host

    @property
    def port(self) -> int | None:
        """What the program connects to or listens on (deprecated)."""
        warn_once("WebSocketCommonProtocol.port", f"use {self._address_name()}[1]")
        return self._port

    @property
    def secure(self) -> bool | None:
        """Whether the connection uses TLS (deprecated)."""
        warn_once(
            "WebSocketCommonProtocol.secure",
            "use transport.get_extra_info('ssl_object') is not None",
        )
        return self._secure

    def _address_name(self) -> str:
        return "remote_address" if self.is_client else "local_address"

    # Receiving and sending

    @gives_coroutine
    def recv(self) -> Coroutine[Any, Any, Data]:
        """Receive the next message.

        When it is cancelled, no message is lost: the next call receives it.

        Returns:
            The message: ``str`` if it is text, ``bytes`` if it is binary.

        Raises:
            ConnectionClosed: when the connection is closed and all messages were received.
            RuntimeError: if another coroutine is receiving.

        """
        if self.legacy_recv:
            return cast("Coroutine[Any, Any, Data]", self._recv_or_none())
        return self._coated.recv()  # type: ignore[no-any-return]

    async def _recv_or_none(self) -> Data | None:
        try:
            return await self._coated.recv()  # type: ignore[no-any-return]
        except ConnectionClosed:
            return None

    def __aiter__(self) -> AsyncIterator[Data]:
        """Iterate over messages until the connection is closed.

        Raises:
            ConnectionClosedError: when it wasn't closed normally (1000, 1001 or no code).

        """
        if type(self).recv is WebSocketCommonProtocol.recv:
            return aiter(self._coated)
        # What a subclass does to each message, it does to these as well.
        return self._received_messages()

    async def _received_messages(self) -> AsyncIterator[Data]:
        while True:
            try:
                message = await self.recv()
            except ConnectionClosedOK:
                return
            yield message

    @gives_coroutine
    def send(
        self, message: DataLike | Iterable[DataLike] | AsyncIterable[DataLike]
    ) -> Coroutine[Any, Any, None]:
        """Send a message.

        It waits while the write buffer is over its limit. An iterable or asynchronous iterable of
        ``str`` or of bytes-like objects is sent as a fragmented message, each item when it comes.

        Args:
            message: ``str``, sent as text; ``bytes``, ``bytearray`` or ``memoryview``, sent as
                binary; or an iterable of either.

        Raises:
            ConnectionClosed: if the connection is closed.
            TypeError: if the message has another type, among them a mapping.

        """
        return self._coated.send(message)  # type: ignore[no-any-return]

    async def ping(self, data: DataLike | None = None) -> Awaitable[float]:
        """Send a ping.

        ::

            pong_waiter = await websocket.ping()
            latency = await pong_waiter

        Args:
            data: payload, 125 bytes at most; random by default.

        Returns:
            A future of the round-trip time in seconds, for those who want the answer.

        Raises:
            ConnectionClosed: if the connection is closed.
            RuntimeError: if a ping with the same payload wasn't answered yet.

        """
        waiter: Awaitable[float] = await self._coated.ping(data)
        return waiter

    async def pong(self, data: DataLike = b"") -> None:
        """Send a pong that nobody asked for, as a one-way heartbeat.

        Args:
            data: payload, 125 bytes at most.

        Raises:
            ConnectionClosed: if the connection is closed.

        """
        await self._coated.pong(data)

    async def drain(self) -> None:
        """Wait until the write buffer is below its limit.

        Raises:
            ConnectionClosed: if the connection is closed meanwhile.

        """
        await self._coated.drain()

    async def ensure_open(self) -> None:
        """Do nothing if the connection can be used.

        Raises:
            InvalidState: if the opening handshake isn't done yet.
            ConnectionClosed: if the connection is closed, or being closed, when it is closed.

        """
        await self._coated.ensure_open()

    # Closing

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the connection, with the closing handshake, in at most ``close_timeout`` seconds.

        Does nothing but wait when the connection is being closed or is closed.

        Args:
            code: close code, 1000 or another that may be sent (RFC 6455, section 7.4).
            reason: close reason, 123 bytes in UTF-8 at most.

        """
        await self._coated.close(code, reason)

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, whoever closes it."""
        await self._coated.wait_closed()

    def fail_connection(self, code: int = CloseCode.ABNORMAL_CLOSURE, reason: str = "") -> None:
        """Fail the connection: close it without waiting for anything (RFC 6455, section 7.1.7).

        Args:
            code: close code; 1006 sends no Close frame.
            reason: close reason.

        """
        self._coated.fail(code, reason)

    def connection_open(self) -> None:
        """Begin with messages, for a subclass that does an opening handshake of its own."""
        self._coated.protocol.state = OPEN
        self._coated.opened()
        self._coated.received()

    # What the transport calls: the coat once, and from then on the connection, unless a subclass
    # wants to see what is received

    def connection_made(self, transport: Any) -> None:
        """Begin with a transport."""
        self.transport = transport
        self._pass_on(transport)
        self._coated.begin_with(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End because of an error, or None."""
        self._coated.end_with(exc)

    def data_received(self, data: bytes) -> None:
        """Take in bytes."""
        self._pass_on(self.transport)
        self._coated.data_received(data)

    def eof_received(self) -> None:
        """Take in the end of the stream."""
        self._coated.eof_received()

    def pause_writing(self) -> None:
        """Make those who send wait."""
        self._coated.pause_writing()

    def resume_writing(self) -> None:
        """Let those who send go on."""
        self._coated.resume_writing()

    def _pass_on(self, transport: Any) -> None:
        """Have the transport call the connection without the coat between them."""
        if (
            transport.get_protocol() is self
            and type(self).data_received is WebSocketCommonProtocol.data_received
            and type(self).eof_received is WebSocketCommonProtocol.eof_received
        ):
            transport.set_protocol(self._coated)


def broadcast(
    websockets: Iterable[WebSocketCommonProtocol],
    message: DataLike,
    raise_exceptions: bool = False,
) -> None:
    """Send a message to many connections, without waiting.

    The frame is made once, and compressed once for all connections that negotiated the same
    parameters. A connection that isn't open, or that is in the middle of a fragmented message, is
    left out.

    Args:
        websockets: where to send.
        message: ``str``, ``bytes``, ``bytearray`` or ``memoryview``.
        raise_exceptions: raise an `ExceptionGroup` of what went wrong at the end, rather than log
            it.

    Raises:
        TypeError: if the message has another type.

    """
    broadcast_to_connections(
        [websocket._coated for websocket in websockets],
        message,
        raise_exceptions=raise_exceptions,
    )
