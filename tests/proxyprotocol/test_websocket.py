"""WebSocket servers behind load balancers, and clients that pretend to be one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct

import pytest

from tidegate.asyncio.client import connect, unix_connect
from tidegate.asyncio.server import Limits, serve, unix_serve
from tidegate.exceptions import InvalidMessage, InvalidStatus
from tidegate.proxyprotocol import ForwardedPolicy, Header, ProxyPolicy, build, start_server
from tidegate.testing import HTTPProxyServer, SOCKSProxyServer

from .test_server import TLSClient, in_bytes

HEADER = Header(source=("203.0.113.7", 56324), destination=("198.51.100.9", 443), tlvs=[(5, b"id")])
SOURCE, DESTINATION = HEADER.source, HEADER.destination
TRUSTED = ["127.0.0.1", "::1", "unix"]
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# Closing the connection at once may reset it.
REFUSED = (InvalidMessage, ConnectionError)


@pytest.fixture(params=["poller", "loop"], autouse=True)
def transports(request, monkeypatch):
    """All ways to serve connections."""
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", request.param)


async def handler(websocket):
    async for message in websocket:
        await websocket.send(message)


@contextlib.asynccontextmanager
async def server_of(policy=None, *, handler=handler, **kwargs):
    policy = policy or ProxyPolicy(trusted=TRUSTED)
    async with serve(handler, "127.0.0.1", 0, proxy_protocol=policy, **kwargs) as server:
        yield server


def uri_of(server, scheme="ws"):
    port = server.sockets[0].getsockname()[1]
    return f"{scheme}://localhost:{port}/"


def connect_to(server, *, ssl=None, **kwargs):
    host, port = server.sockets[0].getsockname()[:2]
    uri = uri_of(server, "ws" if ssl is None else "wss")
    return connect(uri, host=host, port=port, ssl=ssl, proxy=None, **kwargs)


@pytest.fixture(params=["plain", "tls", "inside_tls"])
def kinds(request, certificates):
    """Arguments for the server and for the client."""
    server_context, client_context = certificates
    if request.param == "plain":
        return {}, {}
    inside = {"inside_tls": True} if request.param == "inside_tls" else {}
    return {"ssl": server_context} | inside, {"ssl": client_context}


@contextlib.asynccontextmanager
async def connect_with(server, header, kinds, **kwargs):
    """A WebSocket whose connection begins with these bytes, before TLS or inside it."""
    _, client_kwargs = kinds
    if not kinds[0].get("inside_tls"):
        async with connect_to(server, send_proxy_header=header, **client_kwargs, **kwargs) as ws:
            yield ws
        return
    # TLS first: a relay takes it from the client's side and adds the header.
    address = server.sockets[0].getsockname()

    async def relay(reader, writer):
        onward_reader, onward_writer = await asyncio.open_connection(
            *address, ssl=client_kwargs["ssl"], server_hostname="localhost"
        )
        onward_writer.write(build(header))

        async def copy(source, sink):
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, onward_writer), copy(onward_reader, writer))

    async with await start_server(relay, "127.0.0.1", 0, policy=ProxyPolicy(trusted=[])) as front:
        async with connect_to(front, **kwargs) as websocket:
            yield websocket
        while front.tasks:
            await asyncio.wait(front.tasks)


@pytest.mark.parametrize("version", [1, 2])
async def test_addresses(kinds, version):
    seen = []

    def process_request(websocket, request):
        seen.append((websocket.remote_address, websocket.local_address))

    async def handler(websocket):
        seen.append((websocket.remote_address, websocket.local_address))
        seen.append((websocket.peer_address, websocket.proxy_header))
        async for message in websocket:
            await websocket.send(message)

    header = Header(version, source=SOURCE, destination=DESTINATION)
    async with (
        server_of(handler=handler, process_request=process_request, **kinds[0]) as server,
        connect_with(server, header, kinds) as websocket,
    ):
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
        large = b"x" * 300_000
        await websocket.send(large)
        assert await websocket.recv() == large
    assert seen[0] == seen[1] == (("203.0.113.7", 56324), ("198.51.100.9", 443))
    peer, received = seen[2]
    assert received == header
    assert peer[0] == "127.0.0.1"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("bytewise", [False, True])
async def test_segments(kinds, certificates, version, bytewise):
    """Header and ClientHello in one segment, as load balancers send them, or byte by byte."""
    data = build(HEADER, version=version)
    async with server_of(**kinds[0]) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not kinds[0]:
            for piece in in_bytes(data + REQUEST) if bytewise else [data + REQUEST]:
                writer.write(piece)
                await asyncio.sleep(0)
            answer = await reader.readuntil(b"\r\n\r\n")
        else:
            client = TLSClient(certificates[1], reader, writer)
            inside = kinds[0].get("inside_tls")
            before, request = (b"", data + REQUEST) if inside else (data, REQUEST)
            await client.run(client.ssl.do_handshake, before=before, bytewise=bytewise)
            for piece in in_bytes(request) if bytewise and inside else [request]:
                await client.run(client.ssl.write, piece, bytewise=bytewise)
            answer = await client.run(client.ssl.read, 1000)
        assert answer.startswith(b"HTTP/1.1 101 ")
        (connection,) = server.connections
        assert connection.remote_address == SOURCE
        assert connection.local_address == DESTINATION
        assert connection.peer_address == writer.get_extra_info("sockname")
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (REQUEST, "malformed"),
        (b"PROXY TCP4 203.0.113.07 198.51.100.9 56324 443\r\n" + REQUEST, "malformed"),
        (build(HEADER, crc32c=True)[:-1] + b"?" + REQUEST, "malformed"),
        (b"", "timed_out"),
        (build(HEADER)[:-1], "timed_out"),
    ],
)
async def test_wrong_headers(kinds, certificates, data, counter, caplog):
    """The program sees nothing of them, and the log one line at the lowest level."""

    def process_request(websocket, request):
        raise AssertionError("this isn't for the program")

    policy = ProxyPolicy(trusted=TRUSTED, timeout=0.1 if counter == "timed_out" else None)
    async with server_of(policy, process_request=process_request, **kinds[0]) as server:
        tls = {"ssl": certificates[1], "server_hostname": "localhost"}
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), **(tls if kinds[0].get("inside_tls") else {})
        )
        peer = writer.get_extra_info("sockname")
        caplog.clear()
        caplog.set_level(logging.DEBUG)
        writer.write(data)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert getattr(policy.counters, counter) == 1
        assert not server.all_connections
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        records = [r for r in caplog.records if r.name.startswith("tidegate")]
        (record,) = [r for r in records if r.name == "tidegate.proxyprotocol"]
        assert record.getMessage().startswith(f"127.0.0.1:{peer[1]} sent no ")
        assert all(r.levelno == logging.DEBUG and not r.exc_info for r in records)


@pytest.mark.parametrize("rest", [b"", REQUEST, b"\x16\x03\x01\x00\x05\1\0\0\1\0"])
async def test_no_tls_after_the_header(certificates, rest, caplog):
    """Not the server's fault, so its log isn't full of it."""
    caplog.set_level(logging.DEBUG)
    policy = ProxyPolicy(trusted=TRUSTED)
    async with server_of(policy, ssl=certificates[0]) as server:
        caplog.clear()
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(build(HEADER) + rest)
        writer.write_eof()
        with contextlib.suppress(ConnectionResetError):
            # There may be an alert.
            assert b"HTTP" not in await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        while server.gate.handshakes:
            await asyncio.sleep(0.001)
        assert policy.counters.proxied == 1
        assert not server.all_connections
        assert [r for r in caplog.records if r.levelno > logging.DEBUG or r.exc_info] == []


async def test_trickle(kinds, certificates):
    """The time is for all of the header."""
    policy = ProxyPolicy(trusted=TRUSTED, timeout=0.1)
    async with server_of(policy, **kinds[0]) as server:
        tls = {"ssl": certificates[1], "server_hostname": "localhost"}
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), **(tls if kinds[0].get("inside_tls") else {})
        )
        with contextlib.suppress(OSError):
            for octet in in_bytes(build(HEADER) + REQUEST):
                writer.write(octet)
                await asyncio.sleep(0.02)
                if policy.counters.timed_out:
                    break
        assert policy.counters.timed_out == 1
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_log_records(kinds):
    """They know whose connection they are about."""
    seen = []

    class Handler(logging.Handler):
        def emit(self, record):
            websocket = getattr(record, "websocket", None)
            if websocket is not None:
                seen.append((record.getMessage(), websocket.remote_address))

    async def failing(websocket):
        await websocket.recv()
        raise LookupError("it isn't there")

    logger = logging.Logger("mine", logging.INFO)
    logger.addHandler(Handler())
    async with (
        server_of(handler=failing, logger=logger, **kinds[0]) as server,
        connect_with(server, HEADER, kinds) as websocket,
    ):
        await websocket.send("where is it?")
        await websocket.wait_closed()
        while server.all_connections:
            await asyncio.sleep(0.001)
    messages = ["connection closed", "connection handler failed", "connection open"]
    assert sorted(seen) == [(message, SOURCE) for message in messages]


async def test_own_addresses(kinds):
    """``send_proxy_header=True``: those of the socket."""
    if kinds[0].get("inside_tls"):
        pytest.skip("the client sends its header before TLS")
    async with (
        server_of(**kinds[0]) as server,
        connect_with(server, True, kinds) as websocket,
    ):
        (connection,) = server.connections
        assert connection.remote_address == websocket.local_address == connection.peer_address
        assert connection.local_address == websocket.remote_address
        assert connection.proxy_header.version == 2


@pytest.mark.parametrize("header", [Header(1, source=SOURCE, destination=DESTINATION), HEADER])
@pytest.mark.parametrize("tls", [False, True])
async def test_sent_at_once(header, tls, certificates):
    # S1: in one piece, before everything else
    data = build(header)
    received = asyncio.get_running_loop().create_future()

    async def connected(reader, writer):
        received.set_result(await reader.read(65536))
        writer.transport.abort()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        with pytest.raises((OSError, EOFError, InvalidMessage)):
            kwargs = {"ssl": certificates[1]} if tls else {}
            async with connect_to(server, send_proxy_header=header, **kwargs):
                pass
        assert (await received).startswith(data)
        rest = received.result()[len(data) :]
        assert rest == b"" or rest.startswith(b"\x16\x03" if tls else b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("header", [Header(command="LOCAL"), Header(1), Header()])
async def test_nobody_in_particular(kinds, header):
    async with server_of(**kinds[0]) as server, connect_with(server, header, kinds):
        (connection,) = server.connections
        assert connection.proxy_header == header
        assert connection.remote_address == connection.peer_address
        assert connection.local_address == server.sockets[0].getsockname()


async def test_untrusted_peers_are_served(kinds):
    policy = ProxyPolicy(trusted=["10.0.0.0/8"])
    async with (
        server_of(policy, **kinds[0]) as server,
        connect_to(server, **kinds[1]) as websocket,
    ):
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
        (connection,) = server.connections
        assert connection.proxy_header is None
        assert connection.remote_address == websocket.local_address
        assert policy.counters.plain == 1


async def test_spoofing():
    """A header from somebody else is no request."""
    policy = ProxyPolicy(trusted=["10.0.0.0/8"])
    async with server_of(policy) as server:
        with pytest.raises(InvalidStatus, match="400"):
            async with connect_to(server, send_proxy_header=HEADER):
                pass
        policy = ProxyPolicy(trusted=["10.0.0.0/8"], untrusted="reject")
    async with server_of(policy) as server:
        with pytest.raises(REFUSED):
            async with connect_to(server):
                pass
        assert policy.counters.rejected == 1
        assert not server.all_connections


async def test_missing_header(kinds):
    """What it would mean if it was optional: everybody could say who they are."""
    policy = ProxyPolicy(trusted=TRUSTED)
    async with server_of(policy, **kinds[0]) as server:
        with pytest.raises(REFUSED):
            async with connect_to(server, **kinds[1]):
                pass
        assert not server.all_connections
        assert policy.counters.malformed == 1


async def test_without_proxy_protocol():
    async with serve(handler, "127.0.0.1", 0) as server, connect_to(server) as websocket:
        (connection,) = server.connections
        assert connection.proxy_header is None
        assert connection.peer_address == connection.remote_address == websocket.local_address
        assert websocket.peer_address == websocket.remote_address


async def test_unix(tmp_path):
    path = tmp_path / "sock"
    policy = ProxyPolicy(trusted=["unix"])
    async with unix_serve(handler, path, proxy_protocol=policy) as server:
        async with unix_connect(path, send_proxy_header=HEADER):
            (connection,) = server.connections
            assert connection.remote_address == ("203.0.113.7", 56324)
        # Paths are nothing that all receivers take.
        async with unix_connect(path, send_proxy_header=True):
            (connection,) = server.connections
            assert connection.proxy_header.command == "LOCAL"


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_through_a_proxy(kinds, scheme):
    """The header is for the server at the other end of the tunnel."""
    if kinds[0].get("inside_tls"):
        pytest.skip("the client sends its header before TLS")
    proxy = HTTPProxyServer() if scheme == "http" else SOCKSProxyServer(scheme)
    async with proxy, server_of(**kinds[0]) as server:
        proxy.hosts["localhost"] = server.sockets[0].getsockname()
        uri = uri_of(server, "wss" if kinds[0] else "ws")
        async with connect(uri, proxy=proxy.url, send_proxy_header=HEADER, **kinds[1]) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
            (connection,) = server.connections
            assert connection.proxy_header == HEADER
            assert connection.remote_address == SOURCE


async def test_socket_given_to_client():
    async with server_of() as server:
        sock = socket.create_connection(server.sockets[0].getsockname())
        async with connect(uri_of(server), sock=sock, send_proxy_header=HEADER):
            (connection,) = server.connections
            assert connection.remote_address == ("203.0.113.7", 56324)


async def test_limits_count_clients():
    """Behind a load balancer, they all come from its address."""
    limits = Limits(connections_per_address=1)
    async with server_of(limits=limits) as server:
        other = HEADER.replace(source=("203.0.113.8", 1))
        for _ in range(2):
            async with (
                connect_to(server, send_proxy_header=HEADER),
                connect_to(server, send_proxy_header=other),
            ):
                with pytest.raises(InvalidStatus, match="429"):
                    async with connect_to(server, send_proxy_header=HEADER):
                        pass
            while server.all_connections:
                await asyncio.sleep(0.001)


async def test_limits_count_clients_that_begin_tls(certificates, transports):
    """They say nothing after their header, and would hold their sockets for a minute."""
    limits = Limits(connections=5, connections_per_address=2)
    sources = [f"203.0.113.{1 + i % 2}" for i in range(10)] + [
        f"203.0.113.{i}" for i in range(3, 9)
    ]
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(server_of(ssl=certificates[0], limits=limits))
        closed = []
        for source in sources:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            stack.callback(writer.close)
            writer.write(build(HEADER.replace(source=(source, 1))))
            closed.append(asyncio.ensure_future(reader.read()))
        # Two of each of the first two machines, and one other.
        for _ in range(11):
            _, waiting = await asyncio.wait(closed, return_when=asyncio.FIRST_COMPLETED)
            closed = list(waiting)
            if len(closed) == 5:
                break
        assert len(closed) == len(server.gate.handshakes) + len(server.gate.shaking) == 5
        for future in closed:
            future.cancel()
        server.gate.close()
        await server.gate.wait_closed()
        # Their places are free again.
        async with connect_to(server, ssl=certificates[1], send_proxy_header=HEADER) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"


async def test_health_checks_are_quiet(kinds, caplog):
    caplog.set_level(logging.DEBUG)
    policy = ProxyPolicy(trusted=TRUSTED)
    async with server_of(policy, **kinds[0]) as server:
        address = server.sockets[0].getsockname()
        caplog.clear()
        # Those that only look whether somebody listens, and those that say so.
        with socket.create_connection(address):
            pass
        if not kinds[0].get("inside_tls"):
            with socket.create_connection(address) as sock:
                sock.sendall(build(Header(command="LOCAL")))
            while policy.counters.local < 1:
                await asyncio.sleep(0.001)
            # Those that can't, because version 1 of the header doesn't know how.
            for version in (1, 2):
                with socket.create_connection(address) as sock:
                    sock.sendall(build(HEADER.replace(version=version, tlvs=())))
                while policy.counters.proxied < version:
                    await asyncio.sleep(0.001)
            # HAProxy resets its checks.
            with socket.create_connection(address) as sock:
                sock.sendall(build(Header(command="LOCAL")))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if not kinds[0].get("inside_tls"):
            while policy.counters.empty < 1:
                await asyncio.sleep(0.001)
        while server.all_connections:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert [r for r in caplog.records if r.levelno > logging.DEBUG or r.exc_info] == []


async def test_closing_tls_twice(certificates, monkeypatch):
    """asyncio's own transport for TLS doesn't know its protocol any more then."""
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", "loop")
    server_context, client_context = certificates
    async with server_of(ssl=server_context) as server:
        async with connect_to(server, ssl=client_context, send_proxy_header=HEADER):
            (connection,) = server.connections
            connection.transport.close()
            connection.transport.close()
            await connection.wait_closed()
        assert not server.all_connections


async def test_closing_the_server(kinds):
    """It doesn't wait for headers, nor for TLS after them."""
    if kinds[0].get("inside_tls"):
        pytest.skip("whoever doesn't begin TLS hasn't got as far as the header")
    policy = ProxyPolicy(trusted=TRUSTED, timeout=None)
    async with server_of(policy, open_timeout=None, **kinds[0]) as server:
        address = server.sockets[0].getsockname()
        readers = []
        for data in (b"", b"PROXY", *([build(HEADER)] if kinds[0] else [])):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(data)
            readers.append((reader, writer))
        await asyncio.sleep(0.02)
        server.close()
        await server.wait_closed()
        for reader, writer in readers:
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionResetError):
                await writer.wait_closed()


