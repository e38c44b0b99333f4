"""Which ways are tried, in which order, for how long: the same for asyncio, threads and trio."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..exceptions import ProxyError
from ..typing import LoggerLike
from ..uri import parse_uri
from .choice import Options, ProxyLike, report_failure, resting
from .hop import Target
from .passage import NO_TIMEOUTS, Passage
from .routes import Route
from .tls import check_needed_tls
from .url import Proxy, a

__all__ = ["Attempt", "Attempts", "check_proxy_tls", "tunnel_options", "where_to"]


def where_to(
    uri: str, arguments: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[Target, Options]:
    """Give what a way is chosen by.

    Args:
        uri: the server.
        arguments: those of `connect`; ``host`` and ``port`` say where to connect.
        options: those of its arguments whose names begin with ``proxy_``.
    """
    ws_uri = parse_uri(uri)
    target = Target(arguments.get("host") or ws_uri.host, arguments.get("port") or ws_uri.port)
    choice = Options(
        headers=options.get("proxy_headers"),
        auth=options.get("proxy_auth"),
        loopback=options.get("proxy_loopback"),
    )
    return target, choice


def check_proxy_tls(proxy: ProxyLike, options: Mapping[str, Any], route: Route) -> None:
    """Refuse TLS with a proxy that has none, where there can be no other proxy, and none with TLS.

    Raises:
        ValueError: if ``proxy_ssl`` is given for a proxy without TLS, or None for one with it.
    """
    for way in (route, *route.alternatives):
        check_needed_tls(way, options)
    # Where proxies are found, or several are given, it is there for those that have TLS.
    if (
        isinstance(proxy, (str, Proxy))
        and options.get("proxy_ssl")
        and not any(hop.tls for hop in route.hops)
    ):
        assert route.proxy is not None
        scheme = a(route.proxy.scheme)
        raise ValueError(f"proxy_ssl argument is incompatible with {scheme}:// proxy")


def tunnel_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give those of the arguments about proxies that a tunnel takes."""
    names = ("proxy_ssl", "proxy_server_hostname")
    return {name: value for name, value in options.items() if name in names}


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One way to try.

    Attributes:
        passage: the way through a proxy, with its limits; None for a direct connection.
        limit: how long a direct connection may take, in seconds; None if nothing comes after it.
    """

    passage: Passage | None
    limit: float | None


class Attempts:
    """The ways to a server, one after the other, until one leads there.

    ::

        for attempt in attempts:
            try:
                ...
            except (ProxyError, OSError) as exc:
                if not attempts.goes_on_after(exc):
                    raise
            else:
                attempts.succeeded()
                return ...

    Args:
        route: the way and its alternatives.
        open_timeout: how many seconds there are for all of them together, None for no such limit.
        options: those of the arguments of `connect` whose names begin with ``proxy_``.
        logger: is told which way is taken, and which wasn't passable.
    """

    def __init__(
        self,
        route: Route,
        open_timeout: float | None,
        options: Mapping[str, Any],
        logger: LoggerLike,
    ) -> None:
        self.routes = (route, *route.alternatives)
        self.deadline = None if open_timeout is None else time.monotonic() + open_timeout
        self.timeouts = options.get("proxy_timeouts") or NO_TIMEOUTS
        self.logger = logger
        self.failures: list[str] = []
        self.place = -1

    def __iter__(self) -> Iterator[Attempt]:
        for place, way in enumerate(self.routes):
            self.place = place
            left = len(self.routes) - place
            self.logger.debug("route: %s", way)
            # Each leaves the others their part of the time.
            share = None if self.deadline is None else (self.deadline - time.monotonic()) / left
            if way.proxy is None:
                yield Attempt(None, share if left > 1 else None)
            else:
                yield Attempt(Passage(way, self.timeouts, share), None)

    def goes_on_after(self, exc: ProxyError | OSError) -> bool:
        """Take note of a failure, and say whether there is another way; if not, raise it."""
        way = self.routes[self.place]
        if not report_failure(way, exc) or self.place + 1 == len(self.routes):
            for failure in self.failures:
                exc.add_note(failure)
            return False
        first = str(exc).partition("\n")[0]
        self.failures.append(f"Before that, {way.proxy or 'a direct connection'} failed: {first}")
        self.logger.info("%s failed; trying the next: %s", way, first)
        return True

    def succeeded(self) -> None:
        """Take note that this way led to the server."""
        proxy = self.routes[self.place].proxy
        if proxy is not None:
            resting.discard(proxy)
