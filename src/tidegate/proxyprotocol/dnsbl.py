"""DNS blocklists (RFC 5782), in the interface of ``proxy-protocol``."""

from __future__ import annotations

import asyncio
import socket
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

from .sock import SocketInfo

__all__ = ["BasicDnsbl", "Dnsbl", "NoopDnsbl", "SpamhausDnsbl"]


class Dnsbl(metaclass=ABCMeta):
    """Something that knows about the reputation of clients."""

    __slots__ = ()

    @classmethod
    def load(cls, host: str | None, *, timeout: float | None = None) -> Dnsbl:
        """Give the blocklist at a host name.

        Args:
            host: the domain of the blocklist, None for none.
            timeout: how long to wait for an answer, in seconds; None for no limit.
        """
        if host is None:
            return NoopDnsbl()
        if host.lower().endswith(".spamhaus.org"):
            return SpamhausDnsbl(host, timeout)
        return BasicDnsbl(host, timeout)

    @abstractmethod
    async def lookup(
        self, sock_info: SocketInfo, *, loop: asyncio.AbstractEventLoop | None = None
    ) -> str | None:
        """Give what is known against a client, None if nothing is."""


class NoopDnsbl(Dnsbl):
    """Knows nothing against anybody."""

    __slots__ = ()

    async def lookup(
        self, sock_info: SocketInfo, *, loop: asyncio.AbstractEventLoop | None = None
    ) -> str | None:
        return None


class BasicDnsbl(Dnsbl):
    """Looks clients up in a DNS blocklist. Where there is no answer in time, nothing is known.

    Args:
        host: the domain of the blocklist.
        timeout: how long to wait for an answer, in seconds; None for no limit.
    """

    __slots__ = ("host", "timeout")

    def __init__(self, host: str, timeout: float | None) -> None:
        self.host = host
        self.timeout = timeout

    def map_results(self, addresses: Sequence[IPv4Address]) -> str | None:
        """Give what the addresses that the blocklist answered with mean."""
        return self.host if addresses else None

    async def lookup(
        self, sock_info: SocketInfo, *, loop: asyncio.AbstractEventLoop | None = None
    ) -> str | None:
        ip = sock_info.peername_ip
        if ip is None:
            return None
        # RFC 5782, sections 2.1 and 2.4: the octets or the hex digits in reverse.
        labels = ip.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
        loop = loop or asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout):
                found = await loop.getaddrinfo(
                    f"{labels}.{self.host}",
                    0,
                    family=socket.AF_INET,
                    type=socket.SOCK_STREAM,
                )
        except (OSError, UnicodeError):
            # Not listed, no answer (a TimeoutError is an OSError), or no domain that can be asked.
            return None
        return self.map_results([IPv4Address(address[0]) for *_, address in found])


class SpamhausDnsbl(BasicDnsbl):
    """Looks clients up in a list of Spamhaus, and gives the page about the list that has them.

    See https://www.spamhaus.org/faqs/dnsbl-usage/ for what its answers mean.
    """

    __slots__ = ()

    PAGES: ClassVar[Mapping[IPv4Address, str]] = {
        IPv4Address(f"127.0.0.{octet}"): f"https://www.spamhaus.org/{name}/"
        for octet, name in (
            (2, "sbl"),
            (3, "css"),
            (4, "xbl"),
            (5, "xbl"),
            (6, "xbl"),
            (7, "xbl"),
            (10, "pbl"),
            (11, "pbl"),
        )
    }
    # What it answers to those whose questions it refuses: nothing about the client.
    ERRORS = IPv4Network("127.255.255.0/24")

    def map_results(self, addresses: Sequence[IPv4Address]) -> str | None:
        listed = [address for address in addresses if address not in self.ERRORS]
        for address in listed:
            if address in self.PAGES:
                return self.PAGES[address]
        return self.host if listed else None
