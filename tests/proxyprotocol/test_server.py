"""Servers whose connections come through proxies, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import sys

import pytest
import trustme

from tidegate.proxyprotocol import (
    Header,
    ProxyPolicy,
    build,
    intake,
    parse,
    start_server,
    start_unix_server,
)
from tidegate.proxyprotocol.sock import SocketInfoLocal, SocketInfoProxy

HEADER = Header(source=("203.0.113.7", 56324), destination=("198.51.100.9", 443), tlvs=[(5, b"id")])
HEADER6 = Header(source=("2001:db8::7", 56324), destination=("2001:db8::9", 443))
V1 = build(HEADER, version=1)
V2 = build(HEADER, crc32c=True)
LOCAL = build(Header(command="LOCAL"))


def policy_of(**arguments):
    return ProxyPolicy(**{"trusted": ["127.0.0.1", "::1", "unix"], **arguments})


class Recorder:
    """An echo server that remembers who called, as its connections say."""

    def __init__(self):
        self.calls = []

    async def __call__(self, reader, writer):
        self.calls.append(
            tuple(
                writer.get_extra_info(name)
                for name in ("peername", "sockname", "proxy_peername", "proxy_header")
            )
        )
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()


@contextlib.asynccontextmanager
async def echo(policy=None, **kwargs):
    recorder = Recorder()
    server = await start_server(recorder, "127.0.0.1", 0, policy=policy or policy_of(), **kwargs)
    async with server:
        yield server, recorder.calls
        for task in list(server.tasks):
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)


async def send(server, *pieces, eof=True):
    """Give what a server answers until it closes the connection, with each piece in a segment."""
    host, port = server.sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(host, port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.001)
        if eof:
            writer.write_eof()
        return await reader.read(), writer.get_extra_info("sockname")
    except OSError:
        return b"", writer.get_extra_info("sockname")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def in_bytes(data):
    return [data[at : at + 1] for at in range(len(data))]


# Plain TCP


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("cut", ["one segment", "header alone", "byte by byte"])
async def test_header(header, cut):
    pieces = {
        "one segment": [header + b"hello"],
        "header alone": [header, b"hello"],
        "byte by byte": in_bytes(header + b"hello"),
    }[cut]
    async with echo() as (server, calls):
        answer, client = await send(server, *pieces)
        assert answer == b"hello"
        ((remote, local, peer, seen),) = calls
        assert remote == ("203.0.113.7", 56324)
        assert local == ("198.51.100.9", 443)
        assert peer == client
        assert seen.source == HEADER.source
        assert seen.unique_id == (b"id" if seen.version == 2 else None)
        assert server.gate.policy.counters.proxied == 1


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("tls", [False, True])
async def test_cut_at_every_byte(contexts, header, tls):
    server_context, client_context = contexts
    kwargs = {"ssl": server_context} if tls else {}
    async with echo(**kwargs) as (server, calls):
        for at in range(1, len(header)):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(header[:at])
            (protocol,) = await waiting(server)
            while len(protocol.intake.data) < at:
                await asyncio.sleep(0)
            assert len(calls) == at - 1
            if tls:
                # With the ClientHello behind the rest of the header.
                client = TLSClient(client_context, reader, writer)
                await client.run(client.ssl.do_handshake, before=header[at:])
                await client.run(client.ssl.write, b"hello")
                assert await client.run(client.ssl.read, 5) == b"hello"
            else:
                writer.write(header[at:] + b"hello")
                assert await reader.readexactly(5) == b"hello"
            assert calls[-1][0] == ("203.0.113.7", 56324)
            writer.transport.abort()
        assert server.gate.policy.counters.proxied == len(header) - 1


async def test_ipv6_and_large_payload():
    async with echo() as (server, calls):
        payload = bytes(range(256)) * 1000
        answer, _ = await send(server, build(HEADER6) + payload)
        assert answer == payload
        assert calls[0][0] == ("2001:db8::7", 56324, 0, 0)
        assert calls[0][1] == ("2001:db8::9", 443, 0, 0)


@pytest.mark.parametrize("header", [LOCAL, build(Header(1)), build(Header())])
async def test_nobody_in_particular(header):
    async with echo() as (server, calls):
        answer, client = await send(server, header + b"hello")
        assert answer == b"hello"
        ((remote, local, peer, seen),) = calls
        assert remote == peer == client
        assert local == server.sockets[0].getsockname()
        assert seen.source is None
        counters = server.gate.policy.counters
        assert (counters.local, counters.proxied) == ((1, 0) if header is LOCAL else (0, 1))


async def test_untrusted_peers_are_served_without_a_header():
    async with echo(ProxyPolicy(trusted=["10.0.0.0/8"])) as (server, calls):
        # Theirs is data like any other.
        answer, client = await send(server, V1 + b"hello")
        assert answer == V1 + b"hello"
        assert calls == [(client, server.sockets[0].getsockname(), None, None)]
        assert server.gate.policy.counters.plain == 1


async def test_untrusted_peers_are_rejected(caplog):
    caplog.set_level(logging.DEBUG, "tidegate.proxyprotocol")
    policy = ProxyPolicy(trusted=["10.0.0.0/8"], untrusted="reject")
    async with echo(policy) as (server, calls):
        answer, client = await send(server, V1 + b"hello")
        assert answer == b""
        assert calls == []
        assert policy.counters.rejected == 1
    assert [r.getMessage() for r in caplog.records] == [f"127.0.0.1:{client[1]} is not trusted"]


async def test_function_decides():
    decisions = iter(["require", "plain", "reject", True, False])
    policy = policy_of(trusted=lambda peername: next(decisions), untrusted="reject")
    async with echo(policy) as (server, _):
        answers = [(await send(server, V1 + b"hello"))[0] for _ in range(5)]
        assert answers == [b"hello", V1 + b"hello", b"", b"hello", b""]


async def test_function_fails():
    """It is a mistake in the program: it is reported, and nobody is let in."""
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def trusted(peername):
        raise LookupError("no such peer")

    async with echo(policy_of(trusted=trusted)) as (server, calls):
        assert (await send(server, V1 + b"hello"))[0] == b""
        assert calls == []
    assert [repr(context["exception"]) for context in reported] == ["LookupError('no such peer')"]


WRONG = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"PROXY TCP4 203.0.113.7 198.51.100.9 56324 99999\r\nhello",
    b"PROXY TCP4 203.0.113.7 198.51.100.9 56324 443\nhello",
    V2[:20] + b"x" + V2[21:] + b"hello",
    V2[:12] + b"\x31" + V2[13:],
    b"PROXY UNKNOWN " + b"x" * 200,
]


@pytest.mark.parametrize("data", WRONG)
@pytest.mark.parametrize("bytewise", [False, True])
async def test_deviation(data, bytewise, caplog):
    # R5
    caplog.set_level(logging.DEBUG, "tidegate.proxyprotocol")
    async with echo() as (server, calls):
        answer, client = await send(server, *(in_bytes(data) if bytewise else [data]), eof=False)
        assert answer == b""
        assert calls == []
        assert server.gate.policy.counters.malformed == 1
        assert not server.gate.waiting
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.exc_info is None
    assert record.getMessage().startswith(f"127.0.0.1:{client[1]} sent no valid PROXY protocol")
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("tls", [False, True])
async def test_deviation_in_what_has_come_of_a_header(contexts, tls):
    """The rest of it isn't waited for."""
    start = V2[:14] + (2000).to_bytes(2) + V2[16:28]
    pieces = [start, b"\x05\0\2", b"id", b"\xe0\0", b"\1x\x05", b"\0\x81"]
    server_context, _ = contexts
    kwargs = {"ssl": server_context} if tls else {}
    async with echo(policy_of(timeout=None), **kwargs) as (server, calls):
        for together in (pieces, [b"".join(pieces)]):
            assert (await send(server, *together, eof=False))[0] == b""
        assert calls == []
        assert server.gate.policy.counters.malformed == 2


