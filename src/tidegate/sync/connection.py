"""A WebSocket connection for threads, common to clients and servers."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from ..core.arguments import limits
from ..core.broadcast import broadcast
from ..core.facts import Facts, log_connection, payload
from ..core.pieces import Pieces
from ..exceptions import ConcurrencyError, ConnectionClosedOK
from ..frames import CloseCode
from ..protocol import Protocol
from ..utils import seconds_of_silence
from .channel import Channel

if TYPE_CHECKING:
    import socket as socket_module
    from collections.abc import Iterator
    from types import TracebackType

    from ..typing import Data, DataLike
    from .layers import Layers

__all__ = ["Connection", "broadcast"]


class Connection(Channel, Facts):
    """A WebSocket connection for threads.

    Programs get connections from `connect` and `serve`; there is no need to make one.

    Receive with `recv` or ``for message in connection``, send with `send`. Both raise
    `ConnectionClosed` when the connection is closed; the iteration just ends when it was closed
    normally. Any thread may use it; one at a time may receive.

    Pings are answered, and a close is noticed, whether a thread receives or not.

    Args:
        sock: the socket, connected.
        protocol: the connection as a Sans-I/O state machine.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        max_queue: how many frames may wait to be received before reading stops, ``high`` or
            ``(high, low)``; reading goes on at ``low``, a quarter of ``high`` by default. None for
            no limit.

    Attributes:
        request: the opening handshake request.
        response: the opening handshake response.
        latency: round-trip time of the last ping that was answered, in seconds; 0 before.

    """

    # Where it came from and leads to, which can be told when it is closed, too.
    _addresses: dict[str, Any]

    def __init__(
        self,
        sock: socket_module.socket,
        protocol: Protocol,
        *,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_queue: int | tuple[int | None, int | None] | None = 16,
    ) -> None:
        high, low = limits(max_queue)
        self._addresses = {
            "sockname": address_of(sock.getsockname),
            "peername": address_of(sock.getpeername),
        }
        super().__init__(sock, protocol, ping_interval, ping_timeout, close_timeout, high, low)
        log_connection(self)
        if not self.opening:
            # Nobody else begins with it, if the opening handshake was done elsewhere.
            self.attendant.look(self)

    def begin(self, layers: Layers | None, early: bytes = b"") -> None:
        """Begin inside TLS, which is established, or with what was received already."""
        with self.lock:
            self.layers = layers
            if early:
                self.take_in_plain(early)
            if layers is not None:
                # There may be more, behind the end of its handshake.
                self.take_in_encrypted(b"")

    def break_off(self) -> None:
        """End the connection at once, without a word."""
        with self.lock:
            self.abort()

    # What can be known

    @property
    def socket(self) -> socket_module.socket:
        """The socket that carries the connection. With TLS, it is the one below."""
        sock: socket_module.socket = self.sock
        return sock

    def silence(self, received_only: bool) -> float | None:
        """Give how long ago something was received, or sent if that counts, in seconds."""
        return seconds_of_silence(self.sock, received_only)

    def socket_address(self, which: str) -> Any:
        """Give an address of the socket: ``"sockname"`` or ``"peername"``."""
        return self._addresses[which]

    @property
    def buffered_amount(self) -> int:
        """How many bytes were sent by this side but not yet taken by the operating system."""
        return len(self.unsent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None or issubclass(exc_type, ConnectionClosedOK):
            self.close()
        else:
            self.close(CloseCode.INTERNAL_ERROR)

    def __del__(self) -> None:
        # It may never have been made.
        with contextlib.suppress(AttributeError):
            self.let_go()

    # Receiving

    def __iter__(self) -> Iterator[Any]:
        """Iterate over messages until the connection is closed.

        Raises:
            ConnectionClosedError: when it wasn't closed normally (1000, 1001 or no code).

        """
        try:
            while True:
                yield self.recv()
        except ConnectionClosedOK:
            return

    def recv_streaming(self, decode: bool | None = None) -> Iterator[Data]:
        """Receive the next message fragment by fragment, as they arrive.

        Iterate to the end: afterwards, the rest of the message is lost, and no other message can be
        received on the connection.

        Args:
            decode: True gives text, also of a binary message, False gives bytes, also of a text
                message; None gives what was sent.

        Raises:
            ConnectionClosed: when the connection is closed.
            ConcurrencyError: if another thread is receiving.

        """
        with self.lock:
            if self.reception:
                self.refuse_receiver("recv_streaming")
            pieces = Pieces(self, decode)
        try:
            while not pieces.complete:
                with self.lock:
                    while (piece := pieces.take()) is None:
                        self.read_more(None)
                yield piece
        finally:
            with self.lock:
                pieces.leave()

    # Sending

    def drain(self, timeout: float | None = None) -> None:
        """Wait until the operating system has all that was sent.

        Args:
            timeout: how long to wait, in seconds; None for ever.

        Raises:
            ConnectionClosed: if the connection is closed meanwhile.
            TimeoutError: when the time is up.

        """
        with self.lock:
            self.senders += 1
            try:
                self.drain_until(None if timeout is None else time.monotonic() + timeout)
            finally:
                self.sender_left()

    # Pings

    def ping(self, data: DataLike | None = None, *, ack_on_close: bool = False) -> threading.Event:
        """Send a ping.

        ::

            if connection.ping().wait(timeout=5):
                print(connection.latency)

        Args:
            data: payload, 125 bytes at most; random by default.
            ack_on_close: whether the event is also set when the connection is closed.

        Returns:
            An event that is set when the pong has come. No thread has to receive for that.

        Raises:
            ConnectionClosed: when the connection is closed.
            ConcurrencyError: if a ping with the same payload wasn't answered yet.

        """
        given = None if data is None else payload(data)
        event = threading.Event()

        def answered(outcome: float | Exception) -> None:
            if ack_on_close or not isinstance(outcome, Exception):
                event.set()

        with self.lock:
            self.check_open()
            if given in self.pending_pings:
                raise ConcurrencyError("already waiting for a pong with the same data")
            self.send_ping(given, answered)
            if self.dropped:
                self.drain_until(None)
            self.attendant.look(self)
        return event

    def pong(self, data: DataLike = b"") -> None:
        """Send a pong that nobody asked for, as a one-way heartbeat.

        Args:
            data: payload, 125 bytes at most.

        Raises:
            ConnectionClosed: when the connection is closed.

        """
        given = payload(data)
        with self.lock:
            self.check_open()
            self.protocol.send_pong(given)
            self.flush()
            if self.dropped:
                # It raises when it is known why.
                self.drain_until(None)

    # Closing

    def close(self, code: CloseCode | int = 1000, reason: str = "") -> None:
        """Close the connection, with the closing handshake, in at most ``close_timeout`` seconds.

        Does nothing but wait when the connection is being closed or is closed.

        Args:
            code: close code, 1000 or another that may be sent (RFC 6455, section 7.4).
            reason: close reason, 123 bytes in UTF-8 at most.

        Raises:
            ProtocolError: if the code or the reason can't be sent.

        """
        with self.lock:
            self.start_closing(code, reason)
            self.wait_for_end(None)
        self.attendant.rest()

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until the connection is closed.

        Args:
            timeout: how long to wait, in seconds; None for ever.

        Returns:
            Whether it is.

        """
        with self.lock:
            return self.wait_for_end(timeout)


def address_of(ask: Any) -> Any:
    """Give an address of a socket, None if it has none any more."""
    with contextlib.suppress(OSError):
        return ask()
    return None
