"""Finding the proxy for a server in the environment and the settings of the operating system."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping

from ..exceptions import InvalidProxy
from ..uri import WebSocketURI
from .addresses import is_loopback
from .bypass import doubts, find_rule, shown_rules
from .environment import Environment
from .hop import Target
from .routes import Candidate, Route
from .url import Proxy, parse_proxy

__all__ = ["SystemSettings", "discover", "get_proxy", "read_system_settings"]

LOOPBACK_VARIABLE = "TIDEGATE_PROXY_LOOPBACK"

SYSTEM = "the settings of the operating system"


@dataclasses.dataclass(frozen=True)
class SystemSettings:
    """What the operating system says about proxies.

    Attributes:
        proxies: the URL of the proxy for ``http``, ``https`` and ``socks``.
        bypass: says whether a host is to be connected to directly.
    """

    proxies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    bypass: Callable[[str], object] = lambda host: False


def read_system_settings() -> SystemSettings:
    """Read the settings of macOS or Windows; other systems have none."""
    if sys.platform == "darwin":
        # Not imported where there is nothing to read, because it takes its time.
        from urllib.request import getproxies_macosx_sysconf, proxy_bypass_macosx_sysconf

        return SystemSettings(getproxies_macosx_sysconf(), proxy_bypass_macosx_sysconf)
    if sys.platform == "win32":
        from urllib.request import getproxies_registry, proxy_bypass_registry

        return SystemSettings(getproxies_registry(), proxy_bypass_registry)
    return SystemSettings()


def discover(
    ws_uri: WebSocketURI,
    target: Target | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    system: SystemSettings | None = None,
    loopback: bool | None = None,
) -> Route:
    """Find the way to a server.

    First it looks who is to be connected to directly: loopback, and whom ``no_proxy`` or the bypass
    list of the operating system has. Then it takes the first of ``wss_proxy`` or ``ws_proxy``, the
    SOCKS proxy of the operating system or ``socks_proxy``, ``https_proxy``, ``http_proxy`` (only
    for ``ws``), and ``all_proxy``. The settings of the operating system count where the environment
    has no proxy at all.

    Args:
        ws_uri: the server.
        target: where to connect, if that isn't what the URI says.
        environment: the environment variables, by default those of the process.
        system: the settings of the operating system, by default those that it has.
        loopback: whether this machine, too, is reached through a proxy; by default as the variable
            ``TIDEGATE_PROXY_LOOPBACK`` says.

    Raises:
        InvalidProxy: if the proxy that is found cannot be used; it says where it was found.
    """
    variables = os.environ if environment is None else environment
    env = Environment(variables)
    if target is None:
        target = Target(ws_uri.host, ws_uri.port)
    if loopback is None:
        loopback = variables.get(LOOPBACK_VARIABLE, "").lower() not in ("", "0", "no", "false")
    from_system = not env.has_proxies()
    if from_system and system is None:
        system = read_system_settings()
    search = Search(ws_uri, target, env, system if from_system else None)
    if not loopback and is_loopback(target.host):
        search.decide(
            "loopback",
            "this machine isn't reached through a proxy that was found, unless "
            f"{LOOPBACK_VARIABLE}=1",
        )
    search.check_bypass()
    scheme = "wss" if ws_uri.secure else "ws"
    search.consider(scheme)
    search.consider("socks")
    search.consider("https")
    if ws_uri.secure:
        search.pass_over("http", "counts for ws:// only")
    else:
        search.consider("http")
    search.consider("all")
    return search.route()


class Search:
    """The state of a search: candidates that were looked at, and the decision."""

    def __init__(
        self,
        ws_uri: WebSocketURI,
        target: Target,
        env: Environment,
        system: SystemSettings | None,
    ) -> None:
        self.ws_uri = ws_uri
        self.target = target
        self.env = env
        self.system = system
        self.candidates: list[Candidate] = []
        self.decided = False
        self.proxy: Proxy | None = None
        self.source: str | None = None

    def note(self, name: str, verdict: str, reason: str, value: str | None = None) -> None:
        self.candidates.append(Candidate(name, verdict, reason, value))

    def decide(self, name: str, reason: str) -> None:
        """Decide for a direct connection."""
        self.decided = True
        self.source = name
        self.note(name, "direct", reason)

    def check_bypass(self) -> None:
        """Look at the lists of those who are connected to directly."""
        no_proxy, name = self.env.get("no_proxy"), self.env.name("no_proxy")
        if self.decided:
            return
        if not no_proxy:
            self.note_absence("no_proxy", name)
        elif (rule := find_rule(no_proxy, self.target)) is not None:
            self.decide(name, f"its rule {rule} is for {self.target}")
        else:
            rules = shown_rules(no_proxy)
            self.note(name, "passed", f"has no rule for {self.target}: {rules}")
        for doubt in doubts(no_proxy):
            self.note(name, "warning", doubt)
        for other, value, reason in self.env.ignored("no_proxy"):
            self.note(other, "passed", reason, shown_rules(value))
        if self.system is not None and not self.decided and self.system.proxies:
            if self.system.bypass(self.target.host):
                self.decide("bypass list", f"that of the operating system has {self.target.host}")
            else:
                self.note("bypass list", "passed", f"doesn't have {self.target.host}")

    def lookup(self, key: str) -> tuple[str, str, str | None]:
        """Give a candidate's name, its source in words, and its value if it has one."""
        name = self.env.name(f"{key}_proxy")
        if self.system is not None and (value := self.system.proxies.get(key)):
            return f"system {key} proxy", SYSTEM, value
        return name, f"the environment variable {name}", self.env.get(f"{key}_proxy") or None

    def pass_over(self, key: str, reason: str) -> None:
        name, _, value = self.lookup(key)
        if value is None:
            self.note_absence(f"{key}_proxy", name)
        else:
            self.note(name, "passed", reason, shown(value))
        self.note_ignored(key)

    def note_absence(self, key: str, name: str) -> None:
        """Note that a variable has no value."""
        if (reason := self.env.absence(key)) is not None:
            self.note(name, "passed", reason)

    def note_ignored(self, key: str) -> None:
        """Note the spellings of a variable that are set and don't count."""
        for name, value, reason in self.env.ignored(f"{key}_proxy"):
            self.note(name, "passed", reason, shown(value))

    def consider(self, key: str) -> None:
        """Look at one candidate, and take it if nothing is decided yet."""
        name, source, value = self.lookup(key)
        if value is None or self.decided:
            self.pass_over(key, "it is decided already")
            return
        # macOS gives the SOCKS proxy as if it were another one for HTTP.
        if key == "socks":
            value = f"socks5h://{value.removeprefix('http://')}" if is_plain(value) else value
        try:
            proxy = parse_proxy(value, default_scheme="http")
        except InvalidProxy as exc:
            raise InvalidProxy(exc.proxy, f"{exc.msg} (from {source})") from exc
        self.decided = True
        self.proxy = proxy
        self.source = source
        self.note(name, "chosen", "the first that is set", str(proxy))
        self.note_ignored(key)

    def route(self) -> Route:
        return Route(self.ws_uri, self.proxy, self.source, tuple(self.candidates), self.target)


def is_plain(value: str) -> bool:
    """Say whether the URL of a SOCKS proxy doesn't say which version it is."""
    return value.startswith("http://") or "://" not in value


def shown(value: str) -> str:
    """Give the value of a variable without its password, whatever else is wrong with it."""
    try:
        return str(parse_proxy(value, default_scheme="http"))
    except InvalidProxy as exc:
        return str(exc)


def get_proxy(uri: WebSocketURI) -> str | None:
    """Give the URL of the proxy that the environment or the system has for a server, if any."""
    route = discover(uri)
    return None if route.proxy is None else route.proxy.url(password=True)