# Forwarded


def connect_through(server, **headers):
    return connect_to(
        server,
        additional_headers=[(name.replace("_", "-"), value) for name, value in headers.items()],
    )


async def test_forwarded():
    seen = []

    def process_request(websocket, request):
        seen.append(websocket.remote_address)

    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    async with serve(
        handler, "127.0.0.1", 0, forwarded=policy, process_request=process_request
    ) as server:
        async with connect_through(
            server,
            Forwarded="for=6.6.6.6",
            X_Forwarded_For="[2001:db8::1]:4711",
            X_Forwarded_Proto="https",
            X_Forwarded_Host="example.com",
        ) as websocket:
            (connection,) = server.connections
            assert connection.remote_address == ("2001:db8::1", 4711, 0, 0)
            assert connection.peer_address == websocket.local_address
            assert connection.local_address == websocket.remote_address
            assert connection.forwarded.proto == "https"
            assert connection.forwarded.host == "example.com"
            assert connection.proxy_header is None
        async with connect_through(server, X_Forwarded_For="1.2.3.4, 192.0.2.1"):
            (connection,) = server.connections
            assert connection.remote_address == ("192.0.2.1", 0)
        async with connect_to(server) as websocket:
            (connection,) = server.connections
            assert connection.remote_address == websocket.local_address
    assert seen[:2] == [("2001:db8::1", 4711, 0, 0), ("192.0.2.1", 0)]


