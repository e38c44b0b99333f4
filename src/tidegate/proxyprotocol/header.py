"""The PROXY protocol header as an object, whichever version it came in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..signatures import ClassSignature
from .addresses import canonical_ip
from .errors import ProxyProtocolSyntaxError
from .tlv import ProxyProtocolSSLTLV, Type
from .typing import Address

__all__ = ["Header"]

# In the compiled module these are C integers: header.pxd.
ALPN = int(Type.PP2_TYPE_ALPN)
AUTHORITY = int(Type.PP2_TYPE_AUTHORITY)
CRC32C = int(Type.PP2_TYPE_CRC32C)
UNIQUE_ID = int(Type.PP2_TYPE_UNIQUE_ID)
SSL = int(Type.PP2_TYPE_SSL)
SSL_VERSION = int(Type.PP2_SUBTYPE_SSL_VERSION)
SSL_CN = int(Type.PP2_SUBTYPE_SSL_CN)
SSL_SIG_SCHEME = int(Type.PP2_SUBTYPE_SSL_SIG_SCHEME)
NETNS = int(Type.PP2_TYPE_NETNS)

# Types and subtypes that cloud providers chose in the range for custom ones.
AWS = 0xEA
AWS_VPCE_ID = 0x01
AZURE = 0xEE
AZURE_LINK_ID = 0x01
GCP_PSC_CONNECTION_ID = 0xE0

# Section 2.2
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# Section 2.2.5
MAX_UNIQUE_ID = 128
# The size of sun_path, section 2.2
MAX_PATH = 108
# What HAProxy takes, as a receiver
MAX_PORTABLE_VALUE = 1024


def check_length(kind: int, size: int) -> None:
    """Check how long the value of a TLV of this type is.

    Raises:
        ProxyProtocolSyntaxError: if the specification doesn't allow it.
    """
    if kind == UNIQUE_ID and size > MAX_UNIQUE_ID:
        raise ProxyProtocolSyntaxError(f"a unique ID of {size} bytes, over {MAX_UNIQUE_ID}")
    if kind == CRC32C and size != 4:
        raise ProxyProtocolSyntaxError(f"a CRC-32C of {size} bytes instead of 4")
    if kind == SSL and size < 5:
        raise ProxyProtocolSyntaxError(f"an SSL TLV of {size} bytes, under 5")


def check_value(kind: int, value: bytes) -> None:
    """Check what a TLV of this type and of an allowed length holds.

    Raises:
        ProxyProtocolSyntaxError: if the specification doesn't allow it.
    """
    if kind == AUTHORITY:
        check_utf8("authority", value)
    elif kind == NETNS:
        if not value.isascii():
            raise ProxyProtocolSyntaxError(f"a network namespace that isn't ASCII: {value!r}")
    elif kind == SSL:
        octets = value
        size = len(value)
        at = 5
        while at < size:
            end = at + 3
            if end <= size:
                end += octets[at + 1] << 8 | octets[at + 2]
            if end > size:
                raise ProxyProtocolSyntaxError(
                    f"TLV {octets[at]:#04x} inside the SSL TLV is cut off"
                )
            if octets[at] == SSL_CN:
                check_utf8("common name", value[at + 3 : end])
            elif SSL_VERSION <= octets[at] <= SSL_SIG_SCHEME:
                text = value[at + 3 : end]
                if not text.isascii():
                    raise ProxyProtocolSyntaxError(
                        f"TLV {octets[at]:#04x} inside the SSL TLV isn't ASCII: {text!r}"
                    )
            at = end


def check_utf8(what: str, value: bytes) -> None:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        raise ProxyProtocolSyntaxError(f"the {what} isn't UTF-8: {value!r}") from None


def canonical_address(address: Any) -> tuple[str, Address]:
    """Give the family of an address, and the address as the parser writes it.

    Args:
        address: ``(ip, port)``, whatever follows these two, or the path of a Unix socket.

    Raises:
        ValueError: if it is no such address.
    """
    if isinstance(address, str):
        path = address.encode("utf-8", "surrogateescape")
        # An abstract name begins with a NUL; the field is filled up with them.
        if len(path) > MAX_PATH or b"\0" in path[1:]:
            raise ValueError(f"{address!r} doesn't fit into a header as the path of a socket")
        # No abstract name can be told from no name.
        return "AF_UNIX", "" if address == "\0" else address
    host, port = address[:2]
    if not isinstance(port, int) or not 0 <= port <= 0xFFFF:
        raise ValueError(f"{port!r} is not a port number")
    # A header has no place for a zone like the one in fe80::1%eth0.
    ip = canonical_ip(str(host).partition("%")[0].encode())
    if ip is None:
        raise ValueError(f"{host!r} is not an IP address")
    return ("AF_INET6" if ":" in ip else "AF_INET"), (ip, port)


class Header:
    """What a proxy says about the connection that it forwards.

    What isn't given follows from the addresses: the family is theirs, and the protocol ``STREAM``
    for all but ``AF_UNSPEC``. An IPv4 and an IPv6 address together become two IPv6 ones.

    Args:
        version: 1 or 2.
        command: ``"PROXY"``, or ``"LOCAL"`` where the proxy speaks for itself, as in health checks.
        family: ``"AF_INET"``, ``"AF_INET6"``, ``"AF_UNIX"`` or ``"AF_UNSPEC"``.
        protocol: ``"STREAM"``, ``"DGRAM"`` or ``"UNSPEC"``.
        source: the client's address: ``(ip, port)``, the path of a Unix socket, or None.
        destination: the address that the client connected to.
        tlvs: types and values, in the order in which they are sent; version 1 has none.

    Raises:
        ValueError: if these don't make a header.

    See the PROXY protocol specification, sections 2.1 and 2.2.
    """

    __slots__ = ("command", "destination", "family", "protocol", "source", "tlvs", "version")

    __signature__ = ClassSignature()

    def __init__(
        self,
        version: int = 2,
        command: str = "PROXY",
        family: str | None = None,
        protocol: str | None = None,
        source: Any = None,
        destination: Any = None,
        tlvs: Iterable[tuple[int, bytes]] = (),
    ) -> None:
        if version not in (1, 2):
            raise ValueError(f"there is no version {version!r} of the PROXY protocol")
        if command not in ("PROXY", "LOCAL"):
            raise ValueError(f"command must be 'PROXY' or 'LOCAL', not {command!r}")
        if (source is None) != (destination is None):
            raise ValueError("source and destination must both be given, or neither")
        derived = "AF_UNSPEC"
        if source is not None:
            derived, source = canonical_address(source)
            other, destination = canonical_address(destination)
            families = {derived, other}
            if families == {"AF_INET", "AF_INET6"} or (
                families == {"AF_INET"} and family == "AF_INET6"
            ):
                derived = other = "AF_INET6"
                source, destination = map_to_ipv6(source), map_to_ipv6(destination)
            if derived != other:
                raise ValueError(f"{source!r} and {destination!r} are not of the same family")
        if family not in (None, derived):
            raise ValueError(f"the addresses are {derived}, not {family!r}")
        if command == "LOCAL" and derived != "AF_UNSPEC":
            raise ValueError("a LOCAL header has no addresses")
        if protocol is None:
            protocol = "UNSPEC" if derived == "AF_UNSPEC" else "STREAM"
        if protocol not in ("STREAM", "DGRAM", "UNSPEC"):
            raise ValueError(f"protocol must be 'STREAM', 'DGRAM' or 'UNSPEC', not {protocol!r}")
        if derived == "AF_UNSPEC" and protocol != "UNSPEC":
            raise ValueError(f"a header without addresses has no protocol, not even {protocol!r}")
        pairs = tuple((int(kind), bytes(value)) for kind, value in tlvs)
        for kind, value in pairs:
            if not 0 <= kind <= 0xFF or len(value) > 0xFFFF:
                raise ValueError(f"TLV {kind} of {len(value)} bytes doesn't fit into a header")
            check_length(kind, len(value))
            check_value(kind, value)
        if sum(kind == CRC32C for kind, _ in pairs) > 1:
            raise ValueError("a header has one CRC-32C at most")
        if version == 1 and pairs:
            raise ValueError("version 1 has no TLVs")
        self.version = version
        self.command = command
        self.family = derived
        self.protocol = protocol
        self.source: Address | None = source
        self.destination: Address | None = destination
        self.tlvs: tuple[tuple[int, bytes], ...] = pairs

    def get(self, type: int) -> bytes | None:
        """Give the value of the first TLV of this type, None if there is none."""
        for kind, value in self.tlvs:
            if kind == type:
                return value
        return None

    @property
    def alpn(self) -> bytes | None:
        """The protocol that the client and the proxy negotiated, like ``b"http/1.1"``."""
        return self.get(ALPN)

    @property
    def authority(self) -> str | None:
        """The host name that the client asked for (SNI)."""
        value = self.get(AUTHORITY)
        return None if value is None else value.decode()

    @property
    def unique_id(self) -> bytes | None:
        """The proxy's identifier of the connection, up to 128 bytes."""
        return self.get(UNIQUE_ID)

    @property
    def netns(self) -> str | None:
        """The name of the network namespace."""
        value = self.get(NETNS)
        return None if value is None else value.decode("ascii")

    @property
    def ssl(self) -> ProxyProtocolSSLTLV | None:
        """What the proxy says about its TLS connection with the client."""
        value = self.get(SSL)
        return None if value is None else ProxyProtocolSSLTLV(value)

    @property
    def crc32c(self) -> int | None:
        """The checksum that the header carried; :func:`parse` has verified it."""
        value = self.get(CRC32C)
        return None if value is None else int.from_bytes(value)

    @property
    def aws_vpce_id(self) -> str | None:
        """The ID of the AWS VPC endpoint that the client came through."""
        for kind, value in self.tlvs:
            if kind == AWS and value[:1] == bytes((AWS_VPCE_ID,)) and value.isascii():
                return value[1:].decode("ascii")
        return None

    @property
    def azure_link_id(self) -> int | None:
        """The link ID of the Azure private endpoint that the client came through."""
        for kind, value in self.tlvs:
            if kind == AZURE and value[:1] == bytes((AZURE_LINK_ID,)) and len(value) == 5:
                return int.from_bytes(value[1:], "little")
        return None

    @property
    def gcp_psc_connection_id(self) -> int | None:
        """The ID of the GCP Private Service Connect connection that the client came through."""
        for kind, value in self.tlvs:
            if kind == GCP_PSC_CONNECTION_ID and len(value) == 8:
                return int.from_bytes(value)
        return None

    def replace(self, **changes: Any) -> Header:
        """Give this header with some of the arguments of :class:`Header` changed.

        Raises:
            ValueError: if these don't make a header.
        """
        names = ("version", "command", "family", "protocol", "source", "destination", "tlvs")
        fields = dict(zip(names, self._fields(), strict=True))
        if not {"source", "destination", "family"}.isdisjoint(changes):
            # These follow from each other.
            fields["family"] = fields["protocol"] = None
        return Header(**{**fields, **changes})

    def portable(self) -> Header:
        """Give this header without what HAProxy, as a receiver, refuses.

        It refuses all addresses but those of TCP, whatever family is meant by ``AF_UNSPEC``, and
        values of over 1024 bytes. What can't be said becomes LOCAL, as in its own headers.
        """
        tlvs = [pair for pair in self.tlvs if len(pair[1]) <= MAX_PORTABLE_VALUE]
        if self.family in ("AF_INET", "AF_INET6") and self.protocol == "STREAM":
            return self.replace(tlvs=tlvs)
        return Header(self.version, "PROXY" if self.version == 1 else "LOCAL", tlvs=tlvs)

    def _fields(self) -> tuple[Any, ...]:
        return (
            self.version,
            self.command,
            self.family,
            self.protocol,
            self.source,
            self.destination,
            self.tlvs,
        )

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Header):
            return self._fields() == other._fields()
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return (
            f"Header(version={self.version}, command={self.command!r}, family={self.family!r},"
            f" protocol={self.protocol!r}, source={self.source!r},"
            f" destination={self.destination!r}, tlvs={self.tlvs!r})"
        )

    def __reduce__(self) -> Any:
        return Header, self._fields()


def map_to_ipv6(address: tuple[str, int]) -> tuple[str, int]:
    """Give an address of either family as one of IPv6 (RFC 4291, section 2.5.5.2)."""
    ip, port = address
    return (ip if ":" in ip else f"::ffff:{ip}", port)
