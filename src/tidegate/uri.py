"""WebSocket URIs (RFC 6455, section 3)."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

from .exceptions import InvalidURI

__all__ = ["WebSocketURI", "decode_uri", "parse_uri", "tls_name"]

# RFC 3986, section 2.2; "%" is there because what is quoted already must stay so.
DELIMS = ":/?#[]@!$&'()*+,;=%"

_has_controls = re.compile(r"[\x00-\x1f\x7f]").search
# RFC 3986, section 3.2.2
_is_valid_name = re.compile(r"[-.~_0-9A-Za-z!$&'()*+,;=%]+").fullmatch
_is_ascii_and_no_space = re.compile(r"[\x21-\x7e]*").fullmatch


@dataclasses.dataclass(init=False)
class WebSocketURI:
    """The parts of a WebSocket URI.

    Programs of the older API give ``resource_name`` instead of path and query, and ``user_info``,
    a pair or None, instead of user name and password.

    Attributes:
        secure: whether it is ``wss``, so that the connection uses TLS.
        host: the name of the host, in lower case and ASCII (RFC 3490), or its address.
        port: the port; 80 or, if secure, 443 unless the URI says otherwise.
        path: the path, maybe empty.
        query: the query, without question mark, maybe empty.
        username: the user name, unquoted, if the URI has user information.
        password: the password, unquoted, if the URI has user information.
    """

    secure: bool
    host: str
    port: int
    path: str
    query: str
    username: str | None = None
    password: str | None = None

    def __init__(
        self,
        secure: bool,
        host: str,
        port: int,
        path: str = "",
        query: str | tuple[str, str] | None = "",
        username: str | None = None,
        password: str | None = None,
        *,
        resource_name: str | None = None,
        user_info: tuple[str, str] | None = None,
    ) -> None:
        if resource_name is not None or not isinstance(query, str):
            # The fourth and the fifth part were these once.
            user_info = user_info or (query if isinstance(query, tuple) else None)
            path, _, query = (path if resource_name is None else resource_name).partition("?")
        if user_info is not None:
            username, password = user_info
        self.secure = secure
        self.host = host
        self.port = port
        self.path = path
        self.query = query
        self.username = username
        self.password = password

    @property
    def resource_name(self) -> str:
        """What a request for this asks for (RFC 6455, section 3): path and query."""
        path = self.path or "/"
        return f"{path}?{self.query}" if self.query else path

    @property
    def user_info(self) -> tuple[str, str] | None:
        """User name and password, None if the URI has none."""
        if self.username is None or self.password is None:
            return None
        return self.username, self.password


def tls_name(host: str) -> str:
    """Give the name of a host as TLS asks for it, and certificates have it (RFC 6066, section 3).

    A dot at its end, which says to the domain name system that the name is complete, isn't part
    of it.
    """
    return host.removesuffix(".") or host


# What to do about user information that looks like something else.
ESCAPE = "; percent-escape special characters in the user name and the password"


def parse_uri(uri: str) -> WebSocketURI:
    """Parse a WebSocket URI.

    Characters outside ASCII are encoded as RFC 3987 says, spaces in path and query as ``%20``.

    Args:
        uri: the URI.

    Raises:
        InvalidURI: if it isn't a valid WebSocket URI; it is a ValueError.

    See RFC 6455, section 3, RFC 3986.
    """
    if not isinstance(uri, str):
        raise TypeError(f"uri must be a str, not {type(uri).__name__}")
    # urllib takes some of them away without a word.
    if _has_controls(uri):
        raise InvalidURI(uri, "control characters aren't allowed")
    # The messages of urllib quote user information: they are no context of ours either.
    parsed = port = wrong = None
    try:
        parsed = urllib.parse.urlsplit(uri)
        port = parsed.port
    except ValueError:
        wrong = "its host or user information is malformed"
        if parsed is not None:
            wrong = "port isn't a number from 1 to 65535"
        if "@" in uri:
            wrong += ESCAPE
    if parsed is None or wrong is not None:
        raise InvalidURI(uri, wrong or "")

    if parsed.scheme not in ("ws", "wss"):
        raise InvalidURI(uri, "scheme isn't ws or wss")
    if not parsed.hostname:
        raise InvalidURI(uri, "hostname isn't provided")
    if parsed.fragment:
        raise InvalidURI(uri, "fragment identifier is meaningless")
    secure = parsed.scheme == "wss"
    if port is None:
        port = 443 if secure else 80
    elif port == 0:
        raise InvalidURI(uri, "port isn't a number from 1 to 65535")
    if "[" in parsed.netloc.rpartition("@")[2]:
        host = _parse_ipv6(uri, parsed.hostname)
    else:
        host = _parse_name(uri, parsed.hostname)

    username = password = None
    if parsed.username is not None:
        if parsed.password is None:
            raise InvalidURI(uri, "username provided without password")
        username, password = _unquote(uri, parsed.username), _unquote(uri, parsed.password)
    path, query = _quote(uri, parsed.path), _quote(uri, parsed.query)
    return WebSocketURI(secure, host, port, path, query, username, password)


def decode_uri(value: str) -> str:
    """Give the URI in a header, whose bytes were decoded as ISO-8859-1.

    Only ASCII may stand there (RFC 9110, section 10.2.2), but servers put UTF-8 there, too, which
    is kept, and other bytes, which are percent-escaped as they are.

    Args:
        value: the value of the header.
    """
    raw = value.encode("iso-8859-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return urllib.parse.quote(raw, safe=DELIMS)


def _unquote(uri: str, text: str) -> str:
    try:
        unquoted = urllib.parse.unquote(text, errors="strict")
        unquoted.encode()
    except UnicodeError:
        raise InvalidURI(uri, "user information isn't UTF-8") from None
    return unquoted


def _quote(uri: str, text: str) -> str:
    if _is_ascii_and_no_space(text):
        return text
    try:
        return urllib.parse.quote(text, safe=DELIMS)
    except UnicodeEncodeError:
        raise InvalidURI(uri, "it has characters that UTF-8 has no bytes for") from None


def _parse_ipv6(uri: str, host: str) -> str:
    import ipaddress

    # RFC 6874, section 2: the "%" before the name of the interface is itself quoted.
    host = host.replace("%25", "%", 1)
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise InvalidURI(uri, "what is in brackets isn't an IPv6 address") from None
    return host


def _parse_name(uri: str, host: str) -> str:
    # A longer name than DNS has cannot be found, and the codec's work is quadratic.
    if len(host) > 255:
        raise InvalidURI(uri, "hostname is too long")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise InvalidURI(uri, "hostname isn't a valid international name") from None
    if _is_valid_name(host) is None:
        raise InvalidURI(uri, "hostname has characters that aren't allowed")
    return host
