"""Exceptions: their family, what they say, and that they travel between processes."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate import exceptions
from tidegate.datastructures import Headers
from tidegate.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    DuplicateParameter,
    InvalidData,
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderName,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidMethod,
    InvalidOrigin,
    InvalidParameterName,
    InvalidParameterValue,
    InvalidProtocol,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidReason,
    InvalidState,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    NegotiationError,
    PayloadTooBig,
    ProtocolError,
    TooManyFragments,
    WebSocketException,
)
from tidegate.frames import Close, CloseCode
from tidegate.http11 import Response
from tidegate.printable import printable, without_password

REFUSED = Response(404, "Not Found", Headers())

EXAMPLES = [
    (ConnectionClosed(None, None), "no close frame received or sent"),
    (
        ConnectionClosedOK(Close(CloseCode.NORMAL_CLOSURE, ""), Close(1000, ""), True),
        "received 1000 (OK); then sent 1000 (OK)",
    ),
    (
        ConnectionClosedOK(Close(1001, "bye"), Close(1001, "bye"), False),
        "sent 1001 (going away) bye; then received 1001 (going away) bye",
    ),
    (
        ConnectionClosedError(Close(3000, "a\nb"), None),
        "received 3000 (registered) a\\nb; no close frame sent",
    ),
    (
        ConnectionClosedError(None, Close(1011, "keepalive ping timeout")),
        "sent 1011 (internal error) keepalive ping timeout; no close frame received",
    ),
    (
        InvalidURI("http://x", "scheme isn't ws or wss"),
        "http://x isn't a valid URI: scheme isn't ws or wss",
    ),
    (InvalidURI("ws://u:secret@h/#f", "no"), "ws://***@h/#f isn't a valid URI: no"),
    (InvalidProxy("http://u:secret@h", "no"), "http://***@h isn't a valid proxy: no"),
    (InvalidMethod("PO\x00ST"), "unsupported HTTP method: PO\\x00ST"),
    (InvalidProtocol("HTTP/1.0"), "unsupported HTTP version: HTTP/1.0"),
    (InvalidStatus(REFUSED), "server rejected WebSocket connection: HTTP 404"),
    (InvalidProxyStatus(REFUSED), "proxy rejected connection: HTTP 404"),
    (InvalidHeader("Foo"), "missing Foo header"),
    (InvalidHeader("Foo", ""), "empty Foo header"),
    (InvalidHeader("Foo", "b\x1bar"), "invalid Foo header: b\\x1bar"),
    (InvalidHeaderName("F oo\n"), "invalid header name: 'F oo\\n'"),
    (InvalidHeaderValue("Foo", "bar"), "invalid Foo header: bar"),
    (
        InvalidHeaderFormat("Foo", "expected token", "b\tr", 1),
        "invalid Foo header: expected token at 1 in b\\tr",
    ),
    (InvalidOrigin(None), "missing Origin header"),
    (InvalidOrigin("https://evil"), "invalid Origin header: https://evil"),
    (InvalidUpgrade("Upgrade", "h2c"), "invalid Upgrade header: h2c"),
    (DuplicateParameter("a"), "duplicate parameter: a"),
    (InvalidParameterName("a"), "invalid parameter name: a"),
    (InvalidParameterValue("a", None), "missing value for parameter a"),
    (InvalidParameterValue("a", ""), "empty value for parameter a"),
    (InvalidParameterValue("a", "1"), "invalid value for parameter a: 1"),
    (InvalidData("a block is cut off"), "a block is cut off"),
    (InvalidReason("a\r"), "invalid characters in reason: 'a\\r'"),
    (PayloadTooBig(5, 3), "frame with 5 bytes exceeds limit of 3 bytes"),
    (PayloadTooBig(None, 3), "frame exceeds limit of 3 bytes"),
    (
        PayloadTooBig(5, 3, 7),
        "frame with 5 bytes after reading 7 bytes exceeds limit of 10 bytes",
    ),
    (TooManyFragments(5), "fragmented message exceeds limit of 5 frames"),
    (
        InvalidMessage("did not receive a valid HTTP request"),
        "did not receive a valid HTTP request",
    ),
    (InvalidState("connection is closing"), "connection is closing"),
]


@pytest.mark.parametrize(("exc", "text"), EXAMPLES, ids=lambda x: type(x).__name__)
def test_str(exc: WebSocketException, text: str) -> None:
    assert str(exc) == text


@pytest.mark.parametrize("exc", [exc for exc, _ in EXAMPLES], ids=lambda x: type(x).__name__)
def test_exceptions_can_be_copied_and_pickled(exc: WebSocketException) -> None:
    for other in (pickle.loads(pickle.dumps(exc)), copy.copy(exc), copy.deepcopy(exc)):
        assert type(other) is type(exc)
        assert str(other) == str(exc)
        assert vars(other) == vars(exc)


def test_family() -> None:
    for name in exceptions.__all__:
        assert issubclass(getattr(exceptions, name), WebSocketException), name
    for child, parents in [
        (ConnectionClosedOK, [ConnectionClosed]),
        (ConnectionClosedError, [ConnectionClosed]),
        (InvalidURI, [ValueError]),
        (InvalidMessage, [InvalidHandshake, ValueError]),
        (InvalidHeaderName, [InvalidHeader, InvalidHandshake, ValueError]),
        (InvalidHeaderValue, [InvalidHeader, ValueError]),
        (InvalidOrigin, [InvalidHeader]),
        (InvalidUpgrade, [InvalidHeader]),
        (NegotiationError, [InvalidHandshake]),
        (InvalidReason, [ProtocolError, ValueError]),
        (InvalidState, [AssertionError]),
        (ConcurrencyError, [RuntimeError]),
        (exceptions.TooManyHeaders, [exceptions.SecurityError, InvalidHandshake]),
        (exceptions.InvalidProxyMessage, [exceptions.ProxyError, InvalidHandshake]),
    ]:
        for parent in parents:
            assert issubclass(child, parent), (child, parent)
    # A program that retries after an OSError must not retry a bug of its own.
    assert not issubclass(InvalidHandshake, (OSError, ValueError))


def test_attributes() -> None:
    assert InvalidHeaderFormat("Foo", "expected token", "bar", 3).name == "Foo"
    assert InvalidOrigin("x").name == "Origin"
    assert InvalidOrigin("x").value == "x"
    assert InvalidURI("u", "m").uri == "u"
    assert InvalidStatus(REFUSED).response is REFUSED


def test_payload_too_big_grows_with_the_message() -> None:
    exc = PayloadTooBig(5, 3)
    exc.set_current_size(None)
    assert (exc.size, exc.max_size, exc.current_size) == (5, 3, None)
    exc.set_current_size(7)
    assert (exc.size, exc.max_size, exc.current_size) == (5, 10, 7)
    exc.set_current_size(8)
    assert exc.max_size == 11
    with pytest.raises(TypeError, match="max_size"):
        PayloadTooBig(5)


def test_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="PayloadTooBig"):
        exc = PayloadTooBig("too big")
    assert str(exc) == "too big"
    for closed, code, reason in [
        (ConnectionClosed(None, None), 1006, ""),
        (ConnectionClosed(Close(4000, "x"), None), 4000, "x"),
    ]:
        with pytest.warns(DeprecationWarning, match=r"rcvd\.code"):
            assert closed.code == code
        with pytest.warns(DeprecationWarning, match=r"rcvd\.reason"):
            assert closed.reason == reason


@given(st.text(max_size=300), st.text(max_size=300))
def test_what_a_peer_sends_stays_on_one_short_line(one: str, two: str) -> None:
    for exc in (
        ConnectionClosed(Close(1000, one[:123]), Close(1000, two[:123])),
        InvalidURI(one, "msg"),
        InvalidHeader(one, two),
        InvalidHeaderFormat("Foo", "error", two * 10, 0),
        InvalidHeaderName(one, two),
        InvalidMethod(one * 10),
        InvalidProtocol(two),
        InvalidParameterName(one),
        InvalidParameterValue(one, two),
        DuplicateParameter(one),
    ):
        assert str(exc).isprintable()
        assert len(str(exc)) < 5000


@given(st.text(max_size=300), st.integers(10, 250))
def test_printable(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    if len(text) <= limit:
        if text.isprintable():
            assert shown == text
    else:
        assert "..." in shown
        if text.isprintable():
            assert len(shown) == limit
            assert shown[0] == text[0]
            assert shown[-1] == text[-1]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("ws://host/", "ws://host/"),
        ("ws://user@host/", "ws://user@host/"),
        ("ws://user:secret@host:80/?q=a:b@c", "ws://user:***@host:80/?q=a:b@c"),
        ("ws://host:80/a:b@c", "ws://host:80/a:b@c"),
        ("ws://host/a:b@c", "ws://host/a:b@c"),
        ("ws://[::1]/a@b", "ws://[::1]/a@b"),
        ("ws://u:sec@ret@host", "ws://u:***@host"),
        # Someone forgot to quote.
        ("ws://u:sec/ret@host/", "ws://u:***@host/"),
        ("ws://u:sec?r#et@host", "ws://u:***@host"),
        ("u:secret@host", "u:***@host"),
        ("", ""),
        ("host:80", "host:80"),
        ("ws://host:x/", "ws://host:x/"),
    ],
)
def test_without_password(uri: str, expected: str) -> None:
    assert without_password(uri) == expected
