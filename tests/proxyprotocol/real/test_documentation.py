"""What docs/behind-a-load-balancer.md says about each load balancer is true.

Its configurations are taken from the page, and run with other addresses and files. Where there is
no such load balancer to run, headers like those that it sends are sent to a server with the policy
from the page.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.proxyprotocol import ForwardedPolicy, Header, ProxyPolicy, build

from ..captures import CAPTURES
from .balancers import STREAM_MODULES, balancer, missing, nginx
from .test_balancers import check, client_tls, files, handler, server_tls, websocket_to

__all__ = ["files"]

PAGE = Path(__file__).parents[3] / "docs" / "behind-a-load-balancer.md"
SERVER = "10.0.0.5:8765"
LIMITS = """
defaults
    timeout connect 3s
    timeout client 10s
    timeout server 10s
"""


def section(title):
    """Give the text of a section of the page."""
    found = re.search(rf"^##+ {title}\n(.*?)(?=^##|\Z)", PAGE.read_text("utf-8"), re.M | re.S)
    assert found, title
    return found[1]


def blocks(title, language):
    return re.findall(rf"^```{language}(?: part)?\n(.*?)^```$", section(title), re.M | re.S)


def policies(title):
    """Give the policies of a section, for load balancers on this machine."""
    found = []
    for block in blocks(title, "python"):
        if "await" in block:
            continue
        assert "trusted=[" in block
        block = block.replace("trusted=[", 'trusted=["127.0.0.1", ')
        names = {"ProxyPolicy": ProxyPolicy}
        exec(block, names)
        found.append(names["policy"])
    return found


def server_of(policy, **kwargs):
    kind = "forwarded" if isinstance(policy, ForwardedPolicy) else "proxy_protocol"
    return serve(handler, "127.0.0.1", 0, **{kind: policy}, **kwargs)


def port_of(server):
    return server.sockets[0].getsockname()[1]


# HAProxy and nginx


def haproxy(config, port, files):
    config = re.sub(r"bind :\d+", "bind 127.0.0.1:PORT", config)
    config = config.replace(SERVER, f"127.0.0.1:{port}")
    config = config.replace("/etc/haproxy/site.pem", str(files / "server"))
    config = config.replace("/etc/haproxy/clients.pem", str(files / "ca"))
    return balancer("haproxy", ("-f", "{config}", "-db"), LIMITS + config)


@pytest.mark.parametrize("tls", [False, True])
async def test_haproxy(files, tls):
    config = blocks("HAProxy", "haproxy")[0]
    policy = policies("HAProxy")[0]
    kwargs = {"ssl": server_tls(files)} if tls else {}
    async with (
        server_of(policy, **kwargs) as server,
        haproxy(config, port_of(server), files) as front,
        websocket_to(front.port, ssl=client_tls(files) if tls else None) as websocket,
    ):
        check_one(server, websocket, 2)
        # Its health checks are reset; the kernel drops what wasn't read before that.
        while policy.counters.local + policy.counters.empty < 1:
            await asyncio.sleep(0.01)
        assert policy.counters.malformed == 0


def check_one(server, websocket, version):
    """Like check(), where there may be health checks beside the connection."""
    [connection] = [c for c in server.connections if c.request is not None]
    assert connection.proxy_header.version == version
    assert connection.remote_address == websocket.local_address
    assert connection.local_address == websocket.remote_address
    return connection.proxy_header


@pytest.mark.parametrize("certificate", [False, True])
async def test_haproxy_tls(files, certificate):
    config = blocks("HAProxy", "haproxy")[1]
    context = client_tls(files, certificate=certificate)
    async with (
        server_of(policies("HAProxy")[1]) as server,
        haproxy(config, port_of(server), files) as front,
        websocket_to(front.port, ssl=context) as websocket,
    ):
        header = check(server, websocket, 2)
        assert (header.authority, header.alpn) == ("localhost", b"http/1.1")
        assert re.fullmatch(rb"[0-9a-f-]{36}", header.unique_id)
        assert header.crc32c is not None
        assert header.ssl.version == "TLSv1.3"
        assert header.ssl.cipher.startswith("TLS_")
        assert header.ssl.verified is certificate
        assert header.ssl.cn == ("Jürgen" if certificate else None)


async def test_nginx():
    [config] = blocks("nginx", "nginx")
    module = next((path for path in STREAM_MODULES if path.exists()), None)
    if module is None:
        missing("nginx' stream module isn't installed")
    async with server_of(*policies("nginx")) as server:
        config = config.replace("listen 443", "listen 127.0.0.1:PORT")
        config = config.replace(SERVER, f"127.0.0.1:{port_of(server)}")
        config = f"load_module {module};\nevents {{}}\n{config}"
        async with nginx(config) as front, websocket_to(front.port) as websocket:
            check(server, websocket, 1)


@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
async def test_http_proxies(files, kind):
    """What the client itself claims doesn't count."""
    [config] = blocks("HTTP proxies", kind)
    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    async with server_of(policy) as server:
        if kind == "haproxy":
            front = haproxy(config, port_of(server), files)
        else:
            config = config.replace("listen 80", "listen 127.0.0.1:PORT")
            config = config.replace(SERVER, f"127.0.0.1:{port_of(server)}")
            front = nginx(f"events {{}}\n{config}")
        headers = {"X-Forwarded-For": "192.0.2.66", "X-Forwarded-Host": "evil.test"}
        async with (
            front,
            websocket_to(front.port, local_addr=("127.0.0.2", 0), additional_headers=headers),
        ):
            [connection] = server.connections
            assert connection.remote_address == ("127.0.0.2", 0)
            assert connection.peer_address[0] == "127.0.0.1"
            assert connection.forwarded.proto == "http"
            assert connection.forwarded.host.startswith("localhost")


