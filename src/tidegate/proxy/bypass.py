"""Who is connected to directly although there is a proxy: no_proxy, and loopback."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator

from .hop import Target

__all__ = ["find_rule", "is_loopback"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# The old spellings of IPv4 addresses: "127.1", "0x7f000001", "2130706433".
looks_numeric = re.compile(r"(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+)){0,3}").fullmatch


def parse_address(host: str) -> IPAddress | None:
    """Give the IP address that is spelled in ``host`` in any way, None if it is a name."""
    host = host.removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
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

    RFC 6761 section 6.3 reserves all names under localhost for that.
    """
    address = parse_address(host)
    if address is not None:
        return address.is_loopback
    name = normalize(host)
    return name == "localhost" or name.endswith(".localhost")


def find_rule(no_proxy: str, target: Target) -> str | None:
    """Give the first rule of a ``no_proxy`` list that applies to a target, None if none does.

    The rules, separated by commas or spaces:

    * ``*``: everything.
    * ``<local>``: names without a dot.
    * ``example.com`` and ``.example.com``: the name and all names under it.
    * ``*.example.com``: all names under it.
    * ``10.0.0.1``, ``::1``, ``[::1]``: an address, in whatever spelling.
    * ``10.0.0.0/8``, ``fd00::/8``: all addresses in a network.
    * any name or address followed by ``:port``, an IPv6 address in brackets: that port only.

    Case and a trailing dot don't matter. Names aren't resolved: a rule for addresses applies to
    URIs that have one.
    """
    address = parse_address(target.host)
    name = normalize(target.host)
    for rule in split(no_proxy):
        if applies(rule, name, address, target.port):
            return rule
    return None


def split(no_proxy: str) -> Iterator[str]:
    return (rule for rule in re.split(r"[,\s]+", no_proxy) if rule)


def applies(rule: str, name: str, address: IPAddress | None, port: int) -> bool:
    if rule == "*":
        return True
    if rule.lower() == "<local>":
        return address is None and "." not in name
    rule = without_port(rule, port)
    if not rule:
        return False
    if address is not None:
        return covers(rule, address)
    suffix = normalize(rule)
    if suffix.startswith("*."):
        return name.endswith(suffix[1:])
    suffix = suffix.removeprefix(".")
    return suffix != "" and (name == suffix or name.endswith(f".{suffix}"))


def without_port(rule: str, port: int) -> str:
    """Give a rule without its port; nothing if it is for another port."""
    host, colon, tail = rule.rpartition(":")
    # An IPv6 address without brackets has no room for a port.
    if not colon or not tail.isdecimal() or (":" in host and not host.endswith("]")):
        return rule
    return host if tail.lstrip("0") == str(port) else ""


def covers(rule: str, address: IPAddress) -> bool:
    """Say whether a rule is an address or a network that has ``address`` in it."""
    network, slash, prefix = rule.partition("/")
    base = parse_address(network)
    if base is None:
        return False
    if not slash:
        return base == address
    try:
        # Bits behind the prefix are no reason to let a rule lie.
        return address in ipaddress.ip_network(f"{base}/{prefix}", strict=False)
    except ValueError:
        return False