async def test_forwarded_in_log_records():
    seen = []

    class Adapter(logging.LoggerAdapter):
        """As the program may have one of its own."""

        def process(self, message, kwargs):
            if "extra" not in kwargs:
                return message, kwargs
            return f"{kwargs['extra']['websocket'].remote_address[0]} {message}", kwargs

    class Handler(logging.Handler):
        def emit(self, record):
            seen.append(record.getMessage())

    logger = logging.Logger("mine", logging.INFO)
    logger.addHandler(Handler())
    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    options = {"forwarded": policy, "logger": Adapter(logger, {})}
    async with (
        serve(handler, "127.0.0.1", 0, **options) as server,
        connect_through(server, X_Forwarded_For="192.0.2.1"),
    ):
        pass
    assert "192.0.2.1 connection open" in seen


async def test_forwarded_from_others():
    policy = ForwardedPolicy(trusted=["10.0.0.1"], header="X-Forwarded-For")
    async with (
        serve(handler, "127.0.0.1", 0, forwarded=policy) as server,
        connect_through(server, X_Forwarded_For="192.0.2.1") as websocket,
    ):
        (connection,) = server.connections
        assert connection.remote_address == websocket.local_address


async def test_limits_count_the_addresses_of_clients_behind_a_proxy():
    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    limits = Limits(connections=4, connections_per_address=1)
    async with serve(handler, "127.0.0.1", 0, forwarded=policy, limits=limits) as server:
        async with (
            connect_through(server, X_Forwarded_For="192.0.2.1"),
            connect_through(server, X_Forwarded_For="192.0.2.2"),
        ):
            with pytest.raises(InvalidStatus, match="429"):
                await connect_through(server, X_Forwarded_For="192.0.2.1")
            # What comes from the proxy itself, such as health checks, is limited in all only.
            async with connect_through(server), connect_through(server):
                with pytest.raises(InvalidStatus, match="503"):
                    await connect_through(server, X_Forwarded_For="192.0.2.3")
        while server.all_connections:
            await asyncio.sleep(0.001)
        # Nothing is left behind.
        assert limits._total == 0
        assert limits._counts == {}
        async with connect_through(server, X_Forwarded_For="192.0.2.1"):
            pass