# Those that can't be run here

ADDRESSES = {"source": ("203.0.113.7", 56324), "destination": ("198.51.100.9", 443)}
WITH_CRC = [(3, bytes(4))]
NLB = Header(**ADDRESSES, tlvs=[*WITH_CRC, (4, bytes(22)), (0xEA, b"\1vpce-08d2bf15fac5001c9")])
PSC = Header(**ADDRESSES, tlvs=[(0xE0, (1234567890123456789).to_bytes(8))])
PRIVATE_LINK = Header(**ADDRESSES, tlvs=[(0xEE, b"\1" + (0x1234).to_bytes(4, "little"))])

[NLB_CHECK] = [capture.header for capture in CAPTURES if capture.name.startswith("aws_nlb")]
# The other form that has been seen: an empty block of addresses before the TLVs.
NLB_CHECK_WITH_BLOCK = bytes.fromhex("0d0a0d0a000d0a515549540a2011000c") + bytes(12)


@pytest.mark.parametrize(
    ("title", "number", "header", "reader", "expected"),
    [
        ("AWS Network Load Balancer", 0, NLB, "aws_vpce_id", "vpce-08d2bf15fac5001c9"),
        ("AWS Network Load Balancer", 0, Header(**ADDRESSES), "aws_vpce_id", None),
        ("Google Cloud", 0, Header(1, **ADDRESSES), "gcp_psc_connection_id", None),
        ("Google Cloud", 1, PSC, "gcp_psc_connection_id", 1234567890123456789),
        ("Azure", 0, PRIVATE_LINK, "azure_link_id", 0x1234),
        ("Traefik", 0, Header(**ADDRESSES), "tlvs", ()),
    ],
)
async def test_cloud(title, number, header, reader, expected):
    policy = policies(title)[number]
    async with (
        server_of(policy) as server,
        connect(
            f"ws://127.0.0.1:{port_of(server)}/", send_proxy_header=header, proxy=None
        ) as websocket,
    ):
        [connection] = server.connections
        assert connection.remote_address == ADDRESSES["source"]
        assert connection.local_address == ADDRESSES["destination"]
        assert connection.peer_address == websocket.local_address
        assert getattr(connection.proxy_header, reader) == expected
    # And nothing that its balancer doesn't send.
    other = build(Header(3 - header.version, **ADDRESSES))
    async with server_of(policy) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(other)
        while policy.counters.malformed < 1:
            await asyncio.sleep(0.001)
        writer.transport.abort()
        assert not server.all_connections


@pytest.mark.parametrize(
    ("title", "number", "data"),
    [
        ("AWS Network Load Balancer", 0, NLB_CHECK),
        ("AWS Network Load Balancer", 0, NLB_CHECK_WITH_BLOCK),
        ("Azure", 0, build(Header(command="LOCAL"))),
        ("Google Cloud", 1, build(Header(command="LOCAL"))),
    ],
)
async def test_health_checks_of_clouds(title, number, data, caplog):
    policy = policies(title)[number]
    async with server_of(policy) as server:
        caplog.set_level("INFO")
        for sent in (data, b""):
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            writer.write(sent)
            writer.close()
            await writer.wait_closed()
        while policy.counters.local < 1 or policy.counters.empty < 1:
            await asyncio.sleep(0.001)
        while server.all_connections:
            await asyncio.sleep(0.001)
        assert caplog.records == []


def test_all_load_balancers_are_told_of():
    for title in ("HAProxy", "nginx", "AWS Network Load Balancer", "Google Cloud", "Azure"):
        assert policies(title), title
    assert blocks("Traefik", "yaml")
