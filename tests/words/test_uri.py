"""WebSocket URIs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.exceptions import InvalidURI
from tidegate.headers import build_host
from tidegate.uri import WebSocketURI, parse_uri


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("ws://h", WebSocketURI(False, "h", 80, "", "")),
        ("wss://h", WebSocketURI(True, "h", 443, "", "")),
        ("WS://HOST/Path", WebSocketURI(False, "host", 80, "/Path", "")),
        ("ws://h:8080/p?q", WebSocketURI(False, "h", 8080, "/p", "q")),
        ("ws://h:/", WebSocketURI(False, "h", 80, "/", "")),
        ("ws://h?q", WebSocketURI(False, "h", 80, "", "q")),
        ("ws://h//a/../b;c?d?e", WebSocketURI(False, "h", 80, "//a/../b;c", "d?e")),
        ("ws://h_a.-b/", WebSocketURI(False, "h_a.-b", 80, "/", "")),
        ("ws://u:p@h", WebSocketURI(False, "h", 80, "", "", "u", "p")),
        ("ws://:@h", WebSocketURI(False, "h", 80, "", "", "", "")),
        ("ws://u%40:p%3a%20%C3%A9@h", WebSocketURI(False, "h", 80, "", "", "u@", "p: é")),
        ("ws://u:p:q@[::1]:5", WebSocketURI(False, "::1", 5, "", "", "u", "p:q")),
        ("ws://127.0.0.1", WebSocketURI(False, "127.0.0.1", 80, "", "")),
        ("wss://[2001:DB8::1]:80/", WebSocketURI(True, "2001:db8::1", 80, "/", "")),
        ("ws://[fe80::1%25eth0]/", WebSocketURI(False, "fe80::1%eth0", 80, "/", "")),
        ("ws://[fe80::1%eth0]/", WebSocketURI(False, "fe80::1%eth0", 80, "/", "")),
        ("ws://bücher.example", WebSocketURI(False, "xn--bcher-kva.example", 80, "", "")),
        ("ws://xn--bcher-kva.example", WebSocketURI(False, "xn--bcher-kva.example", 80, "", "")),
        ("ws://h/é?é", WebSocketURI(False, "h", 80, "/%C3%A9", "%C3%A9")),
        # What is quoted is quoted once.
        ("ws://h/%20é?%20é%", WebSocketURI(False, "h", 80, "/%20%C3%A9", "%20%C3%A9%")),
        ("ws://h/a b?c d", WebSocketURI(False, "h", 80, "/a%20b", "c%20d")),
        ("ws://h/#", WebSocketURI(False, "h", 80, "/", "")),
    ],
)
def test_valid(uri: str, expected: WebSocketURI) -> None:
    assert parse_uri(uri) == expected


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("", "scheme isn't ws or wss"),
        ("h", "scheme isn't ws or wss"),
        ("http://h", "scheme isn't ws or wss"),
        ("ws:", "hostname isn't provided"),
        ("ws:///p", "hostname isn't provided"),
        ("ws://:80", "hostname isn't provided"),
        ("ws://u:p@/", "hostname isn't provided"),
        # RFC 6455 section 3
        ("ws://h#f", "fragment identifier is meaningless"),
        ("ws://h/p?q#f", "fragment identifier is meaningless"),
        ("ws://u@h", "username provided without password"),
        ("ws://u:%ff@h", "user information isn't UTF-8"),
        ("ws://\udcff:p@h", "user information isn't UTF-8"),
        *(
            (f"ws://h:{port}", "port isn't a number from 1 to 65535")
            for port in ("x", "-1", "0", "65536", "8_0", "+80", " 80", "８０", ":1")
        ),
        ("ws://[::1", "its host or user information is malformed"),
        ("ws://[zz]/", "malformed|IPv6"),
        ("ws://[1.2.3.4]/", "malformed|IPv6"),
        ("ws://[v1.a]/", "what is in brackets isn't an IPv6 address"),
        ("ws://a b/", "hostname has characters that aren't allowed"),
        ("ws://h /", "hostname has characters that aren't allowed"),
        ("ws://h\\x/", "hostname has characters that aren't allowed"),
        ("ws://a<b>/", "hostname has characters that aren't allowed"),
        ("ws://℀.example/", "malformed"),
        ("ws://é..example/", "hostname isn't a valid international name"),
        (f"ws://{'é' * 64}.example/", "hostname isn't a valid international name"),
        (f"ws://{'a' * 256}/", "hostname is too long"),
        (f"ws://{'é' * 100_000}/", "hostname is too long"),
        ("ws://h/\ud800", "characters that UTF-8 has no bytes for"),
        ("ws://h/?\ud800", "characters that UTF-8 has no bytes for"),
    ],
)
def test_invalid(uri: str, error: str) -> None:
    with pytest.raises(InvalidURI, match=error) as raised:
        parse_uri(uri)
    assert isinstance(raised.value, ValueError)
    # Without what may be a password.
    assert raised.value.uri == (f"ws://***@{uri.rpartition('@')[2]}" if "@" in uri else uri)


@pytest.mark.parametrize("char", [chr(c) for c in [*range(0x20), 0x7F]])
def test_control_characters_are_never_dropped_in_silence(char: str) -> None:
    for uri in (
        f"{char}ws://h/",
        f"w{char}s://h/",
        f"ws://h{char}/",
        f"ws://h/{char}",
        f"ws://h/?a{char}b",
        f"ws://u{char}:p@h/",
        f"ws://h/{char}\r\nX-Injected: 1",
    ):
        with pytest.raises(InvalidURI, match="control characters aren't allowed"):
            parse_uri(uri)


def test_passwords_are_not_shown() -> None:
    for uri in (
        "ws://user:secret@h/#f",
        "ws://user:secret@h:x",
        "ws://user:secret@[zz",
        "ws://user:secret@h:secret",
        "ws://user:sec/secret@h",
        "ws://user:secret@℀/",
    ):
        with pytest.raises(InvalidURI) as raised:
            parse_uri(uri)
        exc: BaseException | None = raised.value
        while exc is not None:
            assert "secret" not in str(exc).replace(":secret isn't", "").replace("h:secret", "")
            exc = exc.__cause__


def test_not_text() -> None:
    with pytest.raises(TypeError, match="uri must be a str, not bytes"):
        parse_uri(b"ws://h")  # type: ignore[arg-type]


def test_properties() -> None:
    assert parse_uri("ws://h").resource_name == "/"
    assert parse_uri("ws://h?q").resource_name == "/?q"
    assert parse_uri("ws://h/p?q").resource_name == "/p?q"
    assert parse_uri("ws://h").user_info is None
    assert parse_uri("ws://u:p@h").user_info == ("u", "p")


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("ws://h:80", "h"),
        ("wss://h:443", "h"),
        ("wss://h:80", "h:80"),
        ("ws://[::1]", "[::1]"),
        ("ws://[fe80::1%25eth0]:81", "[fe80::1]:81"),
        ("ws://Bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_host_header(uri: str, host: str) -> None:
    parsed = parse_uri(uri)
    assert build_host(parsed.host, parsed.port, parsed.secure) == host


@given(st.text() | st.text("ws:/@[]?#%.0é a\n").map(lambda s: "ws://" + s))
def test_any_text_gives_a_uri_or_our_error(text: str) -> None:
    try:
        uri = parse_uri(text)
    except InvalidURI as exc:
        assert str(exc).isprintable()
    else:
        assert 0 < uri.port < 65536
        assert uri.host.isascii()
        assert uri.resource_name.isascii()
        assert uri.resource_name.isprintable()
        assert " " not in uri.resource_name
