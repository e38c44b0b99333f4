"""The way to a server: which proxies it goes through, and why those."""

from __future__ import annotations

import dataclasses

from ..uri import WebSocketURI
from .hop import Hop, Target
from .http_connect import HTTPConnectHop
from .socks import SOCKS4Hop, SOCKS5Hop
from .url import Proxy

__all__ = ["Route", "make_hop"]


@dataclasses.dataclass(frozen=True)
class Route:
    """The way to a server.

    Attributes:
        uri: the server.
        proxy: the proxy next to the server, None to connect directly; those before it are in its
            ``via``.
        source: where the proxy was found, in words, such as ``the argument proxy``.
    """

    uri: WebSocketURI
    proxy: Proxy | None = None
    source: str | None = None

    @property
    def hops(self) -> tuple[Proxy, ...]:
        """The proxies on the way, the one nearest to us first."""
        return () if self.proxy is None else self.proxy.hops


def make_hop(proxy: Proxy, target: Target, user_agent_header: str | None) -> Hop:
    """Give the negotiation that leads through ``proxy`` to ``target``."""
    if proxy.is_http:
        return HTTPConnectHop(proxy, target, user_agent_header)
    return SOCKS5Hop(proxy, target) if proxy.is_socks5 else SOCKS4Hop(proxy, target)
