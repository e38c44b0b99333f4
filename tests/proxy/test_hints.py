"""Hints that led astray, or were missing: each with what it says now."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl

import pytest

from tidegate.asyncio.client import connect
from tidegate.exceptions import (
    InvalidProxyMessage,
    InvalidProxyStatus,
    ProxyCertificateError,
    ProxyConnectionError,
    ProxyError,
    ProxyHandshakeError,
    ProxyTimeout,
    ProxyTLSError,
)
from tidegate.proxy import BasicAuth, BearerAuth, DigestAuth, Timeouts, parse_proxy
from tidegate.proxy.hop import Target
from tidegate.proxy.routes import make_hop
from tidegate.testing import HTTPProxyServer, SOCKSProxyServer

from .conftest import echo_server

TARGET = Target("ws.test", 8443)


def hint_of(url, reply, target=TARGET, **fields):
    """Give the hint for a reply that is all that a proxy says."""
    proxy = parse_proxy(url)
    for name, value in fields.items():
        setattr(proxy, name, value)
    hop = make_hop(proxy, target, None)
    hop.addresses = ["192.0.2.1"]
    hop.start()
    for part in reply if isinstance(reply, list) else [reply]:
        if part:
            hop.receive_data(part)
    if hop.error is None:
        hop.receive_eof()
    return hop.error.hint


def wants(*challenges):
    lines = "".join(f"Proxy-Authenticate: {challenge}\r\n" for challenge in challenges)
    return f"HTTP/1.1 407 Who?\r\n{lines}Content-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("url", "reply", "hint"),
    [
        ("https://p.test:1", b"\x05\xff", "SOCKS5 proxy; try socks5h+tls://p.test:1"),
        ("https://p.test:1", b"\x00\x5b", "SOCKS4 proxy; try socks4a+tls://p.test:1"),
        ("http://p.test:1", b"\x05\xff", "SOCKS5 proxy; try socks5h://p.test:1"),
        ("socks5h+tls://p.test:1", b"HTTP/1.1 400 No\r\n", "server; try https://p.test:1"),
        ("socks5h://p.test:1", b"HTTP/1.1 400 No\r\n", "server; try http://p.test:1"),
        (
            "socks5h://p.test:1",
            b"\x15\x03\x01\x00\x02\x02\x46",
            "try socks5h+tls://p.test:1, or https://p.test:1 if it is an HTTP proxy",
        ),
        ("http://p.test:1", b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS; try https://p.test:1"),
    ],
)
def test_another_kind_of_proxy(url, reply, hint):
    assert hint_of(url, reply).endswith(hint)


def test_443_is_no_matter_of_wss():
    hint = hint_of("http://p.test", b"HTTP/1.1 403 No\r\n\r\n")
    assert "wss" not in hint
    assert "many allow CONNECT to port 443 only" in hint
    hint = hint_of("http://p.test", b"HTTP/1.1 403 No\r\n\r\n", Target("ws.test", 443))
    assert hint == "the proxy's rules forbid ws.test:443; ask who runs it to allow that"


@pytest.mark.parametrize(
    ("auth", "challenges", "hint"),
    [
        (
            DigestAuth("me", "pw"),
            ["Basic realm=x"],
            "the proxy accepts only basic, which DigestAuth isn't: use a user and a password in its"
            " URL",
        ),
        (
            BasicAuth("me", "pw"),
            ["Digest realm=x, nonce=y"],
            "the proxy accepts only digest, which BasicAuth isn't: use DigestAuth",
        ),
        (
            ("me", "pw"),
            ["Bearer", "Hoba max-age=1"],
            "the proxy accepts only bearer, hoba, which PasswordAuth isn't: use BearerAuth",
        ),
        (BearerAuth("t"), ["Hoba max-age=1"], "the proxy accepts only hoba, which BearerAuth"),
        (BearerAuth("t"), ["Bearer"], "the proxy refused the token"),
        (BasicAuth("me", "pw"), ["Basic realm=x"], "the proxy refused the user name or the"),
        (BasicAuth("me", "pw"), [], "the proxy refused the user name or the password"),
        (lambda challenges: "Odd x", ["Odd"], "the proxy accepts only odd; check the user name"),
    ],
)
def test_authentication_that_a_proxy_does_not_accept(auth, challenges, hint):
    reply = wants(*challenges)
    assert hint_of("http://p.test", [reply] * 4, auth=auth).startswith(hint)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (1, "the proxy's log says why; it may not know the name ws.test:8443"),
        (2, "ask who runs the proxy to allow ws.test:8443"),
        (3, "the proxy has no way to that network, maybe none for IPv6; ask who runs it"),
        (4, "the proxy is there but cannot reach ws.test:8443: check host and port"),
        (5, "the proxy reached ws.test:8443, where nothing listens: check host and port"),
        (6, "the proxy is there but cannot reach ws.test:8443"),
        (7, "this proxy doesn't make connections"),
        (8, "let the proxy resolve the name"),
    ],
)
def test_replies_of_socks5(code, hint):
    replies = [b"\x05\x00", bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0])]
    assert hint_of("socks5h://p.test", replies).startswith(hint)
    if code in (3, 4):
        assert "use socks5h://" in hint_of("socks5://p.test", replies)
        assert "use socks5h://" not in hint_of("socks5h://p.test", replies)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (0x5B, "it may also want a user: socks4a://user@p.test:1080"),
        (0x5C, "the proxy wants to know the user from identd"),
        (0x5D, "the user in the proxy's URL has to be the one that runs this program"),
    ],
)
def test_replies_of_socks4(code, hint):
    assert hint in hint_of("socks4a://me@p.test", bytes([0, code, 0, 0, 0, 0, 0, 0]))


def test_proxies_that_close_the_connection():
    hint = hint_of("socks5h://p.test", [])
    assert hint.startswith("check that this is SOCKS5H and not another kind of proxy")
    assert hint.endswith("that it can reach ws.test:8443")
    # Who speaks SOCKS5 is no other kind of proxy.
    hint = hint_of("socks5h://p.test", b"\x05\x00")
    assert hint.startswith("the proxy may not have reached ws.test:8443: check host and port")
    hint = hint_of("socks5h://me:pw@p.test", b"\x05\x02")
    assert hint.startswith("it may have refused the user name or the password")
    hint = hint_of("http://p.test", b"HTTP/1.1 2")
    assert hint.startswith("the proxy may not have reached ws.test:8443")


@contextlib.asynccontextmanager
async def speaking(data, *, asked=False, close=False, tls=None):
    """A server that says one thing, whatever it is asked, or before; gives its port."""
    tasks = set()

    async def say(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            if asked:
                await reader.read(4096)
            if data:
                writer.write(data)
            if not close:
                await reader.read(4096)
                await reader.read()
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*tasks)


async def test_silence_where_socks_was_expected(corp):
    """It may be an HTTP proxy, with TLS or without, that waits for the end of a line."""
    async with speaking(b"") as port:
        with pytest.raises(ProxyTimeout) as raised:
            await connect(
                "ws://ws.test/",
                proxy=f"socks5h://127.0.0.1:{port}",
                proxy_timeouts=Timeouts(negotiate=0.1),
            )
        assert f"use http://127.0.0.1:{port}, or https://127.0.0.1:{port} if" in raised.value.hint
    async with speaking(b"", tls=corp.server) as port:
        with pytest.raises(ProxyTimeout) as raised:
            await connect(
                "ws://ws.test/",
                proxy=f"socks5h+tls://127.0.0.1:{port}",
                proxy_ssl=corp.client,
                proxy_timeouts=Timeouts(negotiate=0.1),
            )
        assert raised.value.hint.endswith(f"use https://127.0.0.1:{port}")


@pytest.mark.parametrize("where", ["server", "proxy"])
async def test_an_expired_certificate(where, origin, corp):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    expired = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    corp.authority.issue_cert("127.0.0.1", not_after=expired).configure_cert(context)
    proxy_tls = context if where == "proxy" else None
    async with echo_server(context) as port, HTTPProxyServer(ssl=proxy_tls) as proxy:
        with pytest.raises(ProxyCertificateError) as raised:
            await connect(
                f"wss://127.0.0.1:{port}/",
                proxy=proxy.url,
                ssl=corp.client,
                **({"proxy_ssl": corp.client} if where == "proxy" else {}),
            )
    whose = "this proxy" if where == "proxy" else "the server"
    assert raised.value.hint == (
        f"whoever runs {whose} has to renew it, unless the clock of this machine is wrong"
    )


@pytest.mark.parametrize("secure", [False, True])
async def test_a_tunnel_to_nobody(secure):
    """Some proxies open a tunnel before they know whether they reach the server."""
    uri = f"{'wss' if secure else 'ws'}://ws.test:8443/"

    class Early(HTTPProxyServer):
        async def dial(self, host, port):
            return await asyncio.open_connection("127.0.0.1", closing)

    async with speaking(b"", close=True) as closing, Early() as proxy:
        with pytest.raises(ProxyError) as raised:
            await connect(uri, proxy=proxy.url)
    assert raised.value.hint.startswith("the proxy opened the tunnel, but ws.test:8443 doesn't")
    assert "it may refuse connections, which some proxies" in raised.value.hint


@pytest.mark.parametrize(
    ("answer", "hint"),
    [(b"SSH-2.0-x\r\n", "this is an SSH server"), (b"\x15\x03\x01\x00\x02\x02\x46", "try wss://")],
)
async def test_others_behind_a_tunnel(answer, hint):
    async with speaking(answer, close=True) as port, SOCKSProxyServer() as proxy:
        with pytest.raises(ProxyHandshakeError) as raised:
            await connect(f"ws://127.0.0.1:{port}/", proxy=proxy.url)
        assert hint in raised.value.hint


async def test_the_server_is_named_when_the_step_is_about_the_proxy(corp):
    uri = "wss://ws.test:8443/chat"
    async with speaking(b"nonsense", asked=True, close=True) as port:
        for proxy, step, kind in (
            ("http://127.0.0.1:1", "connect", ProxyConnectionError),
            ("http://nosuch.invalid:3128", "resolve", ProxyConnectionError),
            (f"https://127.0.0.1:{port}", "TLS to proxy", ProxyTLSError),
        ):
            with pytest.raises(kind) as raised:
                await connect(uri, proxy=proxy)
            assert raised.value.step == step
            assert raised.value.server == "ws.test:8443"
            assert "\n  server: ws.test:8443\n" in str(raised.value)
        with pytest.raises(InvalidProxyMessage) as raised:
            await connect(uri, proxy=f"http://127.0.0.1:{port}")
        assert raised.value.target == raised.value.server == "ws.test:8443"
        assert "server:" not in str(raised.value)


async def test_the_server_is_named_in_a_chain():
    async with HTTPProxyServer(username="me", password="pw") as proxy:
        with pytest.raises(InvalidProxyStatus) as raised:
            await connect("ws://ws.test:80/", proxy=f"http://127.0.0.1:{proxy.port} -> http://q:1")
    assert "\n  target: q:1\n  server: ws.test:80\n" in str(raised.value)
