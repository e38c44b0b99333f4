"""Who is at the other end of a connection, in the interface of ``proxy-protocol``."""

from __future__ import annotations

import socket as _socket
from abc import ABCMeta, abstractmethod
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, cast

from .result import ProxyResult, is_unknown
from .typing import Cipher, PeerCert, SockAddr, TransportProtocol

__all__ = ["SocketInfo", "SocketInfoLocal", "SocketInfoProxy"]


class SocketInfo(metaclass=ABCMeta):
    """The two ends of a connection, from its header or else from its socket.

    Args:
        transport: the transport of the connection, or its stream writer.
    """

    __slots__ = ("_transport",)

    def __init__(self, transport: TransportProtocol) -> None:
        self._transport = transport

    @classmethod
    def get(
        cls,
        transport: TransportProtocol,
        result: ProxyResult | None,
        *,
        unique_id: bytes = b"",
        dnsbl: str | None = None,
    ) -> SocketInfo:
        """Give what describes a connection.

        Args:
            transport: the transport of the connection, or its stream writer.
            result: what its header says, None if it has none.
            unique_id: an identifier, for a connection whose header doesn't bring one.
            dnsbl: what a DNS blocklist says about a client that came without a header.
        """
        if result is None or not result.proxied:
            return SocketInfoLocal(transport, unique_id=unique_id, dnsbl=dnsbl)
        return SocketInfoProxy(transport, result)

    @property
    def socket(self) -> Any:
        """The socket of the transport."""
        return self._transport.get_extra_info("socket")

    @property
    @abstractmethod
    def family(self) -> Any:
        """The address family; its ``name`` is the same on every system."""

    @property
    @abstractmethod
    def protocol(self) -> _socket.SocketKind | None:
        """The transport protocol, None if it isn't known."""

    @property
    @abstractmethod
    def peername(self) -> SockAddr:
        """The client's address, None if it isn't known."""

    @property
    @abstractmethod
    def sockname(self) -> SockAddr:
        """The address that the client connected to, None if it isn't known."""

    @property
    @abstractmethod
    def compression(self) -> str | None:
        """The compression of the client's TLS connection."""

    @property
    @abstractmethod
    def cipher(self) -> Cipher | None:
        """The cipher of the client's TLS connection, like :meth:`ssl.SSLSocket.cipher`."""

    @property
    @abstractmethod
    def peercert(self) -> PeerCert | None:
        """The client's certificate, like :meth:`ssl.SSLSocket.getpeercert` gives it."""

    @property
    @abstractmethod
    def unique_id(self) -> bytes:
        """An identifier of the connection."""

    @property
    @abstractmethod
    def dnsbl(self) -> str | None:
        """What a DNS blocklist says about the client."""

    @property
    def peername_ip(self) -> IPv4Address | IPv6Address | None:
        """The client's IP address; an IPv4-mapped one as the IPv4 address."""
        return ip_of(self.peername)

    @property
    def sockname_ip(self) -> IPv4Address | IPv6Address | None:
        """The IP address that the client connected to; an IPv4-mapped one as the IPv4 address."""
        return ip_of(self.sockname)

    @property
    def peername_port(self) -> int | None:
        """The client's port."""
        return port_of(self.peername)

    @property
    def sockname_port(self) -> int | None:
        """The port that the client connected to."""
        return port_of(self.sockname)

    @property
    def peername_str(self) -> str | None:
        """The client's address for people: ``"192.0.2.1:80"``, ``"[2001:db8::1]:80"``, a path."""
        return text_of(self.peername)

    @property
    def sockname_str(self) -> str | None:
        """The address that the client connected to, for people."""
        return text_of(self.sockname)

    @property
    def source_addr(self) -> str | None:
        """The client's IP address or path; the socket's own where the header doesn't say."""
        return host_of(self._known("peername"))

    @property
    def source_port(self) -> int | None:
        """The client's port; the socket's own where the header doesn't say."""
        return port_of(self._known("peername"))

    @property
    def dest_addr(self) -> str | None:
        """The IP address or path that the client connected to, or else the socket's own."""
        return host_of(self._known("sockname"))

    @property
    def dest_port(self) -> int | None:
        """The port that the client connected to; the socket's own where the header doesn't say."""
        return port_of(self._known("sockname"))

    def _known(self, name: str) -> SockAddr:
        address = getattr(self, name)
        return self._transport.get_extra_info(name) if address is None else address

    @property
    def from_localhost(self) -> bool:
        """Whether the client is on this machine, or on the proxy's if the header says so."""
        ip = self.peername_ip
        return isinstance(self.peername, str | bytes) if ip is None else ip.is_loopback

    def _details(self) -> list[str]:
        return [f"peername={self.peername_str!r}", f"sockname={self.sockname_str!r}"]

    def __repr__(self) -> str:
        return f"<{' '.join((type(self).__name__, *self._details()))}>"


