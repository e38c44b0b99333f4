"""From a header to the bytes that a proxy sends."""

from __future__ import annotations

import socket
import struct
from typing import Any, cast

from .crc32c import crc32c as crc32c_of
from .header import SIGNATURE, Header
from .tlv import Type, pack_tlvs

__all__ = ["announcement", "build"]

# Section 2.2
COMMANDS = {"LOCAL": 0, "PROXY": 1}
FAMILIES = {"AF_UNSPEC": 0, "AF_INET": 1, "AF_INET6": 2, "AF_UNIX": 3}
PROTOCOLS = {"UNSPEC": 0, "STREAM": 1, "DGRAM": 2}


def build(header: Header, *, version: int | None = None, crc32c: bool | None = None) -> bytes:
    """Give the bytes of a header.

    Version 1 can only say TCP over IPv4 or IPv6; everything else becomes ``PROXY UNKNOWN``, and
    TLVs are left out. From version 1 to 2, ``PROXY UNKNOWN`` becomes LOCAL.

    Args:
        header: what to say.
        version: 1 or 2; the header's own, if it is None.
        crc32c: whether version 2 gets a checksum; if it is None, when the header has one. It is
            always computed anew.

    Raises:
        ValueError: if there is no such version, or the header becomes larger than 65551 bytes.
    """
    if version is None:
        version = header.version
    if version == 1:
        return build_v1(header)
    if version == 2:
        return build_v2(header, crc32c)
    raise ValueError(f"there is no version {version!r} of the PROXY protocol")


def build_v1(header: Header) -> bytes:
    if header.protocol == "STREAM" and header.family in ("AF_INET", "AF_INET6"):
        (source, source_port), (destination, destination_port) = cast(
            tuple[tuple[str, int], tuple[str, int]], (header.source, header.destination)
        )
        family = "TCP4" if header.family == "AF_INET" else "TCP6"
        line = f"PROXY {family} {source} {destination} {source_port} {destination_port}\r\n"
        return line.encode("ascii")
    # Without the addresses that may follow: HAProxy takes this form only.
    return b"PROXY UNKNOWN\r\n"


def build_v2(header: Header, crc32c: bool | None) -> bytes:
    command = header.command
    if header.version == 1 and header.family == "AF_UNSPEC":
        command = "LOCAL"
    tlvs = list(header.tlvs)
    if crc32c is False:
        tlvs = [tlv for tlv in tlvs if tlv[0] != Type.PP2_TYPE_CRC32C]
    elif crc32c and header.get(Type.PP2_TYPE_CRC32C) is None:
        tlvs.append((Type.PP2_TYPE_CRC32C, bytes(4)))
    block = pack_addresses(header)
    # Without its value, which is computed over the header with zeros in its place.
    tlvs = [(kind, bytes(4) if kind == Type.PP2_TYPE_CRC32C else value) for kind, value in tlvs]
    tail = pack_tlvs(tlvs)
    if len(block) + len(tail) > 0xFFFF:
        raise ValueError(f"a header of {16 + len(block) + len(tail)} bytes, over 65551")
    head = SIGNATURE + struct.pack(
        "!BBH",
        0x20 | COMMANDS[command],
        FAMILIES[header.family] << 4 | PROTOCOLS[header.protocol],
        len(block) + len(tail),
    )
    data = bytearray(b"".join((head, block, tail)))
    at = len(head) + len(block)
    for kind, value in tlvs:
        if kind == Type.PP2_TYPE_CRC32C:
            data[at + 3 : at + 7] = crc32c_of(data).to_bytes(4)
        at += 3 + len(value)
    return bytes(data)


def pack_addresses(header: Header) -> bytes:
    if header.family == "AF_UNSPEC":
        return b""
    if header.family == "AF_UNIX":
        source, destination = cast(tuple[str, str], (header.source, header.destination))
        return struct.pack(
            "108s108s",
            source.encode("utf-8", "surrogateescape"),
            destination.encode("utf-8", "surrogateescape"),
        )
    family = socket.AF_INET if header.family == "AF_INET" else socket.AF_INET6
    (source, source_port), (destination, destination_port) = cast(
        tuple[tuple[str, int], tuple[str, int]], (header.source, header.destination)
    )
    return b"".join(
        (
            socket.inet_pton(family, source),
            socket.inet_pton(family, destination),
            struct.pack("!HH", source_port, destination_port),
        )
    )


def announcement(header: bool | Header, source: Any, destination: Any) -> bytes:
    """Give the header that a client begins with.

    Args:
        header: the header, or True for one with the addresses of its socket.
        source: the address of its socket.
        destination: the one that it is connected to.
    """
    if isinstance(header, Header):
        return build(header)
    if not isinstance(source, tuple) or not isinstance(destination, tuple):
        # Not all receivers take the paths of Unix sockets.
        return build(Header(command="LOCAL"))
    return build(Header(source=source, destination=destination))
