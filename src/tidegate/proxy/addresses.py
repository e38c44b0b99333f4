"""Hosts: names and addresses in the spellings that they have."""

from __future__ import annotations

import ipaddress
import re
import socket

__all__ = ["IPAddress", "is_loopback", "normalize", "parse_address", "parse_any_address"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# The old spellings of IPv4 addresses: "127.1", "0x7f000001", "2130706433".
looks_numeric = re.compile(r"(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+)){0,3}").fullmatch


def parse_address(host: str) -> IPAddress | None:
    """Give the IP address that ``host`` is, None if it is a name."""
    try:
        # What follows "%" names a network interface of this machine only.
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def parse_any_address(host: str) -> IPAddress | None:
    """Give the IP address that is spelled in ``host`` in any way, None if it is a name."""
    host = host.removeprefix("[").removesuffix("]")
    address = parse_address(host)
    if address is None:
        if not looks_numeric(host):
            return None
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    # ::ffff:10.0.0.1 leads to 10.0.0.1.
    return getattr(address, "ipv4_mapped", None) or address


def normalize(host: str) -> str:
    """Give a host name in the one spelling in which names are compared."""
    host = host.lower().removesuffix(".")
    if not host.isascii():
        try:
            return host.encode("idna").decode()
        except UnicodeError:
            pass
    return host


def is_loopback(host: str) -> bool:
    """Say whether ``host`` is this machine: localhost, *.localhost, 127.0.0.0/8 or ::1.

    RFC 6761, section 6.3 reserves all names under localhost for that.
    """
    address = parse_any_address(host)
    if address is not None:
        return address.is_loopback
    name = normalize(host)
    return name == "localhost" or name.endswith(".localhost")
