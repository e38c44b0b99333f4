"""Heads of requests in one pass, in C and in Python: as they are read line by line."""

from __future__ import annotations

import base64
import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tidegate
from tidegate import http11
from tidegate.datastructures import Headers
from tidegate.server import ServerProtocol, check_head, check_request_headers
from tidegate.streams import StreamReader
from tidegate.utils import accept_key
from tidegate.wire import heads


def load_uncompiled():
    """Give the twin in Python, whatever `tidegate.wire.heads` is."""
    path = Path(tidegate.__file__).parent / "wire" / "heads.py"
    name = "tidegate.wire.heads_uncompiled"
    loader = SourceFileLoader(name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


twin = load_uncompiled()

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEAD = (
    b"GET /chat?x=1 HTTP/1.1\r\nHost: example.com:80\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


def usual_values(**other):
    values = {
        "host": "example.com",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-key": KEY,
        "sec-websocket-version": "13",
    }
    values.update({name.replace("_", "-"): value for name, value in other.items()})
    return {name: value for name, value in values.items() if value is not None}


def slowly(head):
    """What the parser that takes line by line makes of it; None if it is refused."""
    reader = StreamReader()
    reader.feed_data(head)
    reader.feed_eof()
    try:
        next(http11.parse_request_head(reader.read_line))
    except StopIteration as stop:
        request = stop.value
        return None if reader.buffer else request
    except Exception:
        return None
    raise AssertionError("it waits for more")


pieces = st.sampled_from(
    [
        *(b"GET", b"/", b" ", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"\r\n", b"\r", b"\n", b":"),
        *(b"\t", b"\r\n\r\n", b"Host", b"host: a", b"X-Y", b"\x80", b"\xff", b"\x7f", b"\0", b"("),
    ]
)
changed = st.builds(
    lambda at, n, new: HEAD[:at] + new + HEAD[at + n :],
    st.integers(0, len(HEAD)),
    st.integers(0, 4),
    pieces | st.binary(max_size=3),
)
lines = st.lists(st.binary(max_size=12) | pieces, max_size=8).map(
    lambda parts: b"GET / HTTP/1.1\r\n" + b"".join(parts) + b"\r\n\r\n"
)


@given(changed | lines | st.lists(pieces, max_size=20).map(b"".join))
@example(HEAD)
@example(b"")
@example(b"GET / HTTP/1.1\r\n\r\n")
@example(b"GET / HTTP/1.1\r\n")
@example(b"GET / HTTP/1.")
@example(b"GET / HTTP/1.1\r\na:b\r\n\r")
@example(b"GET / HTTP/1.1\r\na: \t b \t\r\nA:\r\na:\xe9\xa0\r\n\r\n")
@example(b"GET / HTTP/1.1\r\na:b\r\n\r\n\r\n")
def test_all_do_the_same(head):
    parts = heads.split_request(head, 128)
    assert parts == twin.split_request(head, 128)
    request = slowly(head)
    if parts is None:
        # An empty line before a request is all that only the slow way takes.
        assert request is None or head.startswith(b"\r\n")
    else:
        method, path, protocol, items, values = parts
        assert request == http11.Request(path, Headers(items), method, protocol)
        assert values == request.headers._dict
        assert heads.key_of_usual_upgrade(values) == twin.key_of_usual_upgrade(values)


@pytest.mark.parametrize("module", [heads, twin], ids=["here", "Python"])
def test_most_headers(module):
    head = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5 + b"\r\n"
    assert module.split_request(head, 4) is None
    assert module.split_request(head, 5)[4] == {"a": ["b"] * 5}


texts = st.text(st.characters(codec="latin-1"), max_size=30)
odd = st.none() | texts | st.lists(texts, min_size=2, max_size=2)
SPECIAL = [
    ("host", ["", "a:", "a:1", "a:123456", "[::1]", "a b", "example.com:80:"]),
    ("upgrade", ["WebSocket", "websocket ", "websocket, h2c", "WEBSOCKET", "we\u0131socket"]),
    ("connection", ["upgrade", "Keep-Alive, UPGRADE", "close", "\u212aeep-alive, upgrade"]),
    ("sec-websocket-version", ["13", "12", "013", "13, 8"]),
    ("sec-websocket-key", [KEY, KEY[:-1], KEY[:-3] + "R==", KEY[:-2] + "AA", "!" + KEY[1:]]),
    ("sec-websocket-extensions", ["permessage-deflate", "a," * 100, "a," * 101]),
    ("sec-websocket-protocol", ["chat", "a" * 201]),
    ("content-length", ["0"]),
    ("transfer-encoding", ["chunked"]),
]  # fmt: skip


@given(st.data())
def test_usual_is_right(data):
    """What is taken for usual is what the slow way finds right."""
    name, special = data.draw(st.sampled_from(SPECIAL))
    values = usual_values(**{name.replace("-", "_"): data.draw(odd | st.sampled_from(special))})
    key = heads.key_of_usual_upgrade(values)
    assert key == twin.key_of_usual_upgrade(values)
    if key is not None:
        headers = Headers()
        headers._dict = values
        check_head(headers)
        assert check_request_headers(headers) == key
        assert heads.accept_usual_key(key) == twin.accept_usual_key(key) == accept_key(key)


@pytest.mark.parametrize("module", [heads, twin], ids=["here", "Python"])
def test_usual_values_are_usual(module):
    for values in (
        usual_values(),
        usual_values(connection="keep-alive, Upgrade", upgrade="WebSocket", host="localhost:8765"),
        usual_values(sec_websocket_extensions="permessage-deflate; client_max_window_bits"),
    ):
        assert module.key_of_usual_upgrade(values) == KEY
    for values in (usual_values(host=None), usual_values(connection=None), {}):
        assert module.key_of_usual_upgrade(values) is None


def test_answer():
    # RFC 6455, section 1.3
    assert heads.accept_usual_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(st.binary(min_size=16, max_size=16))
def test_answers(nonce):
    key = base64.b64encode(nonce).decode()
    assert heads.accept_usual_key(key) == twin.accept_usual_key(key) == accept_key(key)


@given(st.text(max_size=5), st.lists(st.tuples(texts, st.text(max_size=5))), st.binary(max_size=3))
@example("HTTP/1.1 101 Switching Protocols", [("Date", "\xe9"), ("a", "")], b"")
def test_join_head(first, items, body):
    data = heads.join_head(first, items, body)
    assert data == twin.join_head(first, items, body)
    if data is None:
        with pytest.raises(UnicodeEncodeError):
            "".join([first, *map("".join, items)]).encode("iso-8859-1")
    else:
        response = http11.Response(200, "OK", Headers.from_valid(items), body)
        assert data.partition(b"\r\n")[2] == response.serialize().partition(b"\r\n")[2]
        assert data.startswith(first.encode("iso-8859-1") + b"\r\n")


@given(changed | lines, st.integers(0, 200), st.sampled_from([b"", b"\r\n", b"\x81\x80abcd"]))
@example(HEAD, 0, b"")
@example(HEAD, 16, b"")
@example(b"GET / HTTP/1.1\r\n" + HEAD, 16, b"")
@example(b"\r\n" + HEAD, 2, b"")
def test_pieces(head, at, behind):
    """What a server makes of a request doesn't depend on the pieces in which it came."""
    found = []
    for pieces in ([head + behind], [head[:at], head[at:] + behind], [head, behind]):
        protocol = ServerProtocol()
        for piece in pieces:
            protocol.receive_data(piece)
        protocol.receive_eof()
        sent = [data for data in protocol.data_to_send() if not data.startswith(b"HTTP/1.1 4")]
        exc = protocol.handshake_exc
        found.append((protocol.events_received(), type(exc), str(exc), sent))
    assert found[0] == found[1] == found[2]
