"""connect() through real proxies."""

from __future__ import annotations

import contextlib
import ssl
import tempfile
import urllib.parse
from pathlib import Path

import pytest

from tidegate.asyncio.client import connect
from tidegate.exceptions import (
    InvalidProxyStatus,
    ProxyCertificateError,
    ProxyError,
    ProxyTLSError,
)
from tidegate.proxy import DigestAuth, NegotiateAuth, Timeouts

from ..test_connect import check, echo_server
from . import peers

QUOTED = urllib.parse.quote(peers.PASSWORD, "")


# Programs that stand in front of others, and the ports of these.
BACKENDS = {
    "stunnel": [("tinyproxy", "open"), ("microsocks", "password")],
    "haproxy": [("squid", "open")],
    "privoxy": [("microsocks", "open")],
}


@pytest.fixture(scope="module")
def start(corp):
    """Start a program, once, and give its ports; without it each test is skipped."""
    started, missing = {}, {}
    # Not pytest's own directory, which programs that run as another user cannot enter.
    with tempfile.TemporaryDirectory(prefix="tidegate-", ignore_cleanup_errors=True) as path:
        directory = Path(path)
        directory.chmod(0o755)
        with contextlib.ExitStack() as stack:

            def start(name):
                if name in missing:
                    raise missing[name].with_traceback(None)
                if name not in started:
                    try:
                        started[name] = stack.enter_context(make(name))
                    except (pytest.skip.Exception, pytest.fail.Exception) as outcome:
                        missing[name] = outcome
                        raise
                return started[name]

            def make(name):
                backends = [start(program)[port] for program, port in BACKENDS.get(name, ())]
                own = directory / name
                own.mkdir(mode=0o755)
                return getattr(peers, name)(own, corp, *backends)

            yield start


@pytest.mark.parametrize("required", [False, True])
def test_what_is_missing_is_told_each_time(start, monkeypatch, required):
    name = f"nonesuch_{required}"
    monkeypatch.setenv("TIDEGATE_REQUIRE_PEERS", "1" if required else "")
    monkeypatch.setattr(peers, name, lambda *_: peers.find("nonesuch"), raising=False)
    for _ in range(2):
        with pytest.raises((pytest.fail if required else pytest.skip).Exception, match="nonesuch"):
            start(name)


# A name, the program, its port, and the URL of the proxy on that port.
PROXIES = {
    "squid": ("squid", "open", "http://127.0.0.1:{}"),
    "squid with Basic": ("squid", "basic", f"http://px:{QUOTED}@127.0.0.1:{{}}"),
    "squid with Digest": ("squid_digest", "digest", f"http://px:{QUOTED}@127.0.0.1:{{}}"),
    "squid with TLS": ("squid", "tls", "https://127.0.0.1:{}"),
    "tinyproxy": ("tinyproxy", "open", "http://127.0.0.1:{}"),
    "tinyproxy with Basic": ("tinyproxy", "basic", "http://px:s3cretpw@127.0.0.1:{}"),
    "apache with Basic": ("apache", "basic", f"http://px:{QUOTED}@127.0.0.1:{{}}"),
    "apache with Digest": ("apache", "digest", f"http://px:{QUOTED}@127.0.0.1:{{}}"),
    "privoxy": ("privoxy", "open", "http://127.0.0.1:{}"),
    "microsocks": ("microsocks", "open", "socks5://127.0.0.1:{}"),
    "microsocks, its names": ("microsocks", "open", "socks5h://127.0.0.1:{}"),
    "microsocks with password": ("microsocks", "password", f"socks5://px:{QUOTED}@127.0.0.1:{{}}"),
    "dante 4": ("dante", "open", "socks4://127.0.0.1:{}"),
    "dante 5": ("dante", "open", "socks5://127.0.0.1:{}"),
    "dante 5, its names": ("dante", "open", "socks5h://127.0.0.1:{}"),
    "dante with password": ("dante", "password", "socks5://px:s3cretpw@127.0.0.1:{}"),
    "ssh 4": ("ssh", "open", "socks4://127.0.0.1:{}"),
    "ssh 4a": ("ssh", "open", "socks4a://127.0.0.1:{}"),
    "ssh 5": ("ssh", "open", "socks5://127.0.0.1:{}"),
    "ssh 5, its names": ("ssh", "open", "socks5h://127.0.0.1:{}"),
    "stunnel before tinyproxy": ("stunnel", "http", "https://127.0.0.1:{}"),
    "stunnel before microsocks": ("stunnel", "socks", f"socks5h+tls://px:{QUOTED}@127.0.0.1:{{}}"),
    "haproxy before squid": ("haproxy", "tls", "https://127.0.0.1:{}"),
}


def url_of(start, name):
    program, port, url = PROXIES[name]
    return url.format(start(program)[port])


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("secure", [False, True])
async def test_echo(start, origin, corp, name, secure):
    url = url_of(start, name)
    tls = {"ssl": origin.client} if secure else {}
    if "+tls" in url or url.startswith("https"):
        tls["proxy_ssl"] = corp.path
    async with echo_server(origin.server if secure else None) as uri:
        # Through a name where the proxy resolves it.
        if url.startswith(("http", "socks5h", "socks4a")):
            uri = uri.replace("127.0.0.1", "localhost")
        async with connect(uri, proxy=url, **tls) as websocket:
            await check(websocket)
            assert websocket.proxy.steps[-1].name == "handshake"


@pytest.mark.parametrize("names", [
    ("microsocks with password", "squid with TLS", "tinyproxy with Basic"),
    ("stunnel before microsocks", "ssh 4a", "apache with Digest"),
    ("haproxy before squid", "squid with Basic", "dante 5"),
])  # fmt: skip
async def test_chains_of_three(start, origin, corp, names, transport_kind):
    chain = " -> ".join(url_of(start, name) for name in names)
    async with (
        echo_server(origin.server) as uri,
        connect(uri, proxy=chain, ssl=origin.client, proxy_ssl=corp.path) as websocket,
    ):
        await check(websocket)
        assert len(websocket.proxy.route.hops) == 3


