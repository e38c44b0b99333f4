"""Requests and responses of the opening handshake."""

from __future__ import annotations

import os
import string
import subprocess
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate import http11
from tidegate.datastructures import Headers
from tidegate.exceptions import (
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidMessage,
    InvalidReason,
    InvalidURI,
    RequestLineTooLong,
    SecurityError,
    StatusLineTooLong,
    TooManyHeaders,
)
from tidegate.http11 import Request, Response, parse_request, parse_response
from tidegate.streams import StreamReader

TOKEN = string.ascii_letters + string.digits + "-!#$%&'*+.^_`|~"
TEXT = "".join(map(chr, [*range(0x20, 0x7F), *range(0x80, 0x100)]))
values = st.text(TEXT, max_size=10).map(str.strip).map(lambda s: s.strip("\x85\xa0"))
header_lists = st.lists(
    st.tuples(st.text(TOKEN, min_size=1, max_size=6), values), max_size=5
).filter(lambda pairs: not {"content-length", "transfer-encoding"} & {n.lower() for n, _ in pairs})
targets = st.text([chr(c) for c in range(0x21, 0x7F)], min_size=1, max_size=20)

REQUEST = b"GET / HTTP/1.1\r\n"
OK = b"HTTP/1.1 200 OK\r\n"

Result = tuple[Any, bytes] | tuple[type[BaseException], str]


def run(
    start: Callable[[StreamReader], Generator[None, None, Any]], data: bytes, step: int = 0
) -> tuple[Any, bytes]:
    """Give what a parser makes of data that arrives in pieces, and what it leaves."""
    reader = StreamReader()
    generator = start(reader)
    pieces = [data[i : i + step] for i in range(0, len(data), step)] if step else [data]
    for i, piece in enumerate(pieces):
        reader.feed_data(piece)
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value, bytes(reader.buffer) + b"".join(pieces[i + 1 :])
    reader.feed_eof()
    with pytest.raises(StopIteration) as stop_at_eof:
        next(generator)
    return stop_at_eof.value.value, bytes(reader.buffer)


def read_request(data: bytes, step: int = 0) -> tuple[Any, bytes]:
    return run(lambda reader: Request.parse(reader.read_line), data, step)


def read_response(data: bytes, step: int = 0, proxy: bool = False) -> tuple[Any, bytes]:
    return run(
        lambda r: Response.parse(r.read_line, r.read_exact, r.read_to_eof, proxy), data, step
    )


def outcome(function: Callable[..., Any], *args: Any) -> tuple[Any, ...]:
    """Give the result, or the type and the text of the exception."""
    try:
        return (function(*args),)
    except (InvalidHandshake, EOFError) as exc:
        return type(exc), str(exc)


# Requests


