"""What a proxy is, and how its URL is read."""

from __future__ import annotations

import dataclasses
import os
import ssl as ssl_module
import urllib.parse
from typing import TYPE_CHECKING, NoReturn

from ..datastructures import HeadersLike
from ..exceptions import InvalidProxy
from ..printable import without_user_info
from ..uri import ESCAPE
from .addresses import parse_address

if TYPE_CHECKING:
    from .credentials import AuthLike

__all__ = ["DEFAULT_PORTS", "SCHEMES", "Proxy", "parse_proxy", "parse_proxy_url"]

DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
    "socks4+tls": 1080,
    "socks4a+tls": 1080,
    "socks5+tls": 1080,
    "socks5h+tls": 1080,
}

SCHEMES = tuple(DEFAULT_PORTS)

# What desktop environments write; they mean that the proxy looks the name up.
ALIASES = {"socks": "socks5h", "socks+tls": "socks5h+tls"}

UNIX = "+unix"

SSLLike = ssl_module.SSLContext | str | os.PathLike[str] | bool


@dataclasses.dataclass(repr=False)
class Proxy:
    """A proxy, and how to talk to it.

    The first five arguments are those of a URL, see `parse_proxy`.

    Args:
        scheme: ``http``, ``https``, ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``; a SOCKS
            scheme followed by ``+tls`` is that protocol inside TLS.
        host: the name or address of the proxy, an IPv6 address without brackets.
        port: its TCP port.
        username: the user to authenticate as, None for none.
        password: their password.
        via: the proxy through which this one is reached, itself possibly reached through another.
        unix_path: the Unix socket on which this proxy listens; ``host`` and ``port`` aren't
            connected to then, but ``host`` still names the proxy in its TLS certificate.
        headers: headers to send with ``CONNECT``, such as the session id of a rotating proxy.
        auth: how to authenticate, where the user and password aren't enough: see
            `tidegate.proxy.auth`.
        ssl: for a proxy behind TLS, the context; or the path of a bundle of the certificates to
            trust, in PEM format.
        server_hostname: the name in the proxy's certificate, where that isn't ``host``.

    Raises:
        InvalidProxy: if no proxy can be like that.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = None
    _: dataclasses.KW_ONLY
    via: Proxy | None = None
    unix_path: str | None = None
    headers: HeadersLike | None = None
    auth: AuthLike | None = None
    ssl: SSLLike | None = None
    server_hostname: str | None = None

    def __post_init__(self) -> None:
        self.scheme = ALIASES.get(self.scheme, self.scheme)
        if self.scheme not in DEFAULT_PORTS:
            self.refuse(f"scheme {self.scheme} isn't supported; use one of {', '.join(SCHEMES)}")
        if self.unix_path is None and not 0 < self.port < 65536:
            self.refuse("port isn't between 1 and 65535")
        if not self.host or not self.host.isprintable() or " " in self.host:
            self.refuse("hostname is empty or has characters that no name has")
        for what, value in ("username", self.username), ("password", self.password):
            if value is not None and has_control_characters(value):
                self.refuse(f"{what} has control characters")
        if self.username is None and self.password is not None:
            self.refuse("password provided without username")
        if self.username is not None and self.is_socks5:
            for what, value in ("username", self.username), ("password", self.password or ""):
                # RFC 1929, section 2 gives one byte to the length, and no room to an empty one.
                if not 0 < len(value.encode(errors="surrogateescape")) < 256:
                    self.refuse(f"{what} isn't between 1 and 255 bytes long, as SOCKS5 needs")
        if self.via is not None and self.unix_path is not None:
            self.refuse("a Unix socket cannot be reached through another proxy")
        if self.ssl and not self.tls:
            raise ValueError(f"ssl argument is incompatible with {a(self.scheme)}:// proxy")

    def refuse(self, why: str) -> NoReturn:
        """Say why it can't be used.

        Raises:
            InvalidProxy: always.
        """
        raise InvalidProxy(str(self), why)

    @property
    def user_info(self) -> tuple[str, str] | None:
        """The user name and password, which is empty if there is none; None without a user."""
        return None if self.username is None else (self.username, self.password or "")

    @property
    def has_token(self) -> bool:
        """Whether the user name may be a token, as secret as a password: it stands alone."""
        return self.username is not None and not self.password and not self.is_socks4

    @property
    def tls(self) -> bool:
        """Whether the proxy is spoken to inside TLS."""
        return self.scheme == "https" or self.scheme.endswith("+tls")

    @property
    def is_http(self) -> bool:
        """Whether the proxy is asked with the HTTP method ``CONNECT``."""
        return self.scheme.startswith("http")

    @property
    def is_socks4(self) -> bool:
        """Whether the proxy speaks SOCKS4 or SOCKS4a."""
        return self.scheme.startswith("socks4")

    @property
    def is_socks5(self) -> bool:
        """Whether the proxy speaks SOCKS5."""
        return self.scheme.startswith("socks5")

    @property
    def remote_names(self) -> bool:
        """Whether the proxy resolves the names of those whom it connects to."""
        return self.is_http or self.scheme.startswith(("socks4a", "socks5h"))

    @property
    def hops(self) -> tuple[Proxy, ...]:
        """This proxy and those before it, the one nearest to us first."""
        return (self.via.hops if self.via is not None else ()) + (self,)

    def url(self, *, password: bool = False) -> str:
        """Give the URL of this proxy alone, with its password or with ``***`` in its place."""
        user_info = ""
        if self.username is not None:
            user_info = escaped(self.username)
            if self.password is not None:
                user_info += ":" + (escaped(self.password) if password else "***")
            if self.has_token and not password:
                user_info = "***"
            user_info += "@"
        if self.unix_path is not None:
            # A path that doesn't begin with a slash stands where a host does, and has none.
            slash = "/" if self.unix_path.startswith("/") else ""
            path = escaped(self.unix_path, slash)
            return f"{self.scheme}{UNIX}://{user_info}{path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{user_info}{host}:{self.port}"

    def __str__(self) -> str:
        if self.via is None:
            return self.url()
        return f"{self.via} -> {self.url()}"

    def __repr__(self) -> str:
        shown = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("scheme", "host", "port") or value != field.default:
                # Headers and authentication may hold secrets as well as a password does.
                secret = field.name in ("password", "headers", "auth") and value is not None
                secret = secret or (field.name == "username" and self.has_token)
                shown.append(f"{field.name}={'***' if secret else repr(value)}")
        return f"Proxy({', '.join(shown)})"


def a(word: str) -> str:
    """Give ``word`` with its indefinite article."""
    return f"{'an' if word.startswith('http') else 'a'} {word}"


def has_control_characters(text: str) -> bool:
    return any(c < " " or c == "\x7f" for c in text)


def parse_proxy(proxy: str, *, default_scheme: str | None = None) -> Proxy:
    """Read the URL of a proxy, or of a chain of them.

    ``http://user:password@proxy.example:3128`` is the usual form; special characters of the user
    and the password are percent-escaped. ``socks5h://one -> http://two`` goes to the second through
    the first. ``http+unix:///run/proxy.sock`` listens on a Unix socket.

    Args:
        proxy: the URL.
        default_scheme: the scheme of a value that has none, such as ``proxy.example:3128``; None to
            refuse such a value.

    Raises:
        InvalidProxy: if it isn't the URL of a proxy.
    """
    if "->" not in proxy:
        return parse_single(proxy, default_scheme)
    chain: Proxy | None = None
    for url in proxy.split("->"):
        chain = dataclasses.replace(parse_single(url.strip(), default_scheme), via=chain)
    assert chain is not None
    return chain


def parse_single(proxy: str, default_scheme: str | None) -> Proxy:
    if has_control_characters(proxy) or " " in proxy:
        # urlsplit() would leave some of them out without a word.
        raise InvalidProxy(proxy, "it has spaces or control characters; percent-escape them")
    if "://" not in proxy:
        rest = proxy.removeprefix("//")
        if default_scheme is None:
            example = without_user_info(f"http://{rest}")
            raise InvalidProxy(proxy, f"scheme isn't provided; write {example}")
        proxy = f"{default_scheme}://{rest}"
    parts = split(proxy)
    port = parts.port
    host = parts.hostname
    scheme = parts.scheme
    unix_path = None
    if scheme.endswith(UNIX):
        scheme = scheme.removesuffix(UNIX)
        # Not the host as it is given, whose case doesn't matter, as that of a path does.
        place = parts.netloc.rpartition("@")[2]
        unix_path = unescaped(parts.path or place)
        if not unix_path or (parts.path and place):
            raise InvalidProxy(proxy, f"write {scheme}{UNIX}:///path/of/the/socket")
        host = "localhost"
    elif parts.path not in ("", "/"):
        raise InvalidProxy(proxy, f"path is meaningless{advice(parts.path)}")
    scheme = ALIASES.get(scheme, scheme)
    if scheme not in DEFAULT_PORTS:
        raise InvalidProxy(
            proxy, f"scheme {scheme} isn't supported; use one of {', '.join(SCHEMES)}"
        )
    if parts.query:
        raise InvalidProxy(proxy, f"query is meaningless{advice(parts.query)}")
    if parts.fragment:
        raise InvalidProxy(proxy, f"fragment is meaningless{advice(parts.fragment)}")
    if not host:
        raise InvalidProxy(proxy, "hostname isn't provided")
    if ":" in host and parse_address(host) is None:
        # urlsplit() looks only at what stands in the first brackets.
        raise InvalidProxy(proxy, "what is in brackets isn't an IPv6 address")
    username, password = parts.username, parts.password
    if username is not None:
        username = unescaped(username)
    if password is not None:
        password = unescaped(password)
    try:
        return Proxy(
            scheme,
            ascii_host(host),
            port or DEFAULT_PORTS[scheme],
            username,
            password,
            unix_path=unix_path,
        )
    except UnicodeError as exc:
        raise InvalidProxy(proxy, f"hostname isn't valid: {exc}") from exc


def unescaped(text: str) -> str:
    """Give a part of a URL as it is meant; bytes that aren't UTF-8 become surrogates."""
    return urllib.parse.unquote(text, errors="surrogateescape")


