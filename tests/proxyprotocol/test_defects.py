"""What went wrong with ``proxy-protocol`` 0.11.3, and doesn't here.

Its loop on a connection that ends is in ``test_reader``, its lax syntax in ``test_parser``, its
lack of a trust list and of TLS after the header in ``test_policy`` and ``test_server``, what its
relay does in ``test_relay``.
"""

from __future__ import annotations

import json
import socket
import ssl
import tracemalloc
import zlib
from ipaddress import IPv4Address

import pytest
import trustme

from tidegate.proxyprotocol import ProxyProtocolSyntaxError, parse
from tidegate.proxyprotocol.build import build_socket_result
from tidegate.proxyprotocol.checksum import crc32c
from tidegate.proxyprotocol.detect import ProxyProtocolDetect
from tidegate.proxyprotocol.result import ProxyResultIPv4, ProxyResultUnix, ProxyResultUnknown
from tidegate.proxyprotocol.tlv import (
    TLV,
    ExtType,
    ProxyProtocolExtTLV,
    ProxyProtocolSSLTLV,
    ProxyProtocolTLV,
    Type,
)
from tidegate.proxyprotocol.v1 import ProxyProtocolV1
from tidegate.proxyprotocol.v2 import ProxyProtocolV2

from .captures import CAPTURES

SOURCE, DEST = (IPv4Address("192.0.2.1"), 4711), (IPv4Address("198.51.100.1"), 443)


@pytest.mark.parametrize("capture", [c for c in CAPTURES if c.has_checksum], ids=lambda c: c.name)
def test_valid_checksums_are_accepted(capture):
    """They are computed over what was received, not over the TLVs in the order of their types."""
    assert ProxyProtocolV2().unpack(capture.header).tlv.crc32c is not None


def test_damaged_header_is_refused():
    """A length that was changed didn't change what was checked."""
    tlv = ProxyProtocolTLV(unique_id=b"abc")
    data = bytearray(ProxyProtocolV2().pack(ProxyResultIPv4(SOURCE, DEST, tlv=tlv)))
    data[data.rindex(b"\x05\x00\x03") + 2] = 2
    with pytest.raises(ProxyProtocolSyntaxError):
        ProxyProtocolV2().unpack(bytes(data))


def test_verified_needs_a_certificate():
    assert not ProxyProtocolSSLTLV(b"\1\0\0\0\0").verified
    assert not ProxyProtocolSSLTLV(has_ssl=True, verified=True).verified
    assert ProxyProtocolSSLTLV(b"\3\0\0\0\0").verified


