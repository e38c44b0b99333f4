"""The client's side of the opening handshake."""

from __future__ import annotations

import base64
import itertools
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.client import ClientProtocol, backoff, process_exception
from tidegate.exceptions import (
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
    SecurityError,
)
from tidegate.extensions.base import ClientExtensionFactory
from tidegate.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from tidegate.frames import Frame, Opcode
from tidegate.http11 import Response
from tidegate.protocol import CLOSED, CONNECTING, OPEN, SEND_EOF
from tidegate.server import ServerProtocol
from tidegate.uri import parse_uri
from tidegate.utils import accept_key

from ..wire.frames import BINARY, TEXT, frame, frames_in

URI = "ws://example.com/chat?room=1"


def make_client(uri=URI, **kwargs) -> ClientProtocol:
    return ClientProtocol(parse_uri(uri), **kwargs)


def response(client, status="101 Switching Protocols", without=(), extra=(), body=b"", **changes):
    """Give the bytes of a response."""
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(client.key),
    }
    pairs = [
        (name, changes.get(name.replace("-", "_"), value))
        for name, value in headers.items()
        if name not in without
    ]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in [*pairs, *extra])]
    return "\r\n".join([*lines, "", ""]).encode() + body


# The request


@pytest.mark.parametrize(
    ("uri", "host", "path"),
    [
        ("ws://example.com/", "example.com", "/"),
        ("ws://example.com", "example.com", "/"),
        ("ws://example.com:80/", "example.com", "/"),
        ("ws://example.com:443/", "example.com:443", "/"),
        ("wss://example.com:443/", "example.com", "/"),
        ("wss://example.com:80/a?b=c", "example.com:80", "/a?b=c"),
        ("ws://[::1]/", "[::1]", "/"),
        ("ws://[::1]:8080/", "[::1]:8080", "/"),
        ("ws://127.0.0.1:8080?x", "127.0.0.1:8080", "/?x"),
        ("ws://münchen.example/ü", "xn--mnchen-3ya.example", "/%C3%BC"),
    ],
)
def test_host_and_path(uri, host, path):
    request = make_client(uri).connect()
    assert (request.method, request.protocol) == ("GET", "HTTP/1.1")
    assert request.path == path
    assert request.headers["Host"] == host


def test_request():
    client = make_client()
    client.send_request(client.connect())
    [data] = client.data_to_send()
    assert data == (
        b"GET /chat?room=1 HTTP/1.1\r\n"
        b"Host: example.com\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: " + client.key.encode() + b"\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"\r\n"
    )
    assert len(base64.b64decode(client.key, validate=True)) == 16
    assert client.state is CONNECTING


def test_keys_differ():
    assert len({make_client().key for _ in range(20)}) == 20


def test_request_with_everything():
    factory = ClientPerMessageDeflateFactory(client_no_context_takeover=True)
    client = make_client(
        "wss://user:p%40ss@example.com/",
        origin="https://example.com",
        subprotocols=["chat", "superchat"],
        extensions=[factory],
    )
    headers = client.connect().headers
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert headers["Origin"] == "https://example.com"
    assert headers["Sec-WebSocket-Protocol"] == "chat, superchat"
    assert headers["Sec-WebSocket-Extensions"] == (
        "permessage-deflate; client_no_context_takeover; client_max_window_bits"
    )


# The response

