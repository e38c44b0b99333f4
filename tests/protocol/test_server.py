"""The server's side of the opening handshake."""

from __future__ import annotations

import email.utils
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.datastructures import Headers
from tidegate.exceptions import (
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidMethod,
    InvalidOrigin,
    InvalidProtocol,
    InvalidUpgrade,
    NegotiationError,
    TooManyHeaders,
)
from tidegate.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from tidegate.frames import Frame, Opcode
from tidegate.http11 import Request, Response
from tidegate.protocol import CLOSED, CONNECTING, OPEN, SEND_EOF
from tidegate.server import ServerProtocol

from ..wire.frames import BINARY, KEY, frame

HEADERS = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
# That of the example in RFC 6455, section 1.3.
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

VERSION_13 = {"Sec-WebSocket-Version": "13"}
UPGRADE = {"Upgrade": "websocket"}


def request(line="GET /chat?room=1 HTTP/1.1", without=(), extra=(), **changes):
    """Give the bytes of a request."""
    headers = {name: changes.get(name.replace("-", "_"), HEADERS[name]) for name in HEADERS}
    pairs = [(name, value) for name, value in headers.items() if name not in without]
    lines = [line, *(f"{name}: {value}" for name, value in [*pairs, *extra])]
    return "\r\n".join([*lines, "", ""]).encode()


def parse(sent: list[bytes]) -> tuple[int, Headers, bytes, bool]:
    """Give status, headers and body of what was sent, and whether the stream was ended."""
    ended = bool(sent) and sent[-1] == SEND_EOF
    head, _, body = b"".join(sent).partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = Headers()
    for each in lines:
        name, value = each.split(": ", 1)
        headers[name] = value
    return int(line.split(" ")[1]), headers, body, ended


def answer(data: bytes, **kwargs) -> tuple[ServerProtocol, int, Headers, bytes, bool]:
    """Receive a request and answer it."""
    server = ServerProtocol(**kwargs)
    server.receive_data(data)
    [event] = server.events_received()
    assert isinstance(event, Request)
    server.send_response(server.accept(event))
    return server, *parse(server.data_to_send())


# Acceptance

