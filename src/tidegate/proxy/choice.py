"""Choosing a proxy as a program wants it: URLs, lists, mappings, functions."""

from __future__ import annotations

import dataclasses
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any

from ..datastructures import HeadersLike
from ..exceptions import (
    InvalidProxyMessage,
    ProxyConnectionError,
    ProxyError,
    ProxyTimeout,
    ProxyTLSError,
)
from ..uri import WebSocketURI, parse_uri
from .addresses import normalize
from .credentials import AuthLike
from .discovery import SystemSettings, discover
from .hop import Target
from .routes import Candidate, Route
from .steps import AUTHENTICATE, CONNECT, CONNECT_TCP, PROXY_TLS, RESOLVE
from .url import Proxy, parse_proxy

__all__ = ["Failover", "ProxyLike", "choose", "choose_async", "route"]

ARGUMENT = "the argument proxy"


class Failover:
    """Proxies to be tried in order; one that fails rests for a while.

    Args:
        proxies: URLs and whatever else a program can give as a proxy, None for no proxy at all.
        rest: for how many seconds one that failed comes after all others.
    """

    def __init__(self, proxies: Sequence[ProxyLike], *, rest: float = 60) -> None:
        if not proxies:
            raise ValueError("a list of proxies needs at least one; None stands for no proxy")
        self.proxies = tuple(proxies)
        self.rest = rest


ProxyLike = (
    str
    | Proxy
    | Route
    | bool
    | Failover
    | Sequence["ProxyLike"]
    | Mapping[str, "ProxyLike"]
    | Callable[[str], "ProxyLike | Awaitable[ProxyLike]"]
    | None
)
"""What can be given as a proxy.

A URL, or several joined by ``->``; a `Proxy`; a `Route`, as `route` gives it; True to look in the
environment and the operating system; None for no proxy; a list, see `Failover`; a mapping from
``ws``, ``wss``, ``example.com``, ``example.com:8443``, ``*.example.com`` or ``*`` to any of these;
a function that gets the URI and gives any of these, or an awaitable of it.
"""


class Resting:
    """Proxies that failed a short while ago. It may be used in several threads."""

    # Nobody has that many proxies, but a function may make up ever new ones.
    MAX = 1024

    def __init__(self) -> None:
        self.until: dict[tuple[object, ...], float] = {}
        self.lock = threading.Lock()

    @staticmethod
    def key(proxy: Proxy) -> tuple[object, ...]:
        return tuple((p.scheme, p.host, p.port, p.unix_path, p.username) for p in proxy.hops)

    def add(self, proxy: Proxy, seconds: float) -> None:
        """Let a proxy rest."""
        with self.lock:
            now = time.monotonic()
            if len(self.until) >= self.MAX:
                self.until = {key: end for key, end in self.until.items() if end > now}
                if len(self.until) >= self.MAX:
                    self.until.clear()
            self.until[self.key(proxy)] = now + seconds

    def remaining(self, proxy: Proxy | None) -> float:
        """Give for how many more seconds a proxy rests; 0 if it doesn't."""
        if proxy is None:
            return 0
        return max(self.until.get(self.key(proxy), 0) - time.monotonic(), 0)

    def discard(self, proxy: Proxy) -> None:
        """Wake a proxy up, because it works."""
        with self.lock:
            self.until.pop(self.key(proxy), None)


resting = Resting()


@dataclasses.dataclass(frozen=True)
class Options:
    """What else a program says about the way to a server.

    Attributes:
        headers: sent with ``CONNECT`` to the proxy next to the server, if it has none of its own.
        auth: how to authenticate to that proxy, if it has no user of its own.
        environment, system, loopback: as in `discover`.
    """

    headers: HeadersLike | None = None
    auth: AuthLike | None = None
    environment: Mapping[str, str] | None = None
    system: SystemSettings | None = None
    loopback: bool | None = None

    def apply(self, proxy: Proxy) -> Proxy:
        changes: dict[str, Any] = {}
        if self.headers is not None and proxy.headers is None and proxy.is_http:
            changes["headers"] = self.headers
        if self.auth is not None and proxy.auth is None and proxy.username is None:
            if proxy.is_http:
                changes["auth"] = self.auth
            elif isinstance(self.auth, tuple):
                changes["username"], changes["password"] = self.auth
        return dataclasses.replace(proxy, **changes) if changes else proxy


NO_OPTIONS = Options()

Choosing = Generator[Awaitable[ProxyLike], ProxyLike, list[Route]]


