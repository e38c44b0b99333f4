"""Defaults for many connections, and changing the proxy at run time."""

from __future__ import annotations

import pytest

import tidegate
from tidegate import Client
from tidegate.exceptions import InvalidProxy
from tidegate.proxy import Proxy
from tidegate.testing import HTTPProxyServer

from .test_connect import check, echo_server


def test_it_is_a_public_name():
    assert "Client" in tidegate.__all__


async def test_arguments_are_given_once(origin, corp):
    async with (
        echo_server(origin.server) as uri,
        HTTPProxyServer(ssl=corp.server, username="me", password="s3cret") as proxy,
    ):
        client = Client(proxy=proxy.url, proxy_ssl=corp.path, ssl=origin.client, max_size=100)
        for _ in range(2):
            async with client.connect(uri) as websocket:
                await websocket.send("x" * 100)
                assert len(await websocket.recv()) == 100
                assert websocket.proxy.route.source == "the proxy of the client"
        async with client.connect(uri, proxy=None, max_size=None) as websocket:
            await check(websocket)
            assert websocket.proxy is None


async def test_headers_are_added():
    seen = []

    def look(websocket, request):
        seen.append(list(request.headers.get_all("X-A")) + list(request.headers.get_all("X-B")))

    async with echo_server(process_request=look) as uri:
        client = Client(additional_headers={"X-A": "default", "X-B": "default"}, proxy=None)
        for arguments in {}, {"additional_headers": {"x-b": "own"}}, {"additional_headers": None}:
            async with client.connect(uri, **arguments):
                pass
    assert seen == [["default", "default"], ["default", "own"], []]


async def test_another_proxy_counts_from_the_next_connection_on():
    async with echo_server() as uri, HTTPProxyServer() as one, HTTPProxyServer() as two:
        client = Client(proxy=one.url)
        async with client.connect(uri) as first:
            client.set_proxy(two.url)
            async with client.connect(uri) as second:
                await check(first)
                await check(second)
                assert first.proxy.proxy.port == one.port
                assert second.proxy.proxy.port == two.port
            client.set_http_proxy(f"http://127.0.0.1:{one.port}")
            async with client.connect(uri) as third:
                assert third.proxy.proxy.port == one.port


async def test_another_proxy_counts_for_reconnections():
    async with echo_server() as uri, HTTPProxyServer() as one, HTTPProxyServer() as two:
        client = Client(proxy=one.url)
        ports = []
        async for websocket in client.connect(uri):
            ports.append(websocket.proxy.proxy.port)
            client.set_proxy(two.url)
            await websocket.close()
            if len(ports) == 2:
                break
        assert ports == [one.port, two.port]


@pytest.mark.parametrize("name", ["http_proxy", "proxy_url"])
def test_strict_form_in_the_constructor(name):
    client = Client(**{name: "http://me:p%40ss@proxy.test:3128"})
    assert client.proxy == Proxy("http", "proxy.test", 3128, "me", "p%40ss")
    with pytest.raises(TypeError):
        Client(proxy="http://proxy.test", **{name: "http://proxy.test:3128"})
    with pytest.raises(ValueError):
        Client(**{name: "http://proxy.test"})


@pytest.mark.parametrize(
    "url",
    ["http://proxy.test", "proxy.test:1", "socks5://proxy.test:1", "http://me@proxy.test:1", ""],
)
def test_strict_form_is_strict(url):
    client = Client(proxy=None)
    with pytest.raises(ValueError):
        client.set_http_proxy(url)
    assert client.proxy is None


def test_a_malformed_url_is_refused_at_once():
    client = Client()
    with pytest.raises(InvalidProxy):
        client.set_proxy("ftp://proxy.test")
    assert client.proxy is True
    client.set_proxy("proxy.test:3128")
    assert client.proxy == Proxy("http", "proxy.test", 3128)


async def test_limits_hold():
    async with echo_server() as uri, Client(max_size=10, proxy=None).connect(uri) as websocket:
        await websocket.send("x" * 11)
        with pytest.raises(tidegate.ConnectionClosedError) as raised:
            await websocket.recv()
        assert raised.value.sent.code == 1009