ACCEPTED = {
    "as in the RFC": request(),
    "upgrade in other letters": request(Upgrade="WebSocket"),
    "connection in other letters": request(Connection="upgrade"),
    "keep-alive, Upgrade": request(Connection="keep-alive, Upgrade"),
    "two Connection headers": request(Connection="keep-alive", extra=[("Connection", "UPGRADE")]),
    "empty elements": request(Connection=", ,Upgrade,"),
    "empty body": request(extra=[("Content-Length", "0")]),
    "empty Host": request(Host=""),
    "unknown headers": request(extra=[("X-One", "1"), ("X-One", "2"), ("Cookie", "a=b; c=d")]),
    "names in other letters": request().replace(b"Sec-WebSocket", b"sec-websocket"),
    "no space after the colon": request().replace(b": ", b":"),
    "absolute URI": request("GET ws://example.com/chat HTTP/1.1"),
    "an Origin": request(extra=[("Origin", "https://example.com")]),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(data):
    server, status, headers, body, ended = answer(data)
    assert status == 101
    assert (body, ended) == (b"", False)
    assert headers["Sec-WebSocket-Accept"] == ACCEPT
    assert headers["Upgrade"] == "websocket"
    assert headers["Connection"] == "Upgrade"
    assert email.utils.parsedate_to_datetime(headers["Date"]).tzname() == "UTC"
    assert set(headers) == {"date", "upgrade", "connection", "sec-websocket-accept"}
    assert server.state is OPEN
    assert server.handshake_exc is None
    assert server.extensions == []
    assert server.subprotocol is None


# Refusal

REFUSED = {
    # request, status, exception, headers besides the usual ones
    "POST": (request("POST / HTTP/1.1"), 405, InvalidMethod, {"Allow": "GET"}),
    "HEAD": (request("HEAD / HTTP/1.1"), 405, InvalidMethod, {"Allow": "GET"}),
    "get": (request("get / HTTP/1.1"), 405, InvalidMethod, {"Allow": "GET"}),
    "HTTP/1.0": (request("GET / HTTP/1.0"), 505, InvalidProtocol, {}),
    "no Host": (request(without=["Host"]), 400, InvalidHeader, {}),
    "two Hosts": (request(extra=[("Host", "b")]), 400, InvalidHeader, {}),
    "the same Host twice": (request(extra=[("host", "example.com")]), 400, InvalidHeader, {}),
    "no Upgrade": (request(without=["Upgrade"]), 426, InvalidUpgrade, UPGRADE),
    "Upgrade: h2c": (request(Upgrade="h2c"), 426, InvalidUpgrade, UPGRADE),
    "no Connection": (request(without=["Connection"]), 426, InvalidUpgrade, UPGRADE),
    "Connection: close": (request(Connection="close"), 426, InvalidUpgrade, UPGRADE),
    "no key": (request(without=["Sec-WebSocket-Key"]), 400, InvalidHeader, {}),
    "two keys": (request(extra=[("Sec-WebSocket-Key", "x")]), 400, InvalidHeader, {}),
    "empty key": (request(Sec_WebSocket_Key=""), 400, InvalidHeaderValue, {}),
    "no base64": (request(Sec_WebSocket_Key="?"), 400, InvalidHeaderValue, {}),
    "15 bytes": (request(Sec_WebSocket_Key="A" * 20), 400, InvalidHeaderValue, {}),
    "17 bytes": (request(Sec_WebSocket_Key="A" * 22 + "A="), 400, InvalidHeaderValue, {}),
    "no padding": (request(Sec_WebSocket_Key="A" * 22), 400, InvalidHeaderValue, {}),
    "not a key": (
        request(Sec_WebSocket_Key="dGhlIHNh bXBsZSBub25jZQ=="),
        400,
        InvalidHeaderValue,
        {},
    ),
    "no version": (request(without=["Sec-WebSocket-Version"]), 400, InvalidHeader, VERSION_13),
    "version 8": (
        request(Sec_WebSocket_Version="8"),
        426,
        InvalidHeaderValue,
        VERSION_13 | UPGRADE,
    ),
    "empty version": (request(Sec_WebSocket_Version=""), 426, InvalidHeader, VERSION_13 | UPGRADE),
    "version 13, 8": (
        request(Sec_WebSocket_Version="13, 8"),
        426,
        InvalidHeader,
        VERSION_13 | UPGRADE,
    ),
    "two versions": (
        request(extra=[("Sec-WebSocket-Version", "8")]),
        426,
        InvalidHeader,
        VERSION_13 | UPGRADE,
    ),
    "malformed Connection": (request(Connection="(Upgrade"), 400, InvalidHeaderFormat, {}),
    "malformed Upgrade": (request(Upgrade="websocket;"), 400, InvalidHeaderFormat, {}),
    "malformed subprotocols": (
        request(extra=[("Sec-WebSocket-Protocol", "a b")]),
        400,
        InvalidHeaderFormat,
        {},
    ),
    "malformed extensions": (
        request(extra=[("Sec-WebSocket-Extensions", "a; b=")]),
        400,
        InvalidHeaderFormat,
        {},
    ),
    "two Origins": (request(extra=[("Origin", "a"), ("Origin", "b")]), 400, InvalidHeader, {}),
}


@pytest.mark.parametrize(("data", "status", "kind", "extra"), REFUSED.values(), ids=REFUSED)
def test_refused(data, status, kind, extra):
    server, sent, headers, body, ended = answer(
        data, extensions=[ServerPerMessageDeflateFactory()], subprotocols=None
    )
    assert sent == status
    assert isinstance(server.handshake_exc, kind)
    assert ended
    assert headers["Connection"] == "close"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert int(headers["Content-Length"]) == len(body)
    usual = {"date", "connection", "content-length", "content-type"}
    assert set(headers) - usual == {name.lower() for name in extra}
    for name, value in extra.items():
        assert headers[name] == value
    # A person can read what is wrong.
    assert str(server.handshake_exc) in body.decode()
    assert server.state is CONNECTING
    assert server.close_expected()
    # Whatever comes afterwards is ignored.
    server.receive_data(b"\x81\x00" + request())
    assert server.events_received() == []
    server.receive_eof()
    assert server.state is CLOSED
    assert server.data_to_send() == []


TOO_LONG = {
    "request line": (request(f"GET /{'x' * 8192} HTTP/1.1"), 414),
    "header line": (request(extra=[("X", "y" * 8192)]), 431),
    "headers": (request(extra=[("X", "y")] * 128), 431),
}


@pytest.mark.parametrize(("data", "status"), TOO_LONG.values(), ids=TOO_LONG)
@pytest.mark.parametrize("step", [1000, 10**6])
def test_too_long(data, status, step):
    """The protocol refuses these by itself, as soon as the limit is passed."""
    server = ServerProtocol()
    for i in range(0, len(data), step):
        server.receive_data(data[i : i + step])
    assert server.events_received() == []
    sent, headers, body, ended = parse(server.data_to_send())
    assert sent == status
    assert ended
    assert headers["Connection"] == "close"
    assert str(server.handshake_exc) in body.decode()
    server.receive_data(b"more")
    assert server.data_to_send() == server.events_received() == []


NOT_HTTP = {
    "a ClientHello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a malformed header": b"GET / HTTP/1.1\r\nHost example.com\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP)
def test_not_http(data):
    server = ServerProtocol()
    server.receive_data(data)
    assert server.events_received() == []
    sent, headers, body, ended = parse(server.data_to_send())
    assert sent == 400
    assert ended
    assert headers["Connection"] == "close"
    assert isinstance(server.handshake_exc, InvalidMessage)
    # A person can read what is wrong.
    assert str(server.handshake_exc.__cause__) in body.decode()
    assert str(server.handshake_exc) == "did not receive a valid HTTP request"
    assert isinstance(server.handshake_exc.__cause__, ValueError)
    assert server.close_expected()
    server.receive_eof()
    assert server.state is CLOSED


BODIES = {
    "a body": ([("Content-Length", "3")], b"abc"),
    "a chunked body": ([("Transfer-Encoding", "chunked")], b"0\r\n\r\n"),
    "nobody knows": ([("Content-Length", "x")], b""),
    "two lengths": ([("Content-Length", "0"), ("Content-Length", "1")], b"a"),
}


@pytest.mark.parametrize(("extra", "body"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("method", "status"), [("GET", 400), ("POST", 405)])
def test_a_body(method, status, extra, body):
    # It is shown to the program before it is refused.
    server, sent, _, _, ended = answer(request(f"{method} / HTTP/1.1", extra=extra) + body)
    assert (sent, ended) == (status, True)
    assert isinstance(server.handshake_exc, InvalidHandshake)
    server.receive_data(b"more")
    assert server.data_to_send() == server.events_received() == []


LONG_LISTS = {
    "Connection": "a," * 3000,
    "Upgrade": "a," * 3000,
    "Sec-WebSocket-Extensions": "a;b" * 2000 + ",",
    "Sec-WebSocket-Protocol": "a , " * 1500,
}


@pytest.mark.parametrize(("name", "value"), LONG_LISTS.items(), ids=LONG_LISTS)
@pytest.mark.parametrize("lines", [1, 100])
def test_lists_that_take_long_to_parse(name, value, lines, monkeypatch):
    def parse(*args):
        raise AssertionError("it is parsed")

    monkeypatch.setattr("tidegate.headers.parse_list", parse)
    server, sent, _, body, _ = answer(request(extra=[(name, value)] * lines))
    assert sent == 431
    assert isinstance(server.handshake_exc, TooManyHeaders)
    assert b"1000 elements" in body


def test_short_lists_in_many_lines():
    _, sent, *_ = answer(request(extra=[("Sec-WebSocket-Protocol", "a," * 60 + "a")] * 100))
    assert sent == 431


def test_lists_as_long_as_anybody_needs():
    names = ", ".join(f"chat-{i}" for i in range(300))
    server, sent, *_ = answer(
        request(extra=[("Sec-WebSocket-Protocol", names)]), subprotocols=["chat-299"]
    )
    assert sent == 101
    assert server.subprotocol == "chat-299"
    # Long elements, such as tokens, are no more than short ones.
    _, sent, *_ = answer(request(extra=[("Sec-WebSocket-Protocol", "x" * 8000)]))
    assert sent == 101


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", "expected no more than 8192"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", "expected no more than 128"),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", "invalid HTTP header line: Host"),
        (b"GET / HTTP/1.1\r\nHost: a", "connection closed while reading HTTP headers"),
        (request(extra=[("Content-Length", "3")]), "unsupported request body"),
        (request(Host="a b"), "invalid Host header: a b"),
    ],
)
def test_the_debug_log_says_why_a_request_is_refused(data, text, caplog):
    caplog.set_level(logging.DEBUG, "tidegate.server")
    server = ServerProtocol()
    server.receive_data(data)
    for event in server.events_received():
        server.send_response(server.accept(event))
    server.receive_eof()
    assert text in caplog.text
    assert all(
        record.levelno == logging.DEBUG for record in caplog.records if text in record.getMessage()
    )


