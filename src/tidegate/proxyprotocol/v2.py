"""Version 2, the binary header, in the interface of ``proxy-protocol``."""

from __future__ import annotations

import struct
from socket import SocketKind

from .base import ProxyProtocol, ProxyProtocolIncompleteError, ProxyProtocolWantRead
from .builder import FAMILIES, PROTOCOLS, build
from .errors import ProxyProtocolChecksumError, ProxyProtocolSyntaxError
from .header import SIGNATURE
from .parser import parse
from .result import SOCKET_KINDS, ProxyResult, ProxyResultType, header_of, result_of
from .tlv import ProxyProtocolTLV

__all__ = ["ProxyProtocolV2", "ProxyProtocolV2Header"]

HEADER_SIZE = 16
TYPES = {
    "AF_UNSPEC": ProxyResultType.UNKNOWN,
    "AF_INET": ProxyResultType.IPv4,
    "AF_INET6": ProxyResultType.IPv6,
    "AF_UNIX": ProxyResultType.UNIX,
}
TYPE_BY_NUMBER = {number: TYPES[name] for name, number in FAMILIES.items()}
NUMBER_BY_TYPE: dict[ProxyResultType | None, int] = {
    type: number for number, type in TYPE_BY_NUMBER.items()
}
KIND_BY_NUMBER = {number: SOCKET_KINDS[name] for name, number in PROTOCOLS.items()}
NUMBER_BY_KIND = {kind: number for number, kind in KIND_BY_NUMBER.items()}


class ProxyProtocolV2Header:
    """What the first 16 bytes say.

    Args:
        command: ``"proxy"`` or ``"local"``.
        type: the kind of addresses.
        protocol: the transport protocol.
        data_len: how many bytes follow.
    """

    __slots__ = ("command", "data_len", "protocol", "type")

    def __init__(
        self,
        command: str | None,
        type: ProxyResultType | None,
        protocol: SocketKind | None,
        data_len: int,
    ) -> None:
        self.command = command
        self.type = type
        self.protocol = protocol
        self.data_len = data_len


class ProxyProtocolV2(ProxyProtocol):
    """Version 2 of the PROXY protocol (section 2.2 of its specification)."""

    __slots__ = ()

    def is_valid(self, signature: bytes) -> bool:
        return len(signature) >= 8 and signature[:12] == SIGNATURE[: len(signature)]

    def unpack(self, data: bytes) -> ProxyResult:
        if len(data) < HEADER_SIZE:
            parse(data, versions=(2,))
            raise ProxyProtocolIncompleteError(ProxyProtocolWantRead(HEADER_SIZE - len(data)))
        size = HEADER_SIZE + int.from_bytes(data[14:16])
        try:
            parsed = parse(data, versions=(2,), max_size=size)
        except ProxyProtocolChecksumError as exc:
            raise ProxyProtocolChecksumError(result_of(exc.result)) from None
        if parsed is None:
            raise ProxyProtocolIncompleteError(ProxyProtocolWantRead(size - len(data)))
        if size < len(data):
            raise ProxyProtocolSyntaxError(f"{len(data) - size} bytes after the header")
        return result_of(parsed[0])

    def unpack_header(self, header_data: bytes) -> ProxyProtocolV2Header:
        """Read the first 16 bytes of a header.

        Raises:
            ProxyProtocolSyntaxError: if these are others, or fewer.
        """
        head = header_data[:HEADER_SIZE]
        if len(head) < HEADER_SIZE:
            raise ProxyProtocolSyntaxError(f"{len(head)} bytes instead of {HEADER_SIZE}")
        length = int.from_bytes(head[14:])
        parse(head, versions=(2,), max_size=HEADER_SIZE + length)
        return ProxyProtocolV2Header(
            "proxy" if head[12] & 0x0F else "local",
            TYPE_BY_NUMBER.get(head[13] >> 4),
            KIND_BY_NUMBER.get(head[13] & 0x0F),
            length,
        )

    def unpack_data(
        self, header: ProxyProtocolV2Header, header_data: bytes, data: bytes
    ) -> ProxyResult:
        """Read the rest of a header.

        Args:
            header: what the first 16 bytes say.
            header_data: the first 16 bytes; if it is empty, they are made from ``header``.
            data: what follows them.

        Raises:
            ProxyProtocolSyntaxError: if this is no header.
        """
        if header.command not in ("proxy", "local"):
            raise ProxyProtocolSyntaxError(f"there is no command {header.command!r}")
        if not header_data:
            family = NUMBER_BY_TYPE.get(header.type, 0)
            protocol = NUMBER_BY_KIND[header.protocol]
            command = 0x20 if header.command == "local" else 0x21
            header_data = SIGNATURE + struct.pack(
                "!BBH", command, family << 4 | protocol, len(data)
            )
        try:
            return self.unpack(header_data + data)
        except ProxyProtocolIncompleteError:
            raise ProxyProtocolSyntaxError(f"{len(data)} bytes are too few") from None

    def pack(self, result: ProxyResult) -> bytes:
        """Give the header, with a checksum."""
        header = header_of(result, 2)
        tlv = ProxyProtocolTLV(init=result.tlv, crc32c=0)
        return build(header.replace(tlvs=tlv.pairs))