def test_request() -> None:
    data = (
        b"GET /chat?room=1 HTTP/1.1\r\n"
        b"Host: server.example.com\r\n"
        b"Upgrade:websocket\r\n"
        b"Connection: \t keep-alive, Upgrade \t\r\n"
        b"X-Empty:\r\n"
        b"X-Latin: \xe9\x85\xff\r\n"
        b"X-Colon: a:b\r\n"
        b"\r\n"
    )
    expected = Request(
        "/chat?room=1",
        Headers(
            [
                ("Host", "server.example.com"),
                ("Upgrade", "websocket"),
                ("Connection", "keep-alive, Upgrade"),
                ("X-Empty", ""),
                ("X-Latin", "é\x85ÿ"),
                ("X-Colon", "a:b"),
            ]
        ),
    )
    assert read_request(data + b"rest") == (expected, b"rest")
    assert parse_request(data) == parse_request(bytearray(data)) == expected
    for step in range(1, 7):
        assert read_request(data, step)[0] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"POST / HTTP/1.1", ("POST", "/", "HTTP/1.1")),
        (b"get / HTTP/1.0", ("get", "/", "HTTP/1.0")),
        (b"OPTIONS * HTTP/1.1", ("OPTIONS", "*", "HTTP/1.1")),
        (b"CONNECT h:80 HTTP/1.1", ("CONNECT", "h:80", "HTTP/1.1")),
        (b"GET http://h/ HTTP/1.1", ("GET", "http://h/", "HTTP/1.1")),
    ],
)
def test_requests_that_get_another_answer_than_400(line: bytes, expected: tuple[str, ...]) -> None:
    request = parse_request(line + b"\r\n\r\n")
    assert (request.method, request.path, request.protocol) == expected
    assert read_request(line + b"\r\n\r\n")[0] == request


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"GET /\r\n\r\n", "invalid HTTP request line: GET /"),
        (b"GET\t/\tHTTP/1.1\r\n\r\n", "invalid HTTP request line: GET"),
        (b"GE(T / HTTP/1.1\r\n\r\n", "invalid HTTP request line"),
        (b" GET / HTTP/1.1\r\n\r\n", "unsupported protocol"),
        (b"GET  / HTTP/1.1\r\n\r\n", "unsupported protocol"),
        (b"GET / HTTP/1.1 \r\n\r\n", "unsupported protocol"),
        (b"GET /a b HTTP/1.1\r\n\r\n", "unsupported protocol"),
        (b"GET / HTTP/2.0\r\n\r\n", "unsupported protocol"),
        (b"GET / HTTP/1.10\r\n\r\n", "unsupported protocol"),
        (b"GET / http/1.1\r\n\r\n", "unsupported protocol"),
        (b"GET /\xe9 HTTP/1.1\r\n\r\n", "invalid HTTP request line: GET /é HTTP/1.1"),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", r"invalid HTTP request line: GET /\\x00"),
        (b"GET /\x7f HTTP/1.1\r\n\r\n", "invalid HTTP request line"),
        (b"GET / HTTP/1.1\n\r\n\r\n", r"line without CRLF: GET / HTTP/1.1\\n"),
        (b"\x16\x03\x01\x02\x00\n\r\n\r\n", r"line without CRLF: \\x16"),
    ],
)
def test_malformed_request_line(data: bytes, error: str) -> None:
    for parse in (read_request, parse_request):
        with pytest.raises(InvalidMessage, match=error) as raised:
            parse(data)
        assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (b"A\r\n\r\n", "invalid HTTP header line: A"),
        (b": b\r\n\r\n", "invalid HTTP header name: "),
        (b"A : b\r\n\r\n", "invalid HTTP header name: A "),
        (b"A\xe9: b\r\n\r\n", "invalid HTTP header name: Aé"),
        (b"A\x00: b\r\n\r\n", r"invalid HTTP header name: A\\x00"),
        # RFC 9112 section 5.2
        (b"A: b\r\n c: d\r\n\r\n", "invalid HTTP header name:  c"),
        (b"A: b\r\n\tc\r\n\r\n", r"invalid HTTP header line: \\tc"),
        (b"A: b\rc\r\n\r\n", r"invalid HTTP header value: b\\rc"),
        (b"A: b\nB: c\r\n\r\n", r"line without CRLF: A: b\\n"),
        (b"A: b\n\r\n\r\n", r"line without CRLF"),
        *(
            (b"A: b" + bytes([c]) + b"c\r\n\r\n", "invalid HTTP header value")
            for c in [*range(9), *range(11, 13), *range(14, 32), 127]
        ),
    ],
)
def test_malformed_header_line(lines: bytes, error: str) -> None:
    data = REQUEST + b"Host: h\r\n" + lines
    for parse in (read_request, parse_request):
        with pytest.raises(InvalidMessage, match=error) as raised:
            parse(data)
        assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (b"A: b\r\n c: d\r\n", "b c: d"),
        (b"A: b\r\n\tc\t\r\n  \td\r\n", "b c d"),
        (b"A:\r\n b\r\n", "b"),
        (b"A: b\r\n \r\n", "b"),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_folded_lines_of_a_response(lines: bytes, value: str, step: int) -> None:
    # RFC 9112 section 5.2
    data = OK + lines + b"Content-Length: 2\r\n\r\nhi"
    response, rest = read_response(data, step)
    assert response.headers["A"] == value
    assert (response.body, rest) == (b"hi", b"")
    upgrade = b"HTTP/1.1 101 Yes\r\n" + lines + b"\r\n"
    response, _ = run(http11.read_response, upgrade, step)
    assert response.headers["A"] == value