def choosing(
    proxy: ProxyLike, ws_uri: WebSocketURI, uri: str, target: Target, source: str, options: Options
) -> Choosing:
    """Find the ways that a program's choice leads to, the best first.

    It is a generator because functions may give awaitables: it yields them and takes the results.
    """
    if callable(proxy):
        answer = proxy(uri)
        if inspect.isawaitable(answer):
            answer = yield answer
        name = getattr(proxy, "__qualname__", type(proxy).__qualname__)
        source = getattr(proxy, "source", f"the function {name}")
        return (yield from choosing(answer, ws_uri, uri, target, source, options))
    if proxy is None or proxy is False:
        note = Candidate(source, "direct", "no proxy is wanted")
        return [Route(ws_uri, None, source, (note,), target)]
    if proxy is True:
        found = discover(
            ws_uri,
            target,
            environment=options.environment,
            system=options.system,
            loopback=options.loopback,
        )
        if found.proxy is not None:
            found = dataclasses.replace(found, proxy=options.apply(found.proxy))
        return [found]
    if isinstance(proxy, str):
        proxy = parse_proxy(proxy, default_scheme="http")
    if isinstance(proxy, Proxy):
        note = Candidate(source, "chosen", "it is always obeyed", str(proxy))
        return [Route(ws_uri, options.apply(proxy), source, (note,), target)]
    if isinstance(proxy, Route):
        return [proxy, *proxy.alternatives]
    if isinstance(proxy, Mapping):
        key = find_key(proxy, ws_uri, target)
        if key is None:
            note = Candidate(source, "direct", f"the mapping has nothing for {target}")
            return [Route(ws_uri, None, source, (note,), target)]
        source = f"{source}[{key!r}]"
        return (yield from choosing(proxy[key], ws_uri, uri, target, source, options))
    if isinstance(proxy, Failover):
        failover = proxy
    elif isinstance(proxy, Sequence):
        failover = Failover(proxy)
    else:
        raise TypeError(
            "proxy must be a URL, a Proxy, True, None, a list, a mapping or a function, "
            f"not {proxy!r}"
        )
    routes: list[Route] = []
    for place, element in enumerate(failover.proxies):
        routes += yield from choosing(element, ws_uri, uri, target, f"{source}[{place}]", options)
    return [
        dataclasses.replace(route, rest=route.rest or failover.rest)
        for route in sorted(routes, key=lambda route: resting.remaining(route.proxy))
    ]


def find_key(mapping: Mapping[str, Any], ws_uri: WebSocketURI, target: Target) -> str | None:
    """Give the key that fits a server best: its port, its host, the longest suffix, the scheme."""
    host = normalize(target.host)
    scheme = "wss" if ws_uri.secure else "ws"
    best: tuple[int, int] | None = None
    found = None
    for key in mapping:
        name = normalize(key.strip())
        if name == normalize(str(target)):
            rank = (4, 0)
        elif name in (host, f"[{host}]"):
            rank = (3, 0)
        elif name.startswith("*.") and host.endswith(name[1:]):
            rank = (2, len(name))
        elif name == scheme:
            rank = (1, 0)
        elif name == "*":
            rank = (0, 0)
        else:
            continue
        if best is None or rank > best:
            best, found = rank, key
    return found


def combine(routes: list[Route]) -> Route:
    """Give the first of several ways, with the others as its alternatives."""
    first, *others = routes
    notes = first.candidates
    for route in others:
        seconds = resting.remaining(route.proxy)
        reason = f"rests for {seconds:.0f} s after a failure" if seconds else "comes later"
        shown = "direct" if route.proxy is None else str(route.proxy)
        notes += (Candidate(route.source or "", "passed", reason, shown),)
    return dataclasses.replace(first, candidates=notes, alternatives=tuple(others))


def start(proxy: ProxyLike, uri: str, target: Target | None, options: Options) -> Choosing:
    ws_uri = parse_uri(uri)
    where = target or Target(ws_uri.host, ws_uri.port)
    return choosing(proxy, ws_uri, uri, where, ARGUMENT, options)


def choose(
    proxy: ProxyLike, uri: str, target: Target | None = None, options: Options = NO_OPTIONS
) -> Route:
    """Find the way to a server.

    Args:
        proxy: what the program gave.
        uri: the server.
        target: where to connect, if that isn't what the URI says.
        options: what else the program says.

    Raises:
        InvalidProxy: if a proxy cannot be used.
        TypeError: if a function gives an awaitable: see `choose_async`.
    """
    steps = start(proxy, uri, target, options)
    try:
        awaitable = next(steps)
    except StopIteration as done:
        return combine(done.value)
    steps.close()
    if inspect.iscoroutine(awaitable):
        awaitable.close()
    raise TypeError("an async function can choose the proxy only where it can be awaited")


async def choose_async(
    proxy: ProxyLike, uri: str, target: Target | None = None, options: Options = NO_OPTIONS
) -> Route:
    """Do what `choose` does; functions may be async."""
    steps = start(proxy, uri, target, options)
    try:
        awaitable = next(steps)
        while True:
            awaitable = steps.send(await awaitable)
    except StopIteration as done:
        return combine(done.value)


def route(
    uri: str,
    proxy: ProxyLike = True,
    *,
    environment: Mapping[str, str] | None = None,
    system: SystemSettings | None = None,
    proxy_loopback: bool | None = None,
) -> Route:
    """Find the way to a server as `connect` does, without going there.

    ``route("wss://example.com/").explain()`` tells it in words.

    Args:
        uri: the server.
        proxy: as the argument of `connect`.
        environment: the environment variables, by default those of the process.
        system: the settings of the operating system, by default those that it has.
        proxy_loopback: as the argument of `connect`.

    Raises:
        InvalidURI: if the URI isn't valid.
        InvalidProxy: if a proxy cannot be used.
    """
    options = Options(environment=environment, system=system, loopback=proxy_loopback)
    return choose(proxy, uri, None, options)


def report_failure(route: Route, exc: Exception) -> bool:
    """Take note that a way failed; say whether that may be due to its proxy.

    A proxy that cannot be reached or talked to rests for a while. One that only couldn't, or
    wouldn't, connect to this server may still be good for others.
    """
    if not isinstance(exc, ProxyError):
        # Without a proxy, it is the server that cannot be reached.
        return route.proxy is None and isinstance(exc, OSError)
    if exc.step not in (RESOLVE, CONNECT_TCP, PROXY_TLS, AUTHENTICATE, CONNECT):
        return False
    broken = (InvalidProxyMessage, ProxyConnectionError, ProxyTimeout, ProxyTLSError)
    if (
        route.proxy is not None
        and route.rest is not None
        and (exc.step == AUTHENTICATE or isinstance(exc, broken))
    ):
        resting.add(route.proxy, route.rest)
    return True
