"""The relay: connections passed on, each after a header."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import resource
import socket
import ssl
import struct

import pytest
import trustme

from tidegate.proxyprotocol import Header, ProxyPolicy, build, parse, start_server
from tidegate.proxyprotocol.dnsbl import Dnsbl, NoopDnsbl
from tidegate.proxyprotocol.server import Address
from tidegate.proxyprotocol.server.main import listen, run
from tidegate.proxyprotocol.server.protocol import (
    DownstreamProtocol,
    RelayLimits,
    UpstreamProtocol,
)
from tidegate.proxyprotocol.tlv import ProxyProtocolExtTLV

ANYONE = ProxyPolicy(trusted="anyone")


class Backend:
    """A server behind the relay: what it was told, and what it does."""

    def __init__(self, behave):
        self.behave = behave
        self.headers = []

    async def __call__(self, reader, writer):
        self.headers.append(writer.proxy_header)
        try:
            await self.behave(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def relay_to(
    behave=echo, *, query="", policy=None, limits=None, dnsbl=None, listen_on="", backend_tls=None
):
    backend = Backend(behave)
    server = await start_server(
        backend, "127.0.0.1", 0, policy=ProxyPolicy(trusted="anyone"), ssl=backend_tls
    )
    port = server.sockets[0].getsockname()[1]
    limits = limits or RelayLimits()
    scheme = "ssl" if backend_tls else "tcp"
    relay = await listen(
        Address(listen_on or "127.0.0.1:0", server=True),
        Address(f"{scheme}://localhost:{port}?{query}"),
        policy,
        limits,
        dnsbl or NoopDnsbl(),
        65536,
    )
    try:
        yield relay.sockets[0].getsockname()[:2], backend, limits
    finally:
        relay.close()
        server.close()
        for connection in tuple(limits.open):
            connection.transport.abort()
        while limits.open or server.tasks:
            await asyncio.sleep(0.001)


async def exchange(address, data, **kwargs):
    reader, writer = await asyncio.open_connection(*address, **kwargs)
    name = writer.get_extra_info("sockname")
    try:
        writer.write(data)
        if writer.can_write_eof():
            writer.write_eof()
            answer = await reader.read()
        else:
            answer = await reader.readexactly(len(data))
    except (OSError, asyncio.IncompleteReadError):
        # The connection was reset, or ended too early.
        answer = b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return answer, name


@pytest.mark.parametrize(
    ("query", "version"), [("", 2), ("pp=v1", 1), ("pp=v2", 2), ("pp=detect", 2)]
)
async def test_header(query, version):
    async with relay_to(query=query) as (address, backend, _):
        answer, client = await exchange(address, b"hello")
        assert answer == b"hello"
        (header,) = backend.headers
        assert header.version == version
        assert (header.source, header.destination) == (client, address)
        if version == 2:
            assert len(header.unique_id) == 16
            assert header.crc32c is not None


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_header_is_sent_at_once(version):
    # S1: in one piece, before the client has sent anything
    received = asyncio.get_running_loop().create_future()

    async def connected(reader, writer):
        received.set_result(await reader.read(65536))
        writer.transport.abort()

    backend = await asyncio.start_server(connected, "127.0.0.1", 0)
    limits = RelayLimits()
    target = Address(f"127.0.0.1:{backend.sockets[0].getsockname()[1]}?pp={version}")
    source = Address("127.0.0.1:0", server=True)
    relay = await listen(source, target, None, limits, NoopDnsbl(), 65536)
    _, writer = await asyncio.open_connection(*relay.sockets[0].getsockname())
    data = await received
    header, consumed = parse(data)
    assert consumed == len(data)
    assert header.source == writer.get_extra_info("sockname")
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()
    relay.close()
    backend.close()
    while limits.open:
        await asyncio.sleep(0.001)


async def test_both_directions():
    data = bytes(range(256)) * 20_000
    async with relay_to() as (address, _, _):
        assert (await exchange(address, data))[0] == data


async def test_half_close():
    """The end of what the client sends is passed on, and what the server says to that comes back.

    So it does if the client is done before the relay is connected to the server.
    """

    async def count(reader, writer):
        size = len(await reader.read())
        await asyncio.sleep(0.01)
        writer.write(b"%d bytes" % size)

    async with relay_to(count) as (address, _, _):
        assert (await exchange(address, b"x" * 1000))[0] == b"1000 bytes"
        assert (await exchange(address, b""))[0] == b"0 bytes"


async def test_half_close_by_the_server():
    got = asyncio.get_running_loop().create_future()

    async def talk(reader, writer):
        writer.write(b"bye")
        writer.write_eof()
        got.set_result(await reader.read())

    async with relay_to(talk) as (address, _, _):
        reader, writer = await asyncio.open_connection(*address)
        assert await reader.read() == b"bye"
        writer.write(b"one moment")
        writer.write_eof()
        assert await got == b"one moment"
        writer.close()
        await writer.wait_closed()


async def test_back_pressure():
    """What the server doesn't read, the relay doesn't keep."""
    reading = asyncio.Event()

    async def dawdle(reader, writer):
        await reading.wait()
        total = 0
        while data := await reader.read(65536):
            total += len(data)
        writer.write(b"%d" % total)

    async with relay_to(dawdle) as (address, _, limits):
        reader, writer = await asyncio.open_connection(*address)
        piece = bytes(2**20)
        sent = 0
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with contextlib.suppress(TimeoutError):
            while sent < 100 * len(piece):
                writer.write(piece)
                sent += len(piece)
                await asyncio.wait_for(writer.drain(), 0.3)
        (connection,) = limits.open
        assert connection.other.transport.get_write_buffer_size() < 2**20
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000
        assert sent < 50 * len(piece)
        reading.set()
        writer.write_eof()
        assert int(await reader.read()) == sent
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("reset", [False, True])
async def test_client_that_goes_away(reset):
    gone = asyncio.Event()

    async def wait(reader, writer):
        writer.write(b"hello")
        try:
            await reader.read()
        finally:
            gone.set()

    async with relay_to(wait) as (address, _, limits):
        reader, writer = await asyncio.open_connection(*address)
        await reader.readexactly(5)
        sock = writer.get_extra_info("socket")
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await gone.wait()
        while limits.open:
            await asyncio.sleep(0.001)


async def test_server_that_is_not_there(caplog):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    limits = RelayLimits()
    relay = await listen(
        Address("127.0.0.1:0", server=True),
        Address(f"127.0.0.1:{port}"),
        None,
        limits,
        NoopDnsbl(),
        65536,
    )
    assert (await exchange(relay.sockets[0].getsockname(), b"hello"))[0] == b""
    while limits.open:
        await asyncio.sleep(0.001)
    relay.close()
    assert "Upstream connection failed: ConnectionRefusedError" in caplog.text


async def test_client_that_goes_away_before_the_server_is_connected():
    class Slow(NoopDnsbl):
        async def lookup(self, sock_info, *, loop=None):
            await asyncio.sleep(60)

    async with relay_to(dnsbl=Slow()) as (address, backend, limits):
        _, writer = await asyncio.open_connection(*address)
        while not limits.open:
            await asyncio.sleep(0.001)
        # It isn't read from, so nothing but a reset tells.
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        (connection,) = limits.open
        connection.transport.abort()
        while limits.open:
            await asyncio.sleep(0.001)
        assert backend.headers == []


async def test_connect_timeout(caplog):
    class Slow(NoopDnsbl):
        async def lookup(self, sock_info, *, loop=None):
            await asyncio.sleep(60)

    limits = RelayLimits(connect_timeout=0.02)
    async with relay_to(dnsbl=Slow(), limits=limits) as (address, _, _):
        assert (await exchange(address, b"hello"))[0] == b""
    assert "TimeoutError" in caplog.text


async def test_idle_timeout():
    async with relay_to(limits=RelayLimits(idle_timeout=0.05)) as (address, _, _):
        reader, writer = await asyncio.open_connection(*address)
        for _ in range(5):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await asyncio.sleep(0.02)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


async def test_connection_limit():
    async with relay_to(limits=RelayLimits(connections=1)) as (address, _, limits):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert (await exchange(address, b"hello"))[0] == b""
        writer.close()
        await writer.wait_closed()
        while limits.open:
            await asyncio.sleep(0.001)
        assert (await exchange(address, b"hello"))[0] == b"hello"


async def test_chain():
    """What a trusted proxy in front of it says is passed on."""
    header = Header(
        source=("203.0.113.7", 56324),
        destination=("198.51.100.9", 443),
        tlvs=[(2, b"example.com"), (5, b"id"), (0xE0, bytes(2000))],
    )
    policy = ProxyPolicy(trusted=["127.0.0.1"], untrusted="reject")
    async with relay_to(policy=policy) as (address, backend, _):
        assert (await exchange(address, build(header) + b"hello"))[0] == b"hello"
        assert (await exchange(address, b"hello" * 10))[0] == b""
        assert (await exchange(address, build(Header(command="LOCAL")) + b"x"))[0] == b"x"
        first, second = backend.headers
        assert (first.source, first.destination) == (header.source, header.destination)
        # Without what the next one could refuse.
        assert first.authority == "example.com" and first.unique_id == b"id"
        assert first.get(0xE0) is None
        assert second.source[0] == "127.0.0.1"
        assert policy.counters.malformed == 1


async def test_dnsbl():
    class Known(NoopDnsbl):
        async def lookup(self, sock_info, *, loop=None):
            return f"{sock_info.peername_ip} is known"

    async with relay_to(dnsbl=Known()) as (address, backend, _):
        await exchange(address, b"hello")
        (header,) = backend.headers
        assert ProxyProtocolExtTLV(header.get(4)).dnsbl == "127.0.0.1 is known"


async def test_dnsbl_that_does_not_answer():
    """Nothing is known then; the connection goes on."""
    dnsbl = Dnsbl.load("blocklist.invalid", timeout=0.01)

    class Loop:
        async def getaddrinfo(self, *args, **kwargs):
            await asyncio.sleep(60)

    class Patient(NoopDnsbl):
        async def lookup(self, sock_info, *, loop=None):
            return await dnsbl.lookup(sock_info, loop=Loop())

    async with relay_to(dnsbl=Patient()) as (address, backend, _):
        assert (await exchange(address, b"hello"))[0] == b"hello"
        assert backend.headers[0].get(4) is None


# TLS


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    authority = trustme.CA()
    folder = tmp_path_factory.mktemp("certificates")
    certificate = authority.issue_cert("localhost")
    client = authority.issue_cert("client@localhost", common_name="Client")
    for name, blob in (
        ("ca", authority.cert_pem),
        ("server", certificate.private_key_and_cert_chain_pem),
        ("client", client.private_key_and_cert_chain_pem),
    ):
        blob.write_to_path(str(folder / name))
    return folder


async def test_tls_on_both_sides(files):
    """Towards the target, the header is before TLS, where receivers expect it."""
    backend_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    backend_tls.load_cert_chain(files / "server")
    client_tls = ssl.create_default_context(cafile=files / "ca")
    async with relay_to(
        listen_on=f"ssl://127.0.0.1:0?cert={files}/server",
        query=f"ca={files}/ca",
        backend_tls=backend_tls,
    ) as (address, backend, _):
        answer, client = await exchange(
            address, b"hello" * 50_000, ssl=client_tls, server_hostname="localhost"
        )
        assert answer == b"hello" * 50_000
        (header,) = backend.headers
        assert header.source == client
        assert header.ssl.has_ssl


async def test_certificate_that_is_not_trusted(files, caplog):
    backend_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    backend_tls.load_cert_chain(files / "server")
    async with relay_to(backend_tls=backend_tls) as (address, backend, limits):
        assert (await exchange(address, b"hello"))[0] == b""
        while limits.open:
            await asyncio.sleep(0.001)
        assert backend.headers == []
    assert "certificate verify failed" in caplog.text


async def test_tls_towards_the_client(files):
    listen_on = f"ssl://127.0.0.1:0?cert={files}/server&ca={files}/ca&verify=CERT_OPTIONAL"
    plain = ssl.create_default_context(cafile=files / "ca")
    certified = ssl.create_default_context(cafile=files / "ca")
    certified.load_cert_chain(files / "client")
    async with relay_to(listen_on=listen_on) as (address, backend, _):
        for context in (plain, certified):
            answer, _ = await exchange(address, b"hello", ssl=context, server_hostname="localhost")
            assert answer == b"hello"
        first, second = (header.ssl for header in backend.headers)
        assert (first.has_ssl, first.verified, first.cn) == (True, False, None)
        assert (second.has_ssl, second.verified, second.cn) == (True, True, "Client")
        assert second.version.startswith("TLSv1")


# Addresses and arguments


def test_address():
    address = Address("ssl://example.com:443?pp=v1")
    assert (address.host, address.port) == ("example.com", 443)
    assert str(address) == "ssl://example.com:443?pp=v1"
    assert address.ssl is address.ssl
    assert address.ssl.verify_mode is ssl.CERT_REQUIRED
    assert Address("localhost").port is None
    assert Address("[::1]:80").host == "::1"
    assert Address(":80").host == ""
    assert Address("localhost:80").ssl is None
    insecure = Address("ssl://localhost:1?verify=CERT_NONE").ssl
    assert (insecure.verify_mode, insecure.check_hostname) == (ssl.CERT_NONE, False)


def test_address_of_a_server(files):
    context = Address(
        f"ssl://:1?cert={files}/server&ca={files}/ca&verify=CERT_REQUIRED", server=True
    ).ssl
    assert context.verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(ValueError, match="needs a certificate"):
        _ = Address("ssl://:1", server=True).ssl


@pytest.mark.parametrize("text", ["localhost:99999", "::1", "localhost:http"])
def test_malformed_address(text):
    with pytest.raises(ValueError):
        Address(text)


def test_address_options():
    with pytest.raises(ValueError, match="no version 'v3'"):
        _ = Address("localhost:1?pp=v3").pp
    with pytest.raises(ValueError, match="CERT_NONE"):
        _ = Address("ssl://localhost:1?verify=maybe").ssl


@pytest.mark.parametrize(
    "arguments",
    [
        {"service": []},
        {"service": [], "addresses": ["127.0.0.1:0"]},
        {"service": [("127.0.0.1:0", "localhost")]},
        {"service": [("127.0.0.1:0", "localhost:1?pp=v3")]},
        {"service": [("127.0.0.1:0", "localhost:1")], "trusted": ["everybody"]},
    ],
)
async def test_impossible_arguments(arguments):
    with pytest.raises(ValueError):
        await run(argparse.Namespace(**arguments))


async def test_run(caplog):
    """With the arguments that ``proxyprotocol-server`` has, and no others."""
    caplog.set_level(logging.INFO)
    server = await start_server(Backend(echo), "127.0.0.1", 0, policy=ANYONE)
    port = server.sockets[0].getsockname()[1]
    args = argparse.Namespace(
        service=[(Address("127.0.0.1:0", server=True), Address(f"127.0.0.1:{port}"))] * 2,
        buf_len=1000,
        dnsbl=None,
        quiet=False,
    )
    task = asyncio.create_task(run(args))
    while caplog.text.count("Relaying from") < 2:
        await asyncio.sleep(0.001)
    relays = [record.args[0] for record in caplog.records if record.msg.startswith("Relaying from")]
    for address in relays:
        assert (await exchange(address, b"hello"))[0] == b"hello"
    # Connections that are open don't keep it from ending.
    reader, writer = await asyncio.open_connection(*relays[0])
    writer.write(b"x")
    await reader.readexactly(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()
    server.close()
    while server.tasks:
        await asyncio.sleep(0.001)


async def test_protocols_as_they_are_used_elsewhere():
    """With the arguments that they have in ``proxy-protocol``."""
    backend = Backend(echo)
    server = await start_server(backend, "127.0.0.1", 0, policy=ANYONE)
    target = Address(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    loop = asyncio.get_running_loop()
    relay = await loop.create_server(
        lambda: DownstreamProtocol(UpstreamProtocol, loop, 1000, NoopDnsbl(), target), "127.0.0.1"
    )
    answer, client = await exchange(relay.sockets[0].getsockname(), b"hello" * 1000)
    assert answer == b"hello" * 1000
    assert backend.headers[0].source == client
    relay.close()
    server.close()
    while server.tasks:
        await asyncio.sleep(0.001)
