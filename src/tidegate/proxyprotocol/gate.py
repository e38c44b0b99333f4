"""In front of a protocol on asyncio: takes the header from a connection, then TLS begins.

A proxy sends header and ClientHello in one segment. Where the event loop begins TLS, nothing is
read past the end of the header, because what has been read is lost to it (CPython issue 142352).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import sys
from collections.abc import Callable
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, cast

from ..feeding import feed
from ..printable import printable
from .errors import ProxyProtocolSyntaxError
from .header import Header
from .intake import Intake
from .policy import Endpoints, ProxyPolicy
from .sock import text_of

if TYPE_CHECKING:
    from ..core.limits import Limits

__all__ = ["HeaderGate"]

logger = logging.getLogger("tidegate.proxyprotocol")

ProtocolFactory = Callable[[Endpoints], asyncio.BaseProtocol]
# Takes a transport, what makes the protocol, what was read already, and what is to be told how the
# handshake went.
BeginTLS = Callable[
    [
        asyncio.Transport,
        Callable[[], asyncio.BaseProtocol],
        bytes,
        Callable[[BaseException | None], None],
    ],
    None,
]

# How much is read at once where reading too much does no harm, in bytes.
READ_SIZE = 2048


class HeaderGate:
    """Takes the headers of the connections to a server.

    It is the protocol factory to give to ``loop.create_server``, together with ``ssl=`` if the
    header is inside TLS, and else without it.

    Args:
        policy: from whom headers are taken.
        factory: called with the :class:`Endpoints` of each connection that is let through, gives
            its protocol.
        ssl: the TLS context, for TLS that begins after the header.
        ssl_handshake_timeout: how long the TLS handshake may take, in seconds.
        ssl_shutdown_timeout: how long ending TLS may take, in seconds.
        begin_tls: what begins TLS on the transports of the server, in place of the loop.
        limits: how many connections may be about to begin TLS, by the addresses in their headers;
            over it, they are closed, because there can be no answer yet.
    """

    def __init__(
        self,
        policy: ProxyPolicy,
        factory: ProtocolFactory,
        *,
        ssl: SSLContext | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        begin_tls: BeginTLS | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.policy = policy
        self.factory = factory
        self.ssl = ssl
        self.tls_options: dict[str, Any] = {
            "ssl_handshake_timeout": ssl_handshake_timeout,
            "ssl_shutdown_timeout": ssl_shutdown_timeout,
        }
        self.loop = asyncio.get_running_loop()
        self.begin_tls = begin_tls
        self.limits = limits
        self.waiting: set[HeaderProtocol] = set()
        # Where the loop begins TLS, and where others do.
        self.handshakes: set[asyncio.Task[None]] = set()
        self.shaking: set[asyncio.Transport] = set()
        if (
            sys.platform == "win32"
            and ssl is not None
            and begin_tls is None
            and isinstance(self.loop, asyncio.ProactorEventLoop)
        ):
            raise NotImplementedError(
                "a PROXY protocol header before TLS needs an event loop that reads no more than it"
                " is asked to: use asyncio.SelectorEventLoop"
            )

    def __call__(self) -> asyncio.BaseProtocol:
        return HeaderProtocol(self)

    def close(self) -> None:
        """Close the connections that were not let through yet."""
        for protocol in tuple(self.waiting):
            protocol.refuse()
        for task in self.handshakes:
            task.cancel()
        for transport in tuple(self.shaking):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until TLS has begun, or failed to begin, on connections whose header was taken."""
        while self.handshakes:
            await asyncio.wait(self.handshakes)