@pytest.mark.parametrize("host", ["a b", "user@h", "[::1", "h:p", "a/b", "a:1:2"])
def test_hosts_that_are_none(host):
    server, sent, _, _, _ = answer(request(Host=host))
    assert sent == 400
    assert isinstance(server.handshake_exc, InvalidHeaderValue)


@pytest.mark.parametrize("host", ["a", "[::1]:80", "1.2.3.4:8765", "a_b.example.", "a:", ""])
def test_hosts(host):
    assert answer(request(Host=host))[1] == 101


@pytest.mark.parametrize("value", ["websocket, h2c", "h2c,WebSocket"])
def test_other_protocols_to_upgrade_to(value):
    assert answer(request(Upgrade=value))[1] == 101


@pytest.mark.parametrize("step", [1, 10**6])
@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://example.com/chat?room=1", "/chat?room=1"),
        ("WS://example.com:80", "/"),
        ("https://example.com?x=1", "/?x=1"),
        ("/http://example.com/", "/http://example.com/"),
    ],
)
def test_absolute_form(target, path, step):
    """RFC 9112, sections 2.2 and 3.2.2; with an empty line before it."""
    data = b"\r\n" + request(f"GET {target} HTTP/1.1")
    server = ServerProtocol()
    for i in range(0, len(data), step):
        server.receive_data(data[i : i + step])
    [received] = server.events_received()
    assert received.path == path