def escaped(text: str, safe: str = "") -> str:
    """Give what `unescaped` makes this of."""
    return urllib.parse.quote(text, safe, errors="surrogateescape")


def split(url: str) -> urllib.parse.SplitResult:
    """Take a URL apart, whose port is then a number.

    Raises:
        InvalidProxy: if that can't be done. What the library says of it would quote passwords, so
            it is neither its cause nor its context.
    """
    wrong = "its host, user name or password has characters that can't stand there"
    try:
        parts = urllib.parse.urlsplit(url)
        wrong = "port isn't a number from 0 to 65535"
        _ = parts.port
    except ValueError:
        pass
    else:
        return parts
    raise InvalidProxy(url, wrong + advice(url))


def advice(text: str) -> str:
    """Say what to do where user information was taken for something else."""
    return ESCAPE if "@" in text else ""


def without_user(parts: urllib.parse.SplitResult) -> str:
    """Give a URL without a user that has no password: it may be a token, which is as secret."""
    return f"{parts.scheme}://***@{parts.netloc.rpartition('@')[2]}"


def ascii_host(host: str) -> str:
    """Give a host name as the domain name system knows it (RFC 3490)."""
    try:
        host.encode("ascii")
    except UnicodeEncodeError:
        return host.encode("idna").decode()
    return host


