"""TLS keeps what an SSLContext promises, whatever a program has set on it."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys

import pytest
import trustme

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve

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