async def test_versions_and_size():
    async with echo(policy_of(versions=(2,))) as (server, _):
        assert (await send(server, V1 + b"hello"))[0] == b""
        assert (await send(server, V2 + b"hello"))[0] == b"hello"
    large = build(HEADER.replace(tlvs=[(0xE0, bytes(200))]))
    async with echo(policy_of(max_size=200)) as (server, _):
        assert (await send(server, large + b"hello"))[0] == b""
        assert (await send(server, V2 + b"hello"))[0] == b"hello"


@pytest.mark.parametrize("sent", [b"", b"PROXY TCP4 ", V2[:-1]])
async def test_timeout(sent, caplog):
    caplog.set_level(logging.DEBUG, "tidegate.proxyprotocol")
    async with echo(policy_of(timeout=0.05)) as (server, calls):
        answer, _ = await send(server, sent, eof=False)
        assert answer == b""
        assert calls == []
        assert server.gate.policy.counters.timed_out == 1
    assert "in time" in caplog.records[0].getMessage()


async def test_trickle():
    """The time is for the whole header, not for each piece of it."""
    async with echo(policy_of(timeout=0.1)) as (server, calls):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with contextlib.suppress(OSError):
            for octet in in_bytes(V1 + b"x" * 1000):
                writer.write(octet)
                await asyncio.sleep(0.02)
                if reader.at_eof() or reader.exception():
                    break
        assert calls == []
        assert server.gate.policy.counters.timed_out == 1
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_trickled_header_is_not_read_again_and_again(monkeypatch):
    """To read all TLVs again for each byte that comes would be quadratic work."""
    sizes = []

    def counting(data, **kwargs):
        sizes.append(len(data))
        return parse(data, **kwargs)

    monkeypatch.setattr(intake, "parse", counting)
    header = build(HEADER.replace(tlvs=[(0xE0, b"")] * 1000))
    async with echo() as (server, _):
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        (protocol,) = await waiting(server)
        for octet in header:
            protocol.get_buffer(1)[:1] = bytes((octet,))
            protocol.buffer_updated(1)
        assert server.gate.policy.counters.proxied == 1
        writer.close()
        await writer.wait_closed()
    assert sizes == [*range(1, 17), len(header)]


