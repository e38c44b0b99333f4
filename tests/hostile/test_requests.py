"""Requests that are no opening handshakes, or such that others would read in another way."""

from __future__ import annotations

import base64

import pytest

from .driver import Attempt, attempt, ident, settled
from .raw import KEY, request

S4_1, S4_2_1, S4_4 = "RFC 6455, section 4.1", "RFC 6455, section 4.2.1", "RFC 6455, section 4.4"
S9_1 = "RFC 6455, section 9.1"
HTTP_2_2, HTTP_3, HTTP_3_2 = "RFC 9112, section 2.2", "RFC 9112, section 3", "RFC 9112, section 3.2"
HTTP_5, HTTP_5_1, HTTP_5_2 = "RFC 9112, section 5", "RFC 9112, section 5.1", "RFC 9112, section 5.2"
HTTP_6 = "RFC 9112, section 6.1"
FIELD, TOKEN = "RFC 9110, section 5.5", "RFC 9110, section 5.6.2"

UPGRADE = (b"\r\nUpgrade: websocket\r\n",)
VERSION = (b"\r\nSec-WebSocket-Version: 13\r\n",)
INJECTED = (b"\nX-Injected", b"\nSet-Cookie")


def line(*lines: bytes, at: bytes = b"\r\n\r\n") -> bytes:
    """Make a request with more lines, as they are, before its end."""
    return request().replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")


def first(start: bytes) -> bytes:
    """Make a request with another first line."""
    return start + request().partition(b"\r\n")[2]