@pytest.mark.parametrize(
    ("lines", "error", "text"),
    [
        (b" A: b\r\n", InvalidMessage, "invalid HTTP header name:  A"),
        (b"A: b\r\n c\x00\r\n", InvalidMessage, "invalid HTTP header value"),
        (b"A: b\r\n" + b" c\r\n" * 200, TooManyHeaders, "no more than 128"),
    ],
)
def test_folded_lines_that_are_wrong(lines: bytes, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        read_response(OK + lines + b"\r\n")


@pytest.mark.parametrize("char", "\x0b\x0c\x1c\x1d\x1e\x85")
def test_nothing_but_crlf_ends_a_line(char: str) -> None:
    """What str.splitlines() takes for the end of a line is part of a value, or refused."""
    data = REQUEST + f"A: b{char}X-Injected: 1\r\n\r\n".encode("iso-8859-1")
    if char == "\x85":
        # It is half a character in UTF-8.
        assert read_request(data)[0] == parse_request(data)
        assert parse_request(data).headers == Headers(A=f"b{char}X-Injected: 1")
    else:
        for parse in (read_request, parse_request):
            with pytest.raises(InvalidMessage, match="invalid HTTP header value"):
                parse(data)


def test_end_of_stream() -> None:
    data = REQUEST + b"A: b\r\n\r\n"
    for end in range(len(data)):
        for parse in (read_request, parse_request):
            with pytest.raises(EOFError, match="connection closed while reading HTTP"):
                parse(data[:end])


def test_something_after_the_empty_line() -> None:
    for extra in (b"x", b"\r\n", b"A: b\r\n\r\n", REQUEST + b"\r\n"):
        with pytest.raises(InvalidMessage, match="something after the empty line"):
            parse_request(REQUEST + b"A: b\r\n\r\n" + extra)
        with pytest.raises(InvalidMessage, match="something after the empty line"):
            parse_response(OK + b"A: b\r\n\r\n" + extra)


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 0\r\n",
        b"content-length:0 \r\n",
        b"Content-Length: 00\r\n",
        b"Content-Length: 0, 0\r\n",
        b"Content-Length: 0\r\nContent-Length: 0\r\n",
    ],
)
def test_empty_request_body(lines: bytes) -> None:
    for parse in (read_request, parse_request):
        parse(REQUEST + lines + b"\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 1\r\n",
        b"Content-Length: 999999999999999999\r\n",
        b"Content-Length: 0\r\nContent-Length: 1\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: +0\r\n",
        b"Content-Length: -0\r\n",
        b"Content-Length: 0x0\r\n",
        b"Content-Length: 0_0\r\n",
        b"Content-Length: 0;0\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length: " + b"0" * 5000 + b"\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ],
)
def test_request_body_is_refused(lines: bytes) -> None:
    for parse in (read_request, parse_request):
        with pytest.raises((InvalidMessage, SecurityError), match=r"request body|content length"):
            parse(REQUEST + lines + b"\r\n")


@pytest.mark.parametrize(
    ("before", "after", "error"),
    [
        (b"GET /", b" HTTP/1.1\r\n\r\n", RequestLineTooLong),
        (REQUEST + b"A: ", b"\r\n\r\n", HeaderLineTooLong),
        (REQUEST + b"B: c\r\nA", b": b\r\n\r\n", HeaderLineTooLong),
    ],
)
def test_line_length(before: bytes, after: bytes, error: type[Exception]) -> None:
    line_start = before.rpartition(b"\n")[2]
    line_end = after.partition(b"\n")[0] + b"\n"
    fill = b"a" * (http11.MAX_LINE_LENGTH - len(line_start) - len(line_end))
    for parse in (read_request, parse_request):
        parse(before + fill + after)
        with pytest.raises(error, match="expected no more than 8192 bytes"):
            parse(before + fill + b"a" + after)
        # The end of the line is not awaited.
        with pytest.raises(error):
            parse(before + fill + b"a" * 50)


def test_number_of_headers() -> None:
    lines = b"A: b\r\n" * http11.MAX_NUM_HEADERS
    for parse in (read_request, parse_request):
        parse(REQUEST + lines + b"\r\n")
        with pytest.raises(TooManyHeaders, match="expected no more than 128 headers"):
            parse(REQUEST + lines + b"A: b\r\n\r\n")
    with pytest.raises(TooManyHeaders):
        read_request(REQUEST + b"A: b\r\n" * 1_000_000)


