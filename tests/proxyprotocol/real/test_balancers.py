"""WebSocket servers behind real load balancers. What isn't installed is skipped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl

import pytest
import trustme

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.proxyprotocol import ForwardedPolicy, Header, ProxyPolicy, build, start_server
from tidegate.proxyprotocol.dnsbl import NoopDnsbl
from tidegate.proxyprotocol.server import Address
from tidegate.proxyprotocol.server.main import listen
from tidegate.proxyprotocol.server.protocol import RelayLimits

from .balancers import haproxy, nginx_http, nginx_stream, stunnel

CLIENT, SERVER = ("203.0.113.7", 56324), ("198.51.100.9", 443)
TLVS = "crc32c,unique-id,authority,ssl,cert-cn,ssl-cipher,cert-sig,cert-key"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates, where the balancers find them, even if they aren't root any more."""
    folder = tmp_path_factory.mktemp("certificates")
    for parent in (folder, *folder.parents[:3]):
        with contextlib.suppress(PermissionError):
            parent.chmod(0o755)
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    client = authority.issue_cert("client@localhost", common_name="Jürgen")
    for name, blob in (
        ("ca", authority.cert_pem),
        ("server", server.private_key_and_cert_chain_pem),
        ("client", client.private_key_and_cert_chain_pem),
    ):
        blob.write_to_path(str(folder / name))
    return folder


def server_tls(files):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files / "server")
    return context


def client_tls(files, *, certificate=False):
    context = ssl.create_default_context(cafile=files / "ca")
    context.set_alpn_protocols(["http/1.1"])
    if certificate:
        context.load_cert_chain(files / "client")
    return context


async def handler(websocket):
    async for message in websocket:
        await websocket.send(message)


@contextlib.asynccontextmanager
async def websocket_server(**kwargs):
    if "forwarded" not in kwargs:
        kwargs.setdefault("proxy_protocol", ProxyPolicy(trusted=["127.0.0.1"]))
    async with serve(handler, "127.0.0.1", 0, **kwargs) as server:
        yield server, server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def websocket_to(port, *, ssl=None, **kwargs):
    """A WebSocket to a port, over which a large message has been sent and returned."""
    scheme = "ws" if ssl is None else "wss"
    async with connect(
        f"{scheme}://localhost:{port}/", host="127.0.0.1", port=port, ssl=ssl, proxy=None, **kwargs
    ) as websocket:
        message = bytes(range(256)) * 1000
        await websocket.send(message)
        assert await websocket.recv() == message
        yield websocket


def check(server, websocket, version):
    """Check that the server knows the client's addresses; give the header."""
    (connection,) = server.connections
    header = connection.proxy_header
    assert header.version == version
    assert connection.remote_address == websocket.local_address
    assert connection.local_address == websocket.remote_address
    # The ports may be the same by chance, as the connections are to different addresses.
    assert connection.peer_address[0] == "127.0.0.1"
    return header


# HAProxy


@pytest.mark.parametrize(("words", "version"), [("send-proxy", 1), ("send-proxy-v2", 2)])
@pytest.mark.parametrize("tls", ["none", "to the server", "through"])
async def test_haproxy(files, words, version, tls):
    """Header and ClientHello come in one segment: from HAProxy itself, or from behind it."""
    kwargs = {} if tls == "none" else {"ssl": server_tls(files)}
    words += " ssl verify none" if tls == "to the server" else ""
    context = client_tls(files) if tls == "through" else None
    async with (
        websocket_server(**kwargs) as (server, port),
        haproxy(port, words) as front,
        websocket_to(front.port, ssl=context) as websocket,
    ):
        check(server, websocket, version)


async def test_haproxy_checksum_and_unique_id():
    words = "send-proxy-v2 proxy-v2-options crc32c,unique-id"
    async with (
        websocket_server() as (server, port),
        haproxy(port, words) as front,
        websocket_to(front.port) as websocket,
    ):
        header = check(server, websocket, 2)
        assert header.crc32c is not None
        assert header.unique_id == f"id-127.0.0.1-{websocket.local_address[1]}".encode()