async def test_limits_per_second_behind_a_proxy():
    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    limits = Limits(handshakes_per_second_per_address=0.001)
    async with serve(handler, "127.0.0.1", 0, forwarded=policy, limits=limits) as server:
        for i in range(3):
            async with connect_through(server, X_Forwarded_For=f"192.0.2.{i}"):
                pass
        with pytest.raises(InvalidStatus, match="429"):
            await connect_through(server, X_Forwarded_For="192.0.2.1")


async def test_limits_of_peers_that_are_no_proxies():
    policy = ForwardedPolicy(trusted=["10.0.0.1"], header="X-Forwarded-For")
    limits = Limits(connections_per_address=1)
    async with (
        serve(handler, "127.0.0.1", 0, forwarded=policy, limits=limits) as server,
        connect_through(server, X_Forwarded_For="192.0.2.1"),
    ):
        with pytest.raises(InvalidStatus, match="429"):
            await connect_through(server, X_Forwarded_For="192.0.2.2")


def test_a_trusted_proxy_is_not_limited_before_tls():
    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    limits = Limits(connections=3, connections_per_address=1).before_tls(policy.trusted)
    proxy, client = ("127.0.0.1", 1), ("127.0.0.2", 1)
    assert [limits.admit(address, 0) for address in (proxy, proxy, client)] == [None] * 3
    assert limits.admit(proxy, 0)[0] == 503
    limits.release(proxy)
    assert limits.admit(client, 0)[0] == 429
    assert limits.admit(proxy, 0) is None