def parse_proxy_url(proxy_url: str) -> tuple[str, str, int, str | None, str | None]:
    """Read the URL of an HTTP proxy strictly, as Libcloud does.

    Unlike `parse_proxy` it knows only ``http`` and ``https``, wants a port, and takes credentials
    as they stand, without percent-escapes.

    Returns:
        scheme, host, port, user name and password.

    Raises:
        ValueError: if the scheme is another, or the host, the port, or the password of a user is
            missing.
    """
    if not isinstance(proxy_url, str):
        raise InvalidProxy(repr(proxy_url), "it is no URL; set_proxy(None) is for no proxy")
    if has_control_characters(proxy_url) or " " in proxy_url:
        raise InvalidProxy(proxy_url, "it has spaces or control characters")
    parts = split(proxy_url)
    port = parts.port
    if parts.scheme not in ("http", "https"):
        raise InvalidProxy(proxy_url, "only http and https proxies are supported")
    if not parts.hostname or port is None:
        raise InvalidProxy(proxy_url, "write it as http://<hostname>:<port>, both are needed")
    if parts.username is not None and not parts.password:
        raise InvalidProxy(
            without_user(parts), "URL is in an invalid format, write both as user:pass@"
        )
    return parts.scheme, parts.hostname, port, parts.username, parts.password
