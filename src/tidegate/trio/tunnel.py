"""Ways to a server: TCP, Unix sockets, and the proxies of a route."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl as ssl_module
from collections.abc import Iterator, Mapping
from typing import Any

import trio

from ..exceptions import ProxyError
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
from .way import Way, announce, open_tcp

__all__ = ["connect_on_route", "find_route", "opening_handshake", "time_limit"]

# How long to wait for the rest of a refusal, which is only explanation, in seconds.
REFUSAL_GRACE = 1.0


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError if what is inside takes longer."""
    with trio.CancelScope() as scope:
        if seconds is not None:
            scope.deadline = trio.current_time() + max(seconds, 0)
        yield
    if scope.cancelled_caught:
        raise TimeoutError


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
        ValueError: if ``proxy_ssl`` is given for a proxy without TLS.
    """
    target, choice = where_to(uri, arguments, options)
    if proxy is True and HAS_SYSTEM_SETTINGS:
        # The bypass list of macOS looks names up.
        route = await trio.to_thread.run_sync(choose, proxy, uri, target, choice)
    else:
        route = await choose_async(proxy, uri, target, choice)
    check_proxy_tls(proxy, options, route)
    return route


async def connect_on_route(
    ws_uri: WebSocketURI,
    route: Route,
    *,
    open_timeout: float | None,
    options: Mapping[str, Any],
    user_agent_header: str | None,
    logger: LoggerLike,
    send_proxy_header: Any,
    ssl: ssl_module.SSLContext | bool | None,
    server_hostname: str | None,
    **kwargs: Any,
) -> tuple[Way, Passage | None]:
    """Connect to a server on a route, or on the first of its alternatives that works.

    Args:
        ws_uri: the server.
        route: the way and its alternatives.
        open_timeout: how many seconds there are for all of them together, None for no such limit.
        options: those of its arguments whose names begin with ``proxy_``.
        user_agent_header: as in `Tunnel`.
        logger: is told which way is taken, and which wasn't passable.
        send_proxy_header: a PROXY protocol header to begin with; True for one with the addresses
            of the socket.
        ssl: the context for TLS with the server.
        server_hostname: the name in its certificate.
        **kwargs: as in ``trio.open_tcp_stream()``.

    Returns:
        the connection, inside TLS, and how it went through the proxy, None without one.

    Raises:
        ProxyError: if a step fails; it tells which and why. Notes tell about other ways.
        OSError: if a connection without proxy fails.
    """
    attempts = Attempts(route, open_timeout, options, logger)
    context = make_context(ssl) if ws_uri.secure else None
    for attempt in attempts:
        try:
            if attempt.passage is None:
                with time_limit(attempt.limit):
                    direct: dict[str, Any] = {"host": ws_uri.host, "port": ws_uri.port} | kwargs
                    way = await open_tcp(**direct)
                    await secure(
                        *(way, send_proxy_header, context, server_hostname),
                        f"{ws_uri.host}:{ws_uri.port}",
                    )
            else:
                target_of = Target(
                    kwargs.get("host") or ws_uri.host, kwargs.get("port") or ws_uri.port
                )
                tunnel = Tunnel(
                    passage=attempt.passage,
                    target=target_of,
                    user_agent_header=user_agent_header,
                    send_proxy_header=send_proxy_header,
                    local_address=kwargs.get("local_address"),
                    **tunnel_options(options),
                )
                way = await tunnel.open(context, server_hostname or ws_uri.host)
        except (ProxyError, OSError) as exc:
            if not attempts.goes_on_after(exc):
                raise
        else:
            attempts.succeeded()
            return way, attempt.passage
    raise AssertionError("there is at least one route")


async def secure(
    way: Way,
    send_proxy_header: Any,
    context: ssl_module.SSLContext | None,
    server_hostname: str | None,
    peer: str,
) -> None:
    """Send the PROXY protocol header, if there is to be one, and begin TLS with the server."""
    try:
        if send_proxy_header:
            await announce(way, send_proxy_header)
        if context is not None:
            await way.start_tls(context, server_hostname=server_hostname, peer=peer)
    except BaseException:
        await way.aclose()
        raise


@contextlib.contextmanager
def opening_handshake(passage: Passage | None) -> Iterator[None]:
    """Do the opening handshake inside, as a step of a passage: timed, limited, explained."""
    if passage is None:
        yield
        return
    with (
        passage.step(HANDSHAKE, None, passage.route.destination),
        time_limit(passage.limit(HANDSHAKE)),
    ):
        yield


@dataclasses.dataclass(kw_only=True)
class Tunnel:
    """A connection on its way through the proxies of a route.

    Attributes:
        passage: the way; takes down the steps and what the proxies answer.
        target: where it leads to.
        proxy_ssl: the context for TLS with proxies that have none of their own; or the path of
            a bundle of the certificates to trust.
        proxy_server_hostname: the name in the certificates of proxies, by default that which they
            are connected by.
        user_agent_header: what HTTP proxies get as ``User-Agent``, None for nothing.
        local_address: the address to connect to the first proxy from.
        send_proxy_header: a PROXY protocol header to begin with; True for one with the addresses
            of the socket.
    """

    passage: Passage
    target: Target
    proxy_ssl: SSLLike | None = None
    proxy_server_hostname: str | None = None
    user_agent_header: str | None = USER_AGENT
    local_address: str | None = None
    send_proxy_header: Any = False

    way: Way | None = dataclasses.field(default=None, init=False)

    async def open(self, server_ssl: ssl_module.SSLContext | None, server_hostname: str) -> Way:
        """Go the whole way; give the connection, in TLS with a context."""
        try:
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
                        await self.secure(action)
                    case Negotiate(hop):
                        await self.negotiate(hop)
                    case Disconnect():
                        await self.close()
            assert self.way is not None
            if server_ssl is None and self.send_proxy_header:
                await announce(self.way, self.send_proxy_header)
        except BaseException:
            await self.close()
            raise
        return self.way

    @contextlib.contextmanager
    def step(self, name: str, proxy: Proxy | None, target: Target) -> Iterator[None]:
        """Do a step within its time limit."""
        with self.passage.step(name, proxy, target), time_limit(self.passage.limit(name)):
            yield

    async def connect(self, proxy: Proxy | None, address: Target) -> None:
        """Connect to the first proxy, or to the target."""
        if proxy is not None and proxy.unix_path is not None:
            with self.step(CONNECT_TCP, proxy, address):
                self.way = Way(stream=await trio.open_unix_socket(proxy.unix_path))
            return
        with self.step(RESOLVE, proxy, address):
            found = await trio.socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        with self.step(CONNECT_TCP, proxy, address):
            # Of several addresses, trio tries the next while one doesn't answer.
            host = address.host if len(found) > 1 else str(found[0][4][0])
            self.way = await open_tcp(host, address.port, local_address=self.local_address)

    async def secure(self, action: Secure) -> None:
        """Begin TLS with whom the connection leads to."""
        assert self.way is not None
        if action.step == SERVER_TLS and self.send_proxy_header:
            await announce(self.way, self.send_proxy_header)
        with self.step(action.step, action.proxy, action.target):
            check_silence(self.way.rest)
            await self.way.start_tls(
                action.context, server_hostname=action.hostname, peer=action.hostname
            )

    async def negotiate(self, hop: Hop) -> None:
        """Let a hop talk to its proxy until it is through."""
        if hop.needs_addresses and not hop.addresses:
            with self.step(RESOLVE, hop.proxy, hop.target):
                # SOCKS4 has no room for others than IPv4.
                family = socket.AF_INET if hop.proxy.is_socks4 else socket.AF_UNSPEC
                found = await trio.socket.getaddrinfo(
                    *hop.target, family=family, type=socket.SOCK_STREAM
                )
                hop.addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        with self.passage.step(CONNECT, hop.proxy, hop.target, hop):
            try:
                with time_limit(self.passage.limit(CONNECT)):
                    await self.converse(hop)
            except (TimeoutError, ConnectionError):
                if not hop.refused:
                    raise
                hop.give_up()
            if hop.error is not None:
                raise hop.error

    async def converse(self, hop: Hop) -> None:
        """Carry bytes between a hop and its proxy."""
        way = self.way
        assert way is not None
        hop.start()
        while hop.state is HopState.NEGOTIATING:
            with time_limit(REFUSAL_GRACE if hop.refused else None):
                data = hop.data_to_send()
                if data:
                    await way.send(data)
                # What came behind the answer of the proxy before is this one's.
                data = await way.receive()
            if data:
                hop.receive_data(data)
            else:
                hop.receive_eof()
        way.rest = hop.leftover

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self.way is not None:
            way, self.way = self.way, None
            await way.aclose()
