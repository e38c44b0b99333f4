"""What a header says, in the interface of ``proxy-protocol``: one class per kind of address."""

from __future__ import annotations

import enum
import socket
from abc import ABCMeta, abstractmethod
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeGuard

from .header import Header
from .tlv import ProxyProtocolTLV, pack_tlvs
from .typing import SockAddr

__all__ = [
    "ProxyResult",
    "ProxyResultIPv4",
    "ProxyResultIPv6",
    "ProxyResultLocal",
    "ProxyResultType",
    "ProxyResultUnix",
    "ProxyResultUnknown",
    "is_ipv4",
    "is_ipv6",
    "is_local",
    "is_unix",
    "is_unknown",
]

PROTOCOLS = {None: "UNSPEC", socket.SOCK_STREAM: "STREAM", socket.SOCK_DGRAM: "DGRAM"}
SOCKET_KINDS = {name: kind for kind, name in PROTOCOLS.items()}
NO_TLV = ProxyProtocolTLV()


class MissingFamily(enum.IntEnum):
    """Address families that :mod:`socket` doesn't have everywhere, with their usual numbers."""

    AF_UNIX = 1


def family_named(name: str) -> socket.AddressFamily | MissingFamily:
    """Give an address family by its name, whether or not this system has it."""
    try:
        return socket.AddressFamily[name]
    except KeyError:
        return MissingFamily[name]


class ProxyResultType(enum.Enum):
    """What kind of addresses a header has. The second part of the value names their family."""

    LOCAL = (1, "AF_UNSPEC")
    UNKNOWN = (2, "AF_UNSPEC")
    IPv4 = (3, "AF_INET")
    IPv6 = (4, "AF_INET6")
    UNIX = (5, "AF_UNIX")

    @property
    def family(self) -> socket.AddressFamily | MissingFamily:
        """The address family; its ``name`` is the same on every system."""
        return family_named(self.value[1])


class ProxyResult(metaclass=ABCMeta):
    """What a header says."""

    __slots__ = ("_tlv",)

    def __init__(self, tlv: ProxyProtocolTLV = NO_TLV) -> None:
        self._tlv = tlv

    @property
    @abstractmethod
    def type(self) -> ProxyResultType:
        """The kind of addresses."""

    @property
    def family(self) -> socket.AddressFamily | MissingFamily:
        """The address family; its ``name`` is the same on every system."""
        return self.type.family

    @property
    def protocol(self) -> socket.SocketKind | None:
        """The transport protocol, None where the header doesn't say."""
        return None

    @property
    def proxied(self) -> bool:
        """False if the proxy speaks for itself, as in health checks."""
        return True

    @property
    def source(self) -> Any:
        """The client's address."""
        return None

    @property
    def dest(self) -> Any:
        """The address that the client connected to."""
        return None

    @property
    def peername(self) -> SockAddr:
        """The client's address, like :meth:`socket.socket.getpeername` gives one."""
        return None

    @property
    def sockname(self) -> SockAddr:
        """The address that the client connected to, like :meth:`socket.socket.getsockname`."""
        return None

    @property
    def tlv(self) -> ProxyProtocolTLV:
        """The TLVs."""
        return self._tlv

    def _arguments(self) -> list[str]:
        arguments = []
        if self.protocol is not None:
            arguments.append(f"protocol=socket.{self.protocol.name}")
        if self._tlv:
            arguments.append(f"tlv={self._tlv!r}")
        return arguments

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._arguments())})"

    def _key(self) -> tuple[Any, ...]:
        return (self.type, self.source, self.dest, self.protocol, self._tlv)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ProxyResult):
            return self._key() == other._key()
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())


class ProxyResultLocal(ProxyResult):
    """The proxy speaks for itself: the addresses are the socket's own.

    Args:
        tlv: the TLVs.
    """

    __slots__ = ()

    def __init__(self, *, tlv: ProxyProtocolTLV = NO_TLV) -> None:
        super().__init__(tlv)

    @property
    def type(self) -> ProxyResultType:
        return ProxyResultType.LOCAL

    @property
    def proxied(self) -> bool:
        return False


class ProxyResultUnknown(ProxyResult):
    """The proxy doesn't say who the client is, or its header couldn't be read.

    Args:
        exception: why there is no header.
        tlv: the TLVs.
    """

    __slots__ = ("_exception",)

    def __init__(
        self, exception: Exception | None = None, *, tlv: ProxyProtocolTLV = NO_TLV
    ) -> None:
        super().__init__(tlv)
        self._exception = exception

    @property
    def type(self) -> ProxyResultType:
        return ProxyResultType.UNKNOWN

    @property
    def exception(self) -> Exception | None:
        """Why there is no header, None if there is one."""
        return self._exception

    def _arguments(self) -> list[str]:
        exception = [] if self._exception is None else [repr(self._exception)]
        return exception + super()._arguments()

    def _key(self) -> tuple[Any, ...]:
        return (*super()._key(), self._exception)


class ProxyResultAddresses(ProxyResult):
    """What the kinds with addresses have in common."""

    __slots__ = ("_dest", "_protocol", "_source")

    def __init__(
        self,
        source: Any,
        dest: Any,
        *,
        protocol: socket.SocketKind | None = None,
        tlv: ProxyProtocolTLV = NO_TLV,
    ) -> None:
        super().__init__(tlv)
        self._source = source
        self._dest = dest
        self._protocol = None if protocol is None else socket.SocketKind(protocol)

    @property
    def protocol(self) -> socket.SocketKind | None:
        return self._protocol

    @property
    def source(self) -> Any:
        return self._source

    @property
    def dest(self) -> Any:
        return self._dest

    def _arguments(self) -> list[str]:
        return [repr(self._source), repr(self._dest), *super()._arguments()]


