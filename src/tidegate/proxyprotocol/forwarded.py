"""Who the client is, from what HTTP proxies add to its request.

``Forwarded`` is RFC 7239; ``X-Forwarded-For``, ``-Proto`` and ``-Host`` were there before it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

from .addresses import canonical_ip
from .policy import Trust, TrustedPeers, socket_address
from .typing import SockAddr

__all__ = ["ForwardedPolicy", "ForwardedRequest"]

HeaderName = Literal["Forwarded", "X-Forwarded-For"]

# RFC 9110, section 5.6: token, quoted-string
TOKEN = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
# RFC 7239, section 4, with what comes before it in the list. Addresses with a port or of IPv6
# should be quoted, but not all proxies know.
PAIR = re.compile(rf"({TOKEN})=({QUOTED}|[^\s,;\"]*)")
SEPARATOR = re.compile(r"[ \t]*([,;])[ \t]*")
UNESCAPE = re.compile(r"\\(.)")
# RFC 7239, section 6
NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?")
# A host and maybe a port, as in the Host header.
HOST = re.compile(r"[-._~0-9A-Za-z!$&'()*+;=%]+(?::[0-9]*)?|\[[0-9A-Fa-f:.]+\](?::[0-9]*)?")
SCHEME = re.compile(r"[A-Za-z][-+.0-9A-Za-z]*")


class SupportsGetAll(Protocol):
    """The headers of a request, as far as they are needed."""

    def get_all(self, name: str, /) -> list[str]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """What trusted proxies say about a request.

    Attributes:
        remote_address: the client's address as a socket has it, with port 0 if that isn't known;
            the address that was asked about, where no proxy says more.
        proto: the scheme that the client used, like ``"https"``; None if no proxy says.
        host: the host that it asked for; None if no proxy says.
    """

    remote_address: SockAddr
    proto: str | None = None
    host: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Element:
    """What one proxy says about where it got a request from."""

    node: SockAddr
    proto: str | None
    host: str | None


class ForwardedPolicy:
    """From whom ``Forwarded`` and ``X-Forwarded-*`` headers are believed.

    A proxy adds to the end of what is there, so the last entry is believed if the peer is trusted,
    the one before it if the last one is the address of a trusted proxy, and so on. What comes
    before could be the client's invention.

    A client could send the header that its proxy doesn't know of, and the proxy would pass it on.
    So only the one that the proxies write is looked at.

    Args:
        trusted: addresses and networks of proxies, and ``"unix"``, as for ``ProxyPolicy``.
        header: ``"Forwarded"`` or ``"X-Forwarded-For"`` whichever they write.

    Raises:
        ValueError: if one of these isn't possible.
    """

    def __init__(self, *, trusted: Trust, header: HeaderName) -> None:
        if header not in ("Forwarded", "X-Forwarded-For"):
            raise ValueError(f"header must be 'Forwarded' or 'X-Forwarded-For', not {header!r}")
        self.trusted = TrustedPeers(trusted)
        self.header = header

    def resolve(self, address: SockAddr, headers: SupportsGetAll) -> ForwardedRequest:
        """Say who sent a request.

        Args:
            address: the address that it came from: that of the socket, or of a PROXY protocol
                header.
            headers: its headers.
        """
        request = ForwardedRequest(address)
        if address not in self.trusted:
            return request
        for element in self.elements(headers):
            if element.node is None:
                break
            request = ForwardedRequest(element.node, element.proto, element.host)
            if element.node not in self.trusted:
                break
        return request

    def elements(self, headers: SupportsGetAll) -> Iterator[Element]:
        """Give what proxies added, the last of them first."""
        lines = headers.get_all(self.header)
        if self.header == "Forwarded":
            return read_forwarded(lines)
        return read_legacy(
            lines, headers.get_all("X-Forwarded-Proto"), headers.get_all("X-Forwarded-Host")
        )


def read_forwarded(lines: list[str]) -> Iterator[Element]:
    """Give the elements of ``Forwarded`` headers, the last first, up to one that is malformed."""
    for line in reversed(lines):
        elements = split_forwarded(line)
        if elements is None:
            return
        for pairs in reversed(elements):
            yield Element(
                read_node(pairs.get("for", "")),
                checked(pairs.get("proto"), SCHEME, str.lower),
                checked(pairs.get("host"), HOST),
            )


def split_forwarded(line: str) -> list[dict[str, str]] | None:
    """Give the parameters of each element of a ``Forwarded`` header, None if it is malformed."""
    elements: list[dict[str, str]] = [{}]
    at = 0
    line = line.strip(" \t")
    while True:
        # An element may be empty, as in all lists.
        pair = PAIR.match(line, at)
        if pair is not None:
            name, value = pair[1].lower(), pair[2]
            if name in elements[-1]:
                return None
            if value.startswith('"'):
                value = UNESCAPE.sub(r"\1", value[1:-1])
            elements[-1][name] = value
            at = pair.end()
        if at == len(line):
            return [element for element in elements if element]
        separator = SEPARATOR.match(line, at)
        if separator is None:
            return None
        if separator[1] == ",":
            elements.append({})
        at = separator.end()


def read_legacy(lines: list[str], protos: list[str], hosts: list[str]) -> Iterator[Element]:
    """Give the elements of ``X-Forwarded-*`` headers, the last first."""
    nodes, schemes, names = split(lines), split(protos), split(hosts)
    for place in range(len(nodes) - 1, -1, -1):
        # Where each proxy adds one, they correspond; where each replaces it, there is one.
        yield Element(
            read_node(nodes[place]),
            checked(corresponding(schemes, nodes, place), SCHEME, str.lower),
            checked(corresponding(names, nodes, place), HOST),
        )


def split(lines: Iterable[str]) -> list[str]:
    """Give the elements of lists, without empty ones (RFC 9110, section 5.6.1)."""
    items = (item.strip(" \t") for line in lines for item in line.split(","))
    return [item for item in items if item]


def corresponding(values: list[str], nodes: list[str], place: int) -> str | None:
    if not values:
        return None
    return values[place] if len(values) == len(nodes) else values[-1]


def checked(
    value: str | None, pattern: re.Pattern[str], change: Callable[[str], str] = str
) -> str | None:
    return change(value) if value is not None and pattern.fullmatch(value) else None


def read_node(text: str) -> SockAddr:
    """Give an address like those of sockets, None if there is none in this.

    It takes what RFC 7239, section 6 calls a node, and an IPv6 address without brackets.
    """
    match = NODE.fullmatch(text)
    if match is None:
        host, port = text, 0
    else:
        host, port = match[1] or match[2], int(match[3] or 0)
    ip = canonical_ip(host.encode("latin-1", "replace"))
    if ip is None or port > 0xFFFF or (match is not None and (":" in ip) is not bool(match[1])):
        return None
    return socket_address((ip, port))
