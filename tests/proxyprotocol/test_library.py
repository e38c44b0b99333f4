"""The interface of ``proxy-protocol``: what its users rely on."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest

from tidegate.proxyprotocol import (
    ProxyProtocol,
    ProxyProtocolChecksumError,
    ProxyProtocolIncompleteError,
    ProxyProtocolSyntaxError,
    ProxyProtocolWantRead,
    build,
)
from tidegate.proxyprotocol import result as results
from tidegate.proxyprotocol.build import build_socket_result, build_transport_result
from tidegate.proxyprotocol.detect import ProxyProtocolDetect
from tidegate.proxyprotocol.header import Header
from tidegate.proxyprotocol.noop import ProxyProtocolNoop
from tidegate.proxyprotocol.result import (
    ProxyResultIPv4,
    ProxyResultIPv6,
    ProxyResultLocal,
    ProxyResultType,
    ProxyResultUnix,
    ProxyResultUnknown,
    is_ipv4,
    is_ipv6,
    is_local,
    is_unix,
    is_unknown,
)
from tidegate.proxyprotocol.sock import SocketInfo, SocketInfoLocal, SocketInfoProxy
from tidegate.proxyprotocol.tlv import (
    TLV,
    ExtType,
    ProxyProtocolExtTLV,
    ProxyProtocolSSLTLV,
    ProxyProtocolTLV,
    SSLClient,
    Type,
)
from tidegate.proxyprotocol.v1 import ProxyProtocolV1
from tidegate.proxyprotocol.v2 import ProxyProtocolV2, ProxyProtocolV2Header
from tidegate.proxyprotocol.version import ProxyProtocolVersion

from .captures import CAPTURES

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n"
HEADER = SIGNATURE + bytes.fromhex("2111000c c0000201 c6336401 1267 01bb")
V1, V2, DETECT, NOOP = (
    ProxyProtocolV1(),
    ProxyProtocolV2(),
    ProxyProtocolDetect(),
    ProxyProtocolNoop(),
)
SOURCE, DEST = (IPv4Address("192.0.2.1"), 4711), (IPv4Address("198.51.100.1"), 443)
IPV4 = ProxyResultIPv4(SOURCE, DEST, protocol=socket.SOCK_STREAM)
SOURCE6, DEST6 = (IPv6Address("2001:db8::1"), 4711), (IPv6Address("2001:db8::2"), 443)
IPV6 = ProxyResultIPv6(SOURCE6, DEST6, protocol=socket.SOCK_STREAM)
UNIX = ProxyResultUnix("/a", "/b", protocol=socket.SOCK_STREAM)


# The versions


def test_is_valid():
    assert V1.is_valid(b"PROXY TC")
    assert not V1.is_valid(b"PROXYTCP")
    assert V2.is_valid(SIGNATURE)
    assert V2.is_valid(SIGNATURE[:8])
    assert not V2.is_valid(b"\r\n\r\n\0\r\nq")
    assert not V2.is_valid(SIGNATURE[:7])
    assert DETECT.is_valid(b"PROXY TC") and DETECT.is_valid(SIGNATURE)
    assert not DETECT.is_valid(b"GET / HT")
    with pytest.raises(NotImplementedError):
        NOOP.is_valid(b"PROXY TC")


def test_unpack_line():
    # It has no protocol for version 1, which knows of TCP only.
    expected = ProxyResultIPv4(SOURCE, DEST)
    assert V1.unpack(LINE) == V1.unpack_line(LINE) == DETECT.unpack(LINE) == expected
    assert V1.unpack(b"PROXY UNKNOWN\r\n") == ProxyResultUnknown()
    for wrong in (LINE[:-1], LINE[:-2], LINE + b"x", b""):
        with pytest.raises(ProxyProtocolSyntaxError):
            V1.unpack_line(wrong)


def test_unpack_header():
    assert V2.unpack(HEADER) == DETECT.unpack(HEADER) == IPV4
    assert V2.unpack(SIGNATURE + b"\x20\0\0\0") == ProxyResultLocal()
    assert V2.unpack(SIGNATURE + b"\x21\0\0\0") == ProxyResultUnknown()
    header = V2.unpack_header(HEADER[:16])
    assert (header.command, header.data_len) == ("proxy", 12)
    assert (header.type, header.protocol) == (ProxyResultType.IPv4, socket.SOCK_STREAM)
    assert V2.unpack_data(header, HEADER[:16], HEADER[16:]) == IPV4
    assert V2.unpack_data(header, b"", HEADER[16:]) == IPV4
    header = V2.unpack_header(SIGNATURE + b"\x20\x21\0\x24")
    assert (header.command, header.type) == ("local", ProxyResultType.IPv6)
    assert V2.unpack_data(header, b"", bytes(36)) == ProxyResultLocal()
    for wrong in (HEADER[:15], b"", LINE[:16], SIGNATURE + b"\x31\0\0\0"):
        with pytest.raises(ProxyProtocolSyntaxError):
            V2.unpack_header(wrong)
    header = ProxyProtocolV2Header("proxy", ProxyResultType.IPv4, None, 12)
    with pytest.raises(ProxyProtocolSyntaxError):
        V2.unpack_data(header, HEADER[:16], HEADER[16:-1])
    with pytest.raises(ProxyProtocolSyntaxError):
        V2.unpack_data(ProxyProtocolV2Header("forward", None, None, 0), b"", b"")


@pytest.mark.parametrize("version", [V1, V2, DETECT])
@pytest.mark.parametrize("data", [LINE, HEADER])
def test_incomplete(version, data):
    """Who reads what is asked for gets the header, and nothing after it."""
    if version is (V2 if data is LINE else V1):
        with pytest.raises(ProxyProtocolSyntaxError):
            version.unpack(data[:13])
        return
    at = 0
    while at < len(data):
        with pytest.raises(ProxyProtocolIncompleteError) as info:
            version.unpack(data[:at])
        want = info.value.want_read
        at = at + want.want_bytes if want.want_bytes else data.index(b"\n") + 1
        assert want.want_line is (want.want_bytes is None)
    assert at == len(data)
    version.unpack(data)


def test_want_read():
    want = ProxyProtocolWantRead(3)
    assert (want.want_bytes, want.want_line) == (3, False)
    want = ProxyProtocolWantRead(want_line=True)
    assert (want.want_bytes, want.want_line) == (None, True)


@pytest.mark.parametrize("data", [LINE, HEADER])
def test_more_than_a_header(data):
    with pytest.raises(ProxyProtocolSyntaxError, match="3 bytes after"):
        DETECT.unpack(data + b"GET")


def test_detect():
    assert isinstance(DETECT.choose_version(b"PROXY TC"), ProxyProtocolV1)
    assert isinstance(DETECT.choose_version(SIGNATURE), ProxyProtocolV2)
    with pytest.raises(ProxyProtocolSyntaxError):
        DETECT.choose_version(b"GET / HT")
    only = ProxyProtocolDetect(V1)
    with pytest.raises(ProxyProtocolSyntaxError):
        only.unpack(HEADER)
    assert only.pack(IPV4) == LINE
    assert DETECT.pack(IPV4) == V2.pack(IPV4)
    # Version 1 can't say that it speaks for itself, so the next one does.
    assert ProxyProtocolDetect(V1, V2).pack(ProxyResultLocal()) == V2.pack(ProxyResultLocal())
    with pytest.raises(ValueError):
        only.pack(ProxyResultLocal())


def test_noop():
    assert NOOP.unpack(b"anything") == ProxyResultLocal()
    assert NOOP.pack(IPV4) == b""


def test_version_by_name():
    assert isinstance(ProxyProtocolVersion.get("v1"), ProxyProtocolV1)
    assert isinstance(ProxyProtocolVersion.get("V2"), ProxyProtocolV2)
    assert isinstance(ProxyProtocolVersion.get("detect"), ProxyProtocolDetect)
    for none in (None, "", "noop"):
        assert isinstance(ProxyProtocolVersion.get(none), ProxyProtocolNoop)
    with pytest.raises(KeyError):
        ProxyProtocolVersion.get("v3")
    assert [version.name for version in ProxyProtocolVersion] == ["NOOP", "DETECT", "V1", "V2"]
    assert all(isinstance(version.value, ProxyProtocol) for version in ProxyProtocolVersion)


def test_pack():
    assert V1.pack(IPV4) == LINE
    assert V1.pack(ProxyResultUnknown()) == b"PROXY UNKNOWN\r\n"
    with pytest.raises(ValueError):
        V1.pack(ProxyResultLocal())
    tlv = ProxyProtocolTLV(unique_id=b"id", alpn=b"h2")
    for result in (IPV4, IPV6, UNIX, ProxyResultUnknown(), ProxyResultLocal()):
        unpacked = V2.unpack(V2.pack(result))
        assert unpacked.tlv.crc32c is not None
        assert type(unpacked) is type(result)
        assert (unpacked.source, unpacked.dest) == (result.source, result.dest)
    packed = V2.pack(ProxyResultIPv4(SOURCE, DEST, protocol=socket.SOCK_DGRAM, tlv=tlv))
    unpacked = V2.unpack(packed)
    assert unpacked.protocol is socket.SOCK_DGRAM
    assert list(unpacked.tlv) == [1, 3, 5]


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_captures(capture):
    result = DETECT.unpack(capture.header)
    assert result.tlv.verify_checksum(capture.header[: -result.tlv.size or None])


# Results


def test_results():
    assert IPV4.peername == ("192.0.2.1", 4711)
    assert IPV4.sockname == ("198.51.100.1", 443)
    assert IPV6.peername == ("2001:db8::1", 4711, 0, 0)
    assert IPV6.sockname == ("2001:db8::2", 443, 0, 0)
    assert (UNIX.peername, UNIX.sockname) == ("/a", "/b")
    for result, type_, family, predicate in (
        (IPV4, ProxyResultType.IPv4, socket.AF_INET, is_ipv4),
        (IPV6, ProxyResultType.IPv6, socket.AF_INET6, is_ipv6),
        (UNIX, ProxyResultType.UNIX, socket.AF_UNIX, is_unix),
        (ProxyResultLocal(), ProxyResultType.LOCAL, socket.AF_UNSPEC, is_local),
        (ProxyResultUnknown(), ProxyResultType.UNKNOWN, socket.AF_UNSPEC, is_unknown),
    ):
        assert result.type is type_
        assert result.family is family
        assert result.proxied is (predicate is not is_local)
        assert result.tlv == ProxyProtocolTLV()
        assert [predicate(other) for other in (IPV4, IPV6, UNIX)].count(True) == (
            predicate in (is_ipv4, is_ipv6, is_unix)
        )
        assert predicate(result)
    for nothing in (ProxyResultLocal(), ProxyResultUnknown()):
        assert nothing.source is nothing.dest is nothing.protocol is None
        assert nothing.peername is nothing.sockname is None


def test_result_as_text_and_value():
    assert repr(IPV4) == (
        "ProxyResultIPv4((IPv4Address('192.0.2.1'), 4711), (IPv4Address('198.51.100.1'), 443),"
        " protocol=socket.SOCK_STREAM)"
    )
    assert repr(ProxyResultUnix("/a", "/b")) == "ProxyResultUnix('/a', '/b')"
    assert repr(ProxyResultUnknown(ValueError("x"))) == "ProxyResultUnknown(ValueError('x'))"
    assert repr(ProxyResultLocal(tlv=ProxyProtocolTLV(unique_id=b"id"))) == (
        r"ProxyResultLocal(tlv=ProxyProtocolTLV(b'\x05\x00\x02id'))"
    )
    same = ProxyResultIPv4(SOURCE, DEST, protocol=socket.SOCK_STREAM)
    assert same == IPV4 and hash(IPV4) == hash(same)
    assert ProxyResultIPv4(SOURCE, DEST) != IPV4 and IPV4 != IPV6 and IPV4 != 4


def test_family_that_the_system_lacks(monkeypatch):
    """The name of a family is known on systems that don't have it, like Windows' AF_UNIX."""
    without = [(f.name, f.value) for f in socket.AddressFamily if f.name != "AF_UNIX"]
    import enum

    monkeypatch.setattr(results.socket, "AddressFamily", enum.IntEnum("AddressFamily", without))
    assert ProxyResultType.UNIX.family.name == "AF_UNIX"
    assert UNIX.family == 1
    assert IPV4.family.name == "AF_INET"
    assert V2.unpack(V2.pack(UNIX)).family.name == "AF_UNIX"


# TLVs


def test_tlv_fields():
    tlv = ProxyProtocolTLV(
        alpn=b"h2",
        authority="bücher.example",
        crc32c=7,
        unique_id=b"id",
        netns="blue",
        ssl=ProxyProtocolSSLTLV(has_ssl=True, version="TLSv1.3"),
        ext=ProxyProtocolExtTLV(dnsbl="list"),
    )
    for same in (tlv, ProxyProtocolTLV(bytes(tlv)), ProxyProtocolTLV(init=tlv)):
        assert same == tlv and hash(same) == hash(tlv)
        assert (same.alpn, same.authority, same.crc32c) == (b"h2", "bücher.example", 7)
        assert (same.unique_id, same.netns) == (b"id", "blue")
        assert (same.ssl.version, same.ext.dnsbl) == ("TLSv1.3", "list")
        assert same.size == len(bytes(tlv))
        assert list(same) == sorted(same) == [1, 2, 3, 4, 5, 0x20, 0x30]
    assert tlv[Type.PP2_TYPE_ALPN] == tlv[1] == tlv.get(1) == b"h2"
    assert len(tlv) == 7 and 0xE0 not in tlv
    empty = ProxyProtocolTLV()
    assert (empty.alpn, empty.authority, empty.crc32c, empty.netns) == (None, None, None, None)
    assert (empty.unique_id, empty.size, bool(empty)) == (b"", 0, False)
    assert not empty.ssl and not empty.ext
    assert repr(empty) == "ProxyProtocolTLV()"
    assert repr(ProxyProtocolTLV(unique_id=b"q")) == r"ProxyProtocolTLV(b'\x05\x00\x01q')"
    # What says nothing isn't sent.
    assert ProxyProtocolTLV(ssl=ProxyProtocolSSLTLV(), ext=ProxyProtocolExtTLV()) == empty


def test_tlv_as_mapping():
    tlv = TLV(b"\5\0\1a\xe0\0\1x\5\0\1b")
    assert dict(tlv) == {5: b"a", 0xE0: b"x"} == tlv
    assert next(iter(tlv)) is Type.PP2_TYPE_UNIQUE_ID
    assert bytes(tlv) == b"\5\0\1a\xe0\0\1x\5\0\1b"
    assert tlv.pairs == ((5, b"a"), (0xE0, b"x"), (5, b"b"))
    assert bytes(TLV(init={5: b"x", 2: b"y"})) == b"\2\0\1y\5\0\1x"
    assert bytes(TLV(bytes(tlv), {5: b"c"})) == b"\5\0\1c\xe0\0\1x"
    assert ProxyProtocolTLV(b"\2\0\1y\5\0\1x", unique_id=b"z").pairs == ((2, b"y"), (5, b"z"))
    assert ProxyProtocolTLV(b"\5\0\1x", alpn=b"z").pairs == ((1, b"z"), (5, b"x"))
    assert TLV() != ProxyProtocolTLV() and TLV() == {}
    assert TLV() != 3
    for wrong in (b"\5", b"\5\0", b"\5\0\2x"):
        with pytest.raises(ProxyProtocolSyntaxError):
            TLV(wrong)
    for wrong in ({256: b""}, {5: bytes(65536)}):
        with pytest.raises(ValueError):
            bytes(TLV(init=wrong))


def test_tlv_checksum():
    tlv = ProxyProtocolTLV(unique_id=b"id", auto_crc32c=True)
    assert (tlv.size, tlv.crc32c) == (12, None)
    assert "auto_crc32c" in repr(tlv)
    with pytest.raises(ValueError):
        bytes(tlv)
    known = tlv.with_checksum(b"before", b"hand")
    assert known.verify_checksum(b"beforehand")
    assert not known.verify_checksum(b"beforehanD")
    assert (known.size, list(known)) == (12, [3, 5])
    # It isn't computed where nobody asked for it, and its absence isn't wrong.
    assert known.with_checksum(b"else") == known
    assert ProxyProtocolTLV(unique_id=b"id").verify_checksum(b"")
    assert ProxyProtocolTLV(crc32c=1, auto_crc32c=True).with_checksum(b"x").verify_checksum(b"x")


def test_ssl_tlv():
    tlv = ProxyProtocolSSLTLV(
        has_ssl=True,
        has_cert_conn=True,
        has_cert_sess=False,
        verified=True,
        version="TLSv1.3",
        cn="Jürgen",
        cipher="C",
        sig_alg="S",
        key_alg="K",
        group="G",
        sig_scheme="R",
        client_cert=b"\xff",
    )
    for same in (tlv, ProxyProtocolSSLTLV(bytes(tlv)), ProxyProtocolSSLTLV(init=tlv)):
        assert same == tlv and hash(same) == hash(tlv)
        assert same.client == SSLClient.PP2_CLIENT_SSL | SSLClient.PP2_CLIENT_CERT_CONN
        assert (same.has_ssl, same.has_cert_conn, same.has_cert_sess) == (True, True, False)
        assert (same.verify, same.verified) == (0, True)
        assert (same.version, same.cn, same.cipher) == ("TLSv1.3", "Jürgen", "C")
        assert (same.sig_alg, same.key_alg, same.group, same.sig_scheme) == ("S", "K", "G", "R")
        assert same.client_cert == b"\xff"
    changed = ProxyProtocolSSLTLV(bytes(tlv), has_cert_conn=False, verified=False, cn="x")
    assert (changed.client, changed.verify, changed.cn, changed.version) == (1, 1, "x", "TLSv1.3")
    assert ProxyProtocolSSLTLV(b"\7\0\0\0\x10", verified=False).verify == 16
    assert bytes(ProxyProtocolSSLTLV(has_ssl=True)) == b"\1\0\0\0\1"
    empty = ProxyProtocolSSLTLV()
    assert (empty.client, empty.verify, empty.verified, empty.cn) == (0, 1, False, None)
    assert not empty and repr(empty) == "ProxyProtocolSSLTLV()"


def test_ext_tlv():
    peercert = {"subject": ((("commonName", "x"),),)}
    tlv = ProxyProtocolExtTLV(compression="zlib", secret_bits=256, peercert=peercert, dnsbl="list")
    same = ProxyProtocolExtTLV(bytes(tlv))
    assert same == tlv
    assert (same.compression, same.secret_bits, same.dnsbl) == ("zlib", 256, "list")
    assert same.peercert == {"subject": [[["commonName", "x"]]]}
    assert set(same) == set(ExtType)
    assert bytes(tlv).startswith(ProxyProtocolExtTLV.MAGIC_PREFIX)
    empty = ProxyProtocolExtTLV()
    assert (empty.compression, empty.secret_bits, empty.peercert, empty.dnsbl) == (None,) * 4
    assert not empty


@pytest.mark.parametrize("rest", [b"\1", b"\1\0\2x", b"\1\0\1\xff", b"\2\0\1x", b"\4\0\1\xff"])
def test_ext_tlv_of_others(rest):
    """To others, it is the padding that a NOOP TLV is: nothing in it is an error."""
    tlv = ProxyProtocolTLV(init={4: ProxyProtocolExtTLV.MAGIC_PREFIX + rest}).ext
    assert (tlv.compression, tlv.secret_bits, tlv.peercert, tlv.dnsbl) == (None,) * 4
    assert not ProxyProtocolTLV(init={4: b"padding"}).ext


@pytest.mark.parametrize(
    ("kind", "name"), [(2, "authority"), (3, "crc32c"), (0x30, "netns"), (0x20, "ssl")]
)
def test_tlv_that_is_wrong(kind, name):
    with pytest.raises(ProxyProtocolSyntaxError):
        getattr(ProxyProtocolTLV(init={kind: b"\xff"}), name)


# Sockets and transports


class Sock:
    def __init__(self, family, peername, sockname, kind=socket.SOCK_STREAM):
        self.family, self.peername, self.sockname, self.type = family, peername, sockname, kind

    def getpeername(self):
        return self.peername

    def getsockname(self):
        return self.sockname


class Transport:
    def __init__(self, sock, **extra):
        self.extra = {"socket": sock, "peername": sock.peername, "sockname": sock.sockname} | extra

    def get_extra_info(self, name, default=None):
        return self.extra.get(name, default)


SOCK = Sock(socket.AF_INET, ("127.0.0.1", 1), ("127.0.0.2", 2))
SOCK6 = Sock(socket.AF_INET6, ("::ffff:192.0.2.1", 1, 0, 0), ("fe80::1%lo", 2, 0, 1))
SOCK_UNIX = Sock(socket.AF_UNIX, "", "/run/x")


def test_socket_info_of_a_connection_without_header():
    transport = Transport(SOCK, cipher=("C", "V", 1), compression="z", peercert={"a": 1})
    for result in (None, ProxyResultLocal()):
        info = SocketInfo.get(transport, result, unique_id=b"id", dnsbl="list")
        assert isinstance(info, SocketInfoLocal)
        assert info.socket is SOCK
        assert (info.family, info.protocol) == (socket.AF_INET, socket.SOCK_STREAM)
        assert (info.peername, info.sockname) == (SOCK.peername, SOCK.sockname)
        assert (info.cipher, info.compression, info.peercert) == (("C", "V", 1), "z", {"a": 1})
        assert (info.unique_id, info.dnsbl, info.from_localhost) == (b"id", "list", True)
        assert (info.source_addr, info.source_port) == ("127.0.0.1", 1)
        assert (info.dest_addr, info.dest_port) == ("127.0.0.2", 2)
        assert repr(info) == "<SocketInfoLocal peername='127.0.0.1:1' sockname='127.0.0.2:2'>"


def test_socket_info_of_addresses():
    info = SocketInfo.get(Transport(SOCK6), None)
    assert info.peername_ip == IPv4Address("192.0.2.1")
    assert (info.peername_str, info.peername_port) == ("192.0.2.1:1", 1)
    assert info.sockname_ip == IPv6Address("fe80::1%lo")
    assert (info.sockname_str, info.sockname_port) == ("[fe80::1%lo]:2", 2)
    assert not info.from_localhost
    info = SocketInfo.get(Transport(SOCK_UNIX), None)
    assert (info.peername_str, info.sockname_str) == ("", "/run/x")
    assert (info.peername_ip, info.peername_port, info.source_port) == (None, None, None)
    assert (info.source_addr, info.dest_addr) == ("", "/run/x")
    assert info.family.name == "AF_UNIX" and info.from_localhost
    info = SocketInfo.get(Transport(Sock(socket.AF_UNIX, b"\0abstract", "/run/x")), None)
    assert info.peername_str == "\0abstract"


def test_socket_info_of_a_connection_with_header():
    tlv = ProxyProtocolTLV(
        unique_id=b"id",
        ssl=ProxyProtocolSSLTLV(has_ssl=True, version="TLSv1.3", cipher="C"),
        ext=ProxyProtocolExtTLV(compression="z", secret_bits=256, peercert={"a": 1}, dnsbl="list"),
    )
    result = ProxyResultIPv4(SOURCE, DEST, protocol=socket.SOCK_STREAM, tlv=tlv)
    info = SocketInfo.get(Transport(SOCK), result, unique_id=b"other", dnsbl="other")
    assert isinstance(info, SocketInfoProxy)
    assert info.socket is SOCK
    assert (info.family.name, info.protocol) == ("AF_INET", socket.SOCK_STREAM)
    assert (info.peername, info.sockname) == (("192.0.2.1", 4711), ("198.51.100.1", 443))
    assert (info.source_addr, info.source_port) == ("192.0.2.1", 4711)
    assert (info.dest_addr, info.dest_port) == ("198.51.100.1", 443)
    assert (info.cipher, info.compression) == (("C", "TLSv1.3", 256), "z")
    assert (info.peercert, info.unique_id, info.dnsbl) == ({"a": 1}, b"id", "list")
    info = SocketInfo.get(Transport(SOCK), IPV6)
    assert repr(info) == (
        "<SocketInfoProxy peername='[2001:db8::1]:4711' sockname='[2001:db8::2]:443'>"
    )
    assert (info.cipher, info.peercert, info.unique_id) == (None, None, b"")


def test_socket_info_of_an_unknown_client():
    info = SocketInfo.get(Transport(SOCK), ProxyResultUnknown())
    assert (info.peername, info.sockname, info.protocol) == (None, None, None)
    assert (info.peername_ip, info.peername_port, info.peername_str) == (None, None, None)
    assert (info.family.name, info.from_localhost) == ("AF_UNSPEC", False)
    assert repr(info) == "<SocketInfoProxy>"
    # The socket still knows somebody.
    assert (info.source_addr, info.source_port) == ("127.0.0.1", 1)
    assert (info.dest_addr, info.dest_port) == ("127.0.0.2", 2)
    info = SocketInfo.get(Transport(SOCK), ProxyResultUnknown(ValueError("x")))
    assert repr(info) == "<SocketInfoProxy exc=ValueError('x')>"


def test_build_results():
    result = build_socket_result(SOCK)
    assert result == ProxyResultIPv4(
        (IPv4Address("127.0.0.1"), 1), (IPv4Address("127.0.0.2"), 2), protocol=socket.SOCK_STREAM
    )
    assert build_transport_result(Transport(SOCK)) == result
    result = build_socket_result(SOCK6, unique_id=b"id", dnsbl="list")
    assert result.source == (IPv6Address("::ffff:192.0.2.1"), 1)
    assert (result.tlv.unique_id, result.tlv.ext.dnsbl) == (b"id", "list")
    # The zone stays with the machine that knows it.
    assert V2.unpack(V2.pack(result)).dest == (IPv6Address("fe80::1"), 2)
    assert build_socket_result(SOCK_UNIX).peername == ""
    datagram = Sock(socket.AF_INET, ("127.0.0.1", 1), ("127.0.0.2", 2), socket.SOCK_DGRAM)
    assert build_transport_result(Transport(datagram)).protocol is socket.SOCK_DGRAM
    assert is_unknown(build_socket_result(Sock(socket.AF_UNSPEC, None, None)))


def test_results_and_headers():
    for header in (
        Header(source=("192.0.2.1", 4711), destination=("198.51.100.1", 443), tlvs=[(5, b"id")]),
        Header(command="LOCAL", tlvs=[(5, b"id")]),
        Header(),
        Header(source="/a", destination="/b", protocol="DGRAM"),
    ):
        assert results.header_of(results.result_of(header), 2) == header
    assert build(results.header_of(IPV4, 1)) == LINE


def test_errors():
    assert issubclass(ProxyProtocolSyntaxError, ValueError)
    assert issubclass(ProxyProtocolChecksumError, ProxyProtocolSyntaxError)
    assert ProxyProtocolChecksumError(IPV4).result is IPV4