WITH_PASSWORD = [name for name, (_, _, url) in PROXIES.items() if "px:" in url]


@pytest.mark.parametrize("name", WITH_PASSWORD)
@pytest.mark.parametrize("missing", [False, True])
async def test_wrong_password(start, corp, name, missing):
    url = url_of(start, name)
    password = url.split("px:")[1].split("@")[0]
    url = url.replace(f"px:{password}@", "" if missing else "px:guess-42@")
    tls = {"proxy_ssl": corp.path} if "+tls" in url else {}
    async with echo_server() as uri:
        with pytest.raises(ProxyError) as raised:
            await connect(uri, proxy=url, **tls)
    error = raised.value
    assert error.step == "authenticate"
    assert error.hint is not None
    assert not error.transient
    assert "guess-42" not in str(error)
    if url.startswith("http"):
        assert error.response.status_code in (401, 407)
        assert error.response.headers.get_all("Proxy-Authenticate") or "tinyproxy" in name


@pytest.mark.parametrize("name", PROXIES)
async def test_server_that_is_not_there(start, corp, name):
    url = url_of(start, name)
    tls = {"proxy_ssl": corp.path} if "+tls" in url or url.startswith("https") else {}
    with pytest.raises(ProxyError) as raised:
        await connect("ws://127.0.0.1:1/", proxy=url, **tls)
    assert raised.value.step == "CONNECT"
    assert raised.value.target == "127.0.0.1:1"


async def test_digest_only(start):
    """A password that must not be shown to the proxy is proved on the kept connection."""
    port = start("squid_digest")["digest"]
    auth = DigestAuth(peers.USER, peers.PASSWORD)
    async with echo_server() as uri:
        for _ in range(2):
            async with connect(uri, proxy=f"http://127.0.0.1:{port}", proxy_auth=auth) as websocket:
                await check(websocket)


@pytest.mark.parametrize("explicit", [False, True])
async def test_ntlm(start, explicit):
    pytest.importorskip("spnego")
    port = start("squid_ntlm")["ntlm"]
    async with echo_server() as uri:
        if explicit:
            options = {
                "proxy": f"http://127.0.0.1:{port}",
                "proxy_auth": NegotiateAuth("CORP\\me", "any", protocol="ntlm"),
            }
        else:
            options = {"proxy": f"http://CORP%5Cme:any@127.0.0.1:{port}"}
        async with connect(uri, **options) as websocket:
            await check(websocket)


class TestTLS:
    async def test_authority_that_is_not_trusted(self, start):
        with pytest.raises(ProxyCertificateError) as raised:
            await connect("ws://ws.test/", proxy=url_of(start, "squid with TLS"))
        assert "as proxy_ssl" in raised.value.hint

    async def test_wrong_name(self, start, corp):
        port = start("haproxy")["wrong_name"]
        proxy = f"https://127.0.0.1:{port}"
        with pytest.raises(ProxyCertificateError) as raised:
            await connect("ws://ws.test/", proxy=proxy, proxy_ssl=corp.path)
        assert "as proxy_server_hostname" in raised.value.hint
        async with echo_server() as uri:
            options = {"proxy_ssl": corp.path, "proxy_server_hostname": "wrong.test"}
            async with connect(uri, proxy=proxy, **options) as websocket:
                await check(websocket)

    async def test_client_certificate(self, start, corp):
        proxy = f"https://127.0.0.1:{start('haproxy')['client_cert']}"
        async with echo_server() as uri:
            with pytest.raises(ProxyError) as raised:
                await connect(uri, proxy=proxy, proxy_ssl=corp.path)
            assert "client certificate" in raised.value.hint
            context = ssl.create_default_context(cafile=corp.path)
            corp.authority.issue_cert("me@corp.test").configure_cert(context)
            async with connect(uri, proxy=proxy, proxy_ssl=context) as websocket:
                await check(websocket)


class TestWrongKind:
    """Each kind of proxy taken for another: the hint names the right one, or says what to check."""

    @pytest.mark.parametrize(
        ("name", "scheme", "words"),
        [
            ("squid", "https", "http://127.0.0.1"),
            ("squid", "socks5h", "http"),
            ("tinyproxy", "socks5h", "http"),
            ("squid with TLS", "http", "https"),
            ("squid with TLS", "socks5h", "http"),
            ("microsocks", "http", "socks5h"),
            ("microsocks", "https", "socks5h"),
            ("microsocks", "socks4", "socks5"),
            ("dante 5", "http", "socks5h"),
            ("ssh 5", "http", "socks5h"),
        ],
    )
    @pytest.mark.asyncio_only
    async def test_hint(self, start, corp, name, scheme, words):
        port = url_of(start, name).rpartition(":")[2]
        options = {"proxy_ssl": corp.path} if scheme == "https" else {}
        with pytest.raises((ProxyError, ProxyTLSError)) as raised:
            await connect(
                "ws://127.0.0.1:1/",
                proxy=f"{scheme}://127.0.0.1:{port}",
                # Who waits for something else than what is sent waits for ever.
                proxy_timeouts=Timeouts(negotiate=0.3),
                **options,
            )
        assert words in (raised.value.hint or ""), str(raised.value)

    async def test_a_web_server(self, start):
        port = start("apache")["basic"]
        with pytest.raises(InvalidProxyStatus) as raised:
            await connect("ws://ws.test/", proxy=f"http://127.0.0.1:{port}")
        assert raised.value.hint is not None