async def waiting(server):
    """Those of a server's connections whose header is missing, once there are any."""
    while not server.gate.waiting:
        await asyncio.sleep(0.001)
    return server.gate.waiting


async def test_time_after_the_header_is_not_limited():
    async with echo(policy_of(timeout=0.05)) as (server, _):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(V2)
        await asyncio.sleep(0.1)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("reset", [False, True])
async def test_connection_without_a_byte(reset, caplog):
    """Load balancers look that way whether somebody listens: nothing to write home about."""
    caplog.set_level(logging.DEBUG)
    async with echo() as (server, calls):
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, server.sockets[0].getsockname())
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        counters = server.gate.policy.counters
        while not counters.empty:
            await asyncio.sleep(0.001)
        assert calls == []
        assert not server.gate.waiting
    assert [r for r in caplog.records if r.name.startswith("tidegate")] == []


async def test_connection_that_ends_in_the_header(caplog):
    caplog.set_level(logging.DEBUG, "tidegate.proxyprotocol")
    async with echo() as (server, calls):
        assert (await send(server, V2[:20]))[0] == b""
        assert calls == []
        assert server.gate.policy.counters.malformed == 1
    assert "in the middle" in caplog.records[0].getMessage()


async def test_crowd(caplog):
    """Who trusts too many at once isn't kept from serving the others."""
    caplog.set_level(logging.DEBUG, "tidegate.proxyprotocol")
    async with echo(policy_of(max_waiting=2)) as (server, _):
        address = server.sockets[0].getsockname()
        idle = [await asyncio.open_connection(*address) for _ in range(2)]
        while len(server.gate.waiting) < 2:
            await asyncio.sleep(0.001)
        assert (await send(server, V2 + b"hello"))[0] == b""
        assert server.gate.policy.counters.crowded == 1
        idle[0][1].write(V2)
        while len(server.gate.waiting) == 2:
            await asyncio.sleep(0.001)
        assert (await send(server, V2 + b"hello"))[0] == b"hello"
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()


async def test_close():
    """Closing the server closes those who are still waiting, and serves those who aren't."""
    async with echo() as (server, _):
        address = server.sockets[0].getsockname()
        waiting, waiting_writer = await asyncio.open_connection(*address)
        served, served_writer = await asyncio.open_connection(*address)
        served_writer.write(V2 + b"hello")
        assert await served.readexactly(5) == b"hello"
        while not server.gate.waiting:
            await asyncio.sleep(0.001)
        server.close()
        with contextlib.suppress(ConnectionResetError):
            assert await waiting.read() == b""
        assert not server.gate.waiting
        served_writer.write(b"again")
        assert await served.readexactly(5) == b"again"
        for writer in waiting_writer, served_writer:
            writer.close()
            with contextlib.suppress(ConnectionResetError):
                await writer.wait_closed()


# The program


