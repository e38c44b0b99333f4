"""The rules for receivers in the PROXY protocol specification, one by one.

R1 to R29 number what its sections 2 to 2.2 demand of a receiver.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.proxyprotocol import (
    Header,
    ProxyProtocolChecksumError,
    ProxyProtocolSyntaxError,
    build,
    bytes_needed,
    parse,
    parse_datagram,
)
from tidegate.proxyprotocol.crc32c import crc32c
from tidegate.proxyprotocol.parser import check_tlvs

from .captures import CAPTURES

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
INET = bytes.fromhex("cb007107c6336409dc0401bb")


def v2(block=INET, *, command=0x21, family=0x11, length=None):
    length = len(block) if length is None else length
    return SIGNATURE + struct.pack("!BBH", command, family, length) + block


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def with_checksum(*before, after=b""):
    """A header with a right checksum between some TLVs."""
    zeros = v2(INET + b"".join(before) + tlv(3, bytes(4)) + after)
    return zeros.replace(tlv(3, bytes(4)), tlv(3, crc32c(zeros).to_bytes(4)))


def parse_all(data, **kwargs):
    """The header, which must take all of the data."""
    header, consumed = parse(data, **kwargs)
    assert consumed == len(data)
    return header


def refuse(data, **kwargs):
    with pytest.raises(ProxyProtocolSyntaxError) as info:
        parse(data, **kwargs)
    return str(info.value)


# Version 1


@pytest.mark.parametrize(
    ("line", "family", "source", "destination"),
    [
        # R8, R11, R12
        (
            b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n",
            "AF_INET",
            ("255.255.255.255", 65535),
            ("0.0.0.0", 0),
        ),
        (
            b"PROXY TCP6 2001:DB8::1 ::ffff:192.0.2.1 80 443\r\n",
            "AF_INET6",
            ("2001:db8::1", 80),
            ("::ffff:192.0.2.1", 443),
        ),
        # The longest of TCP6, in a form in which some write it.
        (
            b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"FFFF:" * 7 + b"FFFF 65535 65535\r\n",
            "AF_INET6",
            (":".join(["ffff"] * 8), 65535),
            (":".join(["ffff"] * 8), 65535),
        ),
    ],
)
def test_line(line, family, source, destination):
    assert parse_all(line) == Header(1, "PROXY", family, "STREAM", source, destination)


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY UNKNOWN\r\n",
        # R13: whatever follows is ignored,
        b"PROXY UNKNOWN \r\n",
        b"PROXY UNKNOWN    \r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        b"PROXY UNKNOWN \xff\x00\r\n",
        # a lone CR or LF, which doesn't end a line (R9), included,
        b"PROXY UNKNOWN \n\r\r\n",
        # up to 107 bytes.
        b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n",
    ],
)
def test_unknown(line):
    assert parse_all(line) == Header(1)
    assert parse_all(line) == Header(1, "PROXY", "AF_UNSPEC", "UNSPEC", None, None, ())


@pytest.mark.parametrize(
    "line",
    [
        # R8: words, and exactly one space between them
        b"PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4\t5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1  2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 \r\n",
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY unknown\r\n",
        b"PROXY UNKNOWN\rX\r\n",
        b" PROXY UNKNOWN\r\n",
        # R9: CRLF within 107 bytes
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\n2\r\n",
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        b"PROXY UNKNOWN " + b"x" * 60000 + b"\r\n",
        b"PROXY TCP6 " + 2 * (b"ffff:" * 6 + b"255.255.255.255 ") + b"65535 65535\r\n",
        # R11: addresses of the family
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 ::2 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP6 ::1 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.256 1 2\r\n",
        b"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        b"PROXY TCP6 ::1 1::2::3 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
        b"PROXY TCP6 ::1 [::2] 1 2\r\n",
        b"PROXY TCP4 localhost 5.6.7.8 1 2\r\n",
        # R12: ports
        b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 100000 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 010 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 +10 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1_0 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 \t10 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 \xd9\xa1 2\r\n",
    ],
)
def test_wrong_line(line):
    # With something after it: what isn't a header doesn't get one by waiting for more.
    refuse(line + b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        (b"PROXY TCP4 ", b"256"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2", b"x"),
        (b"PROXY TCP4 0", b"1"),
        (b"PROXY TCP4 1.2.3", b" "),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 6553", b"6"),
        (b"PROXY TCP6 1:2:3:4:5:6:7:8", b":"),
        (b"PROXY TCP6 ::1:", b":"),
        (b"PROXY TCP6 ::1.2", b":"),
        (b"PROXY TC", b"X"),
        (b"P", b"O"),
        (b"PROXY UNKNOWN", b"x"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", b"\r"),
        (b"PROXY UNKNOWN " + b"x" * 91, b"x"),
        # No room is left for the rest of the line.
        (
            b"PROXY TCP6 " + b"ffff:" * 6 + b"255.255.255.255 " + b"ffff:" * 6 + b"255.255.255.25",
            b"5",
        ),
        (SIGNATURE[:-1], b"\r"),
        (SIGNATURE, b"\x31"),
        (SIGNATURE, b"\x22"),
        (SIGNATURE + b"\x21", b"\x41"),
        (SIGNATURE + b"\x21", b"\x13"),
        (SIGNATURE + b"\x21\x00", b"\x10"),
        (SIGNATURE + b"\x21\x11\x00", b"\x0b"),
    ],
)
def test_refused_as_soon_as_possible(start, rest):
    assert parse(start) is None
    refuse(start + rest)


def test_error_says_what_is_wrong():
    assert "'1.2.3.256' is not a source address" in refuse(b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n")
    assert "'070' is not a destination port" in refuse(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 070\r\n")
    assert "3 fields" in refuse(b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n")
    assert "version 1 or 2" in refuse(b"GET / HTTP/1.1\r\n")
    assert "version 2" in refuse(b"PROXY UNKNOWN\r\n", versions=(2,))
    assert "version any" in refuse(b"PROXY UNKNOWN\r\n", versions=())


# Version 2


def test_addresses():
    assert parse_all(v2()) == Header(
        2, "PROXY", "AF_INET", "STREAM", ("203.0.113.7", 56324), ("198.51.100.9", 443)
    )
    ip = ipaddress.ip_address("2001:db8::7").packed
    assert parse_all(v2(ip + bytes(16) + b"\0\x50\1\xbb", family=0x21)) == Header(
        2, "PROXY", "AF_INET6", "STREAM", ("2001:db8::7", 80), ("::", 443)
    )
    paths = b"/run/client".ljust(108, b"\0") + b"\0abstract".ljust(108, b"\0")
    assert parse_all(v2(paths, family=0x31)) == Header(
        2, "PROXY", "AF_UNIX", "STREAM", "/run/client", "\0abstract"
    )
    # What follows the end of a path isn't part of it; a path may take all of the field.
    paths = b"/a\0bcd".ljust(108, b"\0") + b"/".ljust(108, b"z")
    header = parse_all(v2(paths, family=0x32))
    assert (header.source, header.destination) == ("/a", "/" + "z" * 107)
    assert header.protocol == "DGRAM"
    header = parse_all(v2(bytes(216), family=0x31))
    assert (header.source, header.destination) == ("", "")


def test_ipv4_mapped_address():
    ip = ipaddress.ip_address("::ffff:192.0.2.1").packed
    header = parse_all(v2(ip + ip + b"\0\1\0\2", family=0x21))
    assert header.source == ("::ffff:192.0.2.1", 1)


@pytest.mark.parametrize("at", range(12))
def test_signature(at):
    # R14
    data = bytearray(v2())
    data[at] ^= 1
    refuse(data)


@pytest.mark.parametrize("command", set(range(256)) - {0x20, 0x21})
def test_version_and_command(command):
    # R15, R16
    refuse(v2(command=command))


@pytest.mark.parametrize("family", range(256))
def test_family_and_protocol(family):
    # R17, R19: there is none that isn't supported.
    block = bytes(216)
    if family >> 4 > 3 or family & 15 > 2:
        refuse(v2(block, family=family))
    else:
        header, _ = parse(v2(bytes((0, 12, 36, 216)[family >> 4]), family=family))
        assert header.family == ("AF_UNSPEC", "AF_INET", "AF_INET6", "AF_UNIX")[family >> 4]
        if family >> 4:
            assert header.protocol == ("UNSPEC", "STREAM", "DGRAM")[family & 15]
        else:
            assert header.protocol == "UNSPEC"
            assert header.source is header.destination is None


@pytest.mark.parametrize(("family", "size"), [(0x11, 12), (0x21, 36), (0x31, 216)])
def test_short_address_block(family, size):
    # R20
    for short in (0, 1, size - 1):
        refuse(v2(bytes(short), family=family))
    parse_all(v2(bytes(size), family=family))


def test_unspecified_family():
    # R18: accepted, the addresses are the socket's own.
    header = parse_all(v2(tlv(5, b"id"), family=0))
    assert (header.command, header.family, header.source) == ("PROXY", "AF_UNSPEC", None)
    assert header.unique_id == b"id"
    refuse(v2(b"abcd", family=0))


@pytest.mark.parametrize(
    "block",
    [
        b"",
        INET,
        bytes(36),
        b"abcd",
        b"\x05\xff\xffxxx",
        tlv(5, bytes(200)),
        tlv(2, b"\xff"),
        tlv(3, b"abc"),
        tlv(3, b"abcd") + tlv(3, b"abcd"),
    ],
)
@pytest.mark.parametrize("family", [0, 0x11, 0x21, 0x31, 0x44, 0xFF])
def test_local(block, family):
    # R16: the block is skipped, whatever it is.
    header = parse_all(v2(block, command=0x20, family=family))
    assert header.command == "LOCAL"
    assert header.family == "AF_UNSPEC"
    assert header.source is header.destination is None
    assert header.tlvs == ()


@pytest.mark.parametrize(
    ("family", "addresses"), [(0, b""), (0x11, b""), (0x11, bytes(12)), (0x21, bytes(36))]
)
def test_local_with_tlvs(family, addresses):
    # AWS' load balancers do that, with the addresses or without.
    tlvs = tlv(3, bytes(4)) + tlv(4, bytes(74)) + tlv(0xEA, b"\1vpce-0123456789abcdef0")
    data = v2(addresses + tlvs, command=0x20, family=family)
    data = data.replace(tlv(3, bytes(4)), tlv(3, crc32c(data).to_bytes(4)))
    header = parse_all(data)
    assert [kind for kind, _ in header.tlvs] == [3, 4, 0xEA]
    assert header.aws_vpce_id == "vpce-0123456789abcdef0"
    assert header.source is None
    damaged = data[:-1] + b"x"
    with pytest.raises(ProxyProtocolChecksumError):
        parse(damaged)


def test_size_limit():
    # Nothing is waited for that is refused anyway.
    assert "over 4096" in refuse(v2(length=4081)[:16])
    assert "over 4096" in refuse(v2(length=4096)[:15])
    assert "over 27" in refuse(v2()[:14], max_size=27)
    assert parse(v2(length=4080)[:16]) is None
    parse_all(v2(), max_size=28)
    parse_all(v2(INET + tlv(0xE0, bytes(65520))), max_size=65551)
    refuse(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", max_size=31)
    parse_all(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", max_size=32)


def test_versions():
    # R2, R21
    refuse(v2(), versions=(1,))
    refuse(b"\r", versions=(1,))
    refuse(b"PROXY UNKNOWN\r\n", versions=(2,))
    refuse(b"P", versions={2})
    parse_all(v2(), versions={2})
    parse_all(b"PROXY UNKNOWN\r\n", versions=[1])


@pytest.mark.parametrize(
    "data", [b"G", b"\x16\x03\x01", b"SSH-2.0", b"\n", b"\0", b"\x80", b"\r\r", b"\r\n\r\n\r"]
)
def test_other_protocols(data):
    refuse(data)


# TLVs


def test_order_and_duplicates():
    # R22, R24, R28
    tlvs = ((0xF3, b"b"), (4, b""), (0xE1, b"a"), (0xF3, b""), (4, b"xx"), (0x7F, b"?"), (0, b""))
    data = v2(INET + b"".join(tlv(*pair) for pair in tlvs))
    assert parse_all(data).tlvs == tlvs


@pytest.mark.parametrize("rest", [b"\5", b"\5\0", b"\5\0\2a", b"\5\xff\xff", b"\5\0\1a\4"])
def test_tlv_that_is_cut_off(rest):
    refuse(v2(INET + rest))


@pytest.mark.parametrize("kind", range(256))
def test_any_type(kind):
    value = b"\0\0\0\0\0" if kind == 0x20 else b"abcd"
    data = v2(INET + tlv(kind, value))
    if kind == 3:
        refuse(data)
    else:
        assert parse_all(data).tlvs == ((kind, value),)


def test_checksum():
    # R23, wherever it stands, over the bytes as they came.
    before = tlv(0xE1, b"x"), tlv(4, b"padding"), tlv(0xE1, b"y"), tlv(1, b"h2")
    for data in (
        with_checksum(),
        with_checksum(*before),
        with_checksum(after=b"".join(before)),
        with_checksum(*before, after=tlv(5, b"id")),
    ):
        header = parse_all(data)
        assert header.crc32c is not None
        assert dict(header.tlvs)[3] == header.crc32c.to_bytes(4)
        # Another type in its place is no checksum.
        for at in set(range(16, len(data))) - {data.rindex(b"\3\0\4")}:
            damaged = bytearray(data)
            damaged[at] ^= 0x40
            with pytest.raises(ProxyProtocolSyntaxError):
                parse(damaged)


def test_checksum_error_has_the_header():
    data = bytearray(with_checksum(tlv(5, b"id")))
    data[16] ^= 1
    with pytest.raises(ProxyProtocolChecksumError) as info:
        parse(data)
    assert info.value.result.source == ("202.0.113.7", 56324)
    assert info.value.result.unique_id == b"id"


def test_checksums():
    refuse(v2(INET + tlv(3, b"")))
    refuse(v2(INET + tlv(3, b"abc")))
    refuse(v2(INET + tlv(3, b"abcde")))
    refuse(with_checksum(tlv(3, b"abcd")))


def test_unique_id():
    # R25
    assert parse_all(v2(INET + tlv(5, bytes(128)))).unique_id == bytes(128)
    refuse(v2(INET + tlv(5, bytes(129))))
    # Known before it is there.
    refuse(v2(INET + b"\5\0\x81", length=12 + 3 + 129))


def test_texts():
    # R27
    header = parse_all(
        v2(INET + tlv(2, "bücher.example".encode()) + tlv(1, b"\xff") + tlv(0x30, b"blue"))
    )
    assert header.authority == "bücher.example"
    assert header.alpn == b"\xff"
    assert header.netns == "blue"
    refuse(v2(INET + tlv(2, b"b\xfccher.example")))
    refuse(v2(INET + tlv(0x30, "grün".encode())))


def ssl_tlv(client, verify, *sub):
    return tlv(0x20, struct.pack("!BL", client, verify) + b"".join(tlv(*pair) for pair in sub))


def test_ssl():
    # R26
    header = parse_all(
        v2(
            INET
            + ssl_tlv(
                7,
                0,
                (0x21, b"TLSv1.3"),
                (0x22, "Jürgen".encode()),
                (0x23, b"TLS_AES_256_GCM_SHA384"),
                (0x24, b"SHA256"),
                (0x25, b"RSA2048"),
                (0x26, b"X25519MLKEM768"),
                (0x27, b"rsa_pss_rsae_sha256"),
                (0x28, b"0\x82\xff"),
                (0x99, b"\xff"),
            )
        )
    )
    ssl = header.ssl
    assert ssl.client == 7
    assert (ssl.has_ssl, ssl.has_cert_conn, ssl.has_cert_sess) == (True, True, True)
    assert ssl.verify == 0
    assert ssl.verified
    assert ssl.version == "TLSv1.3"
    assert ssl.cn == "Jürgen"
    assert ssl.cipher == "TLS_AES_256_GCM_SHA384"
    assert ssl.sig_alg == "SHA256"
    assert ssl.key_alg == "RSA2048"
    assert ssl.group == "X25519MLKEM768"
    assert ssl.sig_scheme == "rsa_pss_rsae_sha256"
    assert ssl.client_cert == b"0\x82\xff"
    assert ssl[0x99] == b"\xff"
    assert parse_all(v2()).ssl is None


@pytest.mark.parametrize(
    ("client", "verify", "verified"),
    [
        # HAProxy says 0 for a client without a certificate.
        (1, 0, False),
        (0, 0, False),
        (3, 0, True),
        (5, 0, True),
        (7, 0, True),
        (7, 1, False),
        (7, 0xFFFFFFFF, False),
        (1, 1, False),
    ],
)
def test_verified(client, verify, verified):
    ssl = parse_all(v2(INET + ssl_tlv(client, verify))).ssl
    assert ssl.verified is verified
    assert ssl.verify == verify


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\1\0\0\0",
        b"\1\0\0\0\0\x21",
        b"\1\0\0\0\0\x21\0",
        b"\1\0\0\0\0\x21\0\2a",
        b"\1\0\0\0\0\x22\0\1\xff",
        b"\1\0\0\0\0\x21\0\1\xff",
        b"\1\0\0\0\0\x27\0\1\xff",
        b"\1\0\0\0\0\x21\0\1a\x22\0\1\xff",
    ],
)
def test_wrong_ssl(value):
    refuse(v2(INET + tlv(0x20, value)))


def test_clouds():
    header = parse_all(
        v2(
            INET
            + tlv(0xEA, b"\2other")
            + tlv(0xEA, b"\1vpce-08d2bf15fac5001c9")
            + tlv(0xEE, b"\1\x78\x56\x34\x12")
            + tlv(0xE0, b"\0\0\0\0\0\0\1\2")
        )
    )
    assert header.aws_vpce_id == "vpce-08d2bf15fac5001c9"
    assert header.azure_link_id == 0x12345678
    assert header.gcp_psc_connection_id == 0x102
    # Others may use these types for what they like.
    header = parse_all(
        v2(
            INET
            + tlv(0xEA, b"\1\xff")
            + tlv(0xEA, b"")
            + tlv(0xEE, b"\1\0\0")
            + tlv(0xEE, b"")
            + tlv(0xE0, b"12")
        )
    )
    assert header.aws_vpce_id is None
    assert header.azure_link_id is None
    assert header.gcp_psc_connection_id is None


# Pieces


HEADERS = [capture.header for capture in CAPTURES] + [
    b"PROXY TCP4 1.2.3.4 255.0.10.200 1 65535\r\n",
    b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 80 0\r\n",
    b"PROXY TCP6 1:2:3:4:5:6:7:8 1:2:3:4:5:6:1.2.3.4 80 0\r\n",
    b"PROXY TCP6 :: 1:: 80 0\r\n",
    b"PROXY UNKNOWN some \r thing \n\r\n",
    v2(bytes(216) + tlv(0xE0, bytes(100)), family=0x31),
    v2(INET, command=0x20, family=0xFF),
    with_checksum(tlv(4, b""), ssl_tlv(1, 1, (0x21, b"TLSv1.2")), after=tlv(0x30, b"ns")),
]


@pytest.mark.parametrize("data", HEADERS)
def test_cut_at_every_byte(data):
    # R1, R6, R10
    whole = parse(data)
    assert whole is not None and whole[1] == len(data)
    for at in range(len(data)):
        assert parse(data[:at]) is None
        assert 1 <= bytes_needed(data[:at]) <= len(data) - at
    # Never a byte of what follows is taken for the header's.
    for rest in (b"x", b"\r\n", data, b"\x16\x03\x01" + bytes(70000)):
        assert parse(data + rest) == whole


@pytest.mark.parametrize("data", HEADERS)
@pytest.mark.parametrize("versions", [(1, 2), None])
def test_reading_no_more_than_needed(data, versions):
    versions = versions or (1 if data[:1] == b"P" else 2,)
    stream = data + b"payload"
    at = reads = 0
    while (parsed := parse(stream[:at], versions=versions)) is None:
        at += bytes_needed(stream[:at], versions=versions)
        reads += 1
    assert at == parsed[1] == len(data)
    if data[:1] != b"P":
        assert reads <= 3


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_kinds_of_bytes(kind):
    for data in HEADERS:
        assert parse(kind(data + bytes(5000))) == parse(data)
        assert parse(kind(data[:-1])) is None


def test_datagram():
    # R29
    data = v2(family=0x12)
    header, consumed = parse_datagram(data + b"payload")
    assert (header.protocol, consumed) == ("DGRAM", len(data))
    assert parse_datagram(data)[1] == len(data)
    for cut in (b"", data[:3], data[:-1]):
        with pytest.raises(ProxyProtocolSyntaxError, match="ends before"):
            parse_datagram(cut)
    with pytest.raises(ProxyProtocolSyntaxError):
        parse_datagram(b"PROXY UNKNOWN\r\n")
    parse_datagram(b"PROXY UNKNOWN\r\n", versions=(1, 2))


# Anything


def addresses(ips):
    return st.tuples(st.builds(str, ips), st.integers(0, 65535))


PATHS = st.text(st.characters(min_codepoint=1, max_codepoint=0x7FF), max_size=54)
LOCATIONS = st.one_of(
    st.just((None, None)),
    st.tuples(addresses(st.ip_addresses(v=4)), addresses(st.ip_addresses(v=4))),
    st.tuples(addresses(st.ip_addresses(v=6)), addresses(st.ip_addresses(v=6))),
    st.tuples(addresses(st.ip_addresses()), addresses(st.ip_addresses())),
    st.tuples(PATHS, PATHS.map(lambda path: "\0" + path[:50])),
)
TLVS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([0, 1, 4, 0x7F, 0xE0, 0xEA, 0xEE, 0xFF]), st.binary(max_size=40)),
        st.tuples(st.just(2), st.builds(str.encode, st.text(max_size=20))),
        st.tuples(st.just(5), st.binary(max_size=128)),
        st.tuples(st.just(0x30), st.text(st.characters(max_codepoint=127)).map(str.encode)),
        st.tuples(st.just(0x20), st.binary(min_size=5, max_size=5)),
    ),
    max_size=8,
)


@st.composite
def headers(draw):
    version = draw(st.sampled_from([1, 2, 2]))
    source, destination = draw(LOCATIONS)
    if version == 1:
        if isinstance(source, str):
            source = destination = None
        return Header(1, source=source, destination=destination)
    if source is None:
        return Header(2, draw(st.sampled_from(["LOCAL", "PROXY"])), tlvs=draw(TLVS))
    protocol = draw(st.sampled_from(["STREAM", "DGRAM", "UNSPEC"]))
    return Header(2, "PROXY", None, protocol, source, destination, draw(TLVS))


@given(headers(), st.binary(max_size=20))
def test_round_trip(header, rest):
    data = build(header)
    if header.command == "LOCAL" and any(kind == 0 for kind, _ in header.tlvs):
        # There is no such type, and nobody has to believe a LOCAL header's block.
        return
    assert parse(data + rest) == (header, len(data))
    if header.version == 2:
        parsed, consumed = parse(build(header, crc32c=True) + rest)
        assert consumed == len(data) + 7
        assert parsed.tlvs[:-1] == header.tlvs
        assert parsed.crc32c == int.from_bytes(parsed.tlvs[-1][1])


@given(headers(), st.data())
def test_damaged(header, data):
    octets = bytearray(build(header, crc32c=header.version == 2))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] = data.draw(st.integers(0, 255))
    try:
        parsed = parse(octets)
    except ProxyProtocolSyntaxError:
        return
    if parsed is not None:
        assert parsed[1] <= len(octets)
        read_everything(parsed[0])


def is_refused(function, *args):
    try:
        function(*args)
    except ProxyProtocolChecksumError:
        raise AssertionError("the header isn't complete") from None
    except ProxyProtocolSyntaxError:
        return True
    return False


@given(headers(), st.booleans(), st.data())
def test_checked_as_it_comes(header, damaged, data):
    """Who gets a header byte by byte finds out what is wrong about it as soon as who parses it."""
    octets = bytearray(build(header, version=2))
    if damaged:
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at] = data.draw(st.integers(0, 255))
    checked = 0

    def check(octets):
        nonlocal checked
        checked = check_tlvs(octets, checked)

    for size in range(16, len(octets)):
        refused = is_refused(parse, octets[:size])
        if refused or parse(octets[:size]) is not None:
            assert not refused or size == 16 or is_refused(check, bytes(octets[:size]))
            return
        assert not is_refused(check, bytes(octets[:size]))


def test_second_checksum_is_refused_as_it_comes():
    data = v2(INET + tlv(3, bytes(4)) + tlv(5, b"id") + tlv(3, bytes(4)) + bytes(100))
    at = data.rindex(tlv(3, bytes(4)))
    checked = check_tlvs(data[: at + 2], 0)
    assert checked == at
    with pytest.raises(ProxyProtocolSyntaxError, match="two checksums"):
        check_tlvs(data[: at + 3], checked)


def read_everything(header):
    for name in dir(Header):
        getattr(header, name)
    ssl = header.ssl
    if ssl is not None:
        for name in dir(ssl):
            getattr(ssl, name)


WORDS = b"PROXY,TCP4,TCP6,UNKNOWN,1.2.3.4,::,1,65535,0,.,:,ffff,255,\xff, , ,\r\n,\r,\n"
LINE = st.lists(st.sampled_from(WORDS.split(b",")), max_size=20).map(b"".join)


@given(
    st.one_of(
        st.binary(max_size=60),
        LINE,
        LINE.map(lambda rest: b"PROXY TCP4 1.2.3.4" + rest),
        LINE.map(lambda rest: b"PROXY TCP6 ::1 " + rest),
        st.binary(max_size=60).map(lambda rest: SIGNATURE + rest),
        st.binary(max_size=60).map(lambda rest: SIGNATURE + b"\x21\x11\0" + rest),
        st.binary(max_size=60).map(lambda rest: v2(INET + rest)),
        st.binary(max_size=60).map(lambda rest: v2(rest, command=0x20)),
    )
)
@example(SIGNATURE + b"\x20")
def test_no_other_exception(data):
    """What is refused stays refused, what is incomplete can be completed, what is whole is read."""
    try:
        parsed = parse(data)
    except ProxyProtocolSyntaxError:
        for rest in (b"\r\n", b" ", b"0", bytes(300)):
            with pytest.raises(ProxyProtocolSyntaxError):
                parse(data + rest)
        return
    if parsed is None:
        if data[:1] == b"P":
            line = complete(data)
            assert parse(line) is not None
            assert len(line) - len(data) == bytes_needed(data)
        else:
            assert 1 <= bytes_needed(data) <= 4096
    else:
        header, consumed = parsed
        assert 15 <= consumed <= len(data)
        assert parse(data[:consumed]) == parsed
        assert parse(data[: consumed - 1]) is None
        assert Header(*header._fields()) == header
        read_everything(header)


def complete(line):
    """Complete a line, byte by byte, with what the parser lets pass."""
    while parse(line) is None:
        for octet in b"\n", b"\r", b" ", b"0", b":", b".", *map(bytes, zip(b"PROXY UNKNOWNTC46")):
            try:
                rest = bytes_needed(line + octet)
            except ProxyProtocolSyntaxError:
                continue
            if rest < bytes_needed(line) or parse(line + octet) is not None:
                line += octet
                break
        else:
            raise AssertionError(f"{line!r} can't be completed")
    return line


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_captures(capture):
    header, consumed = parse(capture.header + capture.payload)
    assert consumed == len(capture.header)
    assert (header.crc32c is not None) == capture.has_checksum
    assert build(header) == capture.header or header.command == "LOCAL"
    assert parse(build(header))[0].source == header.source
    if capture.has_checksum and header.command == "PROXY":
        # From the addresses on; another type in its place is no checksum.
        for at in set(range(16, consumed)) - {capture.header.rindex(b"\3\0\4")}:
            damaged = bytearray(capture.header)
            damaged[at] ^= 0x20
            with pytest.raises(ProxyProtocolSyntaxError):
                parse(damaged)


def test_what_captures_say():
    captured = {capture.name: parse(capture.header)[0] for capture in CAPTURES}
    header = captured["haproxy_v2_ssl_all_clientcert"]
    assert header.alpn == b"http/1.1"
    assert header.authority == "ws.test"
    assert header.unique_id == b"7F000001:86B8_7F000001:4AAD_6AFFFB3B_0008"
    assert header.ssl.verified
    assert header.ssl.cn == "Client Ünïcode CN"
    assert header.ssl.key_alg == "EC256"
    assert header.ssl.sig_alg == "ecdsa-with-SHA256"
    header = captured["nginx_v2_ssl_clientcert"]
    assert header.ssl.cipher == "TLS_AES_256_GCM_SHA384"
    assert header.ssl.version == "TLSv1.3"
    assert [kind for kind, _ in header.tlvs] == [2, 1, 0x20, 3]
    header = captured["haproxy3_v2_custom_tlv_before_crc"]
    assert [value for kind, value in header.tlvs if kind == 0xF3] == [b"dup1", b"dup2"]
    header = captured["haproxy_chain_v1_to_v2"]
    assert header.source == ("203.0.113.7", 56324)
    assert header.destination == ("198.51.100.9", 443)
    for name in ("haproxy_v1_unknown_unixclient", "nginx_v1_unknown_unix"):
        assert captured[name] == Header(1)
    assert captured["haproxy_v2_healthcheck_local"] == Header(2, "LOCAL")
    header = captured["aws_nlb_local_fam11_tlv_only"]
    assert header.command == "LOCAL"
    assert header.source is None
    assert [(kind, len(value)) for kind, value in header.tlvs] == [(3, 4), (4, 74)]
    assert captured["nginx_v1_tcp6"].source == ("::1", 42466)
    assert socket.AF_INET6.name == captured["nginx_v1_tcp6"].family