@pytest.mark.parametrize("n", [0, 1, 20, 60, len(request()) - 1])
def test_end_of_stream(n):
    server = ServerProtocol()
    server.receive_data(request()[:n])
    server.receive_eof()
    assert server.state is CLOSED
    assert isinstance(server.handshake_exc, InvalidMessage)
    assert isinstance(server.handshake_exc.__cause__, EOFError)
    assert server.data_to_send() == [SEND_EOF]
    assert server.close_code == 1006
    server.receive_eof()
    assert server.data_to_send() == []


@pytest.mark.parametrize("step", [1, 3, 10**6])
def test_frames_behind_the_request(step):
    """A client may send frames before it has the response; they wait for it."""
    data = request() + frame(BINARY, b"early", key=KEY) + frame(BINARY, b"more", key=KEY)[:3]
    server = ServerProtocol()
    for i in range(0, len(data), step):
        server.receive_data(data[i : i + step])
    [event] = server.events_received()
    server.send_response(server.accept(event))
    assert server.events_received() == [Frame(Opcode.BINARY, b"early")]
    server.receive_data(frame(BINARY, b"more", key=KEY)[3:])
    assert server.events_received() == [Frame(Opcode.BINARY, b"more")]


def test_frames_behind_a_refused_request():
    server = ServerProtocol()
    server.receive_data(request(without=["Host"]) + frame(BINARY, b"early", key=KEY))
    [event] = server.events_received()
    server.send_response(server.accept(event))
    assert server.events_received() == []
    assert parse(server.data_to_send())[0] == 400