@pytest.mark.parametrize("certificate", [False, True])
def test_what_is_sent_about_certificates(certificate):
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_context)
    server_context.verify_mode = ssl.CERT_OPTIONAL
    authority.configure_trust(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    if certificate:
        authority.issue_cert("me@localhost", common_name="Jürgen").configure_cert(client_context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    sockets = [
        client_context.wrap_socket(
            client, server_hostname="localhost", do_handshake_on_connect=False
        ),
        server_context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False),
    ]
    for sock in sockets:
        sock.setblocking(False)
    waiting = list(sockets)
    for _ in range(1000):
        for sock in list(waiting):
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(sock)
        if not waiting:
            break
    result = build_socket_result(sockets[1])
    for sock in sockets:
        sock.close()
    sent = ProxyProtocolV2().unpack(ProxyProtocolV2().pack(result)).tlv
    assert sent.ssl.has_ssl
    assert sent.ssl.has_cert_conn is sent.ssl.verified is certificate
    assert sent.ssl.cn == ("Jürgen" if certificate else None)
    assert (sent.ext.peercert is not None) is certificate
    assert sent.ssl.version == sockets[1].version() or sent.ssl.version.startswith("TLSv1")


@pytest.mark.parametrize("family", [0x11, 0x21, 0x31])
def test_short_addresses_are_syntax_errors(family):
    data = CAPTURES[0].header[:12] + bytes((0x21, family, 0, 4)) + b"abcd"
    with pytest.raises(ProxyProtocolSyntaxError):
        ProxyProtocolDetect().unpack(data)


def test_port_is_a_syntax_error():
    with pytest.raises(ProxyProtocolSyntaxError):
        ProxyProtocolV1().unpack(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n")


def test_tlvs_of_an_unknown_client_are_kept_and_checked():
    tlv = ProxyProtocolTLV(unique_id=b"id")
    data = ProxyProtocolV2().pack(ProxyResultUnknown(tlv=tlv))
    assert ProxyProtocolV2().unpack(data).tlv.unique_id == b"id"
    with pytest.raises(ProxyProtocolSyntaxError):
        ProxyProtocolV2().unpack(data[:-1] + b"x")


def test_local_header_with_addresses():
    """They aren't taken for TLVs."""
    signature = CAPTURES[0].header[:12]
    data = signature + b"\x20\x11\0\x0c" + bytes.fromhex("05 00 ff 07 c6336409 dc04 01bb")
    assert ProxyProtocolV2().unpack(data).tlv == ProxyProtocolTLV()


def test_checksum_is_always_there():
    assert crc32c(b"123456789") == 0xE3069283


def test_order_and_duplicates():
    data = b"\x05\0\1b\x01\0\1a\x05\0\1c"
    assert bytes(TLV(data)) == data
    assert TLV(data).pairs == ((5, b"b"), (1, b"a"), (5, b"c"))


def test_ssl_tlvs_are_compared():
    assert ProxyProtocolSSLTLV(has_ssl=True) != ProxyProtocolSSLTLV(has_ssl=False)
    assert ProxyProtocolSSLTLV(cn="a") != ProxyProtocolSSLTLV(cn="b")


def test_ssl_tlv_is_copied_with_its_flags():
    tlv = ProxyProtocolSSLTLV(b"\7\0\0\0\0", cn="a")
    assert ProxyProtocolSSLTLV(init=tlv) == tlv


def test_unix_paths():
    result = ProxyResultUnix("/run/grün", "/run/\udcff")
    assert ProxyProtocolV2().unpack(ProxyProtocolV2().pack(result)).source == "/run/grün"
    assert ProxyProtocolV2().unpack(ProxyProtocolV2().pack(result)).dest == "/run/\udcff"
    with pytest.raises(ValueError):
        ProxyProtocolV2().pack(ProxyResultUnix("/" + "x" * 108, "/"))


def test_newer_types():
    assert Type.PP2_SUBTYPE_SSL_GROUP == 0x26
    assert Type.PP2_SUBTYPE_SSL_SIG_SCHEME == 0x27
    assert Type.PP2_SUBTYPE_SSL_CLIENT_CERT == 0x28


def test_decompression_is_bounded():
    bomb = zlib.compress(json.dumps({"x": " " * 40_000_000}).encode(), 9)
    assert len(bomb) < 40_000
    tlv = ProxyProtocolExtTLV(init={ExtType.PP2_TYPE_EXT_PEERCERT: bomb})
    tracemalloc.start()
    assert tlv.peercert is None
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    # Nor does depth help.
    deep = zlib.compress(b'{"x":' * 12_000)
    assert ProxyProtocolExtTLV(init={ExtType.PP2_TYPE_EXT_PEERCERT: deep}).peercert is None


def test_what_is_sent_is_what_receivers_take():
    """HAProxy refuses trailing spaces after UNKNOWN, and addresses without a protocol."""
    assert ProxyProtocolV1().pack(ProxyResultUnknown()) == b"PROXY UNKNOWN\r\n"
    assert ProxyProtocolV2().pack(ProxyResultIPv4(SOURCE, DEST))[13] == 0x11
    assert parse(ProxyProtocolV2().pack(ProxyResultIPv4(SOURCE, DEST)))[0].protocol == "STREAM"