@pytest.mark.parametrize("certificate", [False, True])
async def test_haproxy_tls(files, certificate):
    words = f"send-proxy-v2-ssl-cn proxy-v2-options {TLVS}"
    bind = f"ssl crt {files}/server ca-file {files}/ca verify optional alpn http/1.1"
    context = client_tls(files, certificate=certificate)
    async with (
        websocket_server() as (server, port),
        haproxy(port, words, bind=bind) as front,
        websocket_to(front.port, ssl=context) as websocket,
    ):
        header = check(server, websocket, 2)
        assert header.crc32c is not None
        assert header.authority == "localhost"
        assert header.alpn == b"http/1.1"
        assert header.ssl.has_ssl
        assert header.ssl.version == "TLSv1.3"
        assert header.ssl.cipher.startswith("TLS_")
        # It says 0 for both.
        assert header.ssl.verify == 0
        assert header.ssl.verified is header.ssl.has_cert_conn is certificate
        assert header.ssl.cn == ("Jürgen" if certificate else None)
        assert (header.ssl.key_alg is not None) and (header.ssl.sig_alg is not None)


@pytest.mark.parametrize("words", ["send-proxy", "send-proxy-v2"])
async def test_haproxy_health_checks(words, caplog):
    caplog.set_level(logging.INFO)
    policy = ProxyPolicy(trusted=["127.0.0.1"])
    async with (
        websocket_server(proxy_protocol=policy) as (_, port),
        haproxy(port, f"{words} check inter 50ms") as balancer,
    ):
        counters = policy.counters
        while counters.local + counters.proxied < 5:
            await asyncio.sleep(0.01)
        assert counters.malformed == counters.timed_out == 0
        assert (counters.local > 0) is (words == "send-proxy-v2")
        # Those who come between the checks are served.
        for _ in range(10):
            async with websocket_to(balancer.port):
                await asyncio.sleep(0.03)
    loud = [record for record in caplog.records if record.levelno > logging.INFO]
    assert loud == []


@pytest.mark.parametrize("kind", ["haproxy", "haproxy v2", "nginx", "stunnel"])
@pytest.mark.parametrize("tls", [False, True])
async def test_two_balancers(files, kind, tls):
    """The second one trusts the first one, and the server trusts the second one."""
    server_context = server_tls(files) if tls else None
    if tls and kind == "stunnel":
        pytest.skip("stunnel takes TLS itself")
    async with (
        websocket_server(ssl=server_context) as (server, port),
        haproxy(port, "send-proxy-v2 proxy-v2-options crc32c", bind="accept-proxy") as second,
    ):
        first = {
            "haproxy": lambda: haproxy(second.port, "send-proxy"),
            "haproxy v2": lambda: haproxy(second.port, "send-proxy-v2"),
            "nginx": lambda: nginx_stream(second.port, options="proxy_protocol on;"),
            "stunnel": lambda: stunnel(second.port, files / "server"),
        }[kind]()
        context = client_tls(files) if tls or kind == "stunnel" else None
        async with first, websocket_to(first.port, ssl=context) as websocket:
            header = check(server, websocket, 2)
            assert header.destination == ("127.0.0.1", first.port)
            assert header.crc32c is not None


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_relay_in_front_of_haproxy(version):
    async with (
        websocket_server() as (server, port),
        haproxy(port, "send-proxy-v2", bind="accept-proxy") as front,
    ):
        limits = RelayLimits()
        relay = await listen(
            Address("127.0.0.1:0", server=True),
            Address(f"127.0.0.1:{front.port}?pp={version}"),
            None,
            limits,
            NoopDnsbl(),
            65536,
        )
        async with websocket_to(relay.sockets[0].getsockname()[1]) as websocket:
            check(server, websocket, 2)
        relay.close()
        for connection in tuple(limits.open):
            connection.transport.abort()
        while limits.open:
            await asyncio.sleep(0.001)


# What they take, as receivers


HEADERS = {
    "v1": Header(1, source=CLIENT, destination=SERVER),
    "v1 IPv6": Header(1, source=("2001:db8::7", 1), destination=("2001:db8::9", 2)),
    "v1 mixed": Header(1, source=CLIENT, destination=("2001:db8::9", 2)),
    "v2": Header(source=CLIENT, destination=SERVER),
    "v2 IPv6": Header(source=("2001:db8::7", 1), destination=("2001:db8::9", 2)),
    "v2 TLVs": Header(
        source=CLIENT,
        destination=SERVER,
        tlvs=[(3, bytes(4)), (1, b"h2"), (5, b"id"), (4, bytes(20)), (0xE1, bytes(1024))],
    ),
}


@pytest.mark.parametrize("name", HEADERS)
async def test_haproxy_takes(name):
    header = HEADERS[name]
    async with (
        websocket_server() as (server, port),
        haproxy(port, "send-proxy-v2", bind="accept-proxy") as front,
        websocket_to(front.port, send_proxy_header=header),
    ):
        (connection,) = server.connections
        assert connection.proxy_header.source == header.source
        assert connection.proxy_header.destination == header.destination


