"""The negotiation with SOCKS proxies, without a network and with one."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.exceptions import InvalidProxyMessage, ProxyConnectionError, ProxyError
from tidegate.proxy import parse_proxy
from tidegate.proxy.hop import HopState, Target
from tidegate.proxy.routes import make_hop
from tidegate.testing import Faults, SOCKSProxyServer

from .conftest import echo_server
from .test_tunnel import check, connect


def start(url, host="ws.test", port=443, addresses=()):
    hop = make_hop(parse_proxy(url), Target(host, port), None)
    hop.addresses = list(addresses)
    hop.start()
    return hop


def converse(url, *dialogue, cut=None, **target):
    """Let a hop and a script of requests and replies talk; replies come cut in two."""
    hop = start(url, **target)
    for request, reply in dialogue:
        assert hop.state is HopState.NEGOTIATING
        assert hop.data_to_send() == request
        if cut is not None and cut < len(reply):
            hop.receive_data(reply[:cut])
            assert hop.data_to_send() == b""
            hop.receive_data(reply[cut:])
        else:
            hop.receive_data(reply)
    return hop


GRANTED4 = b"\x00\x5a\x00\x00\x00\x00\x00\x00"
GREETING = b"\x05\x01\x00", b"\x05\x00"
GREETING_WITH_PASSWORD = b"\x05\x02\x00\x02", b"\x05\x02"
REQUEST = b"\x05\x01\x00\x03\x07ws.test\x01\xbb"
GRANTED5 = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34"

DIALOGUES = {
    "socks4": (
        "socks4://proxy.test",
        [(b"\x04\x01\x01\xbb\x0a\x00\x00\x01\x00", GRANTED4)],
        {"addresses": ["10.0.0.1"]},
    ),
    "socks4 to an address": (
        "socks4://proxy.test",
        [(b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", GRANTED4)],
        {"host": "127.0.0.1", "port": 80},
    ),
    "socks4 with a user": (
        "socks4://m%C3%A9@proxy.test",
        [(b"\x04\x01\x01\xbb\x0a\x00\x00\x01m\xc3\xa9\x00", b"\x04" + GRANTED4[1:])],
        {"addresses": ["10.0.0.1"]},
    ),
    "socks4a": (
        "socks4a://me@proxy.test",
        [(b"\x04\x01\x01\xbb\x00\x00\x00\x01me\x00ws.test\x00", GRANTED4)],
        {},
    ),
    "socks4a to an IPv6 address": (
        "socks4a://proxy.test",
        [(b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00::1\x00", GRANTED4)],
        {"host": "::1"},
    ),
    "socks5": (
        "socks5://proxy.test",
        [GREETING, (b"\x05\x01\x00\x01\x0a\x00\x00\x01\x01\xbb", GRANTED5)],
        {"addresses": ["10.0.0.1"]},
    ),
    "socks5 to an IPv6 address": (
        "socks5://proxy.test",
        [
            GREETING,
            (
                b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x01\xbb",
                b"\x05\x00\x00\x04" + bytes(18),
            ),
        ],
        {"host": "::1%lo"},
    ),
    "socks5h": (
        "socks5h://proxy.test",
        [GREETING, (REQUEST, GRANTED5)],
        {},
    ),
    "socks5h bound to a name": (
        "socks5h://proxy.test",
        [GREETING, (REQUEST, b"\x05\x00\x00\x03\x0aproxy.test\x12\x34")],
        {},
    ),
    "socks5h with a password": (
        "socks5h://m%C3%A9:p%3Ass@proxy.test",
        [
            GREETING_WITH_PASSWORD,
            (b"\x01\x03m\xc3\xa9\x04p:ss", b"\x01\x00"),
            (REQUEST, GRANTED5),
        ],
        {},
    ),
    "socks5h with a password of 255 bytes": (
        f"socks5h://{'u' * 255}:{'p' * 255}@proxy.test",
        [
            GREETING_WITH_PASSWORD,
            (b"\x01\xff" + b"u" * 255 + b"\xff" + b"p" * 255, b"\x05\x00"),
            (REQUEST, GRANTED5),
        ],
        {},
    ),
    "socks5h with a password that isn't wanted": (
        "socks5h://me:secret@proxy.test",
        [(GREETING_WITH_PASSWORD[0], b"\x05\x00"), (REQUEST, GRANTED5)],
        {},
    ),
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogues_cut_everywhere(name):
    url, dialogue, options = DIALOGUES[name]
    for cut in range(1, max(len(reply) for _, reply in dialogue) + 1):
        hop = converse(url, *dialogue, cut=cut, **options)
        assert hop.state is HopState.OPEN
        assert hop.leftover == b""


@pytest.mark.parametrize("name", DIALOGUES)
def test_bytes_behind_the_last_reply_are_kept(name):
    url, dialogue, options = DIALOGUES[name]
    *first, (request, reply) = dialogue
    hop = converse(url, *first, (request, reply + b"hello"), **options)
    assert hop.state is HopState.OPEN
    assert hop.leftover == b"hello"


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogues_that_end_too_early(name):
    url, dialogue, options = DIALOGUES[name]
    for end in range(len(dialogue)):
        for cut in range(len(dialogue[end][1])):
            hop = converse(url, *dialogue[:end], **options)
            hop.receive_data(dialogue[end][1][:cut])
            hop.receive_eof()
            assert hop.state is HopState.FAILED
            assert isinstance(hop.error, InvalidProxyMessage)
            assert hop.error.transient


@given(
    st.sampled_from(["socks4a", "socks5h", "socks5h://u:p"]),
    st.lists(st.binary(max_size=20), max_size=10),
)
def test_anything_at_all(scheme, pieces):
    hop = start(f"{scheme}@proxy.test" if ":" in scheme else f"{scheme}://proxy.test")
    for piece in pieces:
        hop.receive_data(piece)
    hop.receive_eof()
    assert hop.state is not HopState.NEGOTIATING
    assert (hop.state is HopState.FAILED) == (hop.error is not None)


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "words", "transient"),
        [
            (0x5B, "request rejected or failed", True),
            (0x5C, "cannot ask identd", False),
            (0x5D, "says that the user is another", False),
            (0x42, "unknown reply 0x42", False),
        ],
    )
    def test_socks4(self, code, words, transient):
        hop = start("socks4a://proxy.test")
        hop.receive_data(bytes([0, code]) + bytes(6))
        assert words in str(hop.error)
        assert hop.error.transient is transient

    @pytest.mark.parametrize(
        ("code", "words", "transient"),
        [
            (1, "general failure", True),
            (2, "not allowed by the proxy's rules", False),
            (3, "network unreachable", True),
            (4, "host unreachable", True),
            (5, "connection refused by the server", True),
            (6, "time to live expired", True),
            (7, "command not supported", False),
            (8, "address type not supported", False),
            (99, "unknown reply 0x63", False),
        ],
    )
    def test_socks5(self, code, words, transient):
        hop = converse("socks5h://proxy.test", GREETING)
        # microsocks sends a whole reply, others end after its first bytes.
        hop.receive_data(bytes([5, code, 0, 1]))
        assert words in str(hop.error)
        assert hop.error.transient is transient

    def test_socks5_wants_a_password(self):
        hop = converse("socks5h://proxy.test", (GREETING[0], b"\x05\xff"))
        assert hop.step == "authenticate"
        assert "socks5h://user:password@proxy.test:1080" in hop.error.hint

    def test_socks5_wants_something_else(self):
        hop = converse("socks5h://me:secret@proxy.test", (GREETING_WITH_PASSWORD[0], b"\x05\xff"))
        assert "another way to authenticate" in str(hop.error)

    @pytest.mark.parametrize("method", [1, 2, 0x80])
    def test_socks5_chooses_what_was_not_offered(self, method):
        hop = converse("socks5h://proxy.test", (GREETING[0], bytes([5, method])))
        assert isinstance(hop.error, InvalidProxyMessage)

    def test_wrong_password(self):
        hop = converse(
            "socks5h://me:secret@proxy.test",
            GREETING_WITH_PASSWORD,
            (b"\x01\x02me\x06secret", b"\x01\x01"),
        )
        assert hop.step == "authenticate"
        assert "refused the user name or the password" in str(hop.error)
        assert "secret" not in str(hop.error)
        assert not hop.error.transient

    @pytest.mark.parametrize(
        ("url", "reply", "hint"),
        [
            ("socks5h://proxy.test", b"HTTP/1.1 400 Bad Request\r\n", "http://proxy.test:1080"),
            ("socks4a://proxy.test", b"HTTP/1.0 501 Tor is not", "http://proxy.test:1080"),
            ("socks5h://proxy.test", b"\x15\x03\x01\x00\x02", "socks5h+tls://proxy.test:1080"),
            ("socks5h://proxy.test", b"\x00\x5b\x00\x00", "socks4a://proxy.test:1080"),
            ("socks4a://proxy.test", b"\x05\xff", "socks5h://proxy.test:1080"),
            ("socks5h://proxy.test", b"SSH-2.0-x", "ssh -D"),
        ],
    )
    def test_hints(self, url, reply, hint):
        hop = start(url)
        hop.receive_data(reply)
        assert isinstance(hop.error, InvalidProxyMessage)
        assert hint in hop.error.hint

    def test_address_type_that_is_unknown(self):
        hop = converse("socks5h://proxy.test", GREETING)
        hop.receive_data(b"\x05\x00\x00\x07")
        assert isinstance(hop.error, InvalidProxyMessage)

    @pytest.mark.parametrize("url", ["socks4a://proxy.test", "socks5h://proxy.test"])
    def test_name_too_long(self, url):
        hop = start(url, host="x" * 256)
        hop.receive_data(b"\x05\x00")
        assert "no room for the host name" in str(hop.error)

    def test_socks4_knows_no_ipv6(self):
        hop = start("socks4://proxy.test", host="::1")
        assert "no room for the IPv6 address ::1" in str(hop.error)
        assert "socks5://" in hop.error.hint


class TestAddresses:
    def test_each_is_tried_in_a_connection_of_its_own(self):
        hop = start("socks5://proxy.test", addresses=["10.0.0.1", "fe80::1%lo", "10.0.0.3"])
        for expected in b"\x0a\x00\x00\x01", b"\xfe\x80" + bytes(13) + b"\x01":
            assert hop.data_to_send() == b"\x05\x01\x00"
            hop.receive_data(b"\x05\x00")
            assert expected in hop.data_to_send()
            hop.receive_data(b"\x05\x04\x00\x01")
            assert hop.state is HopState.RECONNECT
            hop.start()
        hop.receive_data(b"\x05\x00")
        hop.receive_data(b"\x05\x05\x00\x01")
        assert hop.state is HopState.FAILED
        assert "refused by the server" in str(hop.error)

    def test_no_other_is_tried_against_the_rules(self):
        hop = start("socks5://proxy.test", addresses=["10.0.0.1", "10.0.0.2"])
        hop.receive_data(b"\x05\x00")
        hop.receive_data(b"\x05\x02\x00\x01")
        assert hop.state is HopState.FAILED

    @pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
    def test_the_proxy_resolves(self, scheme):
        assert not start(f"{scheme}://proxy.test").needs_addresses

    @pytest.mark.parametrize("scheme", ["socks4", "socks5"])
    def test_names_are_resolved_here(self, scheme):
        url = f"{scheme}://proxy.test"
        assert start(url, addresses=["127.0.0.1"]).needs_addresses
        assert not start(url, host="127.0.0.1").needs_addresses


SCHEMES = ["socks4", "socks4a", "socks5", "socks5h"]


@pytest.mark.asyncio_only
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("fragment", [None, 1])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("auth", [False, True])
async def test_tunnels(scheme, fragment, tls, auth, corp):
    async with (
        echo_server() as port,
        SOCKSProxyServer(
            scheme,
            ssl=corp.server if tls else None,
            username="mé" if auth else None,
            password="s3cret" if auth and scheme.startswith("socks5") else None,
            faults=Faults(fragment=fragment, early=b"early"),
            hosts={"localhost": ("127.0.0.1", port)},
        ) as proxy,
    ):
        tunnel = await connect(f"ws://localhost:{port}/", proxy.url, proxy_ssl=corp.client)
        await check(*tunnel, b"early")
        [request] = proxy.requests
        assert request.username == ("mé" if auth else None)
        assert (request.host == "localhost") == (scheme in ("socks4a", "socks5h"))


async def test_on_every_loop(transport_kind, origin, corp):
    async with (
        echo_server(origin.server, b"welcome") as port,
        SOCKSProxyServer(ssl=corp.server) as proxy,
    ):
        tunnel = await connect(
            f"wss://127.0.0.1:{port}/", proxy.url, ssl=origin.client, proxy_ssl=corp.path
        )
        await check(*tunnel, b"welcome")


@pytest.mark.asyncio_only
@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
async def test_addresses_of_the_server_are_tried_in_turn(monkeypatch, scheme):
    async with echo_server() as port, SOCKSProxyServer(scheme) as proxy:
        loop = asyncio.get_running_loop()
        getaddrinfo = loop.getaddrinfo

        async def fake(host, port, *, family=0, **kwargs):
            if host != "ws.test":
                return await getaddrinfo(host, port, family=family, **kwargs)
            assert family == (socket.AF_INET if scheme == "socks4" else socket.AF_UNSPEC)
            # Nobody listens at the first.
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in ("127.0.0.2", "127.0.0.2", "127.0.0.1")
            ]

        monkeypatch.setattr(loop, "getaddrinfo", fake)
        await check(*await connect(f"ws://ws.test:{port}/", proxy.url))
        assert [request.host for request in proxy.requests] == ["127.0.0.2", "127.0.0.1"]


@pytest.mark.asyncio_only
async def test_name_that_cannot_be_resolved_here():
    async with SOCKSProxyServer("socks5") as proxy:
        with pytest.raises(ProxyConnectionError) as raised:
            await connect("ws://server.invalid/", proxy.url)
        assert raised.value.step == "resolve"
        assert "socks5h://" in raised.value.hint


@pytest.mark.asyncio_only
async def test_refusal_is_told():
    async with SOCKSProxyServer(faults=Faults(refuse=2)) as proxy:
        with pytest.raises(ProxyError) as raised:
            await connect("ws://server.test/", proxy.url)
        lines = str(raised.value).splitlines()
        assert lines[0] == "SOCKS5 proxy refused: connection not allowed by the proxy's rules"
        assert lines[1] == f"  proxy: {proxy.url}, from the test"
        assert lines[-1] == "  hint: ask who runs the proxy to allow server.test:80"


def test_address_of_a_kind_that_the_proxy_does_not_know():
    """Another kind may do: the proxy is asked for the next address."""
    hop = start("socks5://proxy.test", addresses=["::1", "10.0.0.2"])
    hop.receive_data(b"\x05\x00")
    hop.data_to_send()
    hop.receive_data(bytes([5, 8, 0, 1]) + bytes(6))
    assert hop.state is HopState.RECONNECT
    hop.start()
    hop.data_to_send()
    hop.receive_data(b"\x05\x00")
    assert hop.data_to_send().endswith(bytes([1, 10, 0, 0, 2]) + (443).to_bytes(2, "big"))
    # It was the last one.
    hop.receive_data(bytes([5, 8, 0, 1]) + bytes(6))
    assert hop.state is HopState.FAILED
    assert "address type not supported" in str(hop.error)
