"""Who is connected to directly although there is a proxy: the rules of no_proxy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ..printable import printable, without_user_info
from .addresses import IPAddress, normalize, parse_any_address
from .hop import Target

__all__ = ["doubts", "find_rule", "shown_rules"]


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
    address = parse_any_address(target.host)
    name = normalize(target.host)
    for rule in split(no_proxy):
        if applies(rule, name, address, target.port):
            return rule
    return None


def doubts(no_proxy: str) -> Iterator[str]:
    """Say of rules that can't mean what was meant why they don't."""
    for rule in split(no_proxy):
        shown = printable(without_user_info(rule))
        if "://" in rule:
            host = re.split(r"[/?#]", rule.partition("://")[2])[0].rpartition("@")[2]
            yield f"{shown} is a URL, which applies to nobody: write {printable(host) or 'a host'}"
        elif separators := [character for character in ";|" if character in rule]:
            yield f"{shown} has {separators[0]!r}, which separates nothing: use commas or spaces"
        elif "*" in rule.removeprefix("*.") and rule != "*":
            yield f"{shown} has a star that means nothing: only *.example.com and * do"


def shown_rules(no_proxy: str) -> str:
    """Give a ``no_proxy`` list without what may be passwords in it."""
    return re.sub(r"[^,\s]+", lambda rule: without_user_info(rule[0]), no_proxy)


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
    base = parse_any_address(network)
    if base is None:
        return False
    if not slash:
        return base == address
    try:
        # Bits behind the prefix are no reason to let a rule lie.
        return address in ipaddress.ip_network(f"{base}/{prefix}", strict=False)
    except ValueError:
        return False