def test_a_response_of_the_programs_own():
    """It may have other headers, or be another refusal."""
    server = ServerProtocol()
    server.receive_data(request())
    [event] = server.events_received()
    assert (event.method, event.path) == ("GET", "/chat?room=1")
    response = server.accept(event)
    response.headers["Set-Cookie"] = "a=b"
    server.send_response(response)
    assert parse(server.data_to_send())[1]["Set-Cookie"] == "a=b"

    server = ServerProtocol()
    server.receive_data(request())
    server.send_response(server.reject(503, "Come back later: ☕\n"))
    status, headers, body, ended = parse(server.data_to_send())
    assert status == 503
    assert body.decode() == "Come back later: ☕\n"
    assert headers["Content-Length"] == str(len(body))
    assert ended
    assert server.state is CONNECTING

    server = ServerProtocol()
    server.receive_data(request())
    server.send_response(Response(200, "OK", Headers({"Content-Length": "0"}), b""))
    assert parse(server.data_to_send())[0] == 200


@pytest.mark.parametrize("status", [99, 600, "x"])
def test_reject_with_something_that_is_no_status(status):
    with pytest.raises(ValueError, match=str(status)):
        ServerProtocol().reject(status, "")


# Origins

EXAMPLE = re.compile(r"https://(\w+\.)?example\.com")

ORIGINS = [
    # origins, Origin, whether it is accepted
    (None, None, True),
    (None, "https://any.example", True),
    (["https://a.example"], "https://a.example", True),
    (["https://a.example"], "https://b.example", False),
    (["https://a.example"], "https://a.example.evil", False),
    (["https://a.example"], "https://a.example/", False),
    (["https://a.example"], "HTTPS://A.EXAMPLE", False),
    (["https://a.example"], "null", False),
    (["https://a.example"], None, False),
    (["https://a.example", None], None, True),
    ([None], "", False),
    ([None], "https://a.example", False),
    (["null"], "null", True),
    ([], None, False),
    ([EXAMPLE], "https://example.com", True),
    ([EXAMPLE], "https://www.example.com", True),
    ([EXAMPLE], "https://example.com.evil", False),
    ([EXAMPLE], "evil https://example.com", False),
    ([EXAMPLE], "https://example.com ", False),
    ([EXAMPLE], None, False),
    ([EXAMPLE, None], None, True),
    (["https://b.example", EXAMPLE], "https://x.example.com", True),
]


@pytest.mark.parametrize(("origins", "origin", "accepted"), ORIGINS)
def test_origins(origins, origin, accepted):
    server = ServerProtocol(origins=origins)
    headers = Headers(HEADERS)
    if origin is not None:
        headers["Origin"] = origin
    response = server.accept(Request("/", headers))
    if accepted:
        assert response.status_code == 101
        assert server.origin == origin
    else:
        assert response.status_code == 403
        assert isinstance(server.handshake_exc, InvalidOrigin)


# Subprotocols

SUBPROTOCOLS = [
    # supported, offered in headers, chosen or exception
    (None, [], None),
    (None, ["a"], None),
    (["a"], ["a"], "a"),
    (["a", "b"], ["b, a"], "a"),
    (["b", "a"], ["a", "b"], "b"),
    (["a"], ["b", "c, a"], "a"),
    (["a"], ["b"], NegotiationError),
    (["a"], ["A"], NegotiationError),
    (["a"], [], NegotiationError),
    ([], ["a"], None),
]


