"""Headers for the connections of this process, in the interface of ``proxy-protocol``.

The module can be called, too: it has the name of :func:`tidegate.proxyprotocol.build`, which gives
the bytes of a header, and does what that does.
"""

from __future__ import annotations

import socket
import sys
import types
from ipaddress import IPv4Address, IPv6Address
from ssl import SSLObject, SSLSocket
from typing import Any

from . import builder
from .result import (
    ProxyResult,
    ProxyResultIPv4,
    ProxyResultIPv6,
    ProxyResultUnix,
    ProxyResultUnknown,
)
from .sock import path_of
from .tlv import ProxyProtocolExtTLV, ProxyProtocolSSLTLV, ProxyProtocolTLV
from .typing import TransportProtocol

__all__ = ["build_socket_result", "build_transport_result"]


def build_socket_result(
    sock: socket.socket, *, unique_id: bytes | None = None, dnsbl: str | None = None
) -> ProxyResult:
    """Give what a header says that forwards the connection of a socket.

    Args:
        sock: the socket.
        unique_id: an identifier of the connection.
        dnsbl: what a DNS blocklist says about the client.
    """
    ssl_object = sock if isinstance(sock, SSLSocket) else None
    tlv = tlv_for(ssl_object, unique_id, dnsbl)
    return result_for(sock, sock.getpeername(), sock.getsockname(), tlv)


def build_transport_result(
    transport: TransportProtocol, *, unique_id: bytes | None = None, dnsbl: str | None = None
) -> ProxyResult:
    """Give what a header says that forwards the connection of a transport, TLS included.

    Args:
        transport: the transport, or its stream writer.
        unique_id: an identifier of the connection.
        dnsbl: what a DNS blocklist says about the client.
    """
    tlv = tlv_for(transport.get_extra_info("ssl_object"), unique_id, dnsbl)
    return result_for(
        transport.get_extra_info("socket"),
        transport.get_extra_info("peername"),
        transport.get_extra_info("sockname"),
        tlv,
    )


def tlv_for(
    ssl_object: SSLObject | SSLSocket | None, unique_id: bytes | None, dnsbl: str | None
) -> ProxyProtocolTLV:
    if ssl_object is None:
        return ProxyProtocolTLV(unique_id=unique_id, ext=ProxyProtocolExtTLV(dnsbl=dnsbl))
    cipher, version, secret_bits = ssl_object.cipher() or (None, None, None)
    peercert = ssl_object.getpeercert()
    # Where the certificate isn't verified, the decoded form of it is empty.
    given = bool(peercert or ssl_object.getpeercert(True))
    return ProxyProtocolTLV(
        unique_id=unique_id,
        ssl=ProxyProtocolSSLTLV(
            has_ssl=True,
            has_cert_conn=given,
            has_cert_sess=given,
            verified=bool(peercert),
            version=version,
            cn=common_name(peercert),
            cipher=cipher,
        ),
        ext=ProxyProtocolExtTLV(
            compression=ssl_object.compression(),
            secret_bits=secret_bits,
            peercert=peercert or None,
            dnsbl=dnsbl,
        ),
    )


def result_for(
    sock: socket.socket, peername: Any, sockname: Any, tlv: ProxyProtocolTLV
) -> ProxyResult:
    protocol = socket.SocketKind(sock.type)
    if sock.family == socket.AF_INET:
        return ProxyResultIPv4(
            (IPv4Address(peername[0]), peername[1]),
            (IPv4Address(sockname[0]), sockname[1]),
            protocol=protocol,
            tlv=tlv,
        )
    if sock.family == socket.AF_INET6:
        return ProxyResultIPv6(
            (IPv6Address(peername[0]), peername[1]),
            (IPv6Address(sockname[0]), sockname[1]),
            protocol=protocol,
            tlv=tlv,
        )
    if sock.family == getattr(socket, "AF_UNIX", None):
        return ProxyResultUnix(path_of(peername), path_of(sockname), protocol=protocol, tlv=tlv)
    return ProxyResultUnknown(tlv=tlv)


def common_name(peercert: Any) -> str | None:
    """Give the Common Name of the subject of a certificate."""
    for relative_name in (peercert or {}).get("subject", ()):
        for key, value in relative_name:
            if key == "commonName":
                return str(value)
    return None


class CallableModule(types.ModuleType):
    """A module that is called like a function that has its name."""

    __call__ = staticmethod(builder.build)


sys.modules[__name__].__class__ = CallableModule