ACCEPTED = {
    "upgrade in other letters": {"Upgrade": "WebSocket"},
    "keep-alive, Upgrade": {"Connection": "keep-alive, Upgrade"},
    "connection in other letters": {"Connection": "upgrade"},
    "another reason": {"status": "101 Why Not"},
    "no reason": {"status": "101 "},
    "unknown headers": {"extra": [("X", "1"), ("X", "2"), ("Set-Cookie", "a=b")]},
    "empty body": {"extra": [("Content-Length", "0")]},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
@pytest.mark.parametrize("step", [1, 10**6])
def test_accepted(changes, step):
    client = make_client()
    data = response(client, **changes)
    for i in range(0, len(data), step):
        client.receive_data(data[i : i + step])
    assert client.handshake_exc is None
    assert client.state is OPEN
    [event] = client.events_received()
    assert isinstance(event, Response)
    assert event.status_code == 101
    assert client.data_to_send() == []
    assert client.extensions == []
    assert client.subprotocol is None


REFUSED = {
    "no Upgrade": ({"without": ["Upgrade"]}, InvalidUpgrade),
    "Upgrade: h2c": ({"Upgrade": "h2c"}, InvalidUpgrade),
    "two upgrades": ({"Upgrade": "websocket, h2c"}, InvalidUpgrade),
    "no Connection": ({"without": ["Connection"]}, InvalidUpgrade),
    "Connection: close": ({"Connection": "close"}, InvalidUpgrade),
    "no Accept": ({"without": ["Sec-WebSocket-Accept"]}, InvalidHeader),
    "two Accepts": ({"extra": [("Sec-WebSocket-Accept", "x")]}, InvalidHeader),
    "wrong Accept": ({"Sec_WebSocket_Accept": accept_key("x")}, InvalidHeaderValue),
    "malformed Connection": ({"Connection": ";"}, InvalidHeaderFormat),
    "200": ({"status": "200 OK", "extra": [("Content-Length", "0")]}, InvalidStatus),
    "302": ({"status": "302 Found", "extra": [("Location", "/x")]}, InvalidStatus),
    "503": ({"status": "503 No", "extra": [("Content-Length", "0")]}, InvalidStatus),
    "an extension": ({"extra": [("Sec-WebSocket-Extensions", "x-any")]}, NegotiationError),
    "a subprotocol": ({"extra": [("Sec-WebSocket-Protocol", "any")]}, NegotiationError),
}


@pytest.mark.parametrize(("changes", "kind"), REFUSED.values(), ids=REFUSED)
def test_refused(changes, kind):
    client = make_client()
    client.receive_data(response(client, **changes) + frame(TEXT, b"late"))
    if client.handshake_exc is None:
        # A body without a length goes on to the end of the stream.
        client.receive_eof()
    assert isinstance(client.handshake_exc, kind)
    assert isinstance(client.handshake_exc, InvalidHandshake)
    # The response is there for those who want to know more.
    [event] = client.events_received()
    assert isinstance(event, Response)
    assert client.state in (CONNECTING, CLOSED)
    assert client.data_to_send() == [SEND_EOF]
    assert client.close_expected() is (client.state is CONNECTING)
    if client.state is CONNECTING:
        client.receive_data(frame(TEXT, b"late"))
    client.receive_eof()
    assert client.state is CLOSED
    assert client.events_received() == client.data_to_send() == []


def test_a_refusal_has_a_body():
    client = make_client()
    data = response(client, "403 Forbidden", extra=[("Content-Length", "5")], body=b"sorry")
    client.receive_data(data[:-2])
    assert client.events_received() == []
    client.receive_data(data[-2:])
    [event] = client.events_received()
    assert (event.status_code, event.body) == (403, b"sorry")
    assert client.handshake_exc.response is event


NOT_HTTP = [b"SSH-2.0-OpenSSH\r\n", b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 101 Yes\r\nx\r\n\r\n"]


@pytest.mark.parametrize("data", NOT_HTTP)
def test_not_http(data):
    client = make_client()
    client.receive_data(data)
    assert isinstance(client.handshake_exc, InvalidMessage)
    assert str(client.handshake_exc) == "did not receive a valid HTTP response"
    assert client.handshake_exc.__cause__ is not None
    assert client.data_to_send() == [SEND_EOF]
    assert client.events_received() == []
    assert client.close_expected()


TOO_LONG = [
    b"HTTP/1.1 101 " + b"x" * 9000,
    b"HTTP/1.1 101 Yes\r\nX: " + b"y" * 9000,
    b"HTTP/1.1 101 Yes\r\n" + b"X: y\r\n" * 200,
    b"HTTP/1.1 200 Yes\r\nContent-Length: 99999999999\r\n\r\n",
]


@pytest.mark.parametrize("data", TOO_LONG)
def test_too_long(data):
    client = make_client()
    client.receive_data(data)
    assert isinstance(client.handshake_exc, InvalidMessage)
    assert isinstance(client.handshake_exc.__cause__, SecurityError)
    assert client.data_to_send() == [SEND_EOF]


def test_lists_that_take_long_to_parse():
    client = make_client()
    client.receive_data(response(client, extra=[("Connection", "a," * 3000)]))
    assert isinstance(client.handshake_exc, SecurityError)
    assert "1000 elements" in str(client.handshake_exc)


def test_folded_lines():
    client = make_client()
    client.receive_data(response(client, extra=[("X-Folded", "a\r\n b")]))
    assert client.handshake_exc is None
    [event] = client.events_received()
    assert event.headers["X-Folded"] == "a b"


def test_refusal_in_http_1_0():
    client = make_client()
    client.receive_data(b"HTTP/1.0 403 Forbidden\r\n\r\nnobody")
    client.receive_eof()
    assert isinstance(client.handshake_exc, InvalidStatus)
    assert client.handshake_exc.response.status_code == 403
    assert client.handshake_exc.response.body == b"nobody"


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 101", b"HTTP/1.1 101 Yes\r\nUpgrade: webso"])
def test_end_of_stream(data):
    client = make_client()
    client.receive_data(data)
    client.receive_eof()
    assert isinstance(client.handshake_exc, InvalidMessage)
    assert isinstance(client.handshake_exc.__cause__, EOFError)
    assert client.state is CLOSED
    assert client.data_to_send() == [SEND_EOF]
    # A server that is being restarted does that: another attempt may succeed.
    assert process_exception(client.handshake_exc) is None


@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_frames_behind_the_response(step):
    client = make_client()
    data = response(client) + frame(BINARY, b"early") + frame(BINARY, b"more")[:3]
    for i in range(0, len(data), step):
        client.receive_data(data[i : i + step])
    opening, event = client.events_received()
    assert isinstance(opening, Response)
    assert event == Frame(Opcode.BINARY, b"early")
    client.receive_data(frame(BINARY, b"more")[3:])
    assert client.events_received() == [Frame(Opcode.BINARY, b"more")]


def test_a_bad_frame_behind_the_response():
    client = make_client()
    client.receive_data(response(client) + b"\x83\x00")
    assert client.handshake_exc is None
    assert len(client.events_received()) == 1
    [(opcode, payload, _, _)], _ = frames_in(b"".join(client.data_to_send()))
    assert (opcode, payload[:2]) == (8, b"\x03\xea")


# Subprotocols and extensions

CHOSEN = [
    # offered, in headers of the response, chosen or exception
    (None, [], None),
    (["a", "b"], ["b"], "b"),
    (["a", "b"], [], None),
    (["a", "b"], ["c"], NegotiationError),
    (["a", "b"], ["A"], NegotiationError),
    (["a", "b"], ["a, b"], InvalidHeader),
    (["a", "b"], ["a", "b"], InvalidHeader),
    (None, ["a"], NegotiationError),
]


@pytest.mark.parametrize(("offered", "values", "chosen"), CHOSEN)
def test_subprotocols(offered, values, chosen):
    client = make_client(subprotocols=offered)
    extra = [("Sec-WebSocket-Protocol", value) for value in values]
    client.receive_data(response(client, extra=extra))
    if isinstance(chosen, type):
        assert isinstance(client.handshake_exc, chosen)
        assert client.subprotocol is None
    else:
        assert client.handshake_exc is None
        assert client.subprotocol == chosen


EXTENSIONS = [
    # answers, number of extensions or None if they are refused
    ([], 0),
    (["permessage-deflate"], 1),
    (["permessage-deflate; server_no_context_takeover; client_max_window_bits=10"], 1),
    (["permessage-deflate", "permessage-deflate"], None),
    (["permessage-deflate, x-unknown"], None),
    (["x-unknown"], None),
    (["permessage-deflate; x=1"], None),
    (["permessage-deflate; client_max_window_bits=16"], None),
    (["permessage-deflate; server_max_window_bits=0"], None),
    (["permessage-deflate; server_max_window_bits=99999999999999999999"], None),
]


@pytest.mark.parametrize(("answers", "count"), EXTENSIONS)
def test_extensions(answers, count):
    client = make_client(extensions=[ClientPerMessageDeflateFactory()])
    extra = [("Sec-WebSocket-Extensions", value) for value in answers]
    client.receive_data(response(client, extra=extra))
    if count is None:
        assert isinstance(client.handshake_exc, NegotiationError)
        assert client.extensions == []
    else:
        assert client.handshake_exc is None
        assert [type(each) for each in client.extensions] == [PerMessageDeflate] * count


def test_malformed_extensions():
    client = make_client(extensions=[ClientPerMessageDeflateFactory()])
    client.receive_data(response(client, extra=[("Sec-WebSocket-Extensions", "a b")]))
    assert isinstance(client.handshake_exc, InvalidHeaderFormat)


def test_an_extension_that_raises_something_else():
    """Receiving doesn't raise; the exception says why the handshake failed."""

    class Factory(ClientExtensionFactory):
        name = "x-bug"

        def get_request_params(self):
            return [("a", "1")]

        def process_response_params(self, params, accepted_extensions):
            raise KeyError("bug")

    client = make_client(extensions=[Factory()])
    assert client.connect().headers["Sec-WebSocket-Extensions"] == "x-bug; a=1"
    client.receive_data(response(client, extra=[("Sec-WebSocket-Extensions", "x-bug")]))
    assert isinstance(client.handshake_exc, KeyError)
    assert client.data_to_send() == [SEND_EOF]
    client.receive_eof()
    assert client.state is CLOSED


@given(st.binary(max_size=100), st.integers(1, 30), st.booleans())
def test_any_bytes(data, step, begun):
    client = make_client()
    if begun:
        data = response(client)[:-4] + data
    for i in range(0, len(data), step):
        client.receive_data(data[i : i + step])
    client.receive_eof()
    assert client.state is CLOSED
    assert client.data_to_send()[-1] == SEND_EOF
    exc = client.handshake_exc
    assert exc is None or isinstance(exc, InvalidHandshake)


# Both sides


def test_handshake_with_our_server():
    client = make_client(
        subprotocols=["b", "a"], extensions=[ClientPerMessageDeflateFactory()], origin="http://o"
    )
    server = ServerProtocol(subprotocols=["a"], origins=["http://o"])
    client.send_request(client.connect())
    server.receive_data(b"".join(client.data_to_send()))
    [request] = server.events_received()
    server.send_response(server.accept(request))
    client.receive_data(b"".join(server.data_to_send()))
    assert client.state is server.state is OPEN
    assert client.subprotocol == server.subprotocol == "a"
    assert client.extensions == server.extensions == []
    assert server.origin == "http://o"


def test_debug_log(caplog):
    """Secrets are not told."""
    caplog.set_level(logging.DEBUG, "tidegate.client")
    client = make_client("ws://user:secret@example.com/")
    request = client.connect()
    request.headers["Cookie"] = "session=secret"
    request.headers["proxy-authorization"] = "Bearer secret"
    client.send_request(request)
    client.receive_data(response(client, extra=[("Set-Cookie", "session=secret")]))
    client.receive_data(frame(TEXT, b"hello"))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "= connection is CONNECTING"
    assert "> GET / HTTP/1.1" in lines
    assert "> Authorization: ***" in lines
    assert "> Cookie: ***" in lines
    assert "> proxy-authorization: ***" in lines
    assert "< Set-Cookie: ***" in lines
    assert "secret" not in caplog.text
    assert base64.b64encode(b"user:secret").decode() not in caplog.text
    assert "< HTTP/1.1 101 Switching Protocols" in lines
    assert lines[-2:] == ["= connection is OPEN", "< TEXT 'hello' [5 bytes]"]


# Another attempt


def test_backoff():
    delays = list(itertools.islice(backoff(5.0, 3.0, 90.0, 2.0), 8))
    assert 0 <= delays[0] < 5
    assert delays[1:] == [3, 6, 12, 24, 48, 90, 90]


def test_backoff_is_random(monkeypatch):
    monkeypatch.setattr(random, "random", lambda: 0.5)
    assert next(backoff(initial_delay=10)) == 5


@pytest.mark.parametrize(
    ("status", "again"),
    [(500, True), (502, True), (503, True), (504, True), (400, False), (403, False), (200, False)],
)
def test_statuses_worth_another_attempt(status, again):
    client = make_client()
    client.receive_data(response(client, f"{status} X", extra=[("Content-Length", "0")]))
    exc = client.handshake_exc
    assert process_exception(exc) is (None if again else exc)
