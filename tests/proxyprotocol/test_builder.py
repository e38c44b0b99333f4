"""The rules for senders: S1 to S7 number what the specification and its receivers demand."""

from __future__ import annotations

import pytest

from tidegate.proxyprotocol import Header, build, parse
from tidegate.proxyprotocol.build import build_socket_result
from tidegate.proxyprotocol.crc32c import crc32c

IPV4 = Header(source=("192.0.2.1", 4711), destination=("198.51.100.1", 443))
IPV6 = Header(source=("2001:DB8::1", 4711), destination=("::FFFF:198.51.100.1", 443))
MIXED = Header(source=("192.0.2.1", 4711), destination=("2001:db8::1", 443))
UNIX = Header(source="/run/a", destination="/run/b")
DATAGRAM = IPV4.replace(protocol="DGRAM")


@pytest.mark.parametrize(
    ("header", "line"),
    [
        (IPV4, b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n"),
        (IPV6, b"PROXY TCP6 2001:db8::1 ::ffff:198.51.100.1 4711 443\r\n"),
        # S4
        (MIXED, b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 4711 443\r\n"),
        # S2, in the only form that HAProxy takes
        (UNIX, b"PROXY UNKNOWN\r\n"),
        (DATAGRAM, b"PROXY UNKNOWN\r\n"),
        (Header(), b"PROXY UNKNOWN\r\n"),
        (Header(1), b"PROXY UNKNOWN\r\n"),
        # S3: version 1 can't say that it speaks for itself.
        (Header(command="LOCAL"), b"PROXY UNKNOWN\r\n"),
    ],
)
def test_version_1(header, line):
    assert build(header, version=1) == line
    assert parse(line)[1] == len(line)


def test_version_1_has_no_tlvs():
    header = IPV4.replace(tlvs=[(5, b"id")])
    assert build(header, version=1, crc32c=True) == build(IPV4, version=1)


@pytest.mark.parametrize(
    ("header", "rest"),
    [
        (IPV4, "2111000c c0000201 c6336401 1267 01bb"),
        (DATAGRAM, "2112000c c0000201 c6336401 1267 01bb"),
        (
            MIXED,
            "21210024 00000000000000000000ffffc0000201 20010db8000000000000000000000001 1267 01bb",
        ),
        (UNIX, "213100d8" + (b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")).hex()),
        # S3
        (Header(command="LOCAL"), "20000000"),
        (Header(), "21000000"),
        # Version 1 has no better way to say this.
        (Header(1), "20000000"),
    ],
)
def test_version_2(header, rest):
    data = bytes.fromhex("0d0a0d0a000d0a515549540a" + rest)
    assert build(header, version=2) == data


def test_tlvs():
    header = IPV4.replace(tlvs=[(0xE1, b"b"), (4, b""), (0xE1, b"a")])
    assert build(header)[16 + 12 :] == b"\xe1\0\1b\4\0\0\xe1\0\1a"
    assert parse(build(header))[0] == header


def test_checksum():
    # S5
    assert build(IPV4) == build(IPV4, crc32c=False)
    data = build(IPV4, crc32c=True)
    assert data[-7:-4] == b"\3\0\4"
    assert data[-4:] == crc32c(data[:-4] + bytes(4)).to_bytes(4)
    header = parse(data)[0]
    assert build(header) == build(header, crc32c=True) == data
    assert build(header, crc32c=False) == build(IPV4)
    # One that a header brings stays where it is, and is right again.
    changed = header.replace(tlvs=[(1, b"h2"), *header.tlvs, (5, b"id")])
    parsed = parse(build(changed))[0]
    assert [kind for kind, _ in parsed.tlvs] == [1, 3, 5]
    assert parsed.crc32c != header.crc32c


def test_size():
    room = 65535 - 12 - 3
    header = IPV4.replace(tlvs=[(0xE0, bytes(room))])
    assert len(build(header)) == 65551
    assert parse(build(header), max_size=65551)[0] == header
    with pytest.raises(ValueError, match="over 65551"):
        build(header, crc32c=True)


def test_version():
    assert build(IPV4) == build(IPV4, version=2)
    assert build(Header(1)) == build(Header(1), version=1)
    with pytest.raises(ValueError):
        build(IPV4, version=3)


def test_module_of_the_same_name():
    """``proxy-protocol`` has a module that is called ``build``, so both work."""
    import tidegate.proxyprotocol.build as module
    from tidegate import proxyprotocol

    assert proxyprotocol.build is module
    assert module.build_socket_result is build_socket_result
    assert module(IPV4) == build(IPV4)
