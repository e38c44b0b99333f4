"""Connections through proxies: drives the hops of a route with asyncio."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl as ssl_module
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import aiohappyeyeballs

from ..exceptions import ProxyError
from ..feeding import feed
from ..http11 import USER_AGENT
from ..proxy.attempts import Attempts, check_proxy_tls, tunnel_options, where_to
from ..proxy.choice import ProxyLike, choose, choose_async
from ..proxy.environment import HAS_SYSTEM_SETTINGS
from ..proxy.hop import Hop, HopState, Target
from ..proxy.passage import Passage, check_silence
from ..proxy.routes import Route
from ..proxy.steps import CONNECT, CONNECT_TCP, HANDSHAKE, RESOLVE, SERVER_TLS
from ..proxy.tls import make_context
from ..proxy.url import Proxy, SSLLike
from ..proxy.walk import Connect, Disconnect, Negotiate, Secure, walk
from ..typing import LoggerLike
from ..uri import WebSocketURI
from .transports import create_connection, create_unix_connection, start_tls

if TYPE_CHECKING:
    from ..proxyprotocol.header import Header
    from .announcement import Create

__all__ = ["connect_on_route", "connect_through", "find_route", "opening_handshake"]

# RFC 8305, section 8
HAPPY_EYEBALLS_DELAY = 0.25

# How long to wait for the rest of a refusal, which is only explanation, in seconds.
REFUSAL_GRACE = 1.0

# How many bytes are taken from a connection while nobody is there to use them.
MAX_PENDING = 131072

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def find_route(
    proxy: ProxyLike, uri: str, arguments: Mapping[str, Any], options: Mapping[str, Any]
) -> Route:
    """Find the way to a server.

    Args:
        proxy: the argument ``proxy`` of `connect`.
        uri: the server.
        arguments: the other arguments of `connect`; ``host`` and ``port`` say where to connect.
        options: those of its arguments whose names begin with ``proxy_``.

    Raises:
        InvalidProxy: if a proxy cannot be used.
        ValueError: if ``proxy_ssl`` is given for a proxy without TLS, or None for one with it.
    """
    target, choice = where_to(uri, arguments, options)
    if proxy is True and HAS_SYSTEM_SETTINGS:
        # The bypass list of macOS looks names up.
        route = await asyncio.to_thread(choose, proxy, uri, target, choice)
    else:
        route = await choose_async(proxy, uri, target, choice)
    check_proxy_tls(proxy, options, route)
    return route


async def connect_on_route(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], P],
    ws_uri: WebSocketURI,
    route: Route,
    *,
    open_timeout: float | None,
    options: Mapping[str, Any],
    user_agent_header: str | None,
    logger: LoggerLike,
    send_proxy_header: bool | Header = False,
    **kwargs: Any,
) -> tuple[asyncio.Transport, P, Passage | None]:
    """Connect to a server on a route, or on the first of its alternatives that works.

    Args:
        loop, factory, ws_uri: as in `connect_through`.
        route: the way and its alternatives.
        open_timeout: how many seconds there are for all of them together, None for no such limit.
        options: those of its arguments whose names begin with ``proxy_``.
        user_agent_header: as in `Tunnel`.
        logger: is told which way is taken, and which wasn't passable.
        send_proxy_header: a PROXY protocol header to begin with; True for one with the addresses
            of the socket.
        **kwargs: as in ``loop.create_connection()``.

    Returns:
        the transport, the protocol, and how it went through the proxy, None without one.

    Raises:
        ProxyError: as `connect_through` does, about the last that was tried; notes tell about the
            others.
        OSError: if a connection without proxy fails.
    """
    attempts = Attempts(route, open_timeout, options, logger)
    for attempt in attempts:
        try:
            if attempt.passage is None:
                async with asyncio.timeout(attempt.limit):
                    connect: Create = create_connection
                    if send_proxy_header:
                        # Imported here because most programs don't need it.
                        from .announcement import announce

                        connect = announce(connect, send_proxy_header)
                    transport, protocol = await connect(
                        loop, factory, **kwargs_for_direct(kwargs, ws_uri)
                    )
            else:
                transport, protocol = await connect_through(
                    loop,
                    factory,
                    ws_uri,
                    attempt.passage,
                    user_agent_header=user_agent_header,
                    send_proxy_header=send_proxy_header,
                    **tunnel_options(options),
                    **kwargs,
                )
        except (ProxyError, OSError) as exc:
            if not attempts.goes_on_after(exc):
                raise
        else:
            attempts.succeeded()
            return transport, protocol, attempt.passage
    raise AssertionError("there is at least one route")


def kwargs_for_direct(kwargs: dict[str, Any], ws_uri: WebSocketURI) -> dict[str, Any]:
    return {"host": ws_uri.host, "port": ws_uri.port} | kwargs


@asynccontextmanager
async def opening_handshake(passage: Passage) -> AsyncIterator[None]:
    """Do the opening handshake inside, as a step of a passage: timed, limited, explained."""
    with passage.step(HANDSHAKE, None, passage.route.destination):
        async with asyncio.timeout(passage.limit(HANDSHAKE)):
            yield


async def connect_through(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], P],
    ws_uri: WebSocketURI,
    passage: Passage,
    *,
    host: str | None = None,
    port: int | None = None,
    ssl: ssl_module.SSLContext | bool | None = None,
    server_hostname: str | None = None,
    **options: Any,
) -> tuple[asyncio.Transport, P]:
    """Connect to a WebSocket server through the proxies of a route.

    What it gives is as good as that of ``loop.create_connection()``: the transport leads to the
    server, inside TLS for ``wss``, and all that the server sends, from its first byte on, reaches
    the protocol.

    Args:
        loop: the running event loop.
        factory: makes the protocol; called once, when the way is open.
        ws_uri: the server.
        passage: the way to it, with its limits; takes down the steps and what the proxies answer.
        host: the name or address to ask the last proxy for, by default that in the URI.
        port: the same for the port.
        ssl: the context for TLS with the server, by default a new one.
        server_hostname: the name in the server's certificate, by default the host in the URI.
        **options: those of `Tunnel`.

    Returns:
        the transport and the protocol.

    Raises:
        ProxyError: if a step fails; it tells which and why. If a direct connection would have
            failed with ``OSError``, ``TimeoutError`` or ``ssl.SSLError``, it is one as well.
    """
    tunnel = Tunnel(
        loop=loop,
        passage=passage,
        target=Target(host or ws_uri.host, port or ws_uri.port),
        **options,
    )
    try:
        context = make_context(ssl) if ws_uri.secure else None
        await tunnel.open(context, server_hostname or ws_uri.host)
        return tunnel.hand_over(factory)
    except BaseException:
        tunnel.abort()
        raise


@dataclasses.dataclass(kw_only=True)
class Tunnel:
    """A connection on its way through the proxies of a route.

    Attributes:
        proxy_ssl: the context for TLS with proxies that have none of their own; or the path of
            a bundle of the certificates to trust.
        proxy_server_hostname: the name in the certificates of proxies, by default that which they
            are connected by.
        user_agent_header: what HTTP proxies get as ``User-Agent``, None for nothing.
        local_addr: the address and port to connect to the first proxy from.
        family, proto, flags: for looking up the first proxy, as in ``socket.getaddrinfo()``.
        happy_eyeballs_delay: how many seconds one address of the first proxy has to itself before
            the next is tried as well (RFC 8305); None to try one after the other.
        interleave: how many addresses of one family are tried before one of the other.
        ssl_handshake_timeout, ssl_shutdown_timeout: as in ``loop.create_connection()``, for
            every TLS on the way.
        all_errors: has no effect: the cause of the error holds them all anyway.
        send_proxy_header: a PROXY protocol header to begin with; True for one with the addresses
            of the socket.
    """

    loop: asyncio.AbstractEventLoop
    passage: Passage
    target: Target
    proxy_ssl: SSLLike | None = None
    proxy_server_hostname: str | None = None
    user_agent_header: str | None = USER_AGENT
    local_addr: tuple[str, int] | None = None
    family: int = 0
    proto: int = 0
    flags: int = 0
    happy_eyeballs_delay: float | None = HAPPY_EYEBALLS_DELAY
    interleave: int | None = None
    ssl_handshake_timeout: float | None = None
    ssl_shutdown_timeout: float | None = None
    all_errors: bool = False
    send_proxy_header: bool | Header = False

    transport: asyncio.Transport | None = dataclasses.field(default=None, init=False)
    inbox: Inbox = dataclasses.field(init=False)
    # Whether there will be TLS on the transport.
    tls: bool = dataclasses.field(default=False, init=False)

    async def open(self, server_ssl: ssl_module.SSLContext | None, server_hostname: str) -> None:
        """Go the whole way, so that `transport` leads to the target, in TLS with a context."""
        self.tls = server_ssl is not None or any(hop.tls for hop in self.passage.route.hops)
        for action in walk(
            self.passage,
            self.target,
            user_agent_header=self.user_agent_header,
            proxy_ssl=self.proxy_ssl,
            proxy_server_hostname=self.proxy_server_hostname,
            server_ssl=server_ssl,
            server_hostname=server_hostname,
        ):
            match action:
                case Connect(proxy, address):
                    await self.connect(proxy, address)
                case Secure():
                    if action.step == SERVER_TLS:
                        self.announce()
                    await self.secure(action)
                case Negotiate(hop):
                    await self.negotiate(hop)
                case Disconnect():
                    self.abort()
        if server_ssl is None:
            self.announce()

    def announce(self) -> None:
        """Send the header of the PROXY protocol, if there is one, before all else to the server."""
        if self.send_proxy_header and self.transport is not None:
            # Imported here because most programs don't need it.
            from .announcement import announcement_bytes

            self.transport.write(announcement_bytes(self.send_proxy_header, self.transport))

    @asynccontextmanager
    async def step(self, name: str, proxy: Proxy | None, target: Target) -> AsyncIterator[None]:
        """Do a step within its time limit."""
        with self.passage.step(name, proxy, target):
            async with asyncio.timeout(self.passage.limit(name)):
                yield

    async def connect(self, proxy: Proxy | None, address: Target) -> None:
        """Connect to the first proxy, or to the target."""
        if proxy is not None and proxy.unix_path is not None:
            async with self.step(CONNECT_TCP, proxy, address):
                self.transport, self.inbox = await create_unix_connection(
                    self.loop, Inbox, tls=self.tls, path=proxy.unix_path
                )
            return
        async with self.step(RESOLVE, proxy, address):
            found = await self.resolve(address, self.family)
            local = None
            if self.local_addr is not None:
                local = await self.resolve(self.local_addr, self.family)
        async with self.step(CONNECT_TCP, proxy, address):
            interleave = self.interleave
            if interleave is None and self.happy_eyeballs_delay is not None:
                interleave = 1
            sock = await aiohappyeyeballs.start_connection(
                found,
                local_addr_infos=local,
                happy_eyeballs_delay=self.happy_eyeballs_delay,
                interleave=interleave,
                loop=self.loop,
            )
            try:
                self.transport, self.inbox = await create_connection(
                    self.loop, Inbox, tls=self.tls, sock=sock
                )
            except BaseException:
                sock.close()
                raise

    async def resolve(self, address: tuple[str, int], family: int) -> list[Any]:
        """Look up an address to connect to, or from."""
        return await self.loop.getaddrinfo(
            *address, family=family, type=socket.SOCK_STREAM, proto=self.proto, flags=self.flags
        )

    async def secure(self, action: Secure) -> None:
        """Begin TLS with whom the transport leads to."""
        assert self.transport is not None
        below = self.inbox
        inbox = Inbox()
        async with self.step(action.step, action.proxy, action.target):
            if below.lost or self.transport.is_closing():
                raise below.exception or ConnectionResetError()
            check_silence(below.take())
            self.transport = await start_tls(
                self.loop,
                self.transport,
                inbox,
                action.context,
                server_hostname=action.hostname,
                ssl_handshake_timeout=self.ssl_handshake_timeout,
                ssl_shutdown_timeout=self.ssl_shutdown_timeout,
            )
        self.inbox = inbox
        inbox.transport = self.transport

    async def negotiate(self, hop: Hop) -> None:
        """Let a hop talk to its proxy until it is through."""
        if hop.needs_addresses and not hop.addresses:
            async with self.step(RESOLVE, hop.proxy, hop.target):
                # SOCKS4 has no room for others than IPv4.
                family = socket.AF_INET if hop.proxy.is_socks4 else socket.AF_UNSPEC
                found = await self.resolve(hop.target, family)
                hop.addresses = list(dict.fromkeys(info[4][0] for info in found))
        with self.passage.step(CONNECT, hop.proxy, hop.target, hop):
            try:
                async with asyncio.timeout(self.passage.limit(CONNECT)) as timeout:
                    await self.converse(hop, timeout)
            except (TimeoutError, ConnectionError):
                if not hop.refused:
                    raise
                hop.give_up()
            if hop.error is not None:
                raise hop.error
        self.inbox.put_back(hop.leftover)

    async def converse(self, hop: Hop, timeout: asyncio.Timeout) -> None:
        """Carry bytes between a hop and its proxy."""
        assert self.transport is not None
        await self.run(hop, hop.start)
        while hop.state is HopState.NEGOTIATING:
            if data := hop.data_to_send():
                self.transport.write(data)
            if hop.refused:
                hurry = self.loop.time() + REFUSAL_GRACE
                timeout.reschedule(min(timeout.when() or hurry, hurry))
            data = await self.inbox.read()
            if data:
                await self.run(hop, hop.receive_data, data)
            else:
                hop.receive_eof()

    async def run(self, hop: Hop, method: Callable[..., None], *args: Any) -> None:
        """Call a method of a hop where it may take its time."""
        if hop.blocking:
            await self.loop.run_in_executor(None, method, *args)
        else:
            method(*args)

    def hand_over(self, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Give the transport, connected to a new protocol that got everything read so far."""
        assert self.transport is not None
        inbox = self.inbox
        if inbox.lost:
            with self.passage.step(HANDSHAKE, None, self.target):
                raise inbox.exception or ConnectionResetError()
        protocol = factory()
        transport, self.transport = self.transport, None
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        feed(transport, protocol, inbox.take())
        return transport, protocol

    def abort(self) -> None:
        """Close the connection, if there is one, without waiting for anybody."""
        if self.transport is not None:
            self.transport.abort()
            self.transport = None


class Inbox(asyncio.Protocol):
    """What has come in over a transport that nobody else listens to yet."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.data = bytearray()
        self.paused = False
        self.ended = False
        self.lost = False
        self.exception: Exception | None = None
        self.waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """Wait for data; give none at the end of the stream.

        Raises:
            ConnectionError: if the connection is lost, or the error that it was lost with.
        """
        while not self.data:
            if self.exception is not None:
                raise self.exception
            if self.ended or self.lost:
                return b""
            self.waiter = asyncio.get_running_loop().create_future()
            try:
                await self.waiter
            finally:
                self.waiter = None
        return self.take()

    def take(self) -> bytes:
        """Give what is there."""
        data = bytes(self.data)
        self.data.clear()
        if self.paused and self.transport is not None:
            self.paused = False
            self.transport.resume_reading()
        return data

    def put_back(self, data: bytes) -> None:
        """Take back what was given and not used."""
        self.data[:0] = data

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.wake()
        if len(self.data) > MAX_PENDING and self.transport is not None and not self.paused:
            self.paused = True
            self.transport.pause_reading()

    def eof_received(self) -> None:
        self.ended = True
        self.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.exception = exc
        self.wake()
