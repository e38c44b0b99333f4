"""Connections that can't be opened, on every face: what is told, and what to try."""

from __future__ import annotations

import ssl

import pytest

from tidegate.exceptions import InvalidStatus, ProxyConnectionError
from tidegate.hints import hint_of

from . import raw
from .drivers import echo, pair, uri_of


async def failure(face, uri, **kwargs):
    with pytest.raises(Exception) as raised:
        async with face.connect(uri, **kwargs):
            pass
    return raised.value


def say(data):
    """A script that answers a request with what may be no response."""

    def script(sock):
        raw.read_head(sock)
        sock.sendall(data)

    return script


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\ntry later", b"try later"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
    ],
)
async def test_a_refusal_whose_body_stalls(face, proxied, response, body, http_proxy):
    async with raw.server(face, say(response), opened=False) as address:
        proxy = http_proxy.url if proxied else None
        exc = await failure(face, uri_of(address), open_timeout=0.5, proxy=proxy)
    assert isinstance(exc, InvalidStatus)
    assert exc.response.status_code == int(response.split()[1])
    assert exc.response.body == body


async def test_what_to_try(face):
    exc = await failure(face, "ws://127.0.0.1:1/")
    assert isinstance(exc, ConnectionRefusedError)
    assert hint_of(exc).startswith("nothing listens there")
    assert hint_of(await failure(face, "ws://nosuch.invalid/")).startswith("check the name")
    async with raw.server(face, say(b"SSH-2.0-x\r\n"), opened=False) as address:
        assert hint_of(await failure(face, uri_of(address))) == (
            "this is an SSH server: check the port"
        )
    async with raw.server(face, lambda sock: None, opened=False) as address:
        exc = await failure(face, uri_of(address), open_timeout=0.2)
        assert isinstance(exc, TimeoutError)
        assert "accepts connections, but doesn't answer" in hint_of(exc)


async def test_what_to_try_with_tls(face, certificates):
    async with face.serve(echo, ssl=certificates[0]) as (address, _):
        secure = f"wss://127.0.0.1:{address[1]}"
        exc = await failure(face, secure)
        assert isinstance(exc, ssl.SSLCertVerificationError)
        assert hint_of(exc).endswith("give the path of its certificate as ssl")
        exc = await failure(face, uri_of(address))
        assert hint_of(exc).endswith(f"try {secure}")
    async with face.serve(echo) as (address, _):
        exc = await failure(face, f"wss://127.0.0.1:{address[1]}")
        assert isinstance(exc, ssl.SSLError)
        assert hint_of(exc).endswith(f"try ws://127.0.0.1:{address[1]}")


async def test_what_to_try_with_a_proxy(face):
    exc = await failure(face, "ws://ws.test/", proxy="http://127.0.0.1:1")
    assert isinstance(exc, ProxyConnectionError)
    assert exc.server == "ws.test:80"
    assert exc.hint.startswith("nothing listens there")


@pytest.mark.parametrize("name", ["Host", "Authorization", "Origin"])
async def test_headers_that_replace_ours(face, name):
    async with pair(face, additional_headers={name: "mine"}, origin="http://o") as (_, server):
        assert server.request.headers.get_all(name) == ["mine"]


def test_headers_of_the_opening_handshake(face):
    with pytest.raises(ValueError, match="Upgrade can't be one of the headers"):
        face.client.connect("ws://localhost/", additional_headers={"Upgrade": "h2c"})
