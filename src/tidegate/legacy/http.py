"""Reading requests and responses from an `asyncio.StreamReader`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from ..datastructures import Headers, MultipleValuesError
from ..exceptions import InvalidMessage
from ..http11 import (
    MAX_LINE_LENGTH,
    MAX_NUM_HEADERS,
    USER_AGENT,
    parse_request_head,
    parse_response_head,
)
from ..printable import printable
from ..streams import StreamReader

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..http11 import ReadLine

__all__ = [
    "MAX_LINE_LENGTH",
    "MAX_NUM_HEADERS",
    "USER_AGENT",
    "Headers",
    "MultipleValuesError",
    "read_request",
    "read_response",
]

T = TypeVar("T")


async def read_request(stream: asyncio.StreamReader) -> tuple[str, Headers]:
    """Read an HTTP/1.1 GET request; if it has a body, that is left in the stream.

    Args:
        stream: what to read from.

    Returns:
        The path, neither decoded nor checked, and the headers. Bytes outside ASCII come as
        surrogates (``errors="surrogateescape"``).

    Raises:
        EOFError: if the stream ends before the request does.
        SecurityError: if a line is too long or there are too many headers.
        ValueError: if the request is malformed, or not HTTP/1.1, or not GET.

    """
    request = await parse(parse_request_head, stream)
    if request.method != "GET":
        raise InvalidMessage(f"unsupported HTTP method: {printable(request.method)}")
    if request.protocol != "HTTP/1.1":
        raise InvalidMessage(f"unsupported HTTP version: {printable(request.protocol)}")
    return request.path, with_surrogates(request.headers)


async def read_response(stream: asyncio.StreamReader) -> tuple[int, str, Headers]:
    """Read an HTTP/1.1 response; if it has a body, that is left in the stream.

    Args:
        stream: what to read from.

    Returns:
        The status, the reason phrase and the headers. Bytes outside ASCII come as surrogates
        (``errors="surrogateescape"``).

    Raises:
        EOFError: if the stream ends before the response does.
        SecurityError: if a line is too long or there are too many headers.
        ValueError: if the response is malformed, or HTTP/1.0 and an upgrade.

    """
    response = await parse(parse_response_head, stream)
    reason = text_with_surrogates(response.reason_phrase)
    return response.status_code, reason, with_surrogates(response.headers)


async def parse(
    parser: Callable[[ReadLine], Generator[None, None, T]], stream: asyncio.StreamReader
) -> T:
    """Run a parser that reads lines, and take no more from the stream than it needs."""
    reader = StreamReader()
    steps = parser(reader.read_line)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            data = await stream.readuntil(b"\n")
        except asyncio.LimitOverrunError as exc:
            # What is longer than the stream's limit, the parser finds too long for its own.
            data = await stream.readexactly(exc.consumed)
        except asyncio.IncompleteReadError as exc:
            reader.feed_data(exc.partial)
            reader.feed_eof()
            continue
        reader.feed_data(data)


def text_with_surrogates(text: str) -> str:
    """Give text that was decoded as ISO-8859-1 as older programs expect it."""
    return text if text.isascii() else text.encode("iso-8859-1").decode("ascii", "surrogateescape")


def with_surrogates(headers: Headers) -> Headers:
    """Give headers that were decoded as ISO-8859-1 as older programs expect them.

    They encode the values in ASCII with ``errors="surrogateescape"``, to get the bytes that came.
    """
    items = list(headers.raw_items())
    if all(value.isascii() for _, value in items):
        return headers
    return Headers.from_valid([(name, text_with_surrogates(value)) for name, value in items])
