"""Frames, handshake headers and HTTP for programs that bring their own streams."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.datastructures import Headers
from tidegate.exceptions import (
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidUpgrade,
    PayloadTooBig,
    ProtocolError,
    SecurityError,
)
from tidegate.extensions.permessage_deflate import PerMessageDeflate
from tidegate.frames import Opcode
from tidegate.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS
from tidegate.legacy.exceptions import AbortHandshake, InvalidStatusCode, RedirectHandshake
from tidegate.legacy.framing import (
    Frame,
    encode_data,
    parse_close,
    prepare_data,
    serialize_close,
)
from tidegate.legacy.handshake import (
    build_request,
    build_response,
    check_request,
    check_response,
)
from tidegate.legacy.http import read_request, read_response


def stream_of(data: bytes, limit: int = 2**16) -> asyncio.StreamReader:
    stream = asyncio.StreamReader(limit=limit)
    stream.feed_data(data)
    stream.feed_eof()
    return stream


def run(coroutine):
    with asyncio.Runner() as runner:
        return runner.run(coroutine)


# Frames


async def read_frame(data: bytes, **kwargs):
    return await Frame.read(stream_of(data).readexactly, **kwargs)


@given(
    fin=st.booleans(),
    opcode=st.sampled_from([Opcode.CONT, Opcode.TEXT, Opcode.BINARY]),
    data=st.binary(max_size=300) | st.integers(65530, 65540).map(lambda size: b"t" * size),
    mask=st.booleans(),
)
def test_frames_are_read_as_written(fin, opcode, data, mask) -> None:
    frame = Frame(fin, opcode, data)
    written: list[bytes] = []
    frame.write(written.append, mask=mask)
    assert len(written) == 1
    assert run(read_frame(written[0], mask=mask)) == frame


def test_frame_of_a_known_shape() -> None:
    written: list[bytes] = []
    Frame(True, 1, b"x").write(written.append, mask=False)
    assert written == [b"\x81\x01x"]
    frame = run(read_frame(b"\x81\x81\x01\x02\x03\x04y", mask=True))
    assert frame == (True, 1, b"x", False, False, False)
    assert (frame.fin, frame.opcode, frame.data, frame.rsv1) == (True, Opcode.TEXT, b"x", False)
    assert frame.new_frame.opcode is Opcode.TEXT
    assert str(frame) == "TEXT 'x' [1 byte]"


def test_extensions_are_applied_in_order_and_in_reverse() -> None:
    sender = PerMessageDeflate(False, False, 15, 15)
    receiver = PerMessageDeflate(False, False, 15, 15)
    frame = Frame(True, Opcode.TEXT, b"tide " * 100)
    written: list[bytes] = []
    frame.write(written.append, mask=True, extensions=[sender])
    assert len(written[0]) < 50
    assert run(read_frame(written[0], mask=True, extensions=[receiver])) == frame


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (Frame(True, 3, b""), "invalid opcode: 3"),
        (Frame(True, 1, b"", True), "reserved bits must be 0"),
        (Frame(True, 1, b"", False, False, True), "reserved bits must be 0"),
        (Frame(False, 9, b""), "fragmented control frame"),
        (Frame(True, 9, b"x" * 126), "control frame too long"),
    ],
)
def test_frames_that_break_the_rules(frame, message) -> None:
    with pytest.raises(ProtocolError, match=message):
        frame.check()
    written: list[bytes] = []
    with pytest.raises(ProtocolError, match=message):
        frame.write(written.append, mask=False)
    assert not written


@pytest.mark.parametrize(
    ("data", "kwargs", "error"),
    [
        (b"\x81\x01x", {"mask": True}, ProtocolError),
        (b"\x81\x81\0\0\0\0x", {"mask": False}, ProtocolError),
        (b"\x83\x00", {"mask": False}, ProtocolError),
        (b"\xc1\x00", {"mask": False}, ProtocolError),
        (b"\x09\x00", {"mask": False}, ProtocolError),
        # Refused before a byte of the payload is waited for.
        (b"\x82\x7e\x01\x00", {"mask": False, "max_size": 100}, PayloadTooBig),
        (b"\x81\x02x", {"mask": False}, EOFError),
        (b"", {"mask": False}, EOFError),
    ],
)
def test_reading_frames_that_break_the_rules(data, kwargs, error) -> None:
    with pytest.raises(error):
        run(read_frame(data, **kwargs))


def test_a_reader_that_gives_less_at_the_end() -> None:
    # StreamReader.read doesn't raise at the end of the file.
    async def read():
        await Frame.read(stream_of(b"\x81").read, mask=False)

    with pytest.raises(EOFError, match="stream ends after 1 bytes, expected 2 bytes"):
        run(read())


def test_prepare_data_and_encode_data() -> None:
    assert prepare_data("tidé") == (Opcode.TEXT, b"tid\xc3\xa9")
    array = bytearray(b"x")
    assert prepare_data(array) == (Opcode.BINARY, array)
    assert prepare_data(array)[1] is array
    assert prepare_data(memoryview(b"abcdef")[::2]) == (Opcode.BINARY, b"ace")
    assert encode_data("tidé") == b"tid\xc3\xa9"
    assert encode_data(memoryview(b"abcdef")[::2]) == b"ace"
    assert type(encode_data(array)) is bytes
    for function in prepare_data, encode_data:
        with pytest.raises(TypeError, match="data must be str or bytes-like"):
            function(1)


@given(
    code=st.sampled_from([1000, 1001, 1011, 3000, 4999]),
    reason=st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"])),
)
def test_close_frames_are_parsed_as_serialized(code, reason) -> None:
    assert parse_close(serialize_close(code, reason)) == (code, reason)


def test_close_frames() -> None:
    assert parse_close(b"") == (1005, "")
    assert serialize_close(1000, "bye") == b"\x03\xe8bye"
    for data in b"\x03", b"\x03\xed", b"\xff\xff":
        with pytest.raises(ProtocolError):
            parse_close(data)
    with pytest.raises(UnicodeDecodeError):
        parse_close(b"\x03\xe8\xff")
    for code in 1004, 1005, 1006, 999, 5000:
        with pytest.raises(ProtocolError):
            serialize_close(code, "")


# Headers of the opening handshake


def test_handshake_headers() -> None:
    request = Headers()
    key = build_request(request)
    assert check_request(request) == key
    response = Headers()
    build_response(response, key)
    check_response(response, key)
    with pytest.raises(InvalidHeaderValue, match="Sec-WebSocket-Accept"):
        check_response(response, "another")
    with pytest.raises(InvalidUpgrade):
        check_response(Headers(), key)


def test_handshake_key_of_the_rfc() -> None:
    # RFC 6455, section 1.3
    headers = Headers()
    build_response(headers, "dGhlIHNhbXBsZSBub25jZQ==")
    assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"Upgrade": None}, InvalidUpgrade),
        ({"Upgrade": "h2c"}, InvalidUpgrade),
        ({"Connection": None}, InvalidUpgrade),
        ({"Connection": "close"}, InvalidUpgrade),
        ({"Sec-WebSocket-Key": None}, InvalidHeader),
        ({"Sec-WebSocket-Key": "short"}, InvalidHeaderValue),
        ({"Sec-WebSocket-Version": None}, InvalidHeader),
        ({"Sec-WebSocket-Version": "12"}, InvalidHeaderValue),
    ],
)
def test_requests_that_ask_for_something_else(change, error) -> None:
    headers = Headers()
    build_request(headers)
    for name, value in change.items():
        del headers[name]
        if value is not None:
            headers[name] = value
    with pytest.raises(error) as caught:
        check_request(headers)
    assert isinstance(caught.value, InvalidHandshake)


def test_requests_that_ask_in_another_way() -> None:
    headers = Headers()
    key = build_request(headers)
    del headers["Connection"], headers["Upgrade"]
    headers["Connection"] = "keep-alive, Upgrade"
    headers["Upgrade"] = "WebSocket"
    assert check_request(headers) == key


# HTTP


def test_read_request_leaves_what_follows() -> None:
    async def read():
        stream = stream_of(b"GET /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
        return await read_request(stream), await stream.read()

    (path, headers), body = run(read())
    assert path == "/a?b"
    assert list(headers.raw_items()) == [("Host", "x"), ("Content-Length", "4")]
    assert body == b"body"


def test_read_response_leaves_what_follows() -> None:
    async def read():
        stream = stream_of(b"HTTP/1.1 404 Not\xe9\r\nContent-Length: 4\r\n\r\nbody")
        return await read_response(stream), await stream.read()

    (status, reason, headers), body = run(read())
    assert (status, reason, headers["Content-Length"]) == (404, "Not\udce9", "4")
    assert body == b"body"


def test_bytes_outside_ascii_come_as_surrogates() -> None:
    async def read():
        return await read_request(stream_of(b"GET / HTTP/1.1\r\nA: \xc3\xa9\r\nB: c\r\n\r\n"))

    _, headers = run(read())
    assert headers["B"] == "c"
    assert headers["A"].encode("ascii", "surrogateescape") == b"\xc3\xa9"


HEAD = b"GET / HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EOFError),
        (b"GET / HTTP/1.1\r\nA: b\r\n", EOFError),
        (b"GET / HTTP", EOFError),
        (b"POST / HTTP/1.1\r\n\r\n", ValueError),
        (b"GET / HTTP/1.0\r\n\r\n", ValueError),
        (b"nonsense\r\n\r\n", ValueError),
        (b"GET / HTTP/1.1\nA: b\n\n", ValueError),
        (HEAD + b"A: b\r\n" * (MAX_NUM_HEADERS + 1) + b"\r\n", SecurityError),
        (HEAD + b"A: " + b"b" * MAX_LINE_LENGTH + b"\r\n\r\n", SecurityError),
        # Longer than the stream's own limit, with and without an end.
        (HEAD + b"A: " + b"b" * 100_000 + b"\r\n\r\n", SecurityError),
        (HEAD + b"A: " + b"b" * 100_000, SecurityError),
    ],
)
def test_requests_that_cannot_be_read(data, error) -> None:
    async def read():
        return await read_request(stream_of(data))

    with pytest.raises(error):
        run(read())


@pytest.mark.parametrize("limit", [1, 2, 7, 20, 100])
def test_streams_with_a_small_limit(limit) -> None:
    async def read():
        return await read_request(stream_of(b"GET / HTTP/1.1\r\nName: value\r\n\r\n", limit))

    assert run(read()) == ("/", Headers(Name="value"))


def test_a_request_that_comes_byte_by_byte() -> None:
    async def read():
        stream = asyncio.StreamReader()
        task = asyncio.create_task(read_request(stream))
        for byte in b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest":
            stream.feed_data(bytes([byte]))
            await asyncio.sleep(0)
        stream.feed_eof()
        return await task, await stream.read()

    assert run(read()) == (("/", Headers(A="b")), b"rest")


@pytest.mark.parametrize(
    "data", [b"HTTP/1.0 101 x\r\n\r\n", b"HTTP/1.1 42 x\r\n\r\n", b"x\r\n\r\n"]
)
def test_responses_that_cannot_be_read(data) -> None:
    async def read():
        return await read_response(stream_of(data))

    with pytest.raises(InvalidMessage):
        run(read())


# Exceptions


def test_exceptions_of_the_older_api() -> None:
    abort = AbortHandshake(404, [("A", "b"), ("A", "c")], b"body")
    assert (abort.status, abort.headers.get_all("A"), abort.body) == (404, ["b", "c"], b"body")
    assert str(abort) == "HTTP 404, 1 headers, 4 bytes"
    invalid = InvalidStatusCode(404, Headers(A="b"))
    assert (invalid.status_code, invalid.headers["A"]) == (404, "b")
    assert str(invalid) == "server rejected WebSocket connection: HTTP 404"
    assert len(InvalidStatusCode(500).headers) == 0
    assert str(RedirectHandshake("ws://example/")) == "redirect to ws://example/"
    for exc in abort, invalid, RedirectHandshake("ws://example/"):
        assert isinstance(exc, InvalidHandshake)