class HeaderProtocol(asyncio.BufferedProtocol):
    """Waits for the header of one connection, then makes way for the server's own protocol."""

    def __init__(self, gate: HeaderGate) -> None:
        self.gate = gate
        self.intake = Intake(gate.policy)
        self.buffer = bytearray()
        self.timer: asyncio.TimerHandle | None = None
        # On its way to TLS.
        self.sock: socket.socket | None = None
        # The protocol that came after this one.
        self.successor: asyncio.BaseProtocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.peername = transport.get_extra_info("peername")
        try:
            self.admit()
        except Exception as exc:
            self.failed(self.transport, exc)

    def admit(self) -> None:
        """Do with a new connection what the policy says."""
        gate = self.gate
        policy = gate.policy
        counters = policy.counters
        if self.peername is None:
            # It is gone already.
            counters.empty += 1
            self.transport.abort()
            return
        decision = policy.decide(self.peername)
        if decision == "reject":
            counters.rejected += 1
            self.refuse("is not trusted")
        elif decision == "plain":
            counters.plain += 1
            self.let_through(None, b"")
        elif len(gate.waiting) >= policy.max_waiting:
            counters.crowded += 1
            self.refuse("is one too many to wait for a PROXY protocol header")
        else:
            gate.waiting.add(self)
            if policy.timeout is not None:
                self.timer = gate.loop.call_later(policy.timeout, self.timed_out)

    def failed(self, transport: asyncio.Transport, exc: Exception) -> None:
        """Report a mistake of the program, and close the connection."""
        self.gate.loop.call_exception_handler(
            {
                "message": "Exception while a connection was let through",
                "exception": exc,
                "protocol": self,
                "transport": transport,
            }
        )
        transport.abort()

    def get_buffer(self, sizehint: int) -> Any:
        if isinstance(self.successor, asyncio.BufferedProtocol):
            return self.successor.get_buffer(sizehint)
        gate = self.gate
        exact = self.successor is None and gate.ssl is not None and gate.begin_tls is None
        self.buffer = bytearray(self.bytes_of_header() if exact else READ_SIZE)
        # asyncio fills slices of it.
        return memoryview(self.buffer)

    def bytes_of_header(self) -> int:
        """Give how many of the bytes that the socket has belong to the header, 1 at least."""
        own = self.transport.get_extra_info("socket")
        sock = socket.socket(own.family, own.type, own.proto, own.fileno())
        try:
            there = sock.recv(self.gate.policy.max_size, socket.MSG_PEEK)
        except OSError:
            there = b""
        finally:
            sock.detach()
        return self.intake.wanted(there)

    def buffer_updated(self, nbytes: int) -> None:
        if self.successor is not None:
            # A proactor goes on with what it read at once, although it was given the successor.
            if isinstance(self.successor, asyncio.BufferedProtocol):
                self.successor.buffer_updated(nbytes)
            else:
                feed(self.transport, self.successor, bytes(self.buffer[:nbytes]))
            return
        if self.transport.is_closing():
            return
        try:
            taken = self.intake.received(self.buffer[:nbytes])
        except ProxyProtocolSyntaxError as exc:
            self.refuse(f"sent no valid PROXY protocol header: {exc}")
            return
        if taken is None:
            return
        header, rest = taken
        self.stop_waiting()
        try:
            self.let_through(header, rest)
        except Exception as exc:
            self.failed(self.transport, exc)

    def timed_out(self) -> None:
        self.gate.policy.counters.timed_out += 1
        self.refuse("sent no complete PROXY protocol header in time")

    def connection_lost(self, exc: Exception | None) -> None:
        if self not in self.gate.waiting:
            return
        self.stop_waiting()
        reason = self.intake.ended()
        if reason is not None:
            self.log(reason)

    def stop_waiting(self) -> None:
        self.gate.waiting.discard(self)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def refuse(self, reason: str | None = None) -> None:
        """Close the connection at once, without a word."""
        self.stop_waiting()
        if reason is not None:
            self.log(reason)
        self.transport.abort()

    def log(self, reason: str) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s %s", text_of(self.peername) or "a Unix socket", printable(reason, 400))

    def let_through(self, header: Header | None, rest: bytes) -> None:
        """Make way for the server's own protocol; what followed the header is for it."""
        sockname = self.transport.get_extra_info("sockname")
        endpoints = Endpoints.of(header, self.peername, sockname)
        if self.gate.ssl is None:
            self.successor = self.gate.factory(endpoints)
            self.transport.set_protocol(self.successor)
            self.successor.connection_made(self.transport)
            feed(self.transport, self.successor, rest)
            return
        limits = self.gate.limits
        address = endpoints.remote_address
        if limits is not None and limits.admit(address, self.gate.loop.time()) is not None:
            self.refuse("is one too many to begin TLS")
            return
        if self.gate.begin_tls is not None:
            self.gate.shaking.add(self.transport)
            self.gate.begin_tls(
                self.transport,
                functools.partial(self.gate.factory, endpoints),
                rest,
                functools.partial(self.handshake_over, header, address),
            )
            return
        # Another transport goes on with the socket, from where this one has read to.
        own = self.transport.get_extra_info("socket")
        sock = socket.fromfd(own.fileno(), own.family, own.type, own.proto)
        self.transport.abort()
        self.sock = sock
        task = self.gate.loop.create_task(self.begin_tls(header, endpoints))
        self.gate.handshakes.add(task)
        task.add_done_callback(functools.partial(self.tls_begun, address))

    def handshake_over(
        self, header: Header | None, address: Any, exc: BaseException | None
    ) -> None:
        self.gate.shaking.discard(self.transport)
        if self.gate.limits is not None:
            self.gate.limits.release(address)
        if exc is not None and not is_health_check(header):
            self.log(f"failed to begin TLS: {exc}")

    def tls_begun(self, address: Any, task: asyncio.Task[None]) -> None:
        self.gate.handshakes.discard(task)
        if self.gate.limits is not None:
            self.gate.limits.release(address)
        if self.sock is not None:
            # The task was cancelled before it began.
            self.sock.close()

    async def begin_tls(self, header: Header | None, endpoints: Endpoints) -> None:
        gate = self.gate
        sock, self.sock = self.sock, None
        assert sock is not None
        try:
            await gate.loop.connect_accepted_socket(
                functools.partial(gate.factory, endpoints), sock, ssl=gate.ssl, **gate.tls_options
            )
        except OSError as exc:
            if not is_health_check(header):
                self.log(f"failed to begin TLS: {exc}")
        except Exception as exc:
            self.failed(self.transport, exc)


def is_health_check(header: Header | None) -> bool:
    """Say whether a connection only looks whether somebody listens."""
    return header is not None and header.command == "LOCAL"
