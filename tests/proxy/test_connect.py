"""connect() with proxies."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.client import process_exception
from tidegate.datastructures import Headers
from tidegate.exceptions import (
    InvalidMessage,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyCertificateError,
    ProxyConnectionError,
    ProxyError,
    ProxyHandshakeError,
    ProxyTimeout,
)
from tidegate.http11 import Response
from tidegate.proxy import DigestAuth, Failover, Proxy, Timeouts, choice, parse_proxy
from tidegate.testing import Faults, HTTPProxyServer, SOCKSProxyServer


@pytest.fixture(autouse=True)
def nobody_rests(monkeypatch):
    monkeypatch.setattr(choice, "resting", choice.Resting())
    monkeypatch.setattr("tidegate.proxy.attempts.resting", choice.resting)


@pytest.fixture(autouse=True)
def no_proxy_around(monkeypatch):
    for name in "ws", "wss", "socks", "https", "http", "all", "no":
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@contextlib.asynccontextmanager
async def echo_server(ssl=None, **options):
    """A WebSocket server; gives its URI."""
    async with serve(echo, "127.0.0.1", 0, ssl=ssl, **options) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'ws' if ssl is None else 'wss'}://127.0.0.1:{port}/"


async def check(websocket):
    for message in "text", b"\x00\xff" * 50000:
        await websocket.send(message)
        assert await websocket.recv() == message


@pytest.mark.parametrize("secure_server", [False, True])
@pytest.mark.parametrize("kind", ["http", "https", "socks5h", "socks5h+tls", "chain"])
async def test_echo(transport_kind, origin, corp, secure_server, kind):
    proxy_ssl = corp.server if kind in ("https", "socks5h+tls", "chain") else None
    async with contextlib.AsyncExitStack() as stack:
        uri = await stack.enter_async_context(echo_server(origin.server if secure_server else None))
        options = {"username": "me", "password": "s3cret"}
        http = await stack.enter_async_context(HTTPProxyServer(ssl=proxy_ssl, **options))
        socks = await stack.enter_async_context(SOCKSProxyServer(ssl=proxy_ssl, **options))
        chain = f"{http.url} -> {socks.url} -> {http.url}"
        url = {"http": http, "https": http}.get(kind, socks).url if kind != "chain" else chain
        tls = {"ssl": origin.client} if secure_server else {}
        if proxy_ssl is not None:
            tls["proxy_ssl"] = corp.path
        async with connect(uri, proxy=url, **tls) as websocket:
            await check(websocket)
            assert websocket.proxy.proxy == parse_proxy(url)
            assert websocket.proxy.route.source == "the argument proxy"
            assert websocket.proxy.steps[-1].name == "handshake"
            assert all(seconds > 0 for seconds in websocket.proxy.timings.values())
            assert "s3cret" not in repr(websocket.proxy)
            if kind.startswith("http"):
                assert websocket.proxy.headers == Headers()


async def test_without_a_proxy():
    async with echo_server() as uri, connect(uri) as websocket:
        await check(websocket)
        assert websocket.proxy is None


class TestArguments:
    async def test_headers_and_authentication(self):
        async with (
            echo_server() as uri,
            HTTPProxyServer(auth="SHA-256", username="me", password="s3cret") as proxy,
            connect(
                uri,
                proxy=f"http://127.0.0.1:{proxy.port}",
                proxy_auth=DigestAuth("me", "s3cret"),
                proxy_headers={"X-Session": "42"},
                user_agent_header="Test/1",
            ),
        ):
            [request] = proxy.requests
            assert request.headers["x-session"] == "42"
            assert request.headers["user-agent"] == "Test/1"

    async def test_host_and_port_name_the_target(self):
        async with echo_server() as uri, HTTPProxyServer() as proxy:
            port = int(uri.split(":")[2].rstrip("/"))
            async with connect("ws://ws.test/", proxy=proxy.url, host="127.0.0.1", port=port):
                assert (proxy.requests[0].host, proxy.requests[0].port) == ("127.0.0.1", port)

    async def test_host_decides_whether_a_proxy_is_looked_for(self, monkeypatch):
        monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
        async with echo_server() as uri:
            port = int(uri.split(":")[2].rstrip("/"))
            async with connect("ws://ws.test/", host="127.0.0.1", port=port) as websocket:
                assert websocket.proxy is None

    async def test_a_socket_needs_no_proxy(self, monkeypatch):
        monkeypatch.setenv("TIDEGATE_PROXY_LOOPBACK", "1")
        monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
        async with echo_server() as uri:
            import socket

            sock = socket.create_connection(("127.0.0.1", int(uri.split(":")[2].rstrip("/"))))
            async with connect(uri, sock=sock) as websocket:
                await check(websocket)

    async def test_proxy_ssl_for_a_proxy_without_tls(self):
        with pytest.raises(ValueError, match="incompatible with an http:// proxy"):
            await connect("ws://ws.test/", proxy="http://p.test", proxy_ssl="/ca.pem")
        context = ssl.create_default_context()
        with pytest.raises(ValueError, match="incompatible with a socks5h:// proxy"):
            await connect("ws://ws.test/", proxy="socks5h://p.test", proxy_ssl=context)

    @pytest.mark.parametrize("found", [False, True])
    async def test_no_proxy_ssl_for_a_proxy_with_tls(self, found, monkeypatch):
        for url, message in (
            ("https://p.test", "an https://"),
            ("socks5h+tls://p.test", "a socks5h"),
            ("http://q.test -> https://p.test -> http://r.test", "an https://"),
        ):
            monkeypatch.setenv("all_proxy", url)
            with pytest.raises(ValueError, match=f"^proxy_ssl=None is incompatible with {message}"):
                await connect("ws://ws.test/", proxy=True if found else url, proxy_ssl=None)

    async def test_no_proxy_ssl_where_it_is_not_needed(self, corp):
        async with echo_server() as uri, HTTPProxyServer(ssl=corp.server) as proxy:
            own = dataclasses.replace(parse_proxy(proxy.url), ssl=corp.client)
            for way in own, None:
                async with connect(uri, proxy=way, proxy_ssl=None) as websocket:
                    await check(websocket)

    async def test_an_argument_that_does_not_exist(self):
        with pytest.raises(TypeError):
            await connect("ws://ws.test/", proxy="http://127.0.0.1:1", proxy_colour="red")

    @pytest.mark.parametrize(
        "proxy", ["ftp://p.test", "http://", "http://u:p\x00@p.test", "http://p.test:0x"]
    )
    async def test_malformed_url(self, proxy, monkeypatch):
        async def getaddrinfo(*args, **kwargs):
            raise AssertionError("a packet was about to be sent")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)
        with pytest.raises(InvalidProxy):
            await connect("ws://ws.test/", proxy=proxy)

    async def test_loopback(self, monkeypatch):
        async with echo_server() as uri, HTTPProxyServer() as proxy:
            monkeypatch.setenv("all_proxy", proxy.url)
            async with connect(uri) as websocket:
                assert websocket.proxy is None
            async with connect(uri, proxy_loopback=True) as websocket:
                assert websocket.proxy.route.source == "the environment variable all_proxy"
            monkeypatch.setenv("TIDEGATE_PROXY_LOOPBACK", "1")
            async with connect(uri) as websocket:
                assert websocket.proxy is not None
            async with connect(uri, proxy=None) as websocket:
                assert websocket.proxy is None
            assert proxy.connections == 2

    async def test_found_for_another_host(self, monkeypatch):
        async with echo_server() as uri, HTTPProxyServer() as proxy:
            port = int(uri.split(":")[2].rstrip("/"))
            proxy.hosts["ws.test"] = ("127.0.0.1", port)
            monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
            async with connect("ws://ws.test/") as websocket:
                await check(websocket)
                assert websocket.proxy.route.source == "the environment variable http_proxy"

    async def test_function(self):
        async with echo_server() as uri, HTTPProxyServer() as proxy:

            async def pick(given):
                assert given == uri
                return {"ws": [proxy.url]}

            async with connect(uri, proxy=pick) as websocket:
                assert websocket.proxy.proxy.port == proxy.port


class TestLists:
    async def test_the_next_is_tried(self):
        async with echo_server() as uri, HTTPProxyServer() as proxy:
            proxies = ["http://127.0.0.1:1", proxy.url]
            for _ in range(2):
                async with connect(uri, proxy=proxies) as websocket:
                    assert websocket.proxy.proxy.port == proxy.port
            assert choice.resting.remaining(Proxy("http", "127.0.0.1", 1)) > 0

    async def test_it_is_logged(self, caplog):
        caplog.set_level("DEBUG", "tidegate.client")
        async with (
            echo_server() as uri,
            HTTPProxyServer() as proxy,
            connect(uri, proxy=["http://me:s3cret@127.0.0.1:1", proxy.url]),
        ):
            pass
        server = uri.rstrip("/")
        assert f"route: {proxy.url} -> {server}" in caplog.messages
        assert (
            f"http://me:***@127.0.0.1:1 -> {server} failed; trying the next: "
            "connecting to the proxy failed: Connection refused"
        ) in caplog.messages

    async def test_a_refusal_is_no_reason_to_rest(self):
        async with (
            echo_server() as uri,
            HTTPProxyServer(faults=Faults(refuse=403)) as first,
            SOCKSProxyServer(faults=Faults(refuse=2)) as second,
        ):
            for number in range(1, 3):
                async with connect(uri, proxy=[first.url, second.url, None]) as websocket:
                    assert websocket.proxy is None
                assert (first.connections, second.connections) == (number, number)

    async def test_a_silent_one_leaves_time_for_the_next(self):
        async with (
            echo_server() as uri,
            HTTPProxyServer(faults=Faults(silent=True)) as silent,
            HTTPProxyServer() as proxy,
        ):
            proxies = [silent.url, proxy.url]
            async with connect(uri, proxy=proxies, open_timeout=2) as websocket:
                assert websocket.proxy.proxy.port == proxy.port

    async def test_without_a_proxy_first(self):
        async with echo_server() as uri, HTTPProxyServer() as proxy:
            port = int(uri.split(":")[2].rstrip("/"))
            proxy.hosts["ws.invalid"] = ("127.0.0.1", port)
            async with connect("ws://ws.invalid/", proxy=[None, proxy.url]) as websocket:
                assert websocket.proxy.proxy.port == proxy.port

    async def test_all_fail(self):
        with pytest.raises(ProxyConnectionError) as raised:
            await connect("ws://ws.test/", proxy=["http://127.0.0.1:1", "socks5h://127.0.0.1:2"])
        assert raised.value.proxy.port == 2
        assert raised.value.__notes__ == [
            "Before that, http://127.0.0.1:1 failed: connecting to the proxy failed: "
            "Connection refused"
        ]

    async def test_the_servers_fault_is_not_the_proxys(self, origin):
        async with (
            echo_server(origin.server) as uri,
            HTTPProxyServer() as first,
            HTTPProxyServer() as second,
        ):
            with pytest.raises(ProxyCertificateError) as raised:
                await connect(uri, proxy=Failover([first.url, second.url]))
            assert raised.value.step == "TLS to server"
            assert second.connections == 0


class TestFailures:
    async def test_handshake_that_is_refused(self):
        def refuse(websocket, request):
            return websocket.respond(403, "no")

        async with echo_server(process_request=refuse) as uri, HTTPProxyServer() as proxy:
            with pytest.raises(InvalidStatus) as raised:
                await connect(uri, proxy=proxy.url)
            assert raised.value.__notes__ == [
                "hint: the server may want another origin, a cookie, or a token: ask who runs it",
                "the opening handshake through the proxy failed; "
                f"the proxy is {proxy.url}, from the argument proxy",
            ]

    async def test_handshake_that_is_not_answered(self):
        async def hold(websocket, request):
            await asyncio.sleep(10)

        async with (
            HTTPProxyServer() as proxy,
            echo_server(process_request=hold, close_timeout=0.1) as uri,
        ):
            with pytest.raises(ProxyTimeout) as raised:
                await connect(uri, proxy=proxy.url, proxy_timeouts=Timeouts(handshake=0.05))
            assert raised.value.step == "handshake"

    async def test_the_caller_is_told_where_the_time_went(self):
        async with echo_server() as uri, HTTPProxyServer(faults=Faults(silent=True)) as proxy:
            with pytest.raises(TimeoutError) as raised:
                async with asyncio.timeout(0.05):
                    await connect(uri, proxy=proxy.url)
            cancelled = raised.value.__cause__ or raised.value.__context__
            assert cancelled.__notes__[0].startswith("asking the proxy to connect to")

    @pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 ", b"garbage\r\n\r\n"])
    async def test_handshake_that_is_cut_off(self, answer):
        """A proxy that doesn't let WebSocket pass shows it by breaking the tunnel."""

        async def cut(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(cut, "127.0.0.1", 0)
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with HTTPProxyServer() as proxy:
            with pytest.raises(ProxyHandshakeError) as raised:
                await connect(uri, proxy=proxy.url)
            assert isinstance(raised.value, InvalidMessage)
            assert raised.value.step == "handshake"
            assert "try a wss:// URI" in raised.value.hint
            assert raised.value.transient == (b"\n" not in answer)
        server.close()

    async def test_slow_trickle(self):
        """What comes byte by byte keeps nobody waiting longer than the step may take."""
        trickling = asyncio.Event()

        async def trickle(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
            try:
                while not writer.is_closing():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.001)
            except OSError:
                pass
            trickling.set()

        server = await asyncio.start_server(trickle, "127.0.0.1", 0)
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ProxyTimeout) as raised:
            await connect("ws://ws.test/", proxy=proxy, proxy_timeouts=Timeouts(negotiate=0.1))
        assert raised.value.step == "CONNECT"
        await trickling.wait()
        server.close()

    @pytest.mark.asyncio_only
    async def test_silent_proxy(self):
        async with echo_server() as uri, HTTPProxyServer(faults=Faults(silent=True)) as proxy:
            with pytest.raises(ProxyTimeout) as raised:
                await connect(uri, proxy=proxy.url, open_timeout=2)
            assert raised.value.step == "CONNECT"
            with pytest.raises(ProxyTimeout):
                await connect(uri, proxy=proxy.url, proxy_timeouts=Timeouts(negotiate=0.05))

    async def test_nothing_secret_is_logged(self, caplog):
        caplog.set_level("DEBUG")
        async with (
            echo_server() as uri,
            HTTPProxyServer(username="me", password="s3cret") as proxy,
        ):
            async with connect(uri, proxy=proxy.url) as websocket:
                await check(websocket)
            proxy.faults.wrong_password = True
            attempts = connect(uri, proxy=proxy.url)
            with pytest.raises(ProxyError) as raised:
                await attempts
        assert "s3cret" not in caplog.text + str(raised.value) + repr(raised.value)


