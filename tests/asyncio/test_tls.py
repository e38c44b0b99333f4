"""TLS keeps what an SSLContext promises, whatever a program has set on it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys

import pytest
import trustme

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import InvalidStatus

from .connections import address

transports = pytest.mark.parametrize("transports", ["poller", "loop"])


async def echo(connection):
    async for message in connection:
        await connection.send(message)


@pytest.fixture
def contexts():
    """Fresh contexts, which a test may change."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return authority, server, client


async def talk(server_context, client_context, **kwargs):
    """Say something over TLS; give the server's ``ssl_object``."""
    objects = []

    async def handler(connection):
        objects.append(connection.transport.get_extra_info("ssl_object"))
        await echo(connection)

    async with (
        serve(handler, "127.0.0.1", 0, ssl=server_context) as server,
        connect(address(server, True), ssl=client_context, **kwargs) as client,
    ):
        await client.send("hello")
        assert await client.recv() == "hello"
    return objects[0]


@transports
@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("what", ["key log", "messages", "names"])
async def test_callbacks_of_contexts(transports, side, what, contexts, tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    _, server, client = contexts
    context = server if side == "server" else client
    calls = []
    if what == "key log":
        context.keylog_filename = str(tmp_path / "keys")
    elif what == "messages":
        context._msg_callback = lambda *args: calls.append(args)
    elif side == "server":
        context.sni_callback = lambda obj, name, given: calls.append(name)
    else:
        pytest.skip("clients have no such callback")
    ssl_object = await talk(server, client, server_hostname="localhost")
    assert isinstance(ssl_object, ssl.SSLObject) or side == "client"
    if what == "key log":
        assert "TRAFFIC_SECRET" in (tmp_path / "keys").read_text()
    else:
        assert calls
    if what == "names":
        assert calls == ["localhost"]


@transports
async def test_certificates_by_name(transports, contexts, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    authority, server, client = contexts
    others = {}
    for name in ("one.example", "two.example"):
        others[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(others[name])

    def choose(ssl_object, name, context):
        if name in others:
            ssl_object.context = others[name]

    server.sni_callback = choose
    for name in ("localhost", "one.example", "two.example"):
        await talk(server, client, server_hostname=name)
    with pytest.raises(ssl.SSLCertVerificationError):
        await talk(server, client, server_hostname="three.example")


@transports
@pytest.mark.parametrize("side", ["server", "client"])
async def test_subclasses_of_contexts(transports, side, contexts, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    authority, server, client = contexts
    calls = []

    class Pinning(ssl.SSLContext):
        def wrap_bio(self, *args, **kwargs):
            calls.append(side)
            return super().wrap_bio(*args, **kwargs)

    if side == "server":
        server = Pinning(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    else:
        client = Pinning(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(client)
    await talk(server, client)
    assert calls == [side]


@transports
async def test_certificates_that_are_renewed(transports, contexts, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    authority, server, client = contexts

    async with serve(echo, "127.0.0.1", 0, ssl=server) as running:
        serials = set()
        for _ in range(2):
            async with connect(address(running, True), ssl=client) as connection:
                peer = connection.transport.get_extra_info("peercert")
                serials.add(peer["serialNumber"])
            authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
        assert len(serials) == 2


KEYS = """
import asyncio, ssl, sys
from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve

async def main(certificate, authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async def handler(connection):
        await connection.send("hello")
    async with serve(handler, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        client = ssl.create_default_context(cafile=authority)
        async with connect(f"wss://127.0.0.1:{port}/", ssl=client) as connection:
            print(await connection.recv())

asyncio.run(main(*sys.argv[1:]))
"""


def test_keys_that_the_environment_wants_logged(tmp_path, monkeypatch):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "cert.pem"
    )
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    result = subprocess.run(
        [sys.executable, "-c", KEYS, tmp_path / "cert.pem", tmp_path / "ca.pem"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout == "hello\n"
    assert "TRAFFIC_SECRET" in (tmp_path / "keys").read_text()


async def test_context_that_gets_a_callback_later(contexts):
    _, server, client = contexts
    calls = []
    async with serve(echo, "127.0.0.1", 0, ssl=server) as running:
        for _ in range(2):
            async with connect(
                address(running, True), ssl=client, server_hostname="localhost"
            ) as connection:
                await connection.send("x")
                assert await connection.recv() == "x"
            server.sni_callback = lambda ssl_object, name, context: calls.append(name)
    assert calls == ["localhost"]
    await asyncio.sleep(0)


@transports
async def test_a_handshake_that_is_cut_off_says_with_whom(transports, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)

    async def leave(reader, writer):
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(leave, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    words = f"127.0.0.1:{port} closed the connection during the TLS handshake"
    async with server:
        with pytest.raises(ConnectionResetError, match=words):
            await connect(f"wss://127.0.0.1:{port}", proxy=None)


@pytest.mark.parametrize("where", ["uri", "argument"])
async def test_name_with_a_dot_at_its_end(where, contexts):
    """RFC 6066, section 3: neither asked for with it, nor looked for in the certificate."""
    _, server, client = contexts
    names = []
    server.sni_callback = lambda ssl_object, name, context: names.append(name)
    async with serve(echo, "127.0.0.1", 0, ssl=server) as running:
        uri = address(running, True)
        options = {"server_hostname": "localhost."}
        if where == "uri":
            uri, options = uri.replace("127.0.0.1", "localhost."), {"host": "127.0.0.1"}
        async with connect(uri, ssl=client, proxy=None, **options) as connection:
            await connection.send("x")
            assert await connection.recv() == "x"
    assert names == ["localhost"]


@transports
@pytest.mark.parametrize("how", ["close", "close without an answer", "reset"])
async def test_peers_that_leave_behind_a_paused_reader(transports, how, contexts, monkeypatch):
    """Nothing is read any more, and the end is noticed nevertheless, long before a time limit."""
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    if transports == "loop":
        pytest.skip("the loop's transports see it at the next deadline")
    _, server, client = contexts
    left = asyncio.Event()

    async def handler(connection):
        await connection.wait_closed()
        left.set()

    options = {"ping_interval": None, "close_timeout": 0.5}
    async with serve(handler, "127.0.0.1", 0, ssl=server, **options) as running:
        connection = await connect(
            address(running, True), ssl=client, ping_interval=None, close_timeout=0.05
        )
        for _ in range(40):
            await connection.send("x")
        if how == "reset":
            sock = connection.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.transport.abort()
        elif how == "close":
            await connection.close()
        else:
            connection.transport.close()
        await left.wait()
        await connection.wait_closed()


@transports
@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_a_path_to_the_certificates_to_trust(
    transports, kind, contexts, tmp_path, monkeypatch
):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    authority, server, _ = contexts
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    if kind == "folder":
        if shutil.which("openssl") is None:
            pytest.skip("openssl isn't installed")
        subprocess.run(["openssl", "rehash", tmp_path], check=True)
    trusted = str(path if kind == "file" else tmp_path)
    async with serve(echo, "127.0.0.1", 0, ssl=server) as running:
        async with connect(address(running, True), ssl=trusted) as connection:
            await connection.send("x")
            assert await connection.recv() == "x"
        with pytest.raises(FileNotFoundError):
            await connect(address(running, True), ssl=str(tmp_path / "nothing"))


# Peers that are OpenSSL's own

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl isn't installed"
)

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def s_client(running, *arguments):
    """Shake hands with a server; give all that ``openssl s_client`` says."""
    port = running.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # An empty Close frame with the mask 0.
    process.stdin.write(REQUEST + b"\x88\x80\0\0\0\0")
    output, _ = await process.communicate()
    return output.decode(errors="replace")


@transports
@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_as_client(transports, version, contexts, tmp_path, monkeypatch):
    """Client certificates, ALPN, several certificates by SNI, and one that is renewed."""
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    authority, server, _ = contexts
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("me@example.com").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "me.pem"
    )
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(other)
    for context in (server, other):
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["http/1.1"])

    def choose(ssl_object, name, context):
        if name == "other.example":
            ssl_object.context = other

    server.sni_callback = choose
    trust = ("-CAfile", tmp_path / "ca.pem", "-verify_return_error", version)
    mine = ("-cert", tmp_path / "me.pem", "-key", tmp_path / "me.pem")
    async with serve(echo, "127.0.0.1", 0, ssl=server) as running:
        for name in ("localhost", "other.example"):
            said = await s_client(
                running,
                *(*trust, *mine, "-servername", name, "-verify_hostname", name),
                *("-alpn", "h2,http/1.1"),
            )
            assert "101 Switching Protocols" in said, said
            assert "ALPN protocol: http/1.1" in said
            assert "Verify return code: 0 (ok)" in said or "Verification: OK" in said
        said = await s_client(running, *trust)
        assert "101 Switching" not in said
        # asyncio's own transports close without saying why.
        assert "alert" in said or transports == "loop"
        authority.issue_cert("renewed.example").configure_cert(server)
        said = await s_client(running, *trust, *mine, "-verify_hostname", "renewed.example")
        assert "101 Switching Protocols" in said, said


@transports
@needs_openssl
async def test_openssl_as_server(transports, contexts, tmp_path, monkeypatch):
    """It asks for a client certificate, agrees on a protocol, and answers what isn't WebSocket."""
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    authority, _, client = contexts
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, host in (("server", "localhost"), ("me", "me@example.com")):
        authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(
            tmp_path / f"{name}.pem"
        )
    client.load_cert_chain(tmp_path / "me.pem")
    client.set_alpn_protocols(["h2", "http/1.1"])
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "1"),
        *("-cert", tmp_path / "server.pem", "-CAfile", tmp_path / "ca.pem", "-Verify", "2"),
        *("-verify_return_error", "-alpn", "http/1.1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = ""
    while "ACCEPT" not in said:
        said = (await process.stdout.readline()).decode()
    port = int(said.rpartition(":")[2])
    connecting = asyncio.ensure_future(
        connect(f"wss://localhost:{port}/", ssl=client, host="127.0.0.1", proxy=None)
    )
    said = ""
    while "Upgrade: websocket" not in said:
        said += (await process.stdout.readline()).decode()
    process.stdin.write(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(InvalidStatus, match="418"):
        await connecting
    process.stdin.close()
    rest = (await process.stdout.read()).decode()
    await process.wait()
    said += rest
    assert "ALPN protocols selected: http/1.1" in said
    assert "depth=0" in said.partition("ALPN")[0]