@pytest.mark.parametrize(("supported", "offered", "chosen"), SUBPROTOCOLS)
def test_subprotocols(supported, offered, chosen):
    extra = [("Sec-WebSocket-Protocol", value) for value in offered]
    server, status, headers, _, _ = answer(request(extra=extra), subprotocols=supported)
    if isinstance(chosen, type):
        assert status == 400
        assert isinstance(server.handshake_exc, chosen)
        assert server.subprotocol is None
    else:
        assert status == 101
        assert server.subprotocol == headers.get("Sec-WebSocket-Protocol") == chosen


def test_select_subprotocol():
    """A function of the program's own decides, also when nothing is offered."""
    calls = []

    def select(protocol, subprotocols):
        calls.append((protocol, list(subprotocols)))
        if "bad" in subprotocols:
            raise NegotiationError("not that")
        if "bug" in subprotocols:
            raise KeyError("bug")
        return subprotocols[-1] if subprotocols else None

    for offered, expected in [("a, b", "b"), (None, None)]:
        extra = [("Sec-WebSocket-Protocol", offered)] if offered else []
        server, status, _, _, _ = answer(request(extra=extra), select_subprotocol=select)
        assert status == 101
        assert server.subprotocol == expected
        assert calls.pop() == (server, offered.split(", ") if offered else [])
    bad = request(extra=[("Sec-WebSocket-Protocol", "bad")])
    server, status, _, body, _ = answer(bad, select_subprotocol=select)
    assert (status, str(server.handshake_exc)) == (400, "not that")
    assert b"not that" in body


def test_errors_of_the_program_are_not_told(caplog):
    """They get into the log."""

    def select(protocol, subprotocols):
        raise KeyError("secret")

    server, status, _, body, ended = answer(request(), select_subprotocol=select)
    assert status == 500
    assert ended
    assert b"secret" not in body
    assert isinstance(server.handshake_exc, KeyError)
    assert "secret" in caplog.text


# Extensions

EXTENSIONS = [
    # offers in headers, answer
    ([], None),
    (["permessage-deflate"], "permessage-deflate"),
    (["x-unknown"], None),
    (["x-unknown; a=1, permessage-deflate"], "permessage-deflate"),
    (["x-unknown", "permessage-deflate"], "permessage-deflate"),
    (["permessage-deflate, permessage-deflate"], "permessage-deflate"),
    (["permessage-deflate; server_max_window_bits=8"], None),
    (["permessage-deflate; x-unknown"], None),
    (
        ["permessage-deflate; server_max_window_bits=8, permessage-deflate"],
        "permessage-deflate",
    ),
    (
        ["permessage-deflate; client_no_context_takeover; server_no_context_takeover"],
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    ),
    (
        ["permessage-deflate; server_max_window_bits=10"],
        "permessage-deflate; server_max_window_bits=10",
    ),
    (["constructor, __proto__, permessage-deflate"], "permessage-deflate"),
]


@pytest.mark.parametrize(("offers", "expected"), EXTENSIONS)
def test_extensions(offers, expected):
    extra = [("Sec-WebSocket-Extensions", value) for value in offers]
    data = request(extra=extra)
    server, status, headers, _, _ = answer(data, extensions=[ServerPerMessageDeflateFactory()])
    assert status == 101
    assert headers.get("Sec-WebSocket-Extensions") == expected
    assert [type(extension) for extension in server.extensions] == [PerMessageDeflate] * (
        expected is not None
    )
    # A server without extensions declines all.
    server, status, headers, _, _ = answer(data)
    assert status == 101
    assert "Sec-WebSocket-Extensions" not in headers
    assert server.extensions == []


