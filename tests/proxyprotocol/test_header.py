"""Headers as objects."""

from __future__ import annotations

import copy
import pickle
import socket

import pytest

from tidegate.proxyprotocol import Header, ProxyProtocolSyntaxError, parse
from tidegate.proxyprotocol.tlv import ProxyProtocolSSLTLV, SSLClient, Type

SOURCE, DESTINATION = ("192.0.2.1", 4711), ("198.51.100.1", 443)


def test_what_is_not_given_follows():
    header = Header(source=SOURCE, destination=DESTINATION)
    assert header.version == 2
    assert header.command == "PROXY"
    assert header.family == "AF_INET"
    assert header.protocol == "STREAM"
    assert header.tlvs == ()
    header = Header(source="/a", destination="/b")
    assert (header.family, header.protocol) == ("AF_UNIX", "STREAM")
    header = Header(command="LOCAL")
    assert (header.family, header.protocol, header.source) == ("AF_UNSPEC", "UNSPEC", None)


def test_addresses_are_canonical():
    header = Header(source=("2001:DB8:0::1", 1), destination=("::FFFF:192.0.2.1", 2))
    assert header.source == ("2001:db8::1", 1)
    assert header.destination == ("::ffff:192.0.2.1", 2)
    # As sockets give them
    header = Header(source=("fe80::1%eth0", 1, 0, 2), destination=("fe80::2", 2, 0, 0))
    assert header.source == ("fe80::1", 1)


def test_mixed_families():
    # S4
    for header in (
        Header(source=SOURCE, destination=("2001:db8::1", 443)),
        Header(family="AF_INET6", source=SOURCE, destination=("2001:db8::1", 443)),
    ):
        assert header.family == "AF_INET6"
        assert header.source == ("::ffff:192.0.2.1", 4711)
        assert header.destination == ("2001:db8::1", 443)
    header = Header(family="AF_INET6", source=SOURCE, destination=DESTINATION)
    assert header.source == ("::ffff:192.0.2.1", 4711)
    assert header.destination == ("::ffff:198.51.100.1", 443)


@pytest.mark.parametrize(
    "arguments",
    [
        {"version": 3},
        {"command": "proxy"},
        {"source": SOURCE},
        {"destination": SOURCE},
        {"source": SOURCE, "destination": "/path"},
        {"source": SOURCE, "destination": DESTINATION, "family": "AF_UNSPEC"},
        {"source": ("::1", 1), "destination": ("::1", 1), "family": "AF_INET"},
        {"source": SOURCE, "destination": DESTINATION, "command": "LOCAL"},
        {"source": SOURCE, "destination": DESTINATION, "protocol": "TCP"},
        {"source": ("localhost", 1), "destination": DESTINATION},
        {"source": ("192.0.2.1", 65536), "destination": DESTINATION},
        {"source": ("192.0.2.1", -1), "destination": DESTINATION},
        {"source": ("192.0.2.1", "80"), "destination": DESTINATION},
        {"source": "x" * 109, "destination": ""},
        {"source": "ü" * 55, "destination": ""},
        {"source": "a\0b", "destination": ""},
        {"family": "AF_INET"},
        {"protocol": "STREAM"},
        {"tlvs": [(256, b"")]},
        {"tlvs": [(-1, b"")]},
        {"tlvs": [(0xE0, bytes(65536))]},
        {"tlvs": [(3, b"1234"), (3, b"1234")]},
        {"version": 1, "tlvs": [(5, b"")]},
    ],
)
def test_impossible(arguments):
    with pytest.raises(ValueError):
        Header(**arguments)


@pytest.mark.parametrize(
    "tlv", [(5, bytes(129)), (3, b"123"), (2, b"\xff"), (0x30, b"\xff"), (0x20, b"1234")]
)
def test_tlvs_are_checked(tlv):
    with pytest.raises(ProxyProtocolSyntaxError):
        Header(tlvs=[tlv])


def test_readers_without_tlvs():
    header = Header(1, source=SOURCE, destination=DESTINATION)
    for name in ("alpn", "authority", "unique_id", "netns", "ssl", "crc32c"):
        assert getattr(header, name) is None
    for name in ("aws_vpce_id", "azure_link_id", "gcp_psc_connection_id"):
        assert getattr(header, name) is None


def test_first_of_duplicates():
    header = Header(tlvs=[(2, b"first"), (2, b"second"), (0xE5, bytearray(b"x"))])
    assert header.authority == "first"
    assert header.get(2) == b"first"
    assert header.get(Type.PP2_TYPE_ALPN) is None
    assert header.tlvs == ((2, b"first"), (2, b"second"), (0xE5, b"x"))
    assert type(header.tlvs[0][0]) is int


def test_ssl():
    tlv = ProxyProtocolSSLTLV(has_ssl=True, version="TLSv1.3", group="X25519", client_cert=b"der")
    header = Header(tlvs=[(Type.PP2_TYPE_SSL, bytes(tlv))])
    assert header.ssl == tlv
    assert header.ssl.client is SSLClient.PP2_CLIENT_SSL
    assert (header.ssl.group, header.ssl.client_cert) == ("X25519", b"der")


def test_value():
    header = Header(source=SOURCE, destination=DESTINATION, tlvs=[(5, b"id")])
    same = Header(source=SOURCE, destination=DESTINATION, tlvs=((5, b"id"),))
    assert header == same
    assert hash(header) == hash(same)
    assert header != Header(source=SOURCE, destination=DESTINATION)
    assert header != "header"
    for other in (
        pickle.loads(pickle.dumps(header)),
        copy.copy(header),
        eval(repr(header), {"Header": Header}),
    ):
        assert other == header


def test_replace():
    header = Header(source=SOURCE, destination=DESTINATION, tlvs=[(5, b"id")])
    assert header.replace(tlvs=()) == Header(source=SOURCE, destination=DESTINATION)
    changed = header.replace(source=("::1", 1), destination=("::1", 2))
    assert (changed.family, changed.unique_id) == ("AF_INET6", b"id")
    local = header.replace(command="LOCAL", source=None, destination=None)
    assert local == Header(command="LOCAL", tlvs=[(5, b"id")])
    with pytest.raises(ValueError):
        header.replace(version=1)
    with pytest.raises(TypeError):
        header.replace(sauce=SOURCE)


def test_portable():
    # S6: what HAProxy takes as a receiver
    header = Header(
        source=SOURCE,
        destination=DESTINATION,
        tlvs=[(5, b"id"), (0xE0, bytes(1025)), (0xE1, bytes(1024))],
    )
    assert header.portable() == header.replace(tlvs=[(5, b"id"), (0xE1, bytes(1024))])
    local = Header(command="LOCAL")
    for other in (
        local,
        Header(),
        Header(source="/a", destination="/b"),
        Header(source=SOURCE, destination=DESTINATION, protocol="DGRAM"),
    ):
        assert other.portable() == local
    assert Header(1).portable() == Header(1)


def test_addresses_of_a_socket():
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::1", 0))
        server.listen()
        with socket.create_connection(server.getsockname()[:2]) as client:
            header = Header(source=client.getsockname(), destination=client.getpeername())
            assert header.destination == ("::1", server.getsockname()[1])


def test_parsed_headers_are_not_changed_by_their_bytes():
    data = bytearray(b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n")
    header, _ = parse(data)
    data[11:20] = b"8" * 9
    assert header.source == SOURCE