async def test_callback_with_socket_info():
    infos = []

    async def callback(reader, writer, info):
        infos.append(info)
        writer.write(await reader.read())
        writer.close()

    server = await start_server(callback, "127.0.0.1", 0, policy=policy_of())
    async with server:
        answers = [(await send(server, header + b"hello"))[0] for header in (V2, LOCAL)]
        _, client = await send(server, build(Header(1)) + b"hello")
    assert answers == [b"hello", b"hello"]
    assert isinstance(infos[0], SocketInfoProxy)
    assert infos[0].peername == ("203.0.113.7", 56324)
    assert infos[0].unique_id == b"id"
    assert isinstance(infos[1], SocketInfoLocal)
    assert len(infos[1].unique_id) == 16
    # A server has the addresses of its socket where the header has none.
    assert infos[2].peername == client


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated at once")
async def test_callback_with_annotations_for_type_checkers_only():
    infos = []
    source = """
async def callback(reader: Unknown, writer: Unknown, info: Unknown) -> None:
    infos.append(info)
    writer.close()
"""
    names = {"infos": infos}
    exec(compile(source, "program", "exec", dont_inherit=True), names)
    server = await start_server(names["callback"], "127.0.0.1", 0, policy=policy_of())
    async with server:
        await send(server, V2)
    assert isinstance(infos[0], SocketInfoProxy)


async def test_callback_that_is_no_coroutine_function():
    called = asyncio.Event()

    def callback(reader, writer):
        writer.write(b"bye")
        writer.close()
        called.set()

    server = await start_server(callback, "127.0.0.1", 0, policy=policy_of())
    async with server:
        assert (await send(server, V2))[0] == b"bye"
    assert called.is_set()


async def test_callback_that_fails():
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def callback(reader, writer):
        raise LookupError("where was I?")

    server = await start_server(callback, "127.0.0.1", 0, policy=policy_of())
    async with server:
        assert (await send(server, V2))[0] == b""
    assert [str(context["exception"]) for context in reported] == ["where was I?"]


async def test_server_object():
    server = await start_server(
        lambda reader, writer: writer.close(),
        "127.0.0.1",
        0,
        policy=policy_of(),
        start_serving=False,
    )
    assert server.get_loop() is asyncio.get_running_loop()
    assert not server.is_serving()
    await server.start_serving()
    assert server.is_serving()
    task = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    assert (await send(server, V2))[0] == b""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not server.is_serving()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("untrusted", [False, True])
async def test_unix(tmp_path, untrusted):
    recorder = Recorder()
    path = tmp_path / "sock"
    policy = ProxyPolicy(trusted=["127.0.0.1"] if untrusted else ["unix"])
    server = await start_unix_server(recorder, path, policy=policy)
    async with server:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(V2 + b"hello")
        writer.write_eof()
        assert await reader.read() == (V2 if untrusted else b"") + b"hello"
        writer.close()
        await writer.wait_closed()
    remote, local, _, _ = recorder.calls[0]
    if untrusted:
        assert not remote and local == str(path)
    else:
        assert remote == ("203.0.113.7", 56324)


# TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def contexts(authority):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    server.verify_mode = ssl.CERT_OPTIONAL
    authority.configure_trust(server)
    server.set_alpn_protocols(["http/1.1"])
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


class TLSClient:
    """TLS over a connection, with the segments that the test wants."""

    def __init__(self, context, reader, writer):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.reader, self.writer = reader, writer

    async def run(self, function, *args, before=b"", bytewise=False):
        """Do something with TLS, and send ``before`` in front of the first bytes of that."""
        while True:
            try:
                result = function(*args)
                done = True
            except ssl.SSLWantReadError:
                done = False
            data = before + self.outgoing.read()
            before = b""
            for piece in in_bytes(data) if bytewise else [data] if data else []:
                self.writer.write(piece)
                await self.writer.drain()
                if bytewise:
                    await asyncio.sleep(0)
            if done:
                return result
            received = await self.reader.read(65536)
            if received:
                self.incoming.write(received)
            else:
                self.incoming.write_eof()


