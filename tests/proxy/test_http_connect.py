"""The negotiation with an HTTP proxy, without a network."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.exceptions import InvalidProxyMessage, InvalidProxyStatus, ProxyError
from tidegate.proxy import Passage, Proxy, Route, parse_proxy, prepare_connect_request
from tidegate.proxy.auth import BearerAuth
from tidegate.proxy.hop import HopState, Target
from tidegate.proxy.http_connect import MAX_HEAD_SIZE, HTTPConnectHop
from tidegate.uri import parse_uri

TARGET = Target("ws.test", 443)
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


def start(url="http://proxy.test:3128", **fields):
    proxy = parse_proxy(url)
    for name, value in fields.items():
        setattr(proxy, name, value)
    hop = HTTPConnectHop(proxy, TARGET, "agent/1")
    hop.start()
    return hop


def headers_sent(hop):
    lines = hop.data_to_send().decode("latin-1").split("\r\n")
    assert lines[0] == "CONNECT ws.test:443 HTTP/1.1"
    assert lines[-2:] == ["", ""]
    return dict(line.split(": ", 1) for line in lines[1:-2])


@pytest.mark.parametrize("url", ["http://user@proxy.test", "http://user:@proxy.test"])
def test_a_user_without_a_password(url):
    value = "Basic " + base64.b64encode(b"user:").decode()
    assert headers_sent(start(url))["Proxy-Authorization"] == value
    request = prepare_connect_request(parse_proxy(url), parse_uri("ws://ws.test/"))
    assert f"\r\nProxy-Authorization: {value}\r\n".encode() in request


def test_headers_of_the_program_replace_ours():
    headers = {"host": "other.test:1", "USER-AGENT": "mine", "X-Session": "42"}
    sent = headers_sent(start(headers=headers))
    assert sent == {"host": "other.test:1", "USER-AGENT": "mine", "X-Session": "42"}
    assert start(headers=headers).data_to_send().lower().count(b"\r\nhost:") == 1


def challenge(value, *more, body=b"no"):
    lines = [b"Proxy-Authenticate: " + value.encode(), b"Content-Length: %d" % len(body), *more]
    return b"HTTP/1.1 407 Who?\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


class TestRequest:
    def test_without_credentials(self):
        assert headers_sent(start()) == {"Host": "ws.test:443", "User-Agent": "agent/1"}

    def test_basic_credentials_are_sent_at_once(self):
        value = base64.b64encode("us@er:pä:ss".encode()).decode()
        hop = start("http://us%40er:p%C3%A4%3Ass@proxy.test")
        assert headers_sent(hop)["Proxy-Authorization"] == f"Basic {value}"

    def test_own_headers(self):
        hop = start(headers={"X-Session": "42"})
        assert headers_sent(hop)["X-Session"] == "42"

    def test_ipv6_target(self):
        hop = HTTPConnectHop(Proxy("http", "proxy.test", 80), Target("::1", 80), None)
        hop.start()
        assert hop.data_to_send() == b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"

    def test_nothing_is_sent_twice(self):
        hop = start()
        assert hop.data_to_send()
        assert hop.data_to_send() == b""

    @pytest.mark.parametrize("uri", ["ws://ws.test/chat", "wss://ws.test/chat"])
    def test_prepare_connect_request(self, uri):
        port = 443 if uri.startswith("wss") else 80
        assert (
            prepare_connect_request(
                parse_proxy("http://user:pass@proxy.test"), parse_uri(uri), "agent/1"
            )
            == (
                f"CONNECT ws.test:{port} HTTP/1.1\r\nHost: ws.test\r\nUser-Agent: agent/1\r\n"
                "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
            ).encode()
        )

    def test_prepare_connect_request_without_user_agent(self):
        request = prepare_connect_request(
            parse_proxy("http://proxy.test"), parse_uri("ws://[::1]:8080/"), None
        )
        assert request == b"CONNECT [::1]:8080 HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"


OPENING = [
    OK,
    b"HTTP/1.0 200 Connection established\r\n\r\n",
    b"HTTP/1.1 200 \r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"HTTP/1.1 299 Fine\r\n\r\n",
    b"HTTP/1.1 200 OK\n\n",
    b"HTTP/1.1 200 OK\nVia: x\r\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nVia: 1.1 a,\r\n\t1.1 b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno header at all\r\n\xff\xfe: x\r\n: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK,
    b"\r\n\r\n" + OK,
]

REFUSING = [
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nsorry",
    b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nso\r\n3\r\nrry\r\n0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://login.test/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 500\r\nContent-Length: 5\r\n\r\nsorry",
    b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\n",
    challenge("Basic realm=x"),
]  # fmt: skip


@pytest.mark.parametrize("reply", OPENING)
@pytest.mark.parametrize("leftover", [b"", b"\x16\x03first bytes\r\n\r\n"])
def test_opening_replies_cut_everywhere(reply, leftover):
    data = reply + leftover
    for cut in range(len(data)):
        hop = start()
        hop.data_to_send()
        hop.receive_data(data[:cut])
        assert hop.state is (HopState.OPEN if cut >= len(reply) else HopState.NEGOTIATING)
        hop.receive_data(data[cut:])
        assert hop.state is HopState.OPEN
        assert hop.error is None
        assert hop.leftover == leftover
        assert hop.data_to_send() == b""


@pytest.mark.parametrize("reply", REFUSING)
def test_refusing_replies_cut_everywhere(reply):
    for cut in range(len(reply)):
        hop = start()
        hop.receive_data(reply[:cut])
        assert hop.state is HopState.NEGOTIATING
        hop.receive_data(reply[cut:])
        assert hop.state is HopState.FAILED
        assert isinstance(hop.error, InvalidProxyStatus)
        assert hop.error.response.status_code == int(reply[9:12])
        assert hop.error.hint is not None or hop.error.response.status_code == 101


@pytest.mark.parametrize("reply", OPENING + REFUSING)
def test_replies_byte_by_byte(reply):
    hop = start()
    for byte in reply:
        assert hop.state is HopState.NEGOTIATING
        hop.receive_data(bytes([byte]))
    assert hop.state in (HopState.OPEN, HopState.FAILED)


@pytest.mark.parametrize("reply", OPENING + REFUSING)
def test_replies_that_end_too_early(reply):
    for cut in range(len(reply)):
        hop = start()
        hop.receive_data(reply[:cut])
        hop.receive_eof()
        assert hop.state is HopState.FAILED
        assert isinstance(hop.error, ProxyError)


@given(st.lists(st.binary(max_size=40), max_size=10), st.booleans())
def test_anything_at_all(pieces, http):
    hop = start("http://u:p@proxy.test")
    if http:
        hop.receive_data(b"HTTP/1.1 ")
    for piece in pieces:
        hop.receive_data(piece)
    hop.receive_eof()
    assert hop.state is not HopState.NEGOTIATING
    assert (hop.state is HopState.FAILED) == (hop.error is not None)


class TestRefusals:
    def test_body_is_kept_in_part(self):
        hop = start()
        hop.receive_data(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 50000)
        assert hop.state is HopState.FAILED
        assert hop.error.response.body == b"x" * 8192
        assert str(hop.error) == (
            "proxy rejected connection: HTTP 503\n"
            "  hint: the proxy is there but cannot reach ws.test:443"
        )

    def test_body_without_length_ends_with_the_connection(self):
        hop = start()
        hop.receive_data(b"HTTP/1.1 403 No\r\n\r\nbecause")
        assert hop.state is HopState.NEGOTIATING
        assert hop.refused
        hop.receive_eof()
        assert hop.error.response.body == b"because"

    def test_body_that_does_not_come(self):
        hop = start()
        hop.receive_data(b"HTTP/1.1 403 No\r\nContent-Length: 7\r\n\r\nbec")
        hop.give_up()
        assert hop.state is HopState.FAILED
        assert hop.error.response.body == b"bec"

    def test_giving_up_without_a_reply(self):
        hop = start()
        hop.receive_data(b"HTTP/1.1 403")
        hop.give_up()
        assert hop.state is HopState.NEGOTIATING
        assert hop.error is None

    @pytest.mark.parametrize(
        "chunks", [b"zz\r\nx", b"fffffffff\r\n", b"5\r\nabc", b"\r\n", b"5;" + b"x" * 2000]
    )
    def test_broken_chunks(self, chunks):
        hop = start()
        hop.receive_data(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        hop.receive_eof()
        assert hop.error.response.status_code == 403

    @pytest.mark.parametrize(
        ("reply", "hint"),
        [
            (b"HTTP/1.1 302 Found\r\nLocation: http://login.test/\r\n\r\n", "http://login.test/"),
            (b"HTTP/1.1 511 Log In\r\n\r\n", "in a browser"),
            (b"HTTP/1.1 403 Forbidden\r\n\r\n", "rules forbid ws.test:443"),
            (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n", "knows CONNECT"),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "proxy.test:3128 is a proxy"),
            (b"HTTP/1.1 504 Timeout\r\n\r\n", "cannot reach ws.test:443"),
            (challenge("Basic realm=x"), "http://user:password@proxy.test:3128"),
            (challenge("Hoba max-age=1"), "credentials of the kind hoba"),
            (challenge("NTLM"), "user name and a password"),
            (b"\x15\x03\x01\x00\x02\x02\x46", "https://proxy.test:3128"),
            (b"\x05\xff", "socks5h://proxy.test:3128"),
            (b"\x00\x5b\x00\x00", "socks4a://proxy.test:3128"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh -D"),
            (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "HTTP/2"),
            (b"", "not another kind of proxy"),
        ],
    )
    def test_hints(self, reply, hint):
        hop = start()
        hop.receive_data(reply)
        hop.receive_eof()
        assert hint in hop.error.hint

    @pytest.mark.parametrize(
        "reply",
        [
            b"garbage\r\n\r\n",
            b"HTTP/1.1 abc\r\n",
            b"HTTP/1.1 099 OK\r\n",
            b"HTTP/1.1 600 OK\r\n",
            b"HTTP/x 200 OK\r\n",
            b"HTTP/2 200 OK\r\n",
        ],
    )
    def test_garbage_is_shown(self, reply):
        hop = start()
        hop.receive_data(reply)
        assert isinstance(hop.error, InvalidProxyMessage)
        assert reply.decode().split("\r")[0] in str(hop.error)

    def test_garbage_without_a_line_end_is_refused_at_once(self):
        hop = start()
        hop.receive_data(b"X")
        assert hop.state is HopState.FAILED

    @pytest.mark.parametrize(
        "endless",
        [b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"Header: value\r\n", b"x" * 50],
    )
    def test_an_endless_head_ends(self, endless):
        hop = start()
        if not endless.startswith((b"\r", b"HTTP")):
            hop.receive_data(b"HTTP/1.1 200 OK\r\n")
        for _ in range(MAX_HEAD_SIZE // len(endless) + 1):
            hop.receive_data(endless)
        assert isinstance(hop.error, InvalidProxyMessage)
        assert "65536 bytes" in str(hop.error)


class TestLoopback:
    """To a proxy elsewhere, localhost is not this machine."""

    def hint(self, proxy, host, port=80):
        target = Target(host, port)
        passage = Passage(Route(parse_uri("ws://ws.test/"), parse_proxy(proxy)))
        hop = HTTPConnectHop(parse_proxy(proxy), target)
        hop.start()
        hop.receive_data(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        step = passage.step("CONNECT", hop.proxy, target, hop)
        with pytest.raises(InvalidProxyStatus) as raised, step:
            raise hop.error
        return raised.value.hint

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "api.localhost"])
    def test_hint(self, host):
        expected = f"to the proxy, {host} is the proxy itself; connect with proxy=None"
        assert self.hint("http://proxy.test", host) == expected

    @pytest.mark.parametrize(
        ("proxy", "host"),
        [
            ("http://localhost", "127.0.0.1"),
            ("http://[::1]", "localhost"),
            ("http+unix:///p.sock", "localhost"),
            ("http://proxy.test", "ws.test"),
        ],
    )
    def test_other_hint(self, proxy, host):
        assert "the proxy is there but cannot reach" in self.hint(proxy, host)


class TestAuthentication:
    def test_challenge_answered_in_the_same_connection(self):
        hop = start("http://user:pass@proxy.test")
        hop.data_to_send()
        hop.receive_data(challenge('Digest realm="x", nonce="n", qop="auth"', body=b"x" * 3000))
        assert hop.state is HopState.NEGOTIATING
        assert headers_sent(hop)["Proxy-Authorization"].startswith("Digest username=")
        hop.receive_data(OK)
        assert hop.state is HopState.OPEN

    @pytest.mark.parametrize(
        "reply",
        [
            challenge("Digest realm=x, nonce=n", b"Connection: close"),
            challenge("Digest realm=x, nonce=n", b"Proxy-Connection: Close"),
            challenge("Digest realm=x, nonce=n").replace(b"HTTP/1.1", b"HTTP/1.0"),
            challenge("Digest realm=x, nonce=n").replace(b"Length: 2", b"Length: 99999"),
        ],
    )  # fmt: skip
    def test_challenge_answered_in_a_new_connection(self, reply):
        hop = start("http://user:pass@proxy.test")
        hop.data_to_send()
        hop.receive_data(reply)
        if hop.state is HopState.NEGOTIATING:
            # The length of the body cannot be waited for.
            hop.receive_data(b"x" * 70000)
        assert hop.state is HopState.RECONNECT
        hop.start()
        assert headers_sent(hop)["Proxy-Authorization"].startswith("Digest username=")
        hop.receive_data(OK)
        assert hop.state is HopState.OPEN

    def test_challenge_whose_body_ends_with_the_connection(self):
        hop = start("http://user:pass@proxy.test")
        hop.receive_data(b"HTTP/1.1 407 x\r\nProxy-Authenticate: Digest nonce=n\r\n\r\nbody")
        hop.receive_eof()
        assert hop.state is HopState.RECONNECT

    def test_wrong_password(self):
        hop = start("http://user:pass@proxy.test")
        hop.receive_data(challenge("Basic realm=x"))
        assert hop.state is HopState.FAILED
        assert hop.step == "authenticate"
        assert "refused the user name or the password" in hop.error.hint

    def test_wrong_login(self):
        pytest.importorskip("spnego")
        hop = start("http://user:pass@proxy.test")
        hop.receive_data(challenge("NTLM"))
        hop.receive_data(challenge("NTLM"))
        assert hop.error.hint == (
            "the proxy accepts only ntlm; check the user name, with its domain as DOMAIN\\user, "
            "and the password"
        )

    def test_an_example_has_brackets_where_they_are_needed(self):
        hop = start("http://[2001:db8::1]:3128")
        hop.receive_data(challenge("Basic realm=x"))
        assert hop.error.hint.endswith("http://user:password@[2001:db8::1]:3128")

    def test_401_is_taken_for_407(self):
        hop = start("http://user:pass@proxy.test")
        hop.receive_data(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: Basic\r\n\r\n")
        assert hop.step == "authenticate"
        assert "refused the user name" in hop.error.hint

    def test_challenges_without_end(self):
        hop = start("http://user:pass@proxy.test")
        for _ in range(20):
            if hop.state is not HopState.NEGOTIATING:
                break
            hop.receive_data(challenge("Digest realm=x, nonce=n, stale=true"))
        assert isinstance(hop.error, InvalidProxyStatus)

    def test_wrong_password_is_not_tried_again(self):
        hop = start("http://user:pass@proxy.test")
        hop.data_to_send()
        hop.receive_data(challenge("Digest realm=x, nonce=n"))
        hop.data_to_send()
        hop.receive_data(challenge("Digest realm=x, nonce=m"))
        assert hop.state is HopState.FAILED
        assert hop.data_to_send() == b""

    def test_own_authentication(self):
        hop = start(auth=BearerAuth("t0ken"))
        assert headers_sent(hop)["Proxy-Authorization"] == "Bearer t0ken"

    def test_authentication_that_breaks(self):
        def broken(challenges):
            raise LookupError("no keyring")

        hop = start(auth=broken)
        assert hop.state is HopState.FAILED
        assert hop.step == "authenticate"
        assert isinstance(hop.error.__cause__, LookupError)
        assert "no keyring" in str(hop.error)
