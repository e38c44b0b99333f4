"""Refusals and redirects of servers as they are: bodies that stall, bytes outside ASCII."""

from __future__ import annotations

import asyncio
import contextlib
import warnings

import pytest

from tidegate.asyncio.client import connect
from tidegate.exceptions import InvalidHeader, InvalidStatus, ProxyTimeout
from tidegate.proxy import Timeouts
from tidegate.testing import HTTPProxyServer
from tidegate.uri import decode_uri

with warnings.catch_warnings():
    # That it is the older API.
    warnings.simplefilter("ignore", DeprecationWarning)
    from tidegate.legacy.client import connect as connect_legacy
    from tidegate.legacy.exceptions import InvalidStatusCode


@contextlib.asynccontextmanager
async def answering(*answers):
    """Run a server with one answer after the other, and no end; give its URI and the requests."""
    requests = []
    remaining = list(answers)
    tasks = set()

    async def answer(reader, writer):
        tasks.add(asyncio.current_task())
        # A client whose time is up may leave before it has asked.
        with contextlib.suppress(asyncio.IncompleteReadError):
            requests.append((await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0])
            writer.write(remaining.pop(0))
            await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", requests
    await asyncio.gather(*tasks)


STALLING = [
    (b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\ntry lat", 503, b"try lat"),
    (b"HTTP/1.1 403 No\r\n\r\nnever", 403, b"never"),
    (b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nnever", 404, b""),
    (b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 9\r\n\r\n", 302, b""),
    (b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\n", 500, b""),
]


@pytest.mark.parametrize("way", ["direct", "proxy"])
async def test_the_status_of_a_refusal_whose_body_stalls(way):
    async def refused(answer, status, body, proxy):
        async with answering(answer) as (uri, _):
            with pytest.raises(InvalidStatus) as caught:
                await connect(uri, open_timeout=0.5, proxy=proxy)
            assert (caught.value.response.status_code, caught.value.response.body) == (status, body)
            assert isinstance(caught.value.__cause__, TimeoutError)

    async def refused_older(answer, status, proxy):
        async with answering(answer) as (uri, _):
            with pytest.raises(InvalidStatusCode) as caught:
                await connect_legacy(uri, open_timeout=0.5, proxy=proxy)
            assert caught.value.status_code == status

    async with HTTPProxyServer() as server:
        proxy = server.url if way == "proxy" else None
        await asyncio.gather(
            *(refused(*case, proxy) for case in STALLING),
            *(refused_older(*case[:2], proxy) for case in STALLING),
        )


async def test_a_redirect_has_nothing_to_say_about_what_comes_behind_it():
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n"
    async with answering(redirect, b"HTTP/1.1 200") as (uri, requests):
        with pytest.raises(TimeoutError):
            await connect(uri, open_timeout=0.5)
    assert len(requests) == 2


async def test_time_that_is_up_before_there_is_a_status():
    async with answering(b"HTTP/1.1 503 Busy\r\n") as (uri, _), HTTPProxyServer() as proxy:
        with pytest.raises(TimeoutError):
            await connect(uri, open_timeout=0.2)
    async with answering(b"HTTP/1.1 503 Busy\r\n") as (uri, _), HTTPProxyServer() as proxy:
        with pytest.raises(ProxyTimeout):
            await connect(uri, proxy_timeouts=Timeouts(handshake=0.2), proxy=proxy.url)


@pytest.mark.parametrize("api", [connect, connect_legacy], ids=["today", "older"])
@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/größe?ß=é", "/gr%C3%B6%C3%9Fe?%C3%9F=%C3%A9"),
        ("/gr%C3%B6%C3%9Fe", "/gr%C3%B6%C3%9Fe"),
        ("/水", "/%E6%B0%B4"),
    ],
)
async def test_utf8_in_a_location(api, location, path):
    answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    end = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    async with answering(answer, end) as (uri, requests):
        with pytest.raises((InvalidStatus, InvalidStatusCode)):
            await api(uri)
    assert requests[1] == f"GET {path} HTTP/1.1"


def test_other_bytes_in_a_location():
    assert decode_uri("/a b?c=%20#d") == "/a b?c=%20#d"
    assert decode_uri("ws://bücher.test/".encode().decode("latin-1")) == "ws://bücher.test/"
    assert decode_uri("/gr\xf6\xdfe?a=%20") == "/gr%F6%DFe?a=%20"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("lines", ["", "Location: /a\r\nLocation: /b\r\n"])
async def test_a_redirect_of_the_older_api_that_leads_nowhere(status, lines):
    answer = f"HTTP/1.1 {status} Gone\r\n{lines}Content-Length: 0\r\n\r\n".encode()
    async with answering(answer, answer) as (uri, _):
        with pytest.raises(InvalidHeader, match="Location") as caught:
            await connect_legacy(uri)
        assert caught.value.name == "Location"
        assert isinstance(caught.value.__cause__, InvalidStatus)
        with pytest.raises(InvalidStatus):
            await connect(uri)


async def test_multiple_choices_need_not_lead_anywhere():
    async with answering(b"HTTP/1.1 300 Choose\r\nContent-Length: 0\r\n\r\n") as (uri, _):
        with pytest.raises(InvalidStatusCode):
            await connect_legacy(uri)
