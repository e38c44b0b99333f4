"""How many connections a server takes, in all and from one address."""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
from typing import Any

# No more addresses than this are remembered for the rate of handshakes: of more, those that came
# last the longest ago are forgotten.
MOST_ADDRESSES = 10_000

# How long it takes until the log is told again that there are no descriptors left for connections
# that come, in seconds.
ACCEPT_DELAY = 1.0
NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# Stands for the address of a connection from a proxy, until its request says whose it is.
PROXY: Any = object()


class Bucket:
    """A token bucket: so many per second, and as many at once."""

    __slots__ = ("level", "rate", "since")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.level = max(rate, 1.0)
        self.since = now

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        self.level = min(max(self.rate, 1.0), self.level + (now - self.since) * self.rate)
        self.since = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


@dataclasses.dataclass
class Limits:
    """Limits on the connections to a server. None is no limit.

    Who is over a limit is answered with 503, or with 429 when the limit is one per address.

    Args:
        connections: connections at a time, opening handshakes included.
        connections_per_address: the same, from one address.
        handshakes_per_second: opening handshakes begun per second; as many may come at once.
        handshakes_per_second_per_address: the same, from one address.

    Attributes:
        refused: how many connections were refused by which of these.

    """

    connections: int | None = None
    connections_per_address: int | None = None
    handshakes_per_second: float | None = None
    handshakes_per_second_per_address: float | None = None

    def __post_init__(self) -> None:
        self.refused: dict[str, int] = {}
        self._total = 0
        self._counts: dict[Any, int] = {}
        self._bucket: Bucket | None = None
        self._buckets: dict[Any, Bucket] = {}
        self._trusted: Any = None

    def admit(self, address: Any, now: float) -> tuple[int, str] | None:
        """Count a connection; or say why not: status and text.

        Args:
            address: remote address of the socket, or `PROXY`.
            now: time in seconds.

        """
        address = self._counted(address)
        if self.connections is not None and self._total >= self.connections:
            self._refuse("connections")
            return 503, "The server has as many connections as it takes.\n"
        if address is not PROXY:
            refusal = self._refusal_of(host_of(address), now)
            if refusal is not None:
                return refusal
        if self.handshakes_per_second is not None:
            if self._bucket is None:
                self._bucket = Bucket(self.handshakes_per_second, now)
            if not self._bucket.take(now):
                self._refuse("handshakes_per_second")
                return 503, "The server gets too many connections at once.\n"
        self._total += 1
        if address is not PROXY:
            self._count(host_of(address))
        return None

    def identify(self, address: Any, now: float) -> tuple[int, str] | None:
        """Count a connection that was admitted as one of `PROXY`'s for its client's address, too.

        Args:
            address: the address of the client, with which the connection is to be released then.
            now: time in seconds.

        Returns:
            None, or why not: status and text.

        """
        host = host_of(address)
        refusal = self._refusal_of(host, now)
        if refusal is None:
            self._count(host)
        return refusal

    def _refuse(self, limit: str) -> None:
        self.refused[limit] = self.refused.get(limit, 0) + 1

    def _counted(self, address: Any) -> Any:
        if self._trusted is not None and address is not PROXY and address in self._trusted:
            return PROXY
        return address

    def _refusal_of(self, host: Any, now: float) -> tuple[int, str] | None:
        """Say why there is no room for one more connection from a host, None if there is."""
        count = self._counts.get(host, 0)
        if self.connections_per_address is not None and count >= self.connections_per_address:
            self._refuse("connections_per_address")
            return 429, "There are as many connections from your address as the server takes.\n"
        if self.handshakes_per_second_per_address is not None:
            bucket = self._buckets.pop(host, None)
            if bucket is None:
                bucket = Bucket(self.handshakes_per_second_per_address, now)
                if len(self._buckets) >= MOST_ADDRESSES:
                    # A flood from many addresses takes no more memory, nor time.
                    del self._buckets[next(iter(self._buckets))]
            self._buckets[host] = bucket
            if not bucket.take(now):
                self._refuse("handshakes_per_second_per_address")
                return 429, "There are too many connections from your address at once.\n"
        return None

    def _count(self, host: Any) -> None:
        self._counts[host] = self._counts.get(host, 0) + 1

    def before_tls(self, trusted: Any = None) -> Limits:
        """Give limits on the connections that are about to begin TLS, which don't count here yet.

        They are as many as there may be afterwards. How many begin per second is counted when there
        can be an answer.

        Args:
            trusted: addresses of proxies, which aren't limited themselves; None for none.

        """
        limits = Limits(self.connections, self.connections_per_address)
        limits._trusted = trusted
        limits.refused = self.refused
        return limits

    def before_header(self) -> Limits:
        """Give limits on the connections that are about to send a PROXY protocol header.

        They all come from the addresses of load balancers, so they only are as many in all.
        """
        limits = Limits(self.connections)
        limits.refused = self.refused
        return limits

    def release(self, address: Any) -> None:
        """Count a connection that was admitted as closed."""
        self._total -= 1
        address = self._counted(address)
        if address is PROXY:
            return
        host = host_of(address)
        count = self._counts.get(host, 0) - 1
        if count > 0:
            self._counts[host] = count
        else:
            self._counts.pop(host, None)


def host_of(address: Any) -> Any:
    """The part of a socket's address that tells machines apart; IPv6 by its /64 network."""
    host = address[0] if isinstance(address, tuple) and address else None
    if isinstance(host, str) and ":" in host:
        address = ipaddress.IPv6Address(host.partition("%")[0])
        # Listening on IPv6 may include IPv4 (RFC 4291, section 2.5.5.2).
        mapped = address.ipv4_mapped
        return int(address) >> 64 if mapped is None else str(mapped)
    return host