async def tls_echo(server, context, header, *, bytewise=False, early=False):
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = TLSClient(context, reader, writer)
    try:
        if early:
            # The end of the handshake and data in one segment.
            def handshake_and_write():
                client.ssl.do_handshake()
                client.ssl.write(b"hello")

            await client.run(handshake_and_write, before=header, bytewise=bytewise)
        else:
            await client.run(client.ssl.do_handshake, before=header, bytewise=bytewise)
            await client.run(client.ssl.write, b"hello", bytewise=bytewise)
        answer = b""
        while len(answer) < 5:
            answer += await client.run(client.ssl.read, 100)
        return answer, client.ssl.version(), writer.get_extra_info("sockname")
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("header", [V1, V2, b""], ids=["v1", "v2", "plain"])
@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("early", [False, True])
async def test_header_before_tls(contexts, authority, version, header, bytewise, early):
    """Header and ClientHello come in one segment, which loses the latter for loop.start_tls."""
    server_context, _ = contexts
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    client_context.minimum_version = client_context.maximum_version = version
    policy = policy_of() if header else ProxyPolicy(trusted=["10.0.0.0/8"])
    async with echo(policy, ssl=server_context) as (server, calls):
        answer, _, client = await asyncio.wait_for(
            tls_echo(server, client_context, header, bytewise=bytewise, early=early), 10
        )
        assert answer == b"hello"
        assert calls[0][0] == (("203.0.113.7", 56324) if header else client)


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
async def test_header_inside_tls(contexts, header):
    server_context, client_context = contexts
    async with echo(ssl=server_context, inside_tls=True) as (server, calls):
        host, port = server.sockets[0].getsockname()
        for pieces in ([header + b"hello"], [header, b"hello"], in_bytes(header + b"hello")):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=client_context, server_hostname="localhost"
            )
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            assert await reader.readexactly(5) == b"hello"
            assert calls.pop()[0] == ("203.0.113.7", 56324)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_tls_information(contexts, authority):
    """What the program asks about TLS is about its own TLS."""
    server_context, _ = contexts
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    authority.issue_cert("client@localhost").configure_cert(client_context)
    client_context.set_alpn_protocols(["http/1.1"])
    seen = []

    async def callback(reader, writer):
        ssl_object = writer.get_extra_info("ssl_object")
        seen.append((ssl_object.selected_alpn_protocol(), bool(writer.get_extra_info("peercert"))))
        writer.write(await reader.readexactly(5))
        await writer.drain()
        writer.close()

    server = await start_server(callback, "127.0.0.1", 0, policy=policy_of(), ssl=server_context)
    async with server:
        answer, _, _ = await tls_echo(server, client_context, V2)
    assert answer == b"hello"
    assert seen == [("http/1.1", True)]


async def test_wrong_header_before_tls(contexts):
    server_context, _ = contexts
    async with echo(ssl=server_context) as (server, calls):
        for data in WRONG:
            assert (await send(server, data, eof=False))[0] == b""
        assert calls == []
        assert server.gate.policy.counters.malformed == len(WRONG)


async def test_no_tls_after_the_header(contexts, caplog):
    caplog.set_level(logging.DEBUG, "tidegate.proxyprotocol")
    server_context, _ = contexts
    async with echo(ssl=server_context) as (server, calls):
        await send(server, V2 + b"GET / HTTP/1.1\r\n\r\n", eof=False)
        await send(server, V2)
        while server.gate.handshakes:
            await asyncio.sleep(0.001)
        assert calls == []
    assert all("failed to begin TLS" in record.getMessage() for record in caplog.records)


async def test_tls_that_takes_too_long(contexts):
    server_context, _ = contexts
    async with echo(ssl=server_context, ssl_handshake_timeout=0.05) as (server, calls):
        assert (await send(server, V2, eof=False))[0] == b""
        assert calls == []


async def test_close_before_tls_handshake(contexts):
    """The socket has left one transport, and not got to the next one."""
    server_context, _ = contexts
    async with echo(ssl=server_context) as (server, calls):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        (protocol,) = await waiting(server)
        protocol.get_buffer(1)
        protocol.intake.data = V2[: -len(protocol.buffer)]
        protocol.buffer[:] = V2[len(protocol.intake.data) :]
        protocol.buffer_updated(len(protocol.buffer))
        sock = protocol.sock
        assert server.gate.handshakes and sock.fileno() >= 0
        server.close()
        await server.gate.wait_closed()
        assert sock.fileno() == -1
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert calls == []
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


async def test_close_in_tls_handshake(contexts):
    server_context, _ = contexts
    async with echo(ssl=server_context) as (server, calls):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(V2)
        while not server.gate.handshakes:
            await asyncio.sleep(0.001)
        server.close()
        with contextlib.suppress(OSError):
            assert await reader.read() == b""
        while server.gate.handshakes:
            await asyncio.sleep(0.001)
        assert calls == []
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