class SocketInfoProxy(SocketInfo):
    """The two ends of a connection as its header says.

    Args:
        transport: the transport of the connection, or its stream writer.
        result: what the header says.
    """

    __slots__ = ("_result",)

    def __init__(self, transport: TransportProtocol, result: ProxyResult) -> None:
        super().__init__(transport)
        self._result = result

    @property
    def family(self) -> Any:
        return self._result.family

    @property
    def protocol(self) -> _socket.SocketKind | None:
        return self._result.protocol

    @property
    def peername(self) -> SockAddr:
        return self._result.peername

    @property
    def sockname(self) -> SockAddr:
        return self._result.sockname

    @property
    def compression(self) -> str | None:
        return self._result.tlv.ext.compression

    @property
    def cipher(self) -> Cipher | None:
        ssl = self._result.tlv.ssl
        if ssl.cipher is None or ssl.version is None:
            return None
        return ssl.cipher, ssl.version, self._result.tlv.ext.secret_bits

    @property
    def peercert(self) -> PeerCert | None:
        return self._result.tlv.ext.peercert

    @property
    def unique_id(self) -> bytes:
        return self._result.tlv.unique_id

    @property
    def dnsbl(self) -> str | None:
        return self._result.tlv.ext.dnsbl

    def _details(self) -> list[str]:
        if not is_unknown(self._result):
            return super()._details()
        return [] if self._result.exception is None else [f"exc={self._result.exception!r}"]


class SocketInfoLocal(SocketInfo):
    """The two ends of a connection as its socket says.

    Args:
        transport: the transport of the connection, or its stream writer.
        unique_id: an identifier of the connection.
        dnsbl: what a DNS blocklist says about the client.
    """

    __slots__ = ("_dnsbl", "_unique_id")

    def __init__(
        self, transport: TransportProtocol, *, unique_id: bytes = b"", dnsbl: str | None = None
    ) -> None:
        super().__init__(transport)
        self._unique_id = unique_id
        self._dnsbl = dnsbl

    @property
    def family(self) -> Any:
        return self.socket.family

    @property
    def protocol(self) -> _socket.SocketKind | None:
        return _socket.SocketKind(self.socket.type)

    @property
    def peername(self) -> SockAddr:
        return self._transport.get_extra_info("peername")

    @property
    def sockname(self) -> SockAddr:
        return self._transport.get_extra_info("sockname")

    @property
    def compression(self) -> str | None:
        return cast("str | None", self._transport.get_extra_info("compression"))

    @property
    def cipher(self) -> Cipher | None:
        return cast("Cipher | None", self._transport.get_extra_info("cipher"))

    @property
    def peercert(self) -> PeerCert | None:
        return cast("PeerCert | None", self._transport.get_extra_info("peercert"))

    @property
    def unique_id(self) -> bytes:
        return self._unique_id

    @property
    def dnsbl(self) -> str | None:
        return self._dnsbl


def host_of(address: SockAddr) -> str | None:
    if isinstance(address, tuple | list):
        return str(address[0])
    return None if address is None else path_of(address)


def port_of(address: SockAddr) -> int | None:
    return int(address[1]) if isinstance(address, tuple | list) else None


def ip_of(address: SockAddr) -> IPv4Address | IPv6Address | None:
    if not isinstance(address, tuple | list):
        return None
    ip = ip_address(address[0])
    return (ip.version == 6 and ip.ipv4_mapped) or ip


def text_of(address: SockAddr) -> str | None:
    if not isinstance(address, tuple | list):
        return None if address is None else path_of(address)
    ip = ip_of(address)
    return f"{ip}:{address[1]}" if isinstance(ip, IPv4Address) else f"[{ip}]:{address[1]}"


def path_of(address: str | bytes) -> str:
    """Give the path of a Unix socket; the system gives abstract names as bytes."""
    return address.decode("utf-8", "surrogateescape") if isinstance(address, bytes) else address