async def test_both_kinds_of_proxies():
    """A load balancer for TCP in front of an HTTP proxy: the former tells who the latter is."""
    forwarded = ForwardedPolicy(trusted=["203.0.113.0/24"], header="X-Forwarded-For")
    async with server_of(forwarded=forwarded, limits=Limits(connections=1)) as server:
        for _ in range(2):
            async with connect_to(
                server,
                send_proxy_header=HEADER,
                additional_headers={"X-Forwarded-For": "192.0.2.1"},
            ):
                (connection,) = server.connections
                assert connection.remote_address == ("192.0.2.1", 0)
                assert connection.local_address == ("198.51.100.9", 443)
                assert connection.proxy_header == HEADER
            while server.all_connections:
                await asyncio.sleep(0.001)
        async with connect_to(
            server,
            send_proxy_header=HEADER.replace(source=("192.0.2.9", 1)),
            additional_headers={"X-Forwarded-For": "192.0.2.1"},
        ):
            (connection,) = server.connections
            assert connection.remote_address == ("192.0.2.9", 1)


@pytest.mark.parametrize("why", ["untrusted", "crowded", "health check"])
@pytest.mark.parametrize("tls", [False, True])
async def test_who_is_sent_away_leaves_nothing_to_the_next(why, tls, certificates):
    """The next connection gets the same descriptor, and must be read."""
    policy = ProxyPolicy(trusted=["127.0.0.1"], untrusted="reject", max_waiting=1)
    server_tls, client_tls = ({"ssl": each} if tls else {} for each in certificates)
    async with server_of(policy, **server_tls) as server:
        address = server.sockets[0].getsockname()[:2]
        for _ in range(10):
            waiting = None
            if why == "crowded":
                waiting = await asyncio.open_connection(*address)
                while not server.gate.waiting:
                    await asyncio.sleep(0.001)
            source = ("127.0.0.2", 0) if why == "untrusted" else None
            reader, writer = await asyncio.open_connection(*address, local_addr=source)
            if why == "health check":
                writer.write(build(Header(command="LOCAL")))
                writer.transport.abort()
            else:
                assert await reader.read() == b""
                writer.close()
            if waiting is not None:
                waiting[1].transport.abort()
                while server.gate.waiting:
                    await asyncio.sleep(0.001)
            async with connect_to(server, send_proxy_header=HEADER, **client_tls) as websocket:
                await websocket.send("hello")
                assert await websocket.recv() == "hello"
    if why != "health check":
        assert policy.counters.rejected + policy.counters.crowded == 10
