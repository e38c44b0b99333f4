"""Whose word is taken for who the client is."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Literal

from .header import Header
from .line import MAX_LINE
from .typing import SockAddr

__all__ = ["Counters", "Decision", "Endpoints", "ProxyPolicy", "TrustedPeers"]

Decision = Literal["require", "plain", "reject"]
"""A header must come first; there is none, and none is looked for; nothing is taken."""

Trust = Literal["anyone"] | Iterable[str | IPv4Network | IPv6Network | IPv4Address | IPv6Address]

# How many addresses a policy remembers its decision about.
REMEMBERED = 1024


class TrustedPeers:
    """A set of addresses and networks.

    Args:
        trusted: IP addresses, networks like ``"10.0.0.0/8"``, ``"unix"`` for those who connect to
            a Unix socket; or ``"anyone"`` instead of all that.

    Raises:
        ValueError: if something there is none of these, or is everyone in disguise.
    """

    def __init__(self, trusted: Trust) -> None:
        self.anyone = trusted == "anyone"
        self.unix = self.anyone
        self.networks: list[IPv4Network | IPv6Network] = []
        if not self.anyone:
            for entry in (trusted,) if isinstance(trusted, str) else trusted:
                if entry == "unix":
                    self.unix = True
                else:
                    self.networks.append(network_of(entry))
        self.has_ip = functools.lru_cache(REMEMBERED)(self._has_ip)

    def __contains__(self, peername: SockAddr) -> bool:
        """Say whether the peer with this address, as its socket gives it, is trusted."""
        if self.anyone:
            return True
        if isinstance(peername, tuple):
            return self.has_ip(peername[0])
        return self.unix and isinstance(peername, str | bytes)

    def _has_ip(self, text: str) -> bool:
        if self.anyone:
            return True
        try:
            ip = ip_address(text.partition("%")[0])
        except ValueError:
            return False
        # A socket that listens on all addresses shows those who came over IPv4 like that.
        ip = (ip.version == 6 and ip.ipv4_mapped) or ip
        return any(ip in network for network in self.networks)


def network_of(entry: Any) -> IPv4Network | IPv6Network:
    """Give the network that is trusted."""
    try:
        network = ip_network(entry)
    except ValueError as exc:
        raise ValueError(f"{entry!r} is not an IP address, a network, or 'unix': {exc}") from None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            network = IPv4Network((mapped, network.prefixlen - 96))
    if network.prefixlen == 0:
        raise ValueError(f"{entry!r} is everyone: to trust anyone, write trusted='anyone'")
    return network


@dataclasses.dataclass
class Counters:
    """What became of the connections that a policy was asked about."""

    proxied: int = 0
    """With a header that was taken."""
    local: int = 0
    """With a header by which the proxy speaks for itself: health checks."""
    empty: int = 0
    """Closed by the peer before it sent a byte: health checks, too."""
    plain: int = 0
    """Without a header, as the peer isn't trusted."""
    rejected: int = 0
    """Refused, as the peer isn't trusted."""
    malformed: int = 0
    """Closed because of a header that was wrong, or missing."""
    timed_out: int = 0
    """Closed because the header didn't come in time."""
    crowded: int = 0
    """Closed because too many were waiting for their header."""


class ProxyPolicy:
    """From whom a PROXY protocol header is taken.

    A trusted peer must send one: whether there is one isn't guessed from what it sends, or clients
    that come through it could choose their address. The others never are believed.

    Args:
        trusted: addresses, networks like ``"10.0.0.0/8"``, and ``"unix"`` for all who connect to a
            Unix socket; or ``"anyone"``. Or a function that gets the peer's address and says
            whether it is trusted, or what to do: ``"require"``, ``"plain"`` or ``"reject"``.
        untrusted: what happens to others: ``"plain"`` has their connections taken without a
            header, ``"reject"`` closed.
        versions: the versions of the protocol that are allowed.
        timeout: how long the header may take, in seconds; None for no limit.
        max_size: the size of the largest header that is allowed, in bytes.
        max_waiting: how many connections may wait for their header at a time.

    Attributes:
        counters: what became of the connections so far.

    Raises:
        ValueError: if one of these isn't possible.

    See the PROXY protocol specification, sections 2 and 5.
    """

    def __init__(
        self,
        *,
        trusted: Trust | Callable[[SockAddr], bool | Decision],
        untrusted: Literal["plain", "reject"] = "plain",
        versions: Collection[int] = (1, 2),
        timeout: float | None = 5.0,
        max_size: int = 4096,
        max_waiting: int = 1024,
    ) -> None:
        if untrusted not in ("plain", "reject"):
            raise ValueError(f"untrusted must be 'plain' or 'reject', not {untrusted!r}")
        if not versions or not set(versions) <= {1, 2}:
            raise ValueError(f"versions must be 1, 2 or both, not {versions!r}")
        if timeout is not None and timeout <= 0:
            raise ValueError(f"timeout must be positive, not {timeout!r}")
        if not MAX_LINE <= max_size <= 16 + 0xFFFF:
            raise ValueError(f"max_size must be between {MAX_LINE} and 65551, not {max_size!r}")
        if max_waiting < 1:
            raise ValueError(f"max_waiting must be positive, not {max_waiting!r}")
        self.trusted = trusted if callable(trusted) else TrustedPeers(trusted)
        self.untrusted = untrusted
        self.versions = tuple(sorted(versions))
        self.timeout = timeout
        self.max_size = max_size
        self.max_waiting = max_waiting
        self.counters = Counters()

    def decide(self, peername: SockAddr) -> Decision:
        """Say what to do with a connection.

        Args:
            peername: the peer's address, as its socket gives it.
        """
        if isinstance(self.trusted, TrustedPeers):
            return "require" if peername in self.trusted else self.untrusted
        decision = self.trusted(peername)
        if decision is True:
            return "require"
        if decision in ("require", "plain", "reject"):
            return decision
        return self.untrusted


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoints:
    """Who is connected to whom, as far as it can be trusted.

    The addresses are in the form that sockets have them.

    Attributes:
        remote_address: the client's address.
        local_address: the address that the client connected to.
        peer_address: the address at the other end of the socket, the proxy's if there is one.
        header: what the proxy said, None if there is no header.
    """

    remote_address: SockAddr
    local_address: SockAddr
    peer_address: SockAddr
    header: Header | None = None

    @classmethod
    def of(cls, header: Header | None, peername: SockAddr, sockname: SockAddr) -> Endpoints:
        """Give the endpoints of a connection.

        Args:
            header: its header, None if there is none.
            peername: the address at the other end of its socket.
            sockname: the address at this end.
        """
        if header is None or header.source is None:
            return cls(peername, sockname, peername, header)
        return cls(
            socket_address(header.source), socket_address(header.destination), peername, header
        )


def socket_address(address: Any) -> SockAddr:
    """Give an address from a header as a socket would."""
    if isinstance(address, tuple) and ":" in address[0]:
        return (*address, 0, 0)
    return address
