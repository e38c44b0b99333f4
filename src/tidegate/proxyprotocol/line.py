"""The line of version 1, while it is incomplete or when something is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable

from .addresses import canonical_ip
from .errors import ProxyProtocolSyntaxError

__all__ = ["MAX_LINE", "shortest_line"]

# Section 2.1 of the PROXY protocol specification: CRLF included.
MAX_LINE = 107
UNKNOWN = b"PROXY UNKNOWN"

OCTET = re.compile(rb"25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9]")
NUMBER = re.compile(rb"0|[1-9][0-9]{0,4}")


def shortest_line(data: bytes, max_size: int) -> bytes:
    """Give the shortest version 1 header that begins with ``data``.

    If ``data`` has all of a header, it is that header. If not, what is missing is the number of
    bytes that can be read from the proxy without reading past the end of the header.

    Args:
        data: what there is of the header, and maybe more.
        max_size: the size of the largest header that is allowed, in bytes.

    Raises:
        ProxyProtocolSyntaxError: if there is no such header; the message says what is wrong.
    """
    limit = min(MAX_LINE, max_size)
    data = data[:limit]
    if UNKNOWN.startswith(data):
        line = UNKNOWN + b"\r\n"
    elif data.startswith(UNKNOWN):
        line = shortest_unknown(data)
    elif b"PROXY TCP6 ".startswith(data):
        line = shortest_tcp(b"PROXY TCP6 ")
    elif b"PROXY TCP4 ".startswith(data) or data.startswith((b"PROXY TCP4 ", b"PROXY TCP6 ")):
        line = shortest_tcp(data)
    else:
        raise ProxyProtocolSyntaxError(
            f"no line 'PROXY TCP4 ...', 'PROXY TCP6 ...' or 'PROXY UNKNOWN': {data!r}"
        )
    if len(line) > limit:
        raise ProxyProtocolSyntaxError(f"no CRLF within {limit} bytes: {data!r}")
    return line


def shortest_unknown(data: bytes) -> bytes:
    """Complete a line that begins with ``PROXY UNKNOWN``; what follows that is ignored."""
    line, crlf, _ = data.partition(b"\r\n")
    if not crlf:
        line = data.removesuffix(b"\r")
    if line != UNKNOWN and not line.startswith(UNKNOWN + b" "):
        raise ProxyProtocolSyntaxError(f"no space after 'PROXY UNKNOWN': {data!r}")
    return line + b"\r\n"


def shortest_tcp(data: bytes) -> bytes:
    """Complete a line that begins with ``PROXY TCP4`` or ``PROXY TCP6``."""
    start = len(b"PROXY TCP4 ")
    family, rest = data[:start].ljust(start), data[start:]
    line, crlf, _ = rest.partition(b"\r\n")
    if not crlf:
        line = rest.removesuffix(b"\r")
    ended = line != rest
    complete_ip = complete_ipv4 if family == b"PROXY TCP4 " else complete_ipv6
    completers: list[tuple[str, Callable[[bytes], bytes | None]]] = [
        ("source address", complete_ip),
        ("destination address", complete_ip),
        ("source port", complete_port),
        ("destination port", complete_port),
    ]
    fields = line.split(b" ")
    if len(fields) > 4 or (ended and len(fields) < 4):
        raise ProxyProtocolSyntaxError(f"{len(fields)} fields instead of 4: {data!r}")
    for i, (what, complete) in enumerate(completers):
        if i == len(fields):
            fields.append(b"")
        completed = complete(fields[i])
        # The last field that has come may go on, unless the line has ended.
        whole = ended or i < line.count(b" ")
        if completed is None or (whole and completed != fields[i]):
            raise ProxyProtocolSyntaxError(f"{fields[i]!r} is not a {what}: {data!r}")
        fields[i] = completed
    return family + b" ".join(fields) + b"\r\n"


def complete_ipv4(text: bytes) -> bytes | None:
    """Give the shortest IPv4 address that begins with ``text``, None if there is none."""
    octets = text.split(b".")
    if octets[-1] == b"":
        octets[-1] = b"0"
    if len(octets) > 4 or not all(OCTET.fullmatch(octet) for octet in octets):
        return None
    return b".".join(octets + [b"0"] * (4 - len(octets)))


def complete_ipv6(text: bytes) -> bytes | None:
    """Give the shortest IPv6 address that begins with ``text``, None if there is none."""
    endings = [b"", b"0", b":", b"::", b":0"]
    if b"." in text:
        quad = text.rpartition(b":")[2]
        completed = complete_ipv4(quad)
        if completed is None:
            return None
        endings = [completed[len(quad) :]]
    for ending in endings:
        ip = canonical_ip(text + ending)
        if ip is not None and ":" in ip:
            return text + ending
    return None


def complete_port(text: bytes) -> bytes | None:
    """Give the shortest port number that begins with ``text``, None if there is none."""
    number = text or b"0"
    return number if NUMBER.fullmatch(number) and int(number) <= 0xFFFF else None