def test_what_was_negotiated_is_used():
    extra = [("Sec-WebSocket-Extensions", "permessage-deflate")]
    server, *_ = answer(request(extra=extra), extensions=[ServerPerMessageDeflateFactory()])
    server.send_binary(b"x" * 1000)
    [data] = server.data_to_send()
    assert data[0] == 0xC2
    assert len(data) < 50
    compressed = PerMessageDeflate(False, False, 15, 15).compress(b"y" * 1000)
    server.receive_data(frame(BINARY, compressed, rsv=4, key=KEY))
    assert server.events_received() == [Frame(Opcode.BINARY, b"y" * 1000)]


# Anything


@given(st.binary(max_size=100) | st.just(request()), st.integers(1, 50))
def test_any_bytes(data, step):
    """Nothing is raised, whatever comes; and something is said about it in the end."""
    server = ServerProtocol()
    for i in range(0, len(data), step):
        server.receive_data(data[i : i + step])
    for event in server.events_received():
        server.send_response(server.accept(event))
    server.receive_eof()
    assert server.state is CLOSED
    assert server.data_to_send()[-1] == SEND_EOF
    assert server.handshake_exc is None or isinstance(server.handshake_exc, InvalidHandshake)


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@given(st.dictionaries(st.sampled_from([*HEADERS, "Origin", "X"]), printable, max_size=4))
def test_any_header_values(changes):
    """A request is accepted or refused, with a response that is well-formed."""
    headers = Headers(HEADERS)
    for name, value in changes.items():
        headers.pop(name, None)
        headers[name] = value
    server = ServerProtocol(origins=["a"], subprotocols=["b"])
    response = server.accept(Request("/", headers))
    assert response.status_code in (101, 400, 403, 426)
    server.send_response(response)
    sent = server.data_to_send()
    assert parse(sent)[0] == response.status_code
    # Nothing of the request can end a header line of the response.
    assert len(parse(sent)[1]) <= 6


def test_debug_log(caplog):
    """Everything is told at the level DEBUG, bytes of frames not in full."""
    caplog.set_level(logging.DEBUG, "tidegate.server")
    server, *_ = answer(request())
    server.receive_data(frame(BINARY, b"\x01\x02", key=KEY))
    server.send_close(1000, "bye")
    server.receive_eof()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:3] == [
        "= connection is CONNECTING",
        "< GET /chat?room=1 HTTP/1.1",
        "< Host: example.com",
    ]
    assert "> HTTP/1.1 101 Switching Protocols" in lines
    assert f"> Sec-WebSocket-Accept: {ACCEPT}" in lines
    assert lines[lines.index("= connection is OPEN") :] == [
        "= connection is OPEN",
        "connection open",
        "< BINARY 01 02 [2 bytes]",
        "> CLOSE 1000 (OK) bye [5 bytes]",
        "= connection is CLOSING",
        "< EOF",
        "> EOF",
        "= connection is CLOSED",
        "connection closed",
    ]


def test_debug_log_without_secrets(caplog):
    caplog.set_level(logging.DEBUG, "tidegate.server")
    names = ["Authorization", "proxy-authorization", "COOKIE"]
    server = ServerProtocol()
    server.receive_data(request(extra=[(name, "secret") for name in names]))
    (asked,) = server.events_received()
    answer = server.accept(asked)
    answer.headers["Set-Cookie"] = "secret"
    server.send_response(answer)
    lines = [record.getMessage() for record in caplog.records]
    assert {f"< {name}: ***" for name in names} <= {*lines}
    assert "> Set-Cookie: ***" in lines
    assert "secret" not in caplog.text
    # Only the log doesn't have them.
    assert [asked.headers[name] for name in names] == ["secret"] * 3
    assert b"Set-Cookie: secret\r\n" in b"".join(server.data_to_send())


def test_debug_log_of_a_refusal(caplog):
    caplog.set_level(logging.DEBUG, "tidegate.server")
    answer(request(without=["Host"]))
    lines = [record.getMessage() for record in caplog.records]
    assert "> HTTP/1.1 400 Bad Request" in lines
    assert "connection rejected (400 Bad Request)" in lines
    assert any(line.startswith("> [body]") for line in lines)