@pytest.mark.parametrize("header", [Header(1), Header(command="LOCAL"), Header().portable()])
async def test_haproxy_takes_nobody(header):
    async with (
        websocket_server() as (server, port),
        haproxy(port, "send-proxy-v2", bind="accept-proxy") as front,
        websocket_to(front.port, send_proxy_header=header) as websocket,
    ):
        check(server, websocket, 2)


async def test_haproxy_refuses_what_we_refuse():
    """A header whose checksum is wrong doesn't get as far as the server."""
    data = bytearray(build(HEADERS["v2"], crc32c=True))
    data[17] ^= 1
    async with (
        websocket_server() as (server, port),
        haproxy(port, "send-proxy-v2", bind="accept-proxy") as front,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(bytes(data))
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
        assert not server.connections


@pytest.mark.parametrize("name", ["v1", "v2", "v2 TLVs"])
async def test_nginx_takes(name):
    """It passes on the source that it was told by whom it trusts."""
    header = HEADERS[name]
    # Before 1.23.2, it takes 107 bytes at most.
    header = header.replace(tlvs=[tlv for tlv in header.tlvs if len(tlv[1]) < 1024])
    options = "set_real_ip_from 127.0.0.1; proxy_protocol on;"
    async with (
        websocket_server() as (server, port),
        nginx_stream(port, listen="proxy_protocol", options=options) as front,
        websocket_to(front.port, send_proxy_header=header),
    ):
        (connection,) = server.connections
        assert connection.remote_address == CLIENT


# nginx and stunnel


@pytest.mark.parametrize("tls", ["none", "to the server", "at the balancer", "through"])
async def test_nginx(files, tls):
    kwargs = {"ssl": server_tls(files)} if tls in ("to the server", "through") else {}
    options = "proxy_protocol on;" + (" proxy_ssl on;" if tls == "to the server" else "")
    words = ""
    if tls == "at the balancer":
        words = "ssl"
        options += f" ssl_certificate {files}/server; ssl_certificate_key {files}/server;"
    context = None if tls in ("none", "to the server") else client_tls(files)
    async with (
        websocket_server(**kwargs) as (server, port),
        nginx_stream(port, listen=words, options=options) as front,
        websocket_to(front.port, ssl=context) as websocket,
    ):
        check(server, websocket, 1)


async def test_stunnel(files):
    async with (
        websocket_server() as (server, port),
        stunnel(port, files / "server") as front,
        websocket_to(front.port, ssl=client_tls(files)) as websocket,
    ):
        check(server, websocket, 1)


@pytest.mark.parametrize("kind", ["haproxy", "nginx", "stunnel"])
async def test_stream_server(files, kind):
    """The same for servers of other protocols."""
    seen = []

    async def echo(reader, writer):
        seen.append(writer.get_extra_info("peername"))
        writer.write(await reader.read(5))
        writer.close()

    server = await start_server(
        echo, "127.0.0.1", 0, policy=ProxyPolicy(trusted=["127.0.0.1"], timeout=2)
    )
    port = server.sockets[0].getsockname()[1]
    context = client_tls(files) if kind == "stunnel" else None
    fronts = {
        "haproxy": lambda: haproxy(port, "send-proxy-v2"),
        "nginx": lambda: nginx_stream(port, options="proxy_protocol on;"),
        "stunnel": lambda: stunnel(port, files / "server"),
    }
    try:
        # It skips the test where the balancer isn't installed.
        async with fronts[kind]() as front:
            hostname = {"server_hostname": "localhost"} if context else {}
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", front.port, ssl=context, **hostname
            )
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert writer.get_extra_info("sockname") in seen
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    finally:
        server.close()
        for task in tuple(server.tasks):
            task.cancel()
        while server.tasks:
            await asyncio.sleep(0.001)


# HTTP proxies


@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
async def test_forwarded(kind):
    """What the client itself claims doesn't count."""
    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    async with websocket_server(forwarded=policy) as (server, port):
        front = (
            haproxy(port, mode="http", options="option forwardfor")
            if kind == "haproxy"
            else nginx_http(port)
        )
        async with (
            front,
            websocket_to(
                front.port,
                local_addr=("127.0.0.2", 0),
                additional_headers={"X-Forwarded-For": "192.0.2.66"},
            ),
        ):
            (connection,) = server.connections
            assert connection.remote_address == ("127.0.0.2", 0)
            assert connection.peer_address[0] == "127.0.0.1"
            assert connection.forwarded.proto == ("http" if kind == "nginx" else None)