class ProxyResultIPv4(ProxyResultAddresses):
    """The client came over IPv4.

    Args:
        source: the client's address and port.
        dest: the address and port that it connected to.
        protocol: the transport protocol, None if the header doesn't say.
        tlv: the TLVs.
    """

    __slots__ = ()

    def __init__(
        self,
        source: tuple[IPv4Address, int],
        dest: tuple[IPv4Address, int],
        *,
        protocol: socket.SocketKind | None = None,
        tlv: ProxyProtocolTLV = NO_TLV,
    ) -> None:
        super().__init__(source, dest, protocol=protocol, tlv=tlv)

    @property
    def type(self) -> ProxyResultType:
        return ProxyResultType.IPv4

    @property
    def peername(self) -> SockAddr:
        return (str(self._source[0]), self._source[1])

    @property
    def sockname(self) -> SockAddr:
        return (str(self._dest[0]), self._dest[1])


class ProxyResultIPv6(ProxyResultAddresses):
    """The client came over IPv6.

    Args:
        source: the client's address and port.
        dest: the address and port that it connected to.
        protocol: the transport protocol, None if the header doesn't say.
        tlv: the TLVs.
    """

    __slots__ = ()

    def __init__(
        self,
        source: tuple[IPv6Address, int],
        dest: tuple[IPv6Address, int],
        *,
        protocol: socket.SocketKind | None = None,
        tlv: ProxyProtocolTLV = NO_TLV,
    ) -> None:
        super().__init__(source, dest, protocol=protocol, tlv=tlv)

    @property
    def type(self) -> ProxyResultType:
        return ProxyResultType.IPv6

    @property
    def peername(self) -> SockAddr:
        return (str(self._source[0]), self._source[1], 0, 0)

    @property
    def sockname(self) -> SockAddr:
        return (str(self._dest[0]), self._dest[1], 0, 0)


class ProxyResultUnix(ProxyResultAddresses):
    """The client came over a Unix socket.

    Args:
        source: the path of the client's socket.
        dest: the path that it connected to.
        protocol: the transport protocol, None if the header doesn't say.
        tlv: the TLVs.
    """

    __slots__ = ()

    def __init__(
        self,
        source: str,
        dest: str,
        *,
        protocol: socket.SocketKind | None = None,
        tlv: ProxyProtocolTLV = NO_TLV,
    ) -> None:
        super().__init__(source, dest, protocol=protocol, tlv=tlv)

    @property
    def type(self) -> ProxyResultType:
        return ProxyResultType.UNIX

    @property
    def peername(self) -> SockAddr:
        return self._source

    @property
    def sockname(self) -> SockAddr:
        return self._dest


def is_local(result: ProxyResult) -> TypeGuard[ProxyResultLocal]:
    """Say whether the proxy speaks for itself."""
    return result.type is ProxyResultType.LOCAL


def is_unknown(result: ProxyResult) -> TypeGuard[ProxyResultUnknown]:
    """Say whether the proxy doesn't say who the client is."""
    return result.type is ProxyResultType.UNKNOWN


def is_ipv4(result: ProxyResult) -> TypeGuard[ProxyResultIPv4]:
    """Say whether the client came over IPv4."""
    return result.type is ProxyResultType.IPv4


def is_ipv6(result: ProxyResult) -> TypeGuard[ProxyResultIPv6]:
    """Say whether the client came over IPv6."""
    return result.type is ProxyResultType.IPv6


def is_unix(result: ProxyResult) -> TypeGuard[ProxyResultUnix]:
    """Say whether the client came over a Unix socket."""
    return result.type is ProxyResultType.UNIX


def result_of(header: Header) -> ProxyResult:
    """Give what a header says as the result that ``proxy-protocol`` has for it."""
    tlv = ProxyProtocolTLV(pack_tlvs(header.tlvs)) if header.tlvs else NO_TLV
    # It has no protocol for version 1, which knows of no other than TCP.
    protocol = SOCKET_KINDS[header.protocol] if header.version == 2 else None
    source: Any = header.source
    dest: Any = header.destination
    if header.command == "LOCAL":
        return ProxyResultLocal(tlv=tlv)
    if header.family == "AF_INET":
        return ProxyResultIPv4(
            (IPv4Address(source[0]), source[1]),
            (IPv4Address(dest[0]), dest[1]),
            protocol=protocol,
            tlv=tlv,
        )
    if header.family == "AF_INET6":
        return ProxyResultIPv6(
            (IPv6Address(source[0]), source[1]),
            (IPv6Address(dest[0]), dest[1]),
            protocol=protocol,
            tlv=tlv,
        )
    if header.family == "AF_UNIX":
        return ProxyResultUnix(source, dest, protocol=protocol, tlv=tlv)
    return ProxyResultUnknown(tlv=tlv)


def header_of(result: ProxyResult, version: int) -> Header:
    """Give the header that says what a result does.

    Raises:
        ValueError: if the result doesn't fit into a header.
    """
    return Header(
        version,
        "PROXY" if result.proxied else "LOCAL",
        result.family.name,
        # Receivers refuse addresses without a transport protocol.
        None if result.protocol is None else PROTOCOLS[result.protocol],
        None if result.peername is None else result.peername,
        None if result.sockname is None else result.sockname,
        () if version == 1 else result.tlv.pairs,
    )
