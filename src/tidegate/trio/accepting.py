"""What a server does with one connection, from the accepted socket to the end of its handler."""

from __future__ import annotations

import contextlib
import logging
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import trio

from ..exceptions import ConnectionClosed
from ..printable import printable
from ..protocol import OPEN
from .tunnel import time_limit
from .way import Way, address_of

if TYPE_CHECKING:
    from ..core.limits import Limits
    from ..core.serving import Serving
    from ..proxyprotocol.policy import Endpoints, ProxyPolicy
    from .server import Server
    from .server_connection import ServerConnection

__all__ = ["Accepting"]

logger = logging.getLogger("tidegate.proxyprotocol")


class Gone(Exception):
    """The connection was closed, or has to be, before there can be an answer."""


class Accepting:
    """How a server opens connections and runs their handlers.

    Args:
        handler: coroutine function that gets each connection.
        serving: the arguments of `serve`.
        ssl: TLS configuration, None for none.
        policy: from whom the connections begin with a PROXY protocol header, None for nobody.
        inside_tls: whether that header is the first thing inside TLS.

    """

    server: Server

    def __init__(
        self,
        handler: Callable[[ServerConnection], Awaitable[None]],
        serving: Serving,
        ssl: ssl_module.SSLContext | None,
        policy: ProxyPolicy | None,
        inside_tls: bool,
    ) -> None:
        self.handler = handler
        self.serving = serving
        self.ssl = ssl
        self.policy = policy
        self.inside_tls = inside_tls
        limits = serving.opening.limits
        forwarded = serving.opening.forwarded
        trusted = None if forwarded is None else forwarded.trusted
        self.before_tls: Limits | None = None if limits is None else limits.before_tls(trusted)
        # How many connections wait for a PROXY protocol header.
        self.waiting = 0

    async def accepted(self, stream: trio.abc.Stream) -> None:
        """Do everything with a connection."""
        way = Way(stream=stream)
        connection: ServerConnection | None = None
        try:
            # Until there can be an answer, and until there is one.
            with trio.CancelScope() as opening:
                if self.serving.opening.open_timeout is not None:
                    opening.deadline = trio.current_time() + self.serving.opening.open_timeout
                with self.listed(opening):
                    endpoints = await self.prepare(way)
                    connection = self.serving.make_connection(None, way, server=self.server)
                    assert connection is not None
                    if endpoints is not None:
                        connection.endpoints = endpoints
                    await connection.handshake(self.serving.opening)
            if connection is None:
                return
            if connection.protocol.state is OPEN:
                await self.handle(connection)
            elif opening.cancelled_caught and not connection.protocol.eof_sent:
                connection.abort()
            else:
                # The answer is on its way, for as long as closing may take.
                await connection.wait_closed()
        except (Gone, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self.log(way, exc)
        except Exception:
            self.server.logger.error("opening handshake failed", exc_info=True)
        finally:
            if connection is not None:
                connection.abort()
            else:
                await way.aclose()

    @contextlib.contextmanager
    def listed(self, scope: trio.CancelScope) -> Iterator[None]:
        """Have the server end an opening when it closes."""
        self.server.openings.add(scope)
        try:
            yield
        finally:
            self.server.openings.discard(scope)

    async def handle(self, connection: ServerConnection) -> None:
        """Run the handler, and close the connection."""
        try:
            async with connection:
                await self.handler(connection)
        except Exception as exc:
            if self.server.closing and isinstance(exc, ConnectionClosed):
                # The server's own end, whatever the code, is no failure of its handlers.
                return
            connection.logger.error("connection handler failed", exc_info=True)

    async def prepare(self, way: Way) -> Endpoints | None:
        """Take the PROXY protocol header and do the TLS handshake, where they are wanted."""
        endpoints = None
        if self.policy is not None and not (self.inside_tls and self.ssl is not None):
            endpoints = await self.take_header(way, self.policy)
        if self.ssl is not None:
            address = address_of(way.sock, way.stream, "getpeername")
            if endpoints is not None:
                address = endpoints.remote_address
            with self.counted(address):
                await way.start_tls(self.ssl, server_side=True, peer="the client")
            if self.policy is not None and self.inside_tls:
                endpoints = await self.take_header(way, self.policy)
        return endpoints

    @contextlib.contextmanager
    def counted(self, address: Any) -> Iterator[None]:
        """Count a connection among those that are about to begin TLS."""
        limits = self.before_tls
        if limits is None:
            yield
            return
        if limits.admit(address, trio.current_time()) is not None:
            raise Gone("is one too many to begin TLS")
        try:
            yield
        finally:
            limits.release(address)

    async def take_header(self, way: Way, policy: ProxyPolicy) -> Endpoints:
        """Take the PROXY protocol header from the beginning of a connection, if it is to have one.

        Raises:
            Gone: if the connection isn't to be let through.

        """
        # Imported here because most programs don't need it.
        from ..proxyprotocol.policy import Endpoints

        peername = address_of(way.sock, way.stream, "getpeername")
        sockname = address_of(way.sock, way.stream, "getsockname")
        counters = policy.counters
        if peername is None:
            # It is gone already.
            counters.empty += 1
            raise Gone
        decision = policy.decide(peername)
        if decision == "reject":
            counters.rejected += 1
            raise Gone("is not trusted")
        if decision == "plain":
            counters.plain += 1
            return Endpoints.of(None, peername, sockname)
        if self.waiting >= policy.max_waiting:
            counters.crowded += 1
            raise Gone("is one too many to wait for a PROXY protocol header")
        self.waiting += 1
        try:
            with time_limit(policy.timeout):
                header = await receive_header(way, policy)
        except TimeoutError:
            counters.timed_out += 1
            raise Gone("sent no complete PROXY protocol header in time") from None
        finally:
            self.waiting -= 1
        return Endpoints.of(header, peername, sockname)

    def log(self, way: Way, exc: Exception) -> None:
        """Say why a connection was closed before there could be an answer."""
        if str(exc) and logger.isEnabledFor(logging.DEBUG):
            from ..proxyprotocol.sock import text_of

            peername = text_of(address_of(way.sock, way.stream, "getpeername"))
            logger.debug("%s %s", peername or "a Unix socket", printable(str(exc), 400))


async def receive_header(way: Way, policy: ProxyPolicy) -> Any:
    """Wait for a PROXY protocol header; what came behind it is left to be received."""
    from ..proxyprotocol.errors import ProxyProtocolSyntaxError
    from ..proxyprotocol.intake import Intake

    intake = Intake(policy)
    while True:
        data = await way.receive()
        if not data:
            raise Gone(intake.ended() or "")
        try:
            taken = intake.received(data)
        except ProxyProtocolSyntaxError as exc:
            raise Gone(f"sent no valid PROXY protocol header: {exc}") from None
        if taken is not None:
            header, way.rest = taken
            return header
