"""The way to a server: which proxies it goes through, and why those."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..uri import WebSocketURI
from .hop import Hop, Target
from .http_connect import HTTPConnectHop
from .socks import SOCKS4Hop, SOCKS5Hop
from .url import Proxy

__all__ = ["Candidate", "Route", "make_hop"]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Something that was looked at to find the way.

    Attributes:
        name: what: an environment variable, a setting, an element of a list.
        verdict: ``chosen``; ``direct``, if it says to connect without a proxy; ``passed``;
            ``warning``, if it can't mean what was meant.
        reason: why.
        value: the proxy that it stands for, with its password masked; None if there is none.
    """

    name: str
    verdict: str
    reason: str
    value: str | None = None


@dataclasses.dataclass(frozen=True)
class Route:
    """The way to a server.

    Attributes:
        uri: the server.
        proxy: the proxy next to the server, None to connect directly; those before it are in its
            ``via``.
        source: where that was found, in words, such as ``the environment variable https_proxy``.
        candidates: what was looked at, in this order.
        target: the host and port to connect to; those of the URI unless the program gave others.
        alternatives: other ways, to be tried if this one fails.
        rest: for how many seconds the proxy is to come last after it failed, None if there is no
            other anyway.
    """

    uri: WebSocketURI
    proxy: Proxy | None = None
    source: str | None = None
    candidates: tuple[Candidate, ...] = ()
    target: Target | None = None
    alternatives: tuple[Route, ...] = ()
    rest: float | None = None

    @property
    def hops(self) -> tuple[Proxy, ...]:
        """The proxies on the way, the one nearest to us first."""
        return () if self.proxy is None else self.proxy.hops

    @property
    def destination(self) -> Target:
        """Where the way ends."""
        return self.target or Target(self.uri.host, self.uri.port)

    def __str__(self) -> str:
        scheme = "wss" if self.uri.secure else "ws"
        return " -> ".join([*(hop.url() for hop in self.hops), f"{scheme}://{self.destination}"])

    def explain(self) -> str:
        """Tell the way and why it is that, in several lines, without passwords."""
        lines = [f"route: {self}"]
        how = "direct" if self.proxy is None else str(self.proxy)
        lines.append(f"proxy: {how}" + (f" (from {self.source})" if self.source else ""))
        width = max((len(c.name) for c in self.candidates), default=0)
        for candidate in self.candidates:
            mark = {"chosen": "+", "direct": "=", "warning": "!"}.get(candidate.verdict, "-")
            value = f"{candidate.value}: " if candidate.value else ""
            lines.append(f"  {mark} {candidate.name:{width}}  {value}{candidate.reason}")
        for route in self.alternatives:
            lines.append(f"otherwise: {'direct' if route.proxy is None else route.proxy}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Give the same as `explain` for programs, in what JSON can hold."""
        return {
            "uri": str(self).rpartition(" -> ")[2],
            "proxy": None if self.proxy is None else str(self.proxy),
            "hops": [hop.url() for hop in self.hops],
            "source": self.source,
            "target": str(self.destination),
            "candidates": [dataclasses.asdict(candidate) for candidate in self.candidates],
            "alternatives": [route.as_dict() for route in self.alternatives],
        }


def make_hop(proxy: Proxy, target: Target, user_agent_header: str | None) -> Hop:
    """Give the negotiation that leads through ``proxy`` to ``target``."""
    if proxy.is_http:
        return HTTPConnectHop(proxy, target, user_agent_header)
    return SOCKS5Hop(proxy, target) if proxy.is_socks5 else SOCKS4Hop(proxy, target)
