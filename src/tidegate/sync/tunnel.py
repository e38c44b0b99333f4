"""Connections through proxies: drives the hops of a route with blocking sockets."""

from __future__ import annotations

import dataclasses
import socket
import ssl as ssl_module
import time
from collections.abc import Callable
from typing import Any

from ..http11 import USER_AGENT
from ..proxy.hop import Hop, HopState, Target
from ..proxy.passage import Passage, check_silence
from ..proxy.steps import CONNECT, CONNECT_TCP, RESOLVE, SERVER_TLS
from ..proxy.tls import make_context
from ..proxy.url import Proxy, SSLLike
from ..proxy.walk import Connect, Disconnect, Negotiate, Secure, walk
from ..uri import WebSocketURI
from .tls import SocketLike, TLSStream, limit

__all__ = ["connect_through"]

# How long to wait for the rest of a refusal, which is only explanation, in seconds.
REFUSAL_GRACE = 1.0

READ_SIZE = 65536


def connect_through(
    ws_uri: WebSocketURI,
    passage: Passage,
    *,
    host: str | None = None,
    port: int | None = None,
    ssl: ssl_module.SSLContext | bool | None = None,
    server_hostname: str | None = None,
    **options: Any,
) -> tuple[SocketLike, bytes]:
    """Connect to a WebSocket server through the proxies of a route.

    Names are looked up by the operating system, which has time limits of its own for that.

    Args:
        ws_uri: the server.
        passage: the way to it, with its limits; takes down the steps and what the proxies answer.
        host: the name or address to ask the last proxy for, by default that in the URI.
        port: the same for the port.
        ssl: the context for TLS with the server, by default a new one.
        server_hostname: the name in the server's certificate, by default the host in the URI.
        **options: those of `Tunnel`.

    Returns:
        a connection to the server, without a time limit, and what was received from it already.

    Raises:
        ProxyError: if a step fails; it tells which and why. If a direct connection would have
            failed with ``OSError``, ``TimeoutError`` or ``ssl.SSLError``, it is one as well.
    """
    target = Target(host or ws_uri.host, port or ws_uri.port)
    tunnel = Tunnel(passage=passage, target=target, **options)
    try:
        context = make_context(ssl) if ws_uri.secure else None
        return tunnel.open(context, server_hostname or ws_uri.host)
    except BaseException:
        tunnel.close()
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
        source_address: the address and port to connect to the first proxy from.
        family: the address family of the first proxy, such as ``socket.AF_INET``; 0 for any.
        streams: whether all TLS is that of a `TLSStream`, also where an ``ssl.SSLSocket`` would do.
        announce: called with the connection to the server before TLS with it begins, to send a
            PROXY protocol header; None for nothing.
    """

    passage: Passage
    target: Target
    proxy_ssl: SSLLike | None = None
    proxy_server_hostname: str | None = None
    user_agent_header: str | None = USER_AGENT
    source_address: tuple[str, int] | None = None
    family: int = 0
    streams: bool = False
    announce: Callable[[SocketLike], None] | None = None

    sock: SocketLike | None = dataclasses.field(default=None, init=False)
    received: bytes = dataclasses.field(default=b"", init=False)

    def open(
        self, server_ssl: ssl_module.SSLContext | None, server_hostname: str
    ) -> tuple[SocketLike, bytes]:
        """Go the whole way; give the connection and what was received over it."""
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
                    self.connect(proxy, address)
                case Secure():
                    if action.step == SERVER_TLS:
                        self.begin()
                    self.secure(action)
                case Negotiate(hop):
                    self.negotiate(hop)
                case Disconnect():
                    self.close()
        if server_ssl is None:
            self.begin()
        assert self.sock is not None
        self.sock.settimeout(None)
        return self.sock, self.received

    def begin(self) -> None:
        """Send what comes before all else to the server."""
        if self.announce is not None:
            assert self.sock is not None
            self.announce(self.sock)

    def deadline(self, step: str) -> float:
        """Give the time until which a step that begins now may take."""
        return time.monotonic() + self.passage.limit(step)

    def connect(self, proxy: Proxy | None, address: Target) -> None:
        """Connect to the first proxy, or to the target."""
        if proxy is not None and proxy.unix_path is not None:
            with self.passage.step(CONNECT_TCP, proxy, address):
                self.sock = socket.socket(socket.AF_UNIX)
                limit(self.sock, self.deadline(CONNECT_TCP))
                self.sock.connect(proxy.unix_path)
            return
        with self.passage.step(RESOLVE, proxy, address):
            found = socket.getaddrinfo(*address, family=self.family, type=socket.SOCK_STREAM)
        with self.passage.step(CONNECT_TCP, proxy, address):
            self.sock = self.connect_tcp([info[4] for info in found])
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connect_tcp(self, addresses: list[Any]) -> socket.socket:
        """Connect to the first address that can be connected to."""
        deadline = self.deadline(CONNECT_TCP)
        for place, address in enumerate(addresses):
            # One that doesn't answer leaves the others their part of the time.
            share = (deadline - time.monotonic()) / (len(addresses) - place)
            try:
                return socket.create_connection(
                    address[:2], timeout=max(share, 0.001), source_address=self.source_address
                )
            except OSError:
                if place + 1 == len(addresses):
                    raise
        raise OSError("there is no address")

    def secure(self, action: Secure) -> None:
        """Begin TLS with whom the connection leads to."""
        sock = self.sock
        assert sock is not None
        with self.passage.step(action.step, action.proxy, action.target):
            check_silence(self.received)
            deadline = self.deadline(action.step)
            if (
                isinstance(sock, socket.socket)
                and not isinstance(sock, ssl_module.SSLSocket)
                and not self.streams
            ):
                self.sock = secured = action.context.wrap_socket(
                    sock, server_hostname=action.hostname, do_handshake_on_connect=False
                )
                limit(secured, deadline)
                secured.do_handshake()
            else:
                self.sock = stream = TLSStream(sock, action.context, action.hostname)
                stream.do_handshake(deadline)

    def negotiate(self, hop: Hop) -> None:
        """Let a hop talk to its proxy until it is through."""
        if hop.needs_addresses and not hop.addresses:
            with self.passage.step(RESOLVE, hop.proxy, hop.target):
                # SOCKS4 has no room for others than IPv4.
                family = socket.AF_INET if hop.proxy.is_socks4 else socket.AF_UNSPEC
                found = socket.getaddrinfo(*hop.target, family=family, type=socket.SOCK_STREAM)
                hop.addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        with self.passage.step(CONNECT, hop.proxy, hop.target, hop):
            try:
                self.converse(hop)
            except (TimeoutError, ConnectionError):
                if not hop.refused:
                    raise
                hop.give_up()
            if hop.error is not None:
                raise hop.error

    def converse(self, hop: Hop) -> None:
        """Carry bytes between a hop and its proxy."""
        assert self.sock is not None
        deadline = self.deadline(CONNECT)
        hop.start()
        while hop.state is HopState.NEGOTIATING:
            if hop.refused:
                deadline = min(deadline, time.monotonic() + REFUSAL_GRACE)
            limit(self.sock, deadline)
            self.sock.sendall(hop.data_to_send())
            limit(self.sock, deadline)
            # What came behind the answer of the proxy before is this one's.
            data, self.received = self.received or self.sock.recv(READ_SIZE), b""
            if data:
                hop.receive_data(data)
            else:
                hop.receive_eof()
        self.received = hop.leftover

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        self.received = b""
