"""Requests and responses of the opening handshake, in HTTP/1.1 (RFC 9110, RFC 9112).

This isn't an HTTP library: a request has no body, and a connection has one request.

A request or response is parsed in one of two ways, which accept the same: by the generators
`Request.parse` and `Response.parse`, which take it line by line as it comes; or by `parse_request`
and `parse_response`, which are faster, once all of it up to the empty line is there. `read_request`
and `read_response` choose.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import warnings
from collections.abc import Callable, Generator
from typing import TypeVar, cast

from .datastructures import Headers
from .exceptions import (
    HeaderLineTooLong,
    InvalidMessage,
    InvalidReason,
    InvalidURI,
    RequestLineTooLong,
    SecurityError,
    StatusLineTooLong,
    TooManyHeaders,
)
from .identity import PRODUCT
from .printable import printable
from .streams import StreamReader
from .wire.heads import join_head, split_request

__all__ = [
    "SERVER",
    "USER_AGENT",
    "Request",
    "Response",
    "parse_request",
    "parse_response",
    "read_request",
    "read_response",
]

PYTHON_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"

# What the User-Agent header says unless a program chooses another.
USER_AGENT = os.environ.get("TIDEGATE_USER_AGENT", f"Python/{PYTHON_VERSION} {PRODUCT}")

# What the Server header says unless a program chooses another.
SERVER = os.environ.get("TIDEGATE_SERVER", f"Python/{PYTHON_VERSION} {PRODUCT}")

# The most header lines in a request or response, and in the trailer of a body.
MAX_NUM_HEADERS = int(os.environ.get("TIDEGATE_MAX_NUM_HEADERS", "128"))

# The most bytes in a line of a request or response, including CRLF.
MAX_LINE_LENGTH = int(os.environ.get("TIDEGATE_MAX_LINE_LENGTH", "8192"))

# The most interim responses (RFC 9110, section 15.2) before the response.
MAX_INTERIM_RESPONSES = 16

# The most bytes in the body of a response.
MAX_BODY_SIZE = int(os.environ.get("TIDEGATE_MAX_BODY_SIZE", "1_048_576"))

ReadLine = Callable[[int, type[Exception]], Generator[None, None, bytes | bytearray]]
ReadExact = Callable[[int], Generator[None, None, bytes | bytearray]]
ReadToEof = Callable[[int, type[Exception]], Generator[None, None, bytes | bytearray]]

# The grammar, in characters of ISO-8859-1. RFC 9110, sections 5.1, 5.5, 5.6.2.
_TOKEN = r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+"
_TEXT = r"[\x09\x20-\x7e\x80-\xff]*"
# RFC 9112, section 3. Nobody needs the four forms of a target told apart here.
_TARGET = r"[\x21-\x7e]+"
_REQUEST_LINE = rf"({_TOKEN}) ({_TARGET}) (HTTP/1\.[01])"
# RFC 9112, section 4. Some servers leave out the space before an empty reason.
_STATUS_LINE = rf"(HTTP/1\.[01]) ([1-5][0-9][0-9])(?: ({_TEXT}))?"
# RFC 9112, section 5. White space around the value isn't part of it; what is behind it is taken
# away afterwards. The additional "+" forbid going back, which would be quadratic.
_HEADER_LINE = rf"({_TOKEN}+):[\x09\x20]*+({_TEXT}+)"

_is_token = re.compile(_TOKEN).fullmatch
_is_text = re.compile(_TEXT).fullmatch
_is_target = re.compile(_TARGET).fullmatch
_request_line_re = re.compile(rf"{_REQUEST_LINE}\r\n")
_status_line_re = re.compile(rf"{_STATUS_LINE}\r\n")
_find_header_lines = re.compile(rf"^{_HEADER_LINE}\r\n", re.MULTILINE).findall

# The lengths are bounded so that nobody makes int() work; larger sizes are over any limit anyway.
_is_size = re.compile(r"[0-9]{1,18}", re.ASCII).fullmatch
_is_hex_size = re.compile(rb"[0-9a-fA-F]{1,15}").fullmatch


def d(value: bytes | bytearray) -> str:
    """Give what a peer sent as text that can stand in an error message."""
    return printable(value.decode("iso-8859-1"))


@dataclasses.dataclass
class Request:
    """The request of an opening handshake.

    Attributes:
        path: path and query.
        headers: its headers.
        method: the HTTP method.
        protocol: the HTTP version, such as ``HTTP/1.1``.
    """

    path: str
    headers: Headers
    method: str = "GET"
    protocol: str = "HTTP/1.1"
    _exception: Exception | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def exception(self) -> Exception | None:
        """What was wrong with the request, None if nothing was (deprecated)."""
        warnings.warn(
            "Request.exception is deprecated: use ServerProtocol.handshake_exc",
            DeprecationWarning,
            stacklevel=2,
        )
        return self._exception

    @classmethod
    def parse(cls, read_line: ReadLine) -> Generator[None, None, Request]:
        """Read a request.

        This is a generator: it yields when it needs more data, and returns the request.

        Methods other than GET and version 1.0 are accepted, so that they can be answered with the
        proper status. The path may have any form of RFC 9112, section 3.2.

        Args:
            read_line: a generator function that reads up to LF, such as `StreamReader.read_line`.

        Raises:
            EOFError: if the stream ends before the request does.
            SecurityError: if a line is longer than MAX_LINE_LENGTH or there are more headers than
                MAX_NUM_HEADERS.
            InvalidMessage: if the request is malformed or has a body; it is a ValueError.
        """
        request = yield from parse_request_head(read_line)
        check_no_body(request.headers)
        return request

    def serialize(self) -> bytes:
        """Give the request as sent.

        Raises:
            InvalidURI: if the path has characters that cannot be sent; it is a ValueError.
            InvalidMessage: if the method or the protocol cannot be sent; it is a ValueError.
        """
        head = f"{self.method} {self.path} {self.protocol}\r\n"
        if _request_line_re.fullmatch(head) is None:
            if _is_target(self.path) is None:
                raise InvalidURI(self.path, "characters that aren't allowed in a request")
            raise InvalidMessage(f"invalid HTTP request line: {printable(head.rstrip())}")
        return f"{head}{self.headers}".encode("iso-8859-1")


@dataclasses.dataclass
class Response:
    """The response of an opening handshake.

    Attributes:
        status_code: the status.
        reason_phrase: what it means, for people.
        headers: its headers.
        body: its body.
    """

    status_code: int
    reason_phrase: str
    headers: Headers
    body: bytes | bytearray = b""
    _exception: Exception | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def exception(self) -> Exception | None:
        """What was wrong with the response, None if nothing was (deprecated)."""
        warnings.warn(
            "Response.exception is deprecated: use ClientProtocol.handshake_exc",
            DeprecationWarning,
            stacklevel=2,
        )
        return self._exception

    @classmethod
    def parse(
        cls,
        read_line: ReadLine,
        read_exact: ReadExact,
        read_to_eof: ReadToEof,
        proxy: bool = False,
    ) -> Generator[None, None, Response]:
        """Read a response.

        This is a generator: it yields when it needs more data, and returns the response.

        Version 1.0 is accepted unless the status is 101: load balancers answer errors with it.

        Args:
            read_line: a generator function that reads up to LF, such as `StreamReader.read_line`.
            read_exact: a generator function that reads so many bytes.
            read_to_eof: a generator function that reads up to the end of the stream.
            proxy: whether it is a proxy's answer to CONNECT, whose body isn't read.

        Raises:
            EOFError: if the stream ends before the response does.
            SecurityError: if a line is longer than MAX_LINE_LENGTH, there are more headers than
                MAX_NUM_HEADERS, the body is larger than MAX_BODY_SIZE, or says its length in a
                way that may be understood differently by others.
            InvalidMessage: if the response is malformed; it is a ValueError.
        """
        response = yield from parse_response_head(read_line, proxy)
        if not proxy:
            response.body = yield from read_body(
                response.status_code, response.headers, read_line, read_exact, read_to_eof
            )
        return response

    def serialize(self) -> bytes:
        """Give the response as sent.

        Raises:
            InvalidReason: if the reason phrase has characters that cannot be sent; it is a
                ValueError.
        """
        if _is_text(self.reason_phrase) is None:
            raise InvalidReason(self.reason_phrase)
        head = f"HTTP/1.1 {self.status_code:d} {self.reason_phrase}"
        if type(self.headers) is Headers:
            data = join_head(head, self.headers._list, self.body)
            if data is not None:
                return data
        # A subclass may have more to say; or this tells what can't be sent.
        return f"{head}\r\n{self.headers}".encode("iso-8859-1") + self.body


def parse_request(head: bytes | bytearray) -> Request:
    """Give the request that ``head`` holds, which ends with the first empty line.

    It accepts what `Request.parse` does and raises the same exceptions, several times faster.

    Args:
        head: the request, up to and including the first ``\\r\\n\\r\\n``.
    """
    request = parse_usual_request(head)
    if request is None:
        reader = StreamReader()
        return _run(Request.parse(reader.read_line), reader, head)
    check_no_body(request.headers)
    return request


def parse_whole_request_head(head: bytes | bytearray) -> Request:
    """Give the request that ``head`` holds, as `parse_request` does, but it may have a body."""
    request = parse_usual_request(head)
    if request is None:
        reader = StreamReader()
        return _run(parse_request_head(reader.read_line), reader, head)
    return request


def parse_usual_request(head: bytes | bytearray) -> Request | None:
    """Give the request, None if it is long or malformed: another parser finds out in what way."""
    if len(head) > MAX_LINE_LENGTH:
        return None
    parts = split_request(bytes(head), MAX_NUM_HEADERS)
    if parts is None:
        return None
    method, path, protocol, items, values = parts
    return Request(path, Headers.from_parts(items, values), method, protocol)


def parse_response(head: bytes | bytearray, proxy: bool = False) -> Response:
    """Give the response that ``head`` holds, which ends with the first empty line; without body.

    It accepts what `Response.parse` does and raises the same exceptions, several times faster.

    Args:
        head: the response, up to and including the first ``\\r\\n\\r\\n``.
        proxy: whether it is a proxy's answer to CONNECT.
    """
    if len(head) <= MAX_LINE_LENGTH:
        text = head.decode("iso-8859-1")
        match = _status_line_re.match(text)
        if match is not None:
            status_code, reason_phrase = _check_status(match, proxy)
            headers = _parse_all_headers(text, match.end())
            if headers is not None:
                return Response(status_code, reason_phrase, headers)
    reader = StreamReader()
    return _run(parse_response_head(reader.read_line, proxy), reader, head)


def read_request(reader: StreamReader, body: bool = False) -> Generator[None, None, Request]:
    """Read a request like `Request.parse`, but the faster way if all of it has come already.

    Args:
        reader: what to read from.
        body: whether it may have a body, which is left where it is.
    """
    end = reader.buffer.find(b"\r\n\r\n", 0, MAX_LINE_LENGTH)
    if end < 0 or reader.buffer.startswith(b"\r\n"):
        parse = parse_request_head if body else Request.parse
        return (yield from parse(reader.read_line))
    head = yield from reader.read_exact(end + 4)
    return parse_whole_request_head(head) if body else parse_request(head)


def read_response(
    reader: StreamReader, refused: Callable[[Response], object] | None = None
) -> Generator[None, None, Response]:
    """Read a response like `Response.parse`, but the faster way if it is an upgrade that has come.

    Interim responses, such as 103 (Early Hints), are read and dropped.

    Args:
        reader: what to read from.
        refused: called with a response that isn't an upgrade before its body is read, which may
            never end.

    Raises:
        SecurityError: also if there are too many of them.
    """
    for _ in range(MAX_INTERIM_RESPONSES + 1):
        end = -1
        # What isn't an upgrade may have a body.
        if reader.buffer.startswith(b"HTTP/1.1 101 "):
            end = reader.buffer.find(b"\r\n\r\n", 0, MAX_LINE_LENGTH)
        if end >= 0:
            return parse_response((yield from reader.read_exact(end + 4)))
        response = yield from parse_response_head(reader.read_line)
        if response.status_code >= 200 and refused is not None:
            refused(response)
        response.body = yield from read_body(
            response.status_code,
            response.headers,
            reader.read_line,
            reader.read_exact,
            reader.read_to_eof,
        )
        if response.status_code == 101 or response.status_code >= 200:
            return response
    raise SecurityError(f"expected no more than {MAX_INTERIM_RESPONSES} interim responses")


def parse_request_head(read_line: ReadLine) -> Generator[None, None, Request]:
    """Read a request as `Request.parse` does, but leave its body, if it has one, where it is."""
    try:
        line = yield from parse_line(read_line, RequestLineTooLong)
        if not line:
            # RFC 9112, section 2.2: at least one empty line before it is ignored.
            line = yield from parse_line(read_line, RequestLineTooLong)
    except EOFError as exc:
        raise EOFError("connection closed while reading HTTP request line") from exc
    match = _request_line_re.fullmatch(line.decode("iso-8859-1") + "\r\n")
    if match is None:
        raise _explain_request_line(line)
    headers = yield from parse_headers(read_line)
    method, path, protocol = match.groups()
    return Request(path, headers, method, protocol)


def parse_response_head(
    read_line: ReadLine, proxy: bool = False
) -> Generator[None, None, Response]:
    """Read a response as `Response.parse` does, but leave its body where it is."""
    try:
        line = yield from parse_line(read_line, StatusLineTooLong)
    except EOFError as exc:
        raise EOFError("connection closed while reading HTTP status line") from exc
    match = _status_line_re.fullmatch(line.decode("iso-8859-1") + "\r\n")
    if match is None:
        raise _explain_status_line(line)
    status_code, reason_phrase = _check_status(match, proxy)
    headers = yield from parse_headers(read_line, folded=True)
    return Response(status_code, reason_phrase, headers)


_T = TypeVar("_T")


def _run(generator: Generator[None, None, _T], reader: StreamReader, head: bytes | bytearray) -> _T:
    """Give what a parser makes of a head that is there as a whole."""
    reader.feed_data(head)
    reader.feed_eof()
    try:
        next(generator)
    except StopIteration as stop:
        if reader.buffer:
            raise InvalidMessage("there is something after the empty line") from None
        return cast(_T, stop.value)
    raise AssertionError("a parser waits for data after the end of the stream")


def _parse_all_headers(text: str, start: int) -> Headers | None:
    """Give the headers in ``text`` from ``start`` on; None if there is anything wrong with them."""
    if not text.endswith("\r\n\r\n"):
        return None
    items = _find_header_lines(text, start)
    # There is one match for each line, and two other lines: the first and the empty one.
    if len(items) + 2 != text.count("\n") or len(items) > MAX_NUM_HEADERS:
        return None
    if " \r" in text or "\t\r" in text:
        items = [(name, value.rstrip(" \t")) for name, value in items]
    return Headers.from_valid(items)


def parse_headers(read_line: ReadLine, folded: bool = False) -> Generator[None, None, Headers]:
    """Read header lines up to and including the empty line.

    Args:
        read_line: a generator function that reads up to LF.
        folded: whether a line that begins with white space continues the one before, in obsolete
            syntax. A client has to read that, with a space in its place, and a server to refuse
            it (RFC 9112, section 5.2).

    Raises:
        EOFError: if the stream ends before.
        SecurityError: if a line is too long or there are too many.
        InvalidMessage: if a line is malformed; it is a ValueError.
    """
    items: list[tuple[str, str]] = []
    lines = 0
    while True:
        try:
            line = yield from parse_line(read_line, HeaderLineTooLong)
        except EOFError as exc:
            raise EOFError("connection closed while reading HTTP headers") from exc
        if not line:
            return Headers.from_valid(items)
        if lines == MAX_NUM_HEADERS:
            raise TooManyHeaders(f"expected no more than {MAX_NUM_HEADERS} headers")
        lines += 1
        # In a request, it is a name that isn't a token.
        if folded and items and line[:1] in (b" ", b"\t"):
            name, value = items.pop()
            more = line.decode("iso-8859-1").strip(" \t")
            if _is_text(more) is None:
                raise InvalidMessage(f"invalid HTTP header value: {printable(more)}")
            items.append((name, f"{value} {more}".strip(" ")))
            continue
        name, colon, value = line.decode("iso-8859-1").partition(":")
        if not colon:
            raise InvalidMessage(f"invalid HTTP header line: {d(line)}")
        if _is_token(name) is None:
            raise InvalidMessage(f"invalid HTTP header name: {printable(name)}")
        value = value.strip(" \t")
        if _is_text(value) is None:
            raise InvalidMessage(f"invalid HTTP header value: {printable(value)}")
        items.append((name, value))


def parse_line(
    read_line: ReadLine, too_long_exc_type: type[Exception] = SecurityError
) -> Generator[None, None, bytes | bytearray]:
    """Read a line, and give it without CRLF.

    Raises:
        EOFError: if the stream ends before.
        SecurityError: or ``too_long_exc_type``, if the line is longer than MAX_LINE_LENGTH.
        InvalidMessage: if it ends with LF only; it is a ValueError.
    """
    line = yield from read_line(MAX_LINE_LENGTH, too_long_exc_type)
    # RFC 9112, section 2.2 lets a bare LF pass, but parsers that disagree on where a line ends are
    # what request smuggling is made of.
    if not line.endswith(b"\r\n"):
        raise InvalidMessage(f"line without CRLF: {d(line)}")
    return line[:-2]


def read_body(
    status_code: int,
    headers: Headers,
    read_line: ReadLine,
    read_exact: ReadExact,
    read_to_eof: ReadToEof,
) -> Generator[None, None, bytes | bytearray]:
    """Read the body of a response (RFC 9112, section 6.3).

    Raises:
        EOFError: if the stream ends before the body does.
        SecurityError: if the body is larger than MAX_BODY_SIZE or its length isn't clear.
        InvalidMessage: if the body is malformed or in an encoding that isn't supported; it is a
            ValueError.
    """
    if 100 <= status_code < 200 or status_code in (204, 304):
        return b""
    codings = headers.get_all("Transfer-Encoding")
    if codings:
        # RFC 9112, section 7: names of codings are compared without regard to case.
        if len(codings) > 1 or codings[0].lower() != "chunked":
            raise InvalidMessage(f"transfer coding {printable(', '.join(codings))} isn't supported")
        return (yield from _read_chunks(read_line, read_exact))
    length = _get_content_length(headers)
    if length is None:
        return (yield from read_to_eof(MAX_BODY_SIZE, SecurityError))
    if length > MAX_BODY_SIZE:
        raise SecurityError(f"body too large: {length} bytes")
    return (yield from read_exact(length))


def _read_chunks(
    read_line: ReadLine, read_exact: ReadExact
) -> Generator[None, None, bytes | bytearray]:
    """Read a body in chunks, and its trailer (RFC 9112, section 7.1)."""
    body = bytearray()
    while True:
        line = yield from parse_line(read_line)
        # What is behind a semicolon are extensions that nobody uses.
        size = bytes(line.partition(b";")[0]).rstrip(b" \t")
        if _is_hex_size(size) is None:
            raise SecurityError(f"invalid chunk size: {d(size)}")
        length = int(size, 16)
        if length == 0:
            break
        if len(body) + length > MAX_BODY_SIZE:
            raise SecurityError(f"chunk too large: {length} bytes after {len(body)} bytes")
        body += yield from read_exact(length)
        if (yield from read_exact(2)) != b"\r\n":
            raise InvalidMessage("chunk without CRLF")
    yield from parse_headers(read_line, folded=True)
    return body


def _get_content_length(headers: Headers) -> int | None:
    """Give what Content-Length says; None if it isn't there.

    The same length may stand there several times, in several headers or in one
    (RFC 9110, section 8.6).
    """
    values = headers.get_all("Content-Length")
    if not values:
        return None
    lengths = {value.strip(" \t") for value in ",".join(values).split(",")}
    length = lengths.pop()
    if lengths or _is_size(length) is None:
        raise SecurityError(f"invalid content length: {printable(', '.join(values))}")
    return int(length)


def check_no_body(headers: Headers) -> None:
    """Refuse the headers of a request with a body.

    An empty one is fine (RFC 9110, section 8.6): the WebSocket client of Java announces it.

    Raises:
        InvalidMessage: if there is a body; it is a ValueError.
        SecurityError: if its length isn't clear.
    """
    values = headers._dict
    if "transfer-encoding" in values:
        raise InvalidMessage("unsupported request body: transfer codings aren't supported")
    if "content-length" in values and _get_content_length(headers) != 0:
        raise InvalidMessage("unsupported request body")


def _check_status(match: re.Match[str], proxy: bool) -> tuple[int, str]:
    protocol, status_code, reason_phrase = match.groups()
    if status_code == "101" and protocol != "HTTP/1.1" and not proxy:
        # RFC 9110, section 7.8: there is no upgrade in earlier versions.
        raise InvalidMessage(
            f"unsupported protocol; expected HTTP/1.1: {printable(match.group().rstrip())}"
        )
    return int(status_code), reason_phrase or ""


def _explain_request_line(line: bytes | bytearray) -> InvalidMessage:
    words = line.split(b" ", 2)
    if len(words) == 3 and words[2] not in (b"HTTP/1.0", b"HTTP/1.1"):
        return InvalidMessage(f"unsupported protocol; expected HTTP/1.1 or HTTP/1.0: {d(line)}")
    return InvalidMessage(f"invalid HTTP request line: {d(line)}")


def _explain_status_line(line: bytes | bytearray) -> InvalidMessage:
    protocol, _, rest = line.partition(b" ")
    if not rest or not protocol.startswith(b"HTTP/"):
        return InvalidMessage(f"invalid HTTP status line: {d(line)}")
    if protocol not in (b"HTTP/1.0", b"HTTP/1.1"):
        return InvalidMessage(f"unsupported protocol; expected HTTP/1.1 or HTTP/1.0: {d(line)}")
    status_code, _, reason_phrase = rest.partition(b" ")
    if _is_text(reason_phrase.decode("iso-8859-1")) is None:
        return InvalidMessage(f"invalid HTTP reason phrase: {d(reason_phrase)}")
    return InvalidMessage(f"invalid status code; expected 100 to 599; got {d(status_code)}")
