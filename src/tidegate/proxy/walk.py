"""What has to be done, in which order, to go a way: the same for asyncio, threads and trio."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Iterator

from ..exceptions import InvalidProxyMessage
from ..uri import tls_name
from .hop import Hop, HopState, Target
from .passage import Passage
from .routes import make_hop
from .steps import CONNECT, PROXY_TLS, SERVER_TLS
from .tls import make_context
from .url import Proxy, SSLLike

__all__ = ["Action", "Connect", "Disconnect", "Negotiate", "Secure", "walk"]

# How often the way is begun anew because a proxy closes connections that it wants authenticated,
# or cannot reach one of the server's addresses.
MAX_CONNECTIONS = 16


@dataclasses.dataclass(frozen=True)
class Connect:
    """Connect to the first proxy, or to the server if there is none.

    Attributes:
        proxy: the proxy, None for the server.
        address: its host and port.
    """

    proxy: Proxy | None
    address: Target


@dataclasses.dataclass(frozen=True)
class Secure:
    """Begin TLS inside the connection as it is.

    Attributes:
        step: the name of the step.
        proxy: who is on the other side, None for the server.
        target: the host and port of the other side.
        context: how to do TLS.
        hostname: the name in the certificate.
    """

    step: str
    proxy: Proxy | None
    target: Target
    context: ssl.SSLContext
    hostname: str


@dataclasses.dataclass(frozen=True)
class Negotiate:
    """Let a hop talk to its proxy, until its state changes; raise its error if it fails.

    If it ``needs_addresses`` and has none, look them up first.
    """

    hop: Hop


@dataclasses.dataclass(frozen=True)
class Disconnect:
    """Close the connection, to begin a new one."""


Action = Connect | Secure | Negotiate | Disconnect


def walk(
    passage: Passage,
    target: Target,
    *,
    user_agent_header: str | None,
    proxy_ssl: SSLLike | None,
    proxy_server_hostname: str | None,
    server_ssl: ssl.SSLContext | None,
    server_hostname: str | None,
) -> Iterator[Action]:
    """Give one action after the other; each has to be done before the next is asked for.

    Args:
        passage: the way; the answers of the proxies are written down in it.
        target: where it leads to.
        user_agent_header: what HTTP proxies get as ``User-Agent``, None for nothing.
        proxy_ssl: how to do TLS with proxies that don't say it themselves.
        proxy_server_hostname: the name in their certificates, by default their host.
        server_ssl: how to do TLS with the server, None for none.
        server_hostname: the name in its certificate, by default its host.

    Raises:
        OSError: before the first action, if certificates cannot be read.
        ProxyError: if there is no end to it.
    """
    proxies = passage.route.hops
    addresses = [*(Target(proxy.host, proxy.port) for proxy in proxies), target]
    hops = [
        make_hop(proxy, address, user_agent_header)
        for proxy, address in zip(proxies, addresses[1:], strict=True)
    ]
    # Made once, and before anything is sent.
    contexts = [context_for(proxy, proxy_ssl) if proxy.tls else None for proxy in proxies]
    for _ in range(MAX_CONNECTIONS):
        yield Connect(proxies[0] if proxies else None, addresses[0])
        for place, (hop, context) in enumerate(zip(hops, contexts, strict=True)):
            proxy = hop.proxy
            if context is not None:
                name = proxy.server_hostname or proxy_server_hostname or proxy.host
                yield Secure(PROXY_TLS, proxy, addresses[place], context, tls_name(name))
            yield Negotiate(hop)
            if hop.response is not None:
                passage.responses[place] = hop.response
            if hop.state is HopState.RECONNECT:
                break
        else:
            if server_ssl is not None:
                name = server_hostname or target.host
                yield Secure(SERVER_TLS, None, target, server_ssl, tls_name(name))
            return
        yield Disconnect()
    with passage.step(CONNECT, hop.proxy, hop.target, hop):
        raise InvalidProxyMessage("the proxy closes one connection after the other")


def context_for(proxy: Proxy, proxy_ssl: SSLLike | None) -> ssl.SSLContext:
    """Give the context for TLS with a proxy."""
    if proxy.ssl:
        return make_context(proxy.ssl, f"ssl of the proxy {proxy.url()}")
    return make_context(proxy_ssl, "proxy_ssl")
