"""Headers of the opening handshake: their values parsed and built (RFC 6455, section 4, RFC 9110).

The ``parse_*`` functions that take ``(header, pos, header_name)`` parse one element at ``pos``
and return it and the position after it. All raise `InvalidHeaderFormat` for what they don't accept.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from .datastructures import Headers, HeadersLike
from .exceptions import InvalidHeaderFormat, InvalidHeaderValue, TooManyHeaders
from .typing import (
    ConnectionOption,
    ExtensionHeader,
    ExtensionName,
    ExtensionParameter,
    Subprotocol,
    UpgradeProtocol,
)

__all__ = [
    "build_authorization_basic",
    "build_extension",
    "build_host",
    "build_subprotocol",
    "build_www_authenticate_basic",
    "override",
    "parse_authorization_basic",
    "parse_connection",
    "parse_extension",
    "parse_subprotocol",
    "parse_upgrade",
    "validate_subprotocols",
]

T = TypeVar("T")

# Headers of a request, in lower case, that let somebody in. They are meant for one server only.
CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})

# Those that the opening handshake itself consists of (RFC 6455, section 4.1), or that would say
# that a body follows, and what to do instead.
HANDSHAKE = {
    "upgrade": "it always says websocket",
    "connection": "it always says Upgrade",
    "sec-websocket-key": "there is a new one for each connection",
    "sec-websocket-version": "it is always 13",
    "sec-websocket-extensions": "use the arguments extensions and compression",
    "sec-websocket-protocol": "use the argument subprotocols",
    "content-length": "the request has no body",
    "transfer-encoding": "the request has no body",
}

# RFC 9110, section 5.6.2
_TOKEN = r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+"
_token_re = re.compile(_TOKEN)
# RFC 9110, section 7.8
_protocol_re = re.compile(rf"{_TOKEN}(?:/{_TOKEN})?")
# RFC 9110, section 5.6.3
_OWS_re = re.compile(r"[\t ]*")
# RFC 9110, section 5.6.1: a list may have empty elements.
_separators_re = re.compile(r"[\t ,]*")
# RFC 9110, section 11.2
_token68_re = re.compile(r"[A-Za-z0-9-._~+/]+=*")
# RFC 9110, section 5.6.4
_quoted_string_re = re.compile(
    r'"((?:[\x09\x20-\x21\x23-\x5b\x5d-\x7e\x80-\xff]++|\\[\x09\x20-\x7e\x80-\xff])*+)"'
)
_quoted_pair_re = re.compile(r"\\([\x09\x20-\x7e\x80-\xff])")
_quotable_re = re.compile(r"[\x09\x20-\x7e\x80-\xff]*")
_to_quote_re = re.compile(r"([\x22\x5c])")

# The values of some headers are the same in nearly every handshake. Those up to this length are
# kept when parsed, so that neither the number nor the size of what is kept is the peer's choice.
_MAX_CACHED_LENGTH = 128
_MAX_CACHED_VALUES = 64


def build_host(host: str, port: int, secure: bool, *, always_include_port: bool = False) -> str:
    """Give the value of a ``Host`` header.

    Args:
        host: a name, an IPv4 address, or an IPv6 address without brackets.
        port: the port.
        secure: whether the connection uses TLS, which decides what the default port is.
        always_include_port: whether to include the port even if it is the default one.
    """
    # RFC 9110, section 7.2, RFC 3986, section 3.2.2
    if ":" in host and not host.startswith("["):
        # What follows "%" names a network interface of this machine: RFC 6874, section 4.
        host = f"[{host.partition('%')[0]}]"
    if always_include_port or port != (443 if secure else 80):
        return f"{host}:{port}"
    return host


# Elements


def peek_ahead(header: str, pos: int) -> str | None:
    """Give the character at ``pos``, None at the end."""
    return header[pos] if pos < len(header) else None


def parse_OWS(header: str, pos: int) -> int:
    """Give the position after optional white space."""
    match = _OWS_re.match(header, pos)
    return pos if match is None else match.end()


def parse_token(header: str, pos: int, header_name: str) -> tuple[str, int]:
    """Parse a token."""
    match = _token_re.match(header, pos)
    if match is None:
        raise InvalidHeaderFormat(header_name, "expected token", header, pos)
    return match.group(), match.end()


def parse_quoted_string(header: str, pos: int, header_name: str) -> tuple[str, int]:
    """Parse a quoted string; the result has no quotes."""
    match = _quoted_string_re.match(header, pos)
    if match is None:
        raise InvalidHeaderFormat(header_name, "expected quoted string", header, pos)
    return _quoted_pair_re.sub(r"\1", match.group(1)), match.end()


def build_quoted_string(value: str) -> str:
    """Give a quoted string.

    Raises:
        ValueError: if ``value`` has characters that a header cannot have.
    """
    if _quotable_re.fullmatch(value) is None:
        raise ValueError("invalid characters for quoted-string encoding")
    return '"' + _to_quote_re.sub(r"\\\1", value) + '"'


def parse_token68(header: str, pos: int, header_name: str) -> tuple[str, int]:
    """Parse credentials in Base64 or a similar encoding."""
    match = _token68_re.match(header, pos)
    if match is None:
        raise InvalidHeaderFormat(header_name, "expected token68", header, pos)
    return match.group(), match.end()


def parse_end(header: str, pos: int, header_name: str) -> None:
    """Check that there is nothing more."""
    if pos < len(header):
        raise InvalidHeaderFormat(header_name, "trailing data", header, pos)


def parse_list(
    parse_item: Callable[[str, int, str], tuple[T, int]], header: str, pos: int, header_name: str
) -> list[T]:
    """Parse elements separated by commas, at least one.

    Empty elements are ignored, as they are where a program joins several headers
    (RFC 9110, sections 5.3, 5.6.1).

    Args:
        parse_item: what parses an element.
        header: the value of the header.
        pos: where to start.
        header_name: the name of the header, for errors.
    """
    items = []
    end = len(header)
    # A list may start with empty elements but, before the first comma, not with white space: that
    # isn't part of the value of a header.
    if header.startswith(",", pos):
        pos = _skip_separators(header, pos)
    while True:
        item, pos = parse_item(header, pos, header_name)
        items.append(item)
        pos = parse_OWS(header, pos)
        if pos == end:
            return items
        if header[pos] != ",":
            raise InvalidHeaderFormat(header_name, "expected comma", header, pos)
        pos = _skip_separators(header, pos)
        if pos == end:
            return items


def _skip_separators(header: str, pos: int) -> int:
    match = _separators_re.match(header, pos)
    return pos if match is None else match.end()


def _cached(parse: Callable[[str], tuple[T, ...]]) -> Callable[[str], tuple[T, ...]]:
    """Make a parser remember the results for a few short values."""
    parse_short = functools.lru_cache(_MAX_CACHED_VALUES)(parse)

    def parse_cached(header: str) -> tuple[T, ...]:
        return parse_short(header) if len(header) <= _MAX_CACHED_LENGTH else parse(header)

    return parse_cached


# How many separators the lists in the headers of an opening handshake may have in all. Nobody needs
# a tenth of it, and a parser takes longer for each than for many bytes.
MAX_SEPARATORS = 1000

LISTS = ("Connection", "Upgrade", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol")


def check_lists(headers: Headers) -> None:
    """Refuse headers whose lists would take long to parse, before that.

    Raises:
        TooManyHeaders: if the lists have too many elements and parameters.
    """
    separators = 0
    for name in LISTS:
        for value in headers.get_all(name):
            # Short ones aren't looked at, because nearly all are.
            if len(value) > _MAX_CACHED_LENGTH:
                separators += sum(map(value.count, ',;"\\'))
            else:
                separators += len(value) // 4
    if separators > MAX_SEPARATORS:
        raise TooManyHeaders(
            f"the lists in {', '.join(LISTS[:-1])} and {LISTS[-1]} have more than "
            f"{MAX_SEPARATORS} elements and parameters"
        )


# Connection


def parse_connection_option(
    header: str, pos: int, header_name: str
) -> tuple[ConnectionOption, int]:
    """Parse an element of a ``Connection`` header."""
    item, pos = parse_token(header, pos, header_name)
    return ConnectionOption(item), pos


@_cached
def _parse_connection(header: str) -> tuple[ConnectionOption, ...]:
    return tuple(parse_list(parse_connection_option, header, 0, "Connection"))


def parse_connection(header: str) -> list[ConnectionOption]:
    """Parse the value of a ``Connection`` header (RFC 9110, section 7.6.1).

    Args:
        header: the value.

    Returns:
        The options, in the case they came in.

    Raises:
        InvalidHeaderFormat: if the value is malformed.
    """
    return list(_parse_connection(header))


# Upgrade


def parse_upgrade_protocol(header: str, pos: int, header_name: str) -> tuple[UpgradeProtocol, int]:
    """Parse an element of an ``Upgrade`` header."""
    match = _protocol_re.match(header, pos)
    if match is None:
        raise InvalidHeaderFormat(header_name, "expected protocol", header, pos)
    return UpgradeProtocol(match.group()), match.end()


@_cached
def _parse_upgrade(header: str) -> tuple[UpgradeProtocol, ...]:
    return tuple(parse_list(parse_upgrade_protocol, header, 0, "Upgrade"))


def parse_upgrade(header: str) -> list[UpgradeProtocol]:
    """Parse the value of an ``Upgrade`` header (RFC 9110, section 7.8).

    Args:
        header: the value.

    Returns:
        The protocols, in the case they came in.

    Raises:
        InvalidHeaderFormat: if the value is malformed.
    """
    return list(_parse_upgrade(header))


# Sec-WebSocket-Extensions


def parse_extension_item_param(
    header: str, pos: int, header_name: str
) -> tuple[ExtensionParameter, int]:
    """Parse a parameter of an extension: a name, and maybe a value."""
    name, pos = parse_token(header, pos, header_name)
    pos = parse_OWS(header, pos)
    value = None
    if peek_ahead(header, pos) == "=":
        pos = parse_OWS(header, pos + 1)
        if peek_ahead(header, pos) == '"':
            start = pos
            value, pos = parse_quoted_string(header, pos, header_name)
            # RFC 6455, section 9.1: a value in quotes must be a token as well.
            if _token_re.fullmatch(value) is None:
                raise InvalidHeaderFormat(
                    header_name, "invalid quoted header content", header, start
                )
        else:
            value, pos = parse_token(header, pos, header_name)
    return (name, value), pos


def parse_extension_item(header: str, pos: int, header_name: str) -> tuple[ExtensionHeader, int]:
    """Parse an element of a ``Sec-WebSocket-Extensions`` header."""
    name, pos = parse_token(header, pos, header_name)
    pos = parse_OWS(header, pos)
    parameters = []
    while peek_ahead(header, pos) == ";":
        pos = parse_OWS(header, pos + 1)
        parameter, pos = parse_extension_item_param(header, pos, header_name)
        pos = parse_OWS(header, pos)
        parameters.append(parameter)
    return (ExtensionName(name), parameters), pos


@_cached
def _parse_extension(header: str) -> tuple[ExtensionHeader, ...]:
    items = parse_list(parse_extension_item, header, 0, "Sec-WebSocket-Extensions")
    return tuple((name, tuple(parameters)) for name, parameters in items)


def parse_extension(header: str) -> list[ExtensionHeader]:
    """Parse the value of a ``Sec-WebSocket-Extensions`` header (RFC 6455, section 9.1).

    Args:
        header: the value.

    Returns:
        For each extension its name and a list of its parameters, each a name and a value or None.

    Raises:
        InvalidHeaderFormat: if the value is malformed.
    """
    return [(name, list(parameters)) for name, parameters in _parse_extension(header)]


parse_extension_list = parse_extension


def build_extension_item(name: ExtensionName, parameters: Sequence[ExtensionParameter]) -> str:
    """Give an element of a ``Sec-WebSocket-Extensions`` header."""
    return "; ".join(
        [name, *(key if value is None else f"{key}={value}" for key, value in parameters)]
    )


def build_extension(extensions: Sequence[ExtensionHeader]) -> str:
    """Give the value of a ``Sec-WebSocket-Extensions`` header.

    Args:
        extensions: for each extension its name and its parameters, each a name and a value or None.
    """
    return ", ".join(build_extension_item(name, parameters) for name, parameters in extensions)


build_extension_list = build_extension


# Sec-WebSocket-Protocol


def parse_subprotocol_item(header: str, pos: int, header_name: str) -> tuple[Subprotocol, int]:
    """Parse an element of a ``Sec-WebSocket-Protocol`` header."""
    item, pos = parse_token(header, pos, header_name)
    return Subprotocol(item), pos


@_cached
def _parse_subprotocol(header: str) -> tuple[Subprotocol, ...]:
    return tuple(parse_list(parse_subprotocol_item, header, 0, "Sec-WebSocket-Protocol"))


def parse_subprotocol(header: str) -> list[Subprotocol]:
    """Parse the value of a ``Sec-WebSocket-Protocol`` header (RFC 6455, section 11.3.4).

    Args:
        header: the value.

    Returns:
        The subprotocols, in order.

    Raises:
        InvalidHeaderFormat: if the value is malformed.
    """
    return list(_parse_subprotocol(header))


parse_subprotocol_list = parse_subprotocol


def build_subprotocol(subprotocols: Sequence[Subprotocol]) -> str:
    """Give the value of a ``Sec-WebSocket-Protocol`` header."""
    return ", ".join(subprotocols)


build_subprotocol_list = build_subprotocol


def validate_subprotocols(subprotocols: Sequence[Subprotocol]) -> None:
    """Check a program's choice of subprotocols.

    Raises:
        TypeError: if it isn't a sequence, or is a string.
        InvalidHeaderValue: if a subprotocol isn't a token, as RFC 6455, section 4.1, demands; it
            is a ValueError.
    """
    if not isinstance(subprotocols, Sequence):
        raise TypeError("subprotocols must be a list")
    if isinstance(subprotocols, (str, bytes)):
        raise TypeError(f"subprotocols must be a list, not a {type(subprotocols).__name__}")
    for subprotocol in subprotocols:
        if _token_re.fullmatch(subprotocol) is None:
            raise InvalidHeaderValue(
                "Sec-WebSocket-Protocol", f"invalid subprotocol: {subprotocol}"
            )


# WWW-Authenticate, Authorization, Proxy-Authorization


def build_www_authenticate_basic(realm: str) -> str:
    """Give the value of a ``WWW-Authenticate`` header that asks for a user name and a password.

    Args:
        realm: what they are for, for people to read.

    Raises:
        InvalidHeaderValue: if the realm has characters that a header cannot have; it is a
            ValueError.

    See RFC 7617.
    """
    try:
        quoted = build_quoted_string(realm)
    except ValueError as exc:
        raise InvalidHeaderValue("WWW-Authenticate", str(exc)) from exc
    return f'Basic realm={quoted}, charset="UTF-8"'


def parse_authorization_basic(header: str) -> tuple[str, str]:
    """Parse the value of an ``Authorization`` header with a user name and a password.

    Args:
        header: the value.

    Returns:
        User name and password. Bytes that aren't UTF-8 come as surrogates
        (``errors="surrogateescape"``).

    Raises:
        InvalidHeaderFormat: if the value is malformed.
        InvalidHeaderValue: if the scheme isn't ``Basic`` or the credentials aren't valid.

    See RFC 7617.
    """
    scheme, pos = parse_token(header, 0, "Authorization")
    if scheme.lower() != "basic":
        raise InvalidHeaderValue("Authorization", f"unsupported scheme: {scheme}")
    if peek_ahead(header, pos) != " ":
        raise InvalidHeaderFormat("Authorization", "expected space after scheme", header, pos)
    credentials, pos = parse_token68(header, pos + 1, "Authorization")
    parse_end(header, pos, "Authorization")
    try:
        user_pass = base64.b64decode(credentials, validate=True)
    except binascii.Error:
        raise InvalidHeaderValue("Authorization", "expected base64-encoded credentials") from None
    username, colon, password = user_pass.decode(errors="surrogateescape").partition(":")
    if not colon:
        raise InvalidHeaderValue("Authorization", "expected username:password credentials")
    return username, password


def build_authorization_basic(username: str, password: str) -> str:
    """Give the value of an ``Authorization`` header with a user name and a password.

    Args:
        username: the user name, without colons.
        password: the password.

    Raises:
        ValueError: if there is a colon in the user name.

    See RFC 7617.
    """
    if ":" in username:
        raise ValueError("a user name for Basic authentication must not contain a colon")
    user_pass = f"{username}:{password}".encode(errors="surrogateescape")
    return "Basic " + base64.b64encode(user_pass).decode()


def override(headers: Headers, others: HeadersLike) -> None:
    """Put headers in the place of those that have the same name, and add the others.

    Args:
        headers: what is changed.
        others: a name in it may have several values.

    Raises:
        InvalidHeader: if one can't be sent.
    """
    others = Headers(others)
    for name in others:
        if name in headers:
            del headers[name]
    headers.update(others)


def refuse_handshake(headers: HeadersLike) -> None:
    """Refuse headers that are for the opening handshake only to say.

    Args:
        headers: what a program wants to add to the request.

    Raises:
        ValueError: if there is one among them.
        InvalidHeader: if one can't be sent.
    """
    for name, _ in Headers(headers).raw_items():
        reason = HANDSHAKE.get(name.lower())
        if reason is not None:
            raise ValueError(f"{name} can't be one of the headers that a program adds: {reason}")