@given(st.text(TOKEN, min_size=1, max_size=5), targets, header_lists, st.integers(0, 9))
def test_request_round_trip(method: str, path: str, pairs: list[Any], step: int) -> None:
    request = Request(path, Headers(pairs), method)
    data = request.serialize()
    assert read_request(data + b"rest", step) == (request, b"rest")
    assert parse_request(data) == request


def both_ways_agree(
    slow: Callable[[bytes], tuple[Any, bytes]], fast: Callable[[bytes], Any], data: bytes
) -> None:
    expected = outcome(slow, data)
    result = outcome(fast, data)
    if isinstance(expected[0], type):
        assert result == expected
    elif expected[0][1]:
        assert result == (InvalidMessage, "there is something after the empty line")
    else:
        assert result == (expected[0][0],)


pieces = st.sampled_from(
    [
        *(b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b": ", b"A", b"a: b\r\n", b"\x00", b"\xe9"),
        *(
            b"GET / HTTP/1.1\r\n",
            b"GET",
            b"/",
            b"HTTP/1.1",
            b"HTTP/1.0",
            b"\x0b",
            b"\x85",
            b"(",
            b",",
        ),
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 101 X\r\n", b"HTTP/1.1 ", b"200", b"101", b"600"),
        *(b"Content-Length: 0\r\n", b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n"),
        *(b"A: " + b"b" * 8200, b"A: b\r\n" * 127, b"A: b \r\n", b"A: \t b\t\r\n", b"A:\r\n"),
    ]
)
heads = st.tuples(
    st.sampled_from([REQUEST, OK, b"HTTP/1.0 101 Switching\r\n", b""]),
    st.lists(pieces, max_size=8).map(b"".join),
    st.sampled_from([b"\r\n", b"\r\n\r\n", b""]),
).map(b"".join)


@given(heads)
@example(REQUEST + b"A: b \r\n\r\n")
@example(REQUEST + b"\n\r\n")
@example(REQUEST + b"\r\n\r\n")
def test_the_fast_parser_of_requests_is_the_same(data: bytes) -> None:
    both_ways_agree(read_request, parse_request, data)


@given(heads, st.booleans())
@example(b"HTTP/1.0 101 X\r\nA: " + b"b" * 9000 + b"\r\n\r\n", False)
def test_the_fast_parser_of_responses_is_the_same(data: bytes, proxy: bool) -> None:
    def slow(data: bytes) -> tuple[Any, bytes]:
        # Without the body, which the fast parser doesn't read.
        return run(lambda reader: http11.parse_response_head(reader.read_line, proxy), data)

    both_ways_agree(slow, lambda data: parse_response(data, proxy), data)


@given(heads, st.binary(max_size=9), st.integers(0, 20))
def test_reading_the_faster_way_is_the_same(head: bytes, rest: bytes, step: int) -> None:
    data = head + rest
    slow = outcome(read_request, data, step)
    assert outcome(run, http11.read_request, data, step) == slow
    slow = outcome(read_response, data, step)
    if not (isinstance(slow[0], tuple) and slow[0][0].status_code == 100):
        assert outcome(run, http11.read_response, data, step) == slow


@pytest.mark.parametrize(
    ("read", "data", "faster"),
    [
        (http11.read_request, REQUEST + b"A: b\r\n\r\nrest", "parse_request"),
        (http11.read_response, b"HTTP/1.1 101 X\r\nA: b\r\n\r\nrest", "parse_response"),
    ],
)
def test_the_faster_way_is_taken(
    read: Any, data: bytes, faster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    parse = getattr(http11, faster)
    monkeypatch.setattr(http11, faster, lambda head: parsed.append(bytes(head)) or parse(head))
    message, rest = run(read, data)
    assert message.headers == Headers(A="b")
    assert rest == b"rest"
    assert parsed == [data[:-4]]


@pytest.mark.parametrize("final", [b"HTTP/1.1 101 X\r\n\r\n", b"HTTP/1.1 403 X\r\n\r\n"])
@pytest.mark.parametrize("step", [0, 1, 100])
def test_interim_responses_are_dropped(final: bytes, step: int) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    for count in (0, 1, http11.MAX_INTERIM_RESPONSES):
        response, _ = run(http11.read_response, interim * count + final, step)
        assert response.status_code == int(final[9:12])
    with pytest.raises(SecurityError, match="no more than 16 interim responses"):
        run(http11.read_response, interim * (http11.MAX_INTERIM_RESPONSES + 1), step)


@pytest.mark.parametrize("fill", [b" ", b"a", b"a ", b"a:", b"A: b\r\n", b"A:\t\r\n", b"\r\n a"])
@pytest.mark.parametrize("end", [b"\x00\r\n\r\n", b"\r\n\r\n", b" \r\n\r\n", b""])
@pytest.mark.parametrize("start", [b"", REQUEST, REQUEST + b"A:", OK, OK + b"A: "])
def test_work_is_linear(
    start: bytes, fill: bytes, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This takes part of a second, or a minute if the work is quadratic."""
    monkeypatch.setattr(http11, "MAX_LINE_LENGTH", 10_000_000)
    monkeypatch.setattr(http11, "MAX_NUM_HEADERS", 10_000_000)
    data = start + (fill * 200_000)[:200_000] + end
    for parse in (parse_request, parse_response):
        outcome(parse, data)


@given(st.binary(max_size=200), st.integers(0, 5))
def test_any_bytes_give_our_errors(data: bytes, step: int) -> None:
    for parse in (read_request, read_response):
        for prefix in (b"", REQUEST, OK, OK + b"Transfer-Encoding: chunked\r\n\r\n"):
            result = outcome(parse, prefix + data, step)
            if len(result) == 2:
                assert result[1].isprintable()


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Request("/\r\nX: y", Headers()), InvalidURI),
        (Request("/ ", Headers()), InvalidURI),
        (Request("/\x00", Headers()), InvalidURI),
        (Request("/é", Headers()), InvalidURI),
        (Request("", Headers()), InvalidURI),
        (Request("/", Headers(), "GET\r\n"), InvalidMessage),
        (Request("/", Headers(), "GET X"), InvalidMessage),
        (Request("/", Headers(), "GET", "HTTP/1.1\r\nX: y"), InvalidMessage),
    ],
)
def test_requests_that_cannot_be_sent(request_: Request, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        request_.serialize()
    assert isinstance(raised.value, ValueError)
    assert str(raised.value).isprintable()


# Responses


@pytest.mark.parametrize(
    ("data", "expected", "rest"),
    [
        (
            b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\nxyz",
            Response(101, "Switching Protocols", Headers(A="b")),
            b"xyz",
        ),
        (b"HTTP/1.1 200 \xe9\r\n\r\n", Response(200, "é", Headers()), b""),
        (b"HTTP/1.1 200 \r\n\r\n", Response(200, "", Headers()), b""),
        (b"HTTP/1.1 200\r\n\r\n", Response(200, "", Headers()), b""),
        # Load balancers answer with 1.0 when they have nobody to ask.
        (b"HTTP/1.0 503 No\r\n\r\nsorry", Response(503, "No", Headers(), b"sorry"), b""),
        *(
            (
                f"HTTP/1.1 {status} X\r\nContent-Length: 3\r\n\r\nxyz".encode(),
                Response(status, "X", Headers({"Content-Length": "3"})),
                b"xyz",
            )
            for status in (100, 103, 204, 304)
        ),
        (
            OK + b"Content-Length: 3\r\n\r\nxyz+",
            Response(200, "OK", Headers({"Content-Length": "3"}), b"xyz"),
            b"+",
        ),
        (
            OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nxyz+",
            Response(200, "OK", Headers([("Content-Length", "3")] * 2), b"xyz"),
            b"+",
        ),
        (
            OK + b"Content-Length: 3, 3\r\n\r\nxyz+",
            Response(200, "OK", Headers({"Content-Length": "3, 3"}), b"xyz"),
            b"+",
        ),
        (
            OK + b"Transfer-Encoding: CHUNKED\r\n\r\n"
            b"3\r\nabc\r\n0002 ;x=y\r\nde\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n+",
            Response(200, "OK", Headers({"Transfer-Encoding": "CHUNKED"}), b"abcde0123456789"),
            b"+",
        ),
    ],
)
def test_response(data: bytes, expected: Response, rest: bytes) -> None:
    for step in (0, 1, 2, 5):
        assert read_response(data, step) == (expected, rest)


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"SSH-2.0-x\r\n", InvalidMessage, "invalid HTTP status line: SSH-2.0-x"),
        (b"220 mail ESMTP\r\n", InvalidMessage, "invalid HTTP status line: 220 mail"),
        (b"HTTP/1.1\r\n\r\n", InvalidMessage, "invalid HTTP status line"),
        (b"HTTP/2 200 OK\r\n\r\n", InvalidMessage, "unsupported protocol"),
        (b"HTTP/1.2 200 OK\r\n\r\n", InvalidMessage, "unsupported protocol"),
        (b"HTTP/1.0 101 OK\r\n\r\n", InvalidMessage, "expected HTTP/1.1: HTTP/1.0 101 OK"),
        *(
            (b"HTTP/1.1 " + code + b" OK\r\n\r\n", InvalidMessage, "invalid status code")
            for code in (
                b"099",
                b"600",
                b"+20",
                b"20",
                b"2000",
                b"abc",
                b"",
                b"2_0",
                b"\xb2\xb2\xb2",
            )
        ),
        (b"HTTP/1.1 200 O\x00K\r\n\r\n", InvalidMessage, r"invalid HTTP reason phrase: O\\x00K"),
        (b"HTTP/1.1 200 OK\n\r\n", InvalidMessage, "line without CRLF"),
        (b"HTTP/1.1 200 " + b"x" * 8192, StatusLineTooLong, "expected no more than 8192"),
        (OK + b"A: b\r\n" * 129, TooManyHeaders, "128"),
        (OK + b"A: " + b"x" * 8192, HeaderLineTooLong, "8192"),
        (OK + b"Content-Length: 10\r\n\r\nxyz", EOFError, "after 3 bytes, expected 10"),
        *(
            (OK + b"Content-Length: " + value + b"\r\n\r\nxyz", SecurityError, "content length")
            for value in (b"+3", b"-3", b"3_0", b"0x3", b"3,4", b"", b"3;", b"9" * 19, b"\xb3")
        ),
        (OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", SecurityError, "content length"),
        (OK + b"Content-Length: 1048577\r\n\r\n", SecurityError, "body too large: 1048577 bytes"),
        (OK + b"\r\n" + bytes(1048577), SecurityError, "expected no more than 1048576 bytes"),
        *(
            (OK + b"Transfer-Encoding: " + value + b"\r\n\r\n", InvalidMessage, "isn't supported")
            for value in (b"", b"gzip", b"gzip, chunked", b"identity", b"chunked, chunked")
        ),
        (OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n", InvalidMessage, "isn't supported"),
        *(
            (OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk, error, text)
            for chunk, error, text in [
                (b"\r\n", SecurityError, "invalid chunk size: "),
                (b"-3\r\n", SecurityError, "invalid chunk size: -3"),
                (b"+3\r\n", SecurityError, "invalid chunk size"),
                (b"0x3\r\n", SecurityError, "invalid chunk size"),
                (b" 3\r\n", SecurityError, "invalid chunk size"),
                (b"3 3\r\n", SecurityError, "invalid chunk size"),
                (b"f" * 16 + b"\r\n", SecurityError, "invalid chunk size"),
                (b"1\r\na\r\nffffffff\r\n", SecurityError, "chunk too large: 4294967295 bytes"),
                (b"3\r\nabcd\r\n", InvalidMessage, "chunk without CRLF"),
                (b"3\n", InvalidMessage, "line without CRLF"),
                (b"3;" + b"x" * 8192, SecurityError, "expected no more than 8192"),
                (b"0\r\n" + b"A: b\r\n" * 129, TooManyHeaders, "128"),
                (b"3\r\nab", EOFError, "stream ends"),
                (b"0\r\n", EOFError, "connection closed while reading HTTP headers"),
            ]
        ),
    ],
)
def test_malformed_response(data: bytes, error: type[Exception], text: str) -> None:
    for step in (0, 7):
        if step and len(data) > 100_000:
            continue
        with pytest.raises(error, match=text) as raised:
            read_response(data, step)
        assert str(raised.value).isprintable()


def test_a_body_up_to_the_limit() -> None:
    body = bytes(http11.MAX_BODY_SIZE)
    for head in (b"\r\n", b"Content-Length: 1048576\r\n\r\n"):
        assert read_response(OK + head + body)[0].body == body
    chunked = b"Transfer-Encoding: chunked\r\n\r\n80000\r\n%b\r\n80000\r\n%b\r\n0\r\n\r\n"
    half = body[: len(body) // 2]
    assert read_response(OK + chunked % (half, half))[0].body == body


def test_tiny_chunks_are_not_kept_one_by_one() -> None:
    body = b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"
    response, rest = read_response(OK + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert (response.body, rest) == (b"x" * 20_000, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 407 No\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.0 101 Odd\r\n\r\n",
    ],
)
def test_answer_of_a_proxy(data: bytes) -> None:
    response, rest = read_response(data + b"abc", proxy=True)
    assert (response.body, rest) == (b"", b"abc")
    assert parse_response(data, proxy=True) == response


@given(
    st.integers(100, 599),
    values,
    header_lists,
    st.binary(max_size=20),
    st.integers(0, 9),
)
def test_response_round_trip(
    status: int, reason: str, pairs: list[Any], body: bytes, step: int
) -> None:
    if status < 200 or status in (204, 304):
        body = b""
    headers = Headers([*pairs, ("Content-Length", str(len(body)))])
    response = Response(status, reason, headers, body)
    data = response.serialize()
    assert read_response(data + b"rest", step) == (response, b"rest")
    assert parse_response(data[: len(data) - len(body)]) == Response(status, reason, headers)


@pytest.mark.parametrize("reason", ["O\r\nK", "\n", "\x00", "€", "\x0b"])
def test_reasons_that_cannot_be_sent(reason: str) -> None:
    with pytest.raises(InvalidReason) as raised:
        Response(200, reason, Headers()).serialize()
    assert isinstance(raised.value, ValueError)


# Around them


def test_deprecated() -> None:
    exc = ValueError()
    with pytest.warns(DeprecationWarning, match=r"Request\.exception"):
        assert Request("/", Headers(), _exception=exc).exception is exc
    with pytest.warns(DeprecationWarning, match=r"Response\.exception"):
        assert Response(200, "OK", Headers()).exception is None


def test_programs_may_hang_things_on_requests_and_responses() -> None:
    request = Request("/", Headers())
    request.username = "someone"  # type: ignore[attr-defined]
    assert repr(request) == (
        "Request(path='/', headers=Headers([]), method='GET', protocol='HTTP/1.1')"
    )


def test_environment() -> None:
    code = (
        "from tidegate import client as c, http11 as h, frames as f;"
        "import tidegate.asyncio.client as a, itertools as i;"
        "print(h.USER_AGENT, h.SERVER, h.MAX_NUM_HEADERS, h.MAX_LINE_LENGTH, h.MAX_BODY_SIZE,"
        " f.Frame.MAX_LOG_SIZE, a.MAX_REDIRECTS, c.BACKOFF_INITIAL_DELAY,"
        " [round(delay, 2) for delay in i.islice(c.backoff(), 1, 5)], sep='|')"
    )
    chosen = {
        "TIDEGATE_USER_AGENT": "me",
        "TIDEGATE_SERVER": "you",
        "TIDEGATE_MAX_NUM_HEADERS": "1",
        "TIDEGATE_MAX_LINE_LENGTH": "1_000",
        "TIDEGATE_MAX_BODY_SIZE": "3",
        "TIDEGATE_MAX_LOG_SIZE": "4",
        "TIDEGATE_MAX_REDIRECTS": "5",
        "TIDEGATE_BACKOFF_INITIAL_DELAY": "6.5",
        "TIDEGATE_BACKOFF_MIN_DELAY": "7",
        "TIDEGATE_BACKOFF_MAX_DELAY": "27",
        "TIDEGATE_BACKOFF_FACTOR": "2",
    }
    inherited = {k: v for k, v in os.environ.items() if k not in chosen}

    def ask(environ: dict[str, str]) -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    product = f"Python/{sys.version_info[0]}.{sys.version_info[1]} {http11.PRODUCT}"
    delays = "[3.1, 5.02, 8.12, 13.13]"
    assert ask(inherited) == f"{product}|{product}|128|8192|1048576|75|10|5.0|{delays}"
    assert ask(inherited | chosen) == "me|you|1|1000|3|4|5|6.5|[7.0, 14.0, 27.0, 27.0]"
