"""Tunnels with asyncio, through proxies of tidegate.testing and through their faults."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from tidegate.asyncio.tunnel import Tunnel, connect_through
from tidegate.exceptions import (
    InvalidProxyMessage,
    InvalidProxyStatus,
    ProxyCertificateError,
    ProxyConnectionError,
    ProxyError,
    ProxyTimeout,
    ProxyTLSError,
)
from tidegate.proxy import parse_proxy
from tidegate.proxy.passage import Passage, Timeouts
from tidegate.proxy.routes import Route
from tidegate.testing import Faults, HTTPProxyServer
from tidegate.uri import parse_uri

from .conftest import Recorder, echo_server


async def connect(uri, proxy, factory=Recorder, open_timeout=10, timeouts=None, **options):
    """Connect through a proxy given by its URL."""
    ws_uri = parse_uri(uri)
    proxy = parse_proxy(proxy) if isinstance(proxy, str) else proxy
    passage = Passage(Route(ws_uri, proxy, "the test"), timeouts or Timeouts(), open_timeout)
    passage = options.pop("passage", passage)
    loop = asyncio.get_running_loop()
    return await connect_through(loop, factory, ws_uri, passage, **options)


async def check(transport, protocol, greeting=b""):
    """Check that there is an echo, and that nothing got lost before it."""
    assert protocol.made == 1
    transport.write(b"ping over the tunnel")
    await protocol.receive(b"ping over the tunnel")
    assert bytes(protocol.received) == greeting + b"ping over the tunnel"
    transport.abort()


@pytest.mark.parametrize("where", ["server", "proxy", "proxy_server_hostname", "Proxy"])
async def test_names_with_a_dot_at_their_end(where, transport_kind, origin, corp, monkeypatch):
    """RFC 6066, section 3: TLS asks for, and verifies, the name without it."""
    asked = []
    for certificates in origin, corp:
        certificates.server.sni_callback = lambda tls, name, context: asked.append(name)

    async def resolve(self, address, family):
        address = ("127.0.0.1", address[1])
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address)]

    monkeypatch.setattr(Tunnel, "resolve", resolve)
    try:
        async with (
            echo_server(origin.server) as port,
            HTTPProxyServer(ssl=corp.server) as server,
        ):
            uri = f"wss://localhost.:{port}/" if where == "server" else f"wss://localhost:{port}/"
            proxy = parse_proxy(f"https://localhost{'.' * (where == 'proxy')}:{server.port}")
            options = {"proxy_ssl": corp.client}
            if where == "proxy_server_hostname":
                options[where] = "localhost."
            elif where == "Proxy":
                proxy.server_hostname = "localhost."
            await check(*await connect(uri, proxy, ssl=origin.client, host="127.0.0.1", **options))
    finally:
        for certificates in origin, corp:
            certificates.server.sni_callback = None
    assert asked == ["localhost", "localhost"]


@pytest.mark.parametrize("secure_server", [False, True])
@pytest.mark.parametrize("secure_proxy", [False, True])
@pytest.mark.parametrize("hops", [1, 2])
async def test_all_combinations_of_tls(
    transport_kind, origin, corp, secure_server, secure_proxy, hops
):
    proxy_ssl = corp.server if secure_proxy else None
    async with (
        echo_server(origin.server if secure_server else None, b"welcome") as port,
        HTTPProxyServer(ssl=proxy_ssl) as near,
        HTTPProxyServer(ssl=proxy_ssl, username="me", password="p@ss") as far,
    ):
        proxy = parse_proxy(f"{near.url} -> {far.url}" if hops == 2 else far.url)
        uri = f"{'wss' if secure_server else 'ws'}://127.0.0.1:{port}/"
        passage = Passage(Route(parse_uri(uri), proxy))
        transport, protocol = await connect(
            uri, proxy, ssl=origin.client, proxy_ssl=corp.path, passage=passage
        )
        assert protocol.transport is transport
        assert (transport.get_extra_info("ssl_object") is not None) == (
            secure_server or secure_proxy
        )
        await check(transport, protocol, b"welcome")
        assert [(r.host, r.port) for r in far.requests] == [("127.0.0.1", port)]
        if hops == 2:
            assert [(r.host, r.port) for r in near.requests] == [("127.0.0.1", far.port)]
        names = ["resolve", "connect"]
        for _ in range(hops):
            names += ["TLS to proxy", "CONNECT"] if secure_proxy else ["CONNECT"]
        names += ["TLS to server"] if secure_server else []
        assert [step.name for step in passage.steps] == names
        assert all(step.seconds >= 0 for step in passage.steps)
        assert set(passage.timings) == set(names)
        assert len(passage.responses) == hops


@pytest.mark.parametrize("fragment", [None, 1])
@pytest.mark.parametrize("early", [b"x", b"early bytes, more than fit into its buffer at once"])
async def test_bytes_behind_the_reply_reach_the_protocol(transport_kind, early, fragment):
    faults = Faults(early=early, fragment=fragment)
    async with echo_server() as port, HTTPProxyServer(faults=faults) as proxy:
        await check(*await connect(f"ws://127.0.0.1:{port}/", proxy.url), early)


async def test_bytes_before_tls(transport_kind):
    faults = Faults(early=b"220 mail.test ready\r\n")
    async with echo_server() as port, HTTPProxyServer(faults=faults) as proxy:
        with pytest.raises(InvalidProxyMessage) as raised:
            await connect(f"wss://127.0.0.1:{port}/", proxy.url)
    assert "'220 mail.test ready" in str(raised.value)
    assert raised.value.step == "TLS to server"


async def test_bytes_behind_the_reply_reach_the_next_proxy(transport_kind):
    early = b"HTTP/1.1 200 OK\r\n\r\n"
    async with echo_server() as port, HTTPProxyServer(faults=Faults(early=early)) as near:
        # The second reply comes with the first, so that the far proxy is the echo itself.
        proxy = f"{near.url} -> http://127.0.0.1:{port}"
        transport, protocol = await connect("ws://server.test/", proxy)
        await protocol.receive(b"\r\n\r\n")
        assert protocol.received.startswith(b"CONNECT server.test:80 HTTP/1.1\r\n")
        transport.abort()


async def test_a_plain_protocol(transport_kind):
    class Plain(asyncio.Protocol):
        def __init__(self):
            self.received = asyncio.Future()

        def data_received(self, data):
            self.received.set_result(data)

    async with echo_server() as port, HTTPProxyServer(faults=Faults(early=b"!")) as proxy:
        transport, protocol = await connect(f"ws://127.0.0.1:{port}/", proxy.url, Plain)
        assert await protocol.received == b"!"
        transport.abort()


@pytest.mark.asyncio_only
async def test_host_and_port_name_the_target():
    async with echo_server() as port, HTTPProxyServer() as proxy:
        await check(*await connect("ws://server.test/", proxy.url, host="127.0.0.1", port=port))
        assert proxy.requests[0].host == "127.0.0.1"


@pytest.mark.asyncio_only
async def test_the_proxy_resolves_the_name():
    async with (
        echo_server() as port,
        HTTPProxyServer(hosts={"server.test": ("127.0.0.1", port)}) as proxy,
    ):
        await check(*await connect("ws://server.test/", proxy.url))


async def test_unix_socket(tmp_path, transport_kind):
    path = str(tmp_path / "proxy.sock")
    async with echo_server() as port, HTTPProxyServer(unix_path=path) as proxy:
        assert proxy.url == f"http+unix://{path}"
        await check(*await connect(f"ws://127.0.0.1:{port}/", proxy.url))


async def test_ipv6(transport_kind):
    try:
        proxy = HTTPProxyServer(host="::1")
        await proxy.start()
    except OSError:
        pytest.skip("there is no IPv6")
    async with echo_server() as port:
        assert proxy.url == f"http://[::1]:{proxy.port}"
        await check(*await connect(f"ws://127.0.0.1:{port}/", proxy.url))
    await proxy.close()


async def test_local_address():
    async with echo_server() as port, HTTPProxyServer() as proxy:
        transport, protocol = await connect(
            f"ws://127.0.0.1:{port}/", proxy.url, local_addr=("127.0.0.1", 0)
        )
        assert transport.get_extra_info("sockname")[0] == "127.0.0.1"
        assert transport.get_extra_info("peername")[:2] == ("127.0.0.1", proxy.port)
        await check(transport, protocol)


@pytest.mark.asyncio_only
@pytest.mark.parametrize("delay", [0.25, None])
async def test_every_address_of_the_proxy_is_tried(monkeypatch, delay):
    async with echo_server() as port, HTTPProxyServer() as proxy:
        loop = asyncio.get_running_loop()

        async def getaddrinfo(host, port, **kwargs):
            assert host == "proxy.test"
            # Nobody listens at the first.
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in ("127.0.0.2", "127.0.0.1")
            ]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        transport, protocol = await connect(
            f"ws://127.0.0.1:{port}/",
            f"http://proxy.test:{proxy.port}",
            happy_eyeballs_delay=delay,
        )
        await check(transport, protocol)


class TestAuthentication:
    @pytest.mark.asyncio_only
    @pytest.mark.parametrize("close", [False, True])
    @pytest.mark.parametrize(
        "auth", ["basic", "MD5", "SHA-256", "SHA-512-256", "MD5-sess", "SHA-256-sess"]
    )
    async def test_right_password(self, auth, close):
        faults = Faults(close_on_challenge=close)
        async with (
            echo_server() as port,
            HTTPProxyServer(auth=auth, username="usér", password="pä:ss", faults=faults) as proxy,
        ):
            uri = f"ws://127.0.0.1:{port}/"
            await check(*await connect(uri, proxy.url))
            assert proxy.connections == (2 if close and auth != "basic" else 1)
            assert proxy.requests[0].username == "usér"

    @pytest.mark.asyncio_only
    async def test_nonce_is_used_again(self):
        async with (
            echo_server() as port,
            HTTPProxyServer(auth="SHA-256", username="me", password="secret") as proxy,
        ):
            target = parse_proxy(f"http://127.0.0.1:{proxy.port}")
            from tidegate.proxy.digest import DigestAuth

            target.auth = DigestAuth("me", "secret")
            uri = f"ws://127.0.0.1:{port}/"
            for _ in range(3):
                await check(*await connect(uri, target))
            nonces = [request.headers["proxy-authorization"] for request in proxy.requests]
            assert ["nc=00000001" in nonces[0], "nc=00000003" in nonces[2]] == [True, True]
            proxy.expire_nonce()
            await check(*await connect(uri, target))

    @pytest.mark.asyncio_only
    @pytest.mark.parametrize("auth", ["basic", "MD5"])
    async def test_wrong_password(self, auth):
        async with HTTPProxyServer(auth=auth, username="me", password="secret") as proxy:
            url = proxy.url.replace("secret", "guess-42")
            with pytest.raises(InvalidProxyStatus) as raised:
                await connect("ws://server.test/", url)
            error = raised.value
            assert error.step == "authenticate"
            assert error.response.status_code == 407
            assert not error.transient
            assert "guess-42" not in str(error)

    @pytest.mark.asyncio_only
    async def test_callable_runs_in_a_thread(self):
        async with (
            echo_server() as port,
            HTTPProxyServer(username="me", password="secret") as proxy,
        ):
            target = parse_proxy(f"http://127.0.0.1:{proxy.port}")

            def ask(challenges):
                with pytest.raises(RuntimeError):
                    asyncio.get_running_loop()
                return ("me", "secret") if challenges else None

            target.auth = ask
            await check(*await connect(f"ws://127.0.0.1:{port}/", target))


class TestFailures:
    @pytest.mark.asyncio_only
    async def test_everything_is_told(self):
        faults = Faults(refuse=503)
        async with HTTPProxyServer(username="me", password="s3cret", faults=faults) as proxy:
            with pytest.raises(InvalidProxyStatus) as raised:
                await connect("wss://server.test/", proxy.url)
            error = raised.value
            lines = str(error).splitlines()
            assert lines[:3] == [
                "proxy rejected connection: HTTP 503",
                f"  proxy: http://me:***@127.0.0.1:{proxy.port}, from the test",
                "  target: server.test:443",
            ]
            assert lines[3].startswith("  failed at: CONNECT, after 0.")
            assert lines[4:] == [
                "  reply: HTTP 503 Refused",
                "  hint: the proxy is there but cannot reach server.test:443",
            ]
            assert error.transient
            assert error.proxy.host == "127.0.0.1"
            assert error.source == "the test"

    @pytest.mark.asyncio_only
    async def test_name_cannot_be_resolved(self):
        with pytest.raises(ProxyConnectionError) as raised:
            await connect("ws://server.test/", "http://proxy.invalid:1")
        assert raised.value.step == "resolve"
        assert isinstance(raised.value, OSError)
        assert "proxy.invalid cannot be resolved" in str(raised.value)

    async def test_nobody_listens(self):
        with pytest.raises(ProxyConnectionError) as raised:
            await connect("ws://server.test/", "http://127.0.0.1:1")
        assert raised.value.step == "connect"
        assert raised.value.transient
        assert "Connection refused" in str(raised.value)
        assert "nothing listens there" in raised.value.hint

    async def test_tls_to_a_plain_proxy(self, transport_kind):
        async def plain(reader, writer):
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ProxyTLSError) as raised:
            await connect("ws://server.test/", f"https://127.0.0.1:{port}")
        server.close()
        assert raised.value.step == "TLS to proxy"
        assert isinstance(raised.value, ssl.SSLError)
        assert f"try http://127.0.0.1:{port}" in raised.value.hint
        await asyncio.sleep(0.01)

    @pytest.mark.asyncio_only
    async def test_plain_to_a_tls_proxy(self, corp):
        async with HTTPProxyServer(ssl=corp.server) as proxy:
            with pytest.raises(InvalidProxyMessage) as raised:
                await connect("ws://server.test/", f"http://127.0.0.1:{proxy.port}")
            assert raised.value.step == "CONNECT"
            assert "https" in raised.value.hint

    async def test_certificate_of_an_unknown_authority(self, transport_kind, corp):
        async with HTTPProxyServer(ssl=corp.server) as proxy:
            with pytest.raises(ProxyCertificateError) as raised:
                await connect("ws://server.test/", proxy.url)
            assert raised.value.step == "TLS to proxy"
            assert "as proxy_ssl" in raised.value.hint
            assert not raised.value.transient
            assert isinstance(raised.value, ssl.SSLCertVerificationError)

    @pytest.mark.asyncio_only
    async def test_certificate_for_another_name(self, transport_kind, corp):
        async with HTTPProxyServer(ssl=corp.server) as proxy:
            options = {"proxy_ssl": corp.client, "proxy_server_hostname": "other.test"}
            with pytest.raises(ProxyCertificateError) as raised:
                await connect("ws://server.test/", proxy.url, **options)
            assert "as proxy_server_hostname" in raised.value.hint

    @pytest.mark.asyncio_only
    async def test_certificate_of_the_server(self, transport_kind, origin):
        async with echo_server(origin.server) as port, HTTPProxyServer() as proxy:
            with pytest.raises(ProxyCertificateError) as raised:
                await connect(f"wss://127.0.0.1:{port}/", proxy.url)
            assert raised.value.step == "TLS to server"
            assert "as ssl" in raised.value.hint

    @pytest.mark.asyncio_only
    @pytest.mark.parametrize("transport_first", [True, False])
    async def test_client_certificate_wanted(self, corp, transport_kind, transport_first):
        wanting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        corp.authority.issue_cert("localhost", "127.0.0.1").configure_cert(wanting)
        corp.authority.configure_trust(wanting)
        wanting.verify_mode = ssl.CERT_REQUIRED
        if not transport_first:
            # In TLS 1.2 the handshake fails, in 1.3 what comes after it.
            wanting.maximum_version = ssl.TLSVersion.TLSv1_2
        async with echo_server() as port, HTTPProxyServer(ssl=wanting) as proxy:
            uri = f"ws://127.0.0.1:{port}/"
            with pytest.raises(ProxyError) as raised:
                await connect(uri, proxy.url, proxy_ssl=corp.client)
            assert "client certificate" in raised.value.hint
            context = ssl.create_default_context(cafile=corp.path)
            corp.authority.issue_cert("me@corp.test").configure_cert(context)
            await check(*await connect(uri, proxy.url, proxy_ssl=context))

    @pytest.mark.parametrize("faults", [Faults(drop=True), Faults(truncate=10), Faults(truncate=0)])
    async def test_proxy_closes(self, transport_kind, faults):
        async with echo_server() as port, HTTPProxyServer(faults=faults) as proxy:
            with pytest.raises(ProxyError) as raised:
                await connect(f"ws://127.0.0.1:{port}/", proxy.url)
            assert raised.value.step == "CONNECT"
            assert raised.value.transient
            assert proxy.connections == 1

    async def test_silence(self):
        async with echo_server() as port, HTTPProxyServer(faults=Faults(silent=True)) as proxy:
            with pytest.raises(ProxyTimeout) as raised:
                await connect(
                    f"ws://127.0.0.1:{port}/",
                    proxy.url,
                    timeouts=Timeouts(negotiate=0.05),
                )
            assert raised.value.step == "CONNECT"
            assert isinstance(raised.value, TimeoutError)

    @pytest.mark.asyncio_only
    async def test_open_timeout_bounds_a_step(self):
        async with echo_server() as port, HTTPProxyServer(faults=Faults(silent=True)) as proxy:
            with pytest.raises(ProxyTimeout):
                await connect(f"ws://127.0.0.1:{port}/", proxy.url, open_timeout=0.05)

    async def test_handshake_that_never_ends(self, transport_kind):
        async with echo_server() as port, HTTPProxyServer() as proxy:
            # An echo of a ClientHello isn't a ServerHello; silence takes the clock.
            async def silent(reader, writer):
                await reader.read()
                writer.close()

            server = await asyncio.start_server(silent, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ProxyTimeout) as raised:
                await connect(f"wss://127.0.0.1:{port}/", proxy.url, timeouts=Timeouts(tls=0.05))
            assert raised.value.step == "TLS to server"
            server.close()
        await asyncio.sleep(0.01)

    @pytest.mark.asyncio_only
    @pytest.mark.parametrize(
        "endless", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n" * 500]
    )
    async def test_endless_reply(self, endless):
        faults = Faults(endless=endless)
        async with echo_server() as port, HTTPProxyServer(faults=faults) as proxy:
            with pytest.raises(InvalidProxyMessage):
                await connect(f"ws://127.0.0.1:{port}/", proxy.url)

    @pytest.mark.asyncio_only
    async def test_endless_body(self):
        async def serve(reader, writer):
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 999999999999\r\n\r\n")
            try:
                while True:
                    writer.write(bytes(65536))
                    await writer.drain()
            except OSError:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(InvalidProxyStatus) as raised:
            await connect("ws://server.test/", f"http://127.0.0.1:{port}")
        assert len(raised.value.response.body) == 8192
        server.close()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.001)

    @pytest.mark.asyncio_only
    async def test_refusal_whose_body_never_comes(self, monkeypatch):
        monkeypatch.setattr("tidegate.asyncio.tunnel.REFUSAL_GRACE", 0.05)

        async def serve(reader, writer):
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nbecause")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(InvalidProxyStatus) as raised:
            await connect("ws://server.test/", f"http://127.0.0.1:{port}")
        assert raised.value.response.body == b"because"
        server.close()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.001)

    @pytest.mark.asyncio_only
    async def test_connections_without_end(self):
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 407 No\r\nConnection: close\r\nContent-Length: 0\r\n"
                b"Proxy-Authenticate: Digest nonce=n, stale=true\r\n\r\n"
            )
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ProxyError):
            await connect("ws://server.test/", f"http://me:secret@127.0.0.1:{port}")
        server.close()

    @pytest.mark.asyncio_only
    async def test_ca_bundle_that_is_not_there(self):
        message = r"No such file or directory, given as proxy_ssl: '/no/ca.pem'$"
        with pytest.raises(FileNotFoundError, match=message):
            await connect("ws://s.test/", "https://127.0.0.1:1", proxy_ssl="/no/ca.pem")
        proxy = parse_proxy("https://me:s3cret@127.0.0.1:1")
        proxy.ssl = Path("/no/ca.pem")
        message = r"given as ssl of the proxy https://me:\*\*\*@127.0.0.1:1: '/no/ca.pem'$"
        with pytest.raises(FileNotFoundError, match=message):
            await connect("ws://s.test/", proxy)
        with pytest.raises(FileNotFoundError, match=r"given as ssl: '/no/ca.pem'$"):
            await connect("wss://s.test/", "http://127.0.0.1:1", ssl="/no/ca.pem")

    @pytest.mark.asyncio_only
    async def test_ca_bundle_that_is_none(self, tmp_path):
        path = tmp_path / "ca.pem"
        path.write_text("nothing\n")
        with pytest.raises(ssl.SSLError, match=f"in {path}, given as proxy_ssl: "):
            await connect("ws://s.test/", "https://127.0.0.1:1", proxy_ssl=path)


@pytest.mark.asyncio_only
@pytest.mark.parametrize("secure", [False, True])
async def test_cancellation_at_every_moment(origin, corp, secure):
    async with (
        echo_server(origin.server if secure else None) as port,
        HTTPProxyServer(ssl=corp.server if secure else None) as proxy,
    ):
        uri = f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/"
        for turns in range(200):
            task = asyncio.ensure_future(
                connect(uri, proxy.url, ssl=origin.client, proxy_ssl=corp.client)
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                await check(*task.result())
                break