class TestReconnection:
    async def test_proxies_that_come_back(self):
        events = []
        async with echo_server() as uri, HTTPProxyServer(faults=Faults(refuse=503)) as proxy:

            def mend(event):
                events.append(event.state)
                if event.state == "waiting":
                    proxy.faults = Faults()

            attempts = connect(
                uri, proxy=proxy.url, reconnect_delays=lambda: iter([0, 0]), on_event=mend
            )
            async for websocket in attempts:
                await check(websocket)
                break
            assert events == ["connecting", "waiting", "connecting", "connected"]
            await websocket.close()

    async def test_a_password_does_not_become_right(self):
        async with (
            echo_server() as uri,
            HTTPProxyServer(username="me", password="s3cret") as proxy,
        ):
            url = proxy.url.replace("s3cret", "wrong")
            with pytest.raises(InvalidProxyStatus):
                async for _ in connect(uri, proxy=url):
                    pass
            assert proxy.connections == 1

    async def test_the_proxy_is_chosen_anew(self):
        async with echo_server() as uri, HTTPProxyServer() as one, SOCKSProxyServer() as two:
            urls = iter([one.url, two.url])
            attempts = connect(uri, proxy=lambda uri: next(urls))
            seen = []
            async for websocket in attempts:
                seen.append(websocket.proxy.proxy.scheme)
                await websocket.close()
                if len(seen) == 2:
                    break
            assert seen == ["http", "socks5h"]

    @pytest.mark.parametrize(
        ("error", "again"),
        [
            (ProxyConnectionError("x", transient=True), True),
            (ProxyTimeout("x", transient=True), True),
            (ProxyCertificateError("x"), False),
            (ProxyError("x"), False),
            *[
                (InvalidProxyStatus(Response(status, "", Headers())), again)
                for status, again in [
                    (403, False), (407, False), (501, False),
                    (500, True), (502, True), (503, True), (504, True),
                ]
            ],
        ],
    )  # fmt: skip
    def test_what_is_worth_another_attempt(self, error, again):
        assert process_exception(error) is (None if again else error)