CASES = [
    # The request line.
    *(
        Attempt(f"method {method}", S4_1, request(method=method), 405, (b"\r\nAllow: GET\r\n",))
        for method in ("POST", "PUT", "OPTIONS", "DELETE", "TRACE", "PATCH")
    ),
    Attempt("method get", S4_1, request(method="get"), 405, uvicorn=400),
    Attempt("method X", S4_1, request(method="X"), 405, uvicorn=400),
    Attempt("version HTTP/0.9", HTTP_3, request(version="HTTP/0.9"), 400, uvicorn=101),
    Attempt("version HTTP/2.0", HTTP_3, request(version="HTTP/2.0"), 400, uvicorn=101),
    Attempt("HTTP/1.0", S4_1, request(version="HTTP/1.0"), 505, uvicorn=101),
    *(
        Attempt(f"version {version}", HTTP_3, request(version=version), 400)
        for version in (
            "HTTP/1.2",
            "http/1.1",
            "HTTP/1.10",
            "HTTP/1",
            "WS/1.1",
        )
    ),
    Attempt("no version", HTTP_3, first(b"GET /\r\n"), 400, uvicorn=101),
    Attempt("no target", HTTP_3, first(b"GET HTTP/1.1\r\n"), 400),
    Attempt("two spaces", HTTP_3, first(b"GET  / HTTP/1.1\r\n"), 400, uvicorn=101),
    Attempt(
        "two spaces before the version", HTTP_3, first(b"GET /  HTTP/1.1\r\n"), 400, uvicorn=101
    ),
    Attempt("tabs for spaces", HTTP_3, first(b"GET\t/\tHTTP/1.1\r\n"), 400),
    Attempt("a space in front", HTTP_3, first(b" GET / HTTP/1.1\r\n"), 400),
    Attempt("a space at the end", HTTP_3, first(b"GET / HTTP/1.1 \r\n"), 400),
    Attempt("a space in the target", HTTP_3_2, first(b"GET /a b HTTP/1.1\r\n"), 400),
    Attempt("NUL in the target", HTTP_3_2, first(b"GET /\0 HTTP/1.1\r\n"), 400),
    Attempt("a bare CR in the target", HTTP_2_2, first(b"GET /\rX-Injected: 1 HTTP/1.1\r\n"), 400),
    Attempt("bytes beyond ASCII in the target", HTTP_3_2, first(b"GET /\xff HTTP/1.1\r\n"), 400),
    Attempt(
        "the preface of HTTP/2", "RFC 9113, section 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400
    ),
    Attempt(
        "a ClientHello",
        "RFC 8446, section 4.1.2",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        400,
    ),
    Attempt("bytes at random", HTTP_3, bytes(range(128, 256)) + b"\r\n\r\n", 400),
    Attempt("an absolute target", "RFC 9112, section 3.2.2", request("http://localhost/x"), 101),
    Attempt(
        "an absolute target without a path",
        "RFC 9112, section 3.2.2",
        request("ws://localhost"),
        101,
    ),
    Attempt("one empty line in front", HTTP_2_2, b"\r\n" + request(), 101),
    Attempt("two empty lines in front", HTTP_2_2, b"\r\n\r\n" + request(), 400, uvicorn=101),
    Attempt("LF for CRLF", HTTP_2_2, request().replace(b"\r\n", b"\n") + b"\r\n\r\n", 400),
    Attempt("LF behind the request line", HTTP_2_2, request().replace(b"\r\n", b"\n", 1), 400),
    # Header lines.
    Attempt("LF behind a header", HTTP_2_2, line(b"X-One: 1\nX-Injected: 1"), 400),
    Attempt("a bare CR in a header", HTTP_2_2, line(b"X-One: 1\rX-Injected: 1"), 400),
    Attempt("a space before the colon", HTTP_5_1, line(b"X-One : 1"), 400),
    Attempt(
        "a space before the colon of Host",
        HTTP_5_1,
        request(Host=None)[:-2] + b"Host : a\r\n\r\n",
        400,
    ),
    Attempt("no colon", HTTP_5, line(b"X-One"), 400),
    Attempt("no name", HTTP_5, line(b": 1"), 400),
    Attempt("a header that is continued", HTTP_5_2, line(b"X-One: 1", b" 2"), 400),
    Attempt("a header that is continued behind a tab", HTTP_5_2, line(b"X-One: 1", b"\t2"), 400),
    Attempt(
        "a line that continues the request line",
        HTTP_5_2,
        first(b"GET / HTTP/1.1\r\n X: 1\r\n"),
        400,
    ),
    *(
        Attempt(f"{name} in a name", TOKEN, line(b"X" + byte + b"Y: 1"), 400)
        for name, byte in (
            ("NUL", b"\0"),
            ("a space", b" "),
            ("parentheses", b"()"),
            ("a slash", b"/"),
            ("a quote", b'"'),
            ("DEL", b"\x7f"),
            ("a byte beyond ASCII", b"\xe9"),
        )
    ),
    *(
        Attempt(f"{name} in a value", FIELD, line(b"X-One: 1" + byte + b"X-Injected: 1"), 400)
        for name, byte in (("NUL", b"\0"), ("BEL", b"\x07"), ("ESC", b"\x1b"), ("DEL", b"\x7f"))
    ),
    *(
        Attempt(
            f"{name}, which splitlines() takes for an end",
            "CVE-2026-44546",
            line(b"X-One: 1" + byte + b"X-Injected: 1"),
            400,
        )
        for name, byte in (
            ("VT", b"\x0b"),
            ("FF", b"\x0c"),
            ("FS", b"\x1c"),
            ("GS", b"\x1d"),
            ("RS", b"\x1e"),
        )
    ),
    Attempt(
        "NEL, which splitlines() takes for an end",
        "CVE-2026-44546",
        line(b"X-One: 1\x85X-Injected: 1"),
        101,
        lacks=INJECTED,
    ),
    Attempt("128 headers", "CVE-2024-37890", line(*[b"X-One: 1"] * 123), 101),
    Attempt("129 headers", "CVE-2024-37890", line(*[b"X-One: 1"] * 124), 431),
    Attempt("2,000 headers", "CVE-2024-37890", line(*[b"X: 1"] * 2000), 431),
    Attempt(
        "a header of 8 KiB and more", "RFC 6585, section 5", line(b"X-One: " + b"x" * 8192), 431
    ),
    Attempt("a header of 1 MiB", "RFC 6585, section 5", line(b"X-One: " + b"x" * 2**20), 431),
    Attempt("a name of 1 MiB", "RFC 6585, section 5", line(b"X" * 2**20), 431, uvicorn=400),
    Attempt(
        "a target of 8 KiB and more", "RFC 9110, section 15.5.15", request("/" + "x" * 8192), 414
    ),
    Attempt("a target of 1 MiB", "RFC 9110, section 15.5.15", request("/" + "x" * 2**20), 414),
    Attempt(
        "the same header a hundred times",
        "CVE-2025-67725",
        line(*[b"X-One: " + b"1" * 50] * 100),
        101,
    ),
    # Bodies, which make the next thing something else.
    Attempt("a body", HTTP_6, line(b"Content-Length: 5") + b"Hello", 400),
    Attempt("a body in chunks", HTTP_6, line(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    Attempt(
        "a body with both lengths",
        HTTP_6,
        line(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
        400,
    ),
    Attempt("an obscure transfer coding", HTTP_6, line(b"Transfer-Encoding: \x0bchunked"), 400),
    Attempt("the coding identity", HTTP_6, line(b"Transfer-Encoding: identity"), 400),
    Attempt("an empty body", "RFC 9110, section 8.6", line(b"Content-Length: 0"), 101),
    Attempt(
        "lengths that differ",
        "RFC 9112, section 6.3",
        line(b"Content-Length: 0", b"Content-Length: 5"),
        400,
    ),
    *(
        Attempt(
            f"Content-Length {value!r}",
            "RFC 9110, section 8.6",
            line(b"Content-Length: " + value),
            400,
        )
        for value in (b"+0", b"-1", b"0x0", b"1e1", b"", b"0, 5", b"1" * 400, "٠".encode())
    ),
    # Host.
    Attempt("no Host", HTTP_3_2, request(Host=None), 400),
    Attempt("two of Host", HTTP_3_2, request(Host=["a", "b"]), 400),
    Attempt("the same Host twice", HTTP_3_2, request(Host=["a", "a"]), 400),
    # What makes it an opening handshake.
    Attempt("no Upgrade", S4_2_1, request(Upgrade=None), 426, UPGRADE, uvicorn=404),
    Attempt("upgrade to h2c", S4_2_1, request(Upgrade="h2c"), 426, UPGRADE, uvicorn=404),
    Attempt(
        "upgrade to websocket and h2c", S4_2_1, request(Upgrade="websocket, h2c"), 101, uvicorn=404
    ),
    Attempt("upgrade to WebSocket", S4_2_1, request(Upgrade="WebSocket"), 101),
    Attempt("no Connection", S4_2_1, request(Connection=None), 426, UPGRADE, uvicorn=404),
    Attempt("Connection: close", S4_2_1, request(Connection="close"), 426, UPGRADE, uvicorn=404),
    Attempt(
        "Connection: keep-alive, Upgrade", S4_2_1, request(Connection="keep-alive, Upgrade"), 101
    ),
    Attempt("Connection in two lines", S4_2_1, request(Connection=["keep-alive", "upgrade"]), 101),
    Attempt(
        "Connection that isn't a list", TOKEN, request(Connection="Upgrade;"), 400, uvicorn=404
    ),
    Attempt("no key", S4_2_1, request(Sec_WebSocket_Key=None), 400),
    Attempt("two keys", S4_1, request(Sec_WebSocket_Key=[KEY, KEY]), 400),
    *(
        Attempt(f"key {name}", S4_2_1, request(Sec_WebSocket_Key=key), 400)
        for name, key in (
            ("that is empty", ""),
            ("that isn't Base64", "!!!!"),
            ("of 15 bytes", base64.b64encode(bytes(15)).decode()),
            ("of 17 bytes", base64.b64encode(bytes(17)).decode()),
            ("without padding", KEY.rstrip("=")),
            ("of 4 KiB", base64.b64encode(bytes(3072)).decode()),
            ("with a space in it", KEY[:8] + " " + KEY[8:]),
        )
    ),
    Attempt("no version of WebSocket", S4_4, request(Sec_WebSocket_Version=None), 400, VERSION),
    *(
        Attempt(
            f"version {version} of WebSocket",
            S4_4,
            request(Sec_WebSocket_Version=version),
            426,
            VERSION,
        )
        for version in ("0", "8", "12", "14", "013", "13.0", "+13", "13, 8", "x", "1" * 300)
    ),
    Attempt(
        "two versions of WebSocket", S4_4, request(Sec_WebSocket_Version=["13", "8"]), 426, VERSION
    ),
    # Extensions and subprotocols.
    *(
        Attempt(f"extensions {value[:24]!r}", S9_1, request(Sec_WebSocket_Extensions=value), 400)
        for value in (
            ";",
            "a b",
            "a; ",
            "a; b=",
            'a; b="',
            'a; b="c',
            "a; =b",
            'a; b=""',
            "\xe9",
            "a; b=c d",
        )
    ),
    *(
        Attempt(
            f"extension {name}",
            rule,
            request(Sec_WebSocket_Extensions=value),
            101,
            lacks=(b"\r\nSec-WebSocket-Extensions",),
        )
        for name, rule, value in (
            (
                "of a name that objects have",
                "WS-2017-0421",
                "constructor, __proto__; hasOwnProperty, toString",
            ),
            ("of a name that Python has", "WS-2017-0421", "__class__; __init__"),
            ("that is unknown", S9_1, "x-webkit-deflate-frame"),
            (
                "with server_max_window_bits 7",
                "CVE-2026-2229",
                "permessage-deflate; server_max_window_bits=7",
            ),
            (
                "with server_max_window_bits 16",
                "CVE-2026-2229",
                "permessage-deflate; server_max_window_bits=16",
            ),
            (
                "with server_max_window_bits 1000000000000",
                "CVE-2026-2229",
                "permessage-deflate; server_max_window_bits=1000000000000",
            ),
            (
                "with server_max_window_bits 09",
                "RFC 7692, section 7.1.2.1",
                "permessage-deflate; server_max_window_bits=09",
            ),
            (
                "with server_max_window_bits without a value",
                "RFC 7692, section 7.1.2.1",
                "permessage-deflate; server_max_window_bits",
            ),
            (
                "with client_max_window_bits 0",
                "RFC 7692, section 7.1.2.2",
                "permessage-deflate; client_max_window_bits=0",
            ),
            (
                "with a parameter twice",
                "RFC 7692, section 7",
                "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            ),
            (
                "with a value where none belongs",
                "RFC 7692, section 7.1.1.1",
                "permessage-deflate; server_no_context_takeover=1",
            ),
            ("with an unknown parameter", "RFC 7692, section 7", "permessage-deflate; level=9"),
        )
    ),
    Attempt(
        "the second offer of deflate where the first is wrong",
        "RFC 7692, section 5.1",
        request(Sec_WebSocket_Extensions="permessage-deflate; level=9, permessage-deflate"),
        101,
        (b"\r\nSec-WebSocket-Extensions: permessage-deflate",),
    ),
    Attempt(
        "2,000 extensions",
        "CVE-2021-32640",
        request(Sec_WebSocket_Extensions=", ".join(["x"] * 2000)),
        431,
    ),
    *(
        Attempt(f"subprotocols {value[:24]!r}", S4_1, request(Sec_WebSocket_Protocol=value), 400)
        for value in ("a b", "a;b", "\xe9", '"a"')
    ),
    Attempt(
        "3,500 spaces in the subprotocols",
        "CVE-2021-32640",
        request(Sec_WebSocket_Protocol="a" + " " * 3500 + "b"),
        400,
    ),
    Attempt(
        "2,000 subprotocols",
        "CVE-2021-32640",
        request(Sec_WebSocket_Protocol=", ".join(["a"] * 2000)),
        431,
    ),
    Attempt(
        "subprotocols that are asked to be injected",
        "CVE-2026-44546",
        request(Sec_WebSocket_Protocol="a\x85X-Injected: 1"),
        400,
        lacks=INJECTED,
    ),
    # What is sent behind.
    Attempt("a request behind the request", "RFC 9931, section 2", request() + request(), 101),
    Attempt(
        "a request behind one that is refused",
        "RFC 9112, section 9.3.2",
        request(Upgrade=None) + request(),
        426,
        lacks=(b" 101 ",),
        uvicorn=404,
    ),
    # Ends.
    Attempt("nothing at all", HTTP_2_2, b"", 0, ends=True),
    Attempt("half a request line", HTTP_2_2, b"GET / HT", 0, ends=True),
    Attempt("half a header", HTTP_2_2, request()[:60], 0, ends=True),
    Attempt("all but the last byte", HTTP_2_2, request()[:-1], 0, ends=True),
    # Origin and Host where they are checked.
    *(
        Attempt(
            f"origin {origin!r}",
            "RFC 6455, section 10.2",
            request(Origin=origin),
            403,
            server="origins",
        )
        for origin in (
            "https://example.com.evil.test",
            "https://evil.test/https://example.com",
            "https://example.com:444",
            "http://example.com",
            "https://EXAMPLE.com",
            "https://sub.example.com",
            "https://example.com/",
            "https://example.com@evil.test",
            "null",
            "",
            "https://example.com, https://evil.test",
        )
    ),
    Attempt(
        "two origins",
        "RFC 6454, section 7.3",
        request(Origin=["https://example.com"] * 2),
        400,
        server="origins",
    ),
    Attempt(
        "the right origin",
        "RFC 6455, section 10.2",
        request(Origin="https://example.com"),
        101,
        server="origins",
    ),
    Attempt("no origin", "RFC 6455, section 10.2", request(), 101, server="origins"),
    *(
        Attempt(
            f"{name}",
            "RFC 7617, section 2",
            request(Authorization=value),
            401,
            (b"\r\nWWW-Authenticate: Basic ",),
            server="auth",
        )
        for name, value in (
            ("no credentials", None),
            ("a wrong password", "Basic " + base64.b64encode(b"user:wrong").decode()),
            ("a wrong user", "Basic " + base64.b64encode(b"other:password").decode()),
            ("a password that begins rightly", "Basic " + base64.b64encode(b"user:pass").decode()),
            ("a password that goes on", "Basic " + base64.b64encode(b"user:password2").decode()),
            ("no colon in the credentials", "Basic " + base64.b64encode(b"userpassword").decode()),
            ("credentials that aren't Base64", "Basic ****"),
            (
                "credentials that aren't UTF-8",
                "Basic " + base64.b64encode(b"user:\xff\xfe").decode(),
            ),
            ("NUL behind the password", "Basic " + base64.b64encode(b"user:password\0").decode()),
            ("another scheme", "Bearer abc"),
            ("a scheme and nothing else", "Basic"),
            ("a password of 4 KiB", "Basic " + base64.b64encode(b"user:" + b"p" * 4096).decode()),
        )
    ),
    Attempt(
        "the right credentials",
        "RFC 7617, section 2",
        request(Authorization="Basic " + base64.b64encode(b"user:password").decode()),
        101,
        server="auth",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_servers(case, servers, house):
    assert attempt(case, servers, house.contexts[1]) == {}
    settled(servers)
