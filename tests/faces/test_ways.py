"""TLS, proxies, PROXY protocol headers, Unix sockets and routes, on every face."""

from __future__ import annotations

import contextlib
import inspect
import re
import socket
import ssl
import warnings

import pytest
from werkzeug.routing import Map, Rule

from tidegate.client import process_exception
from tidegate.exceptions import ConnectionClosed, ProxyCertificateError, ProxyError, ProxyTimeout
from tidegate.proxy import Timeouts
from tidegate.proxyprotocol import Header, ProxyPolicy, build
from tidegate.testing import Faults, HTTPProxyServer, SOCKSProxyServer

from . import raw
from .drivers import echo, pair, uri_of

with warnings.catch_warnings():
    # That it is the older API.
    warnings.simplefilter("ignore", DeprecationWarning)
    from tidegate.legacy.client import process_exception as process_exception_of_older_api

HEADER = Header(source=("203.0.113.7", 56324), destination=("198.51.100.9", 443))


def secure_uri(address, path="/"):
    return uri_of(("localhost", address[1]), path, "wss")


async def check(connection):
    """Exchange messages, small ones and such as take many records of TLS."""
    for message in ("hello", "é" * 300_000, b"x" * 1000):
        await connection.send(message)
        assert await connection.recv() == message


# TLS


async def test_tls(face, certificates):
    server_context, client_context = certificates
    async with (
        face.serve(echo, ssl=server_context) as (address, _),
        face.connect(secure_uri(address), ssl=client_context) as connection,
    ):
        await check(connection)
        await face.ping(connection)


async def test_close_in_tls(face, certificates):
    server_context, client_context = certificates
    async with (
        face.serve(echo, ssl=server_context) as (address, server),
        face.connect(secure_uri(address), ssl=client_context, close_timeout=30) as connection,
    ):
        (other,) = server.all_connections
        await face.close(connection, 4000, "mine")
        await other.wait_closed()
        assert connection.close_code == other.close_code == 4000


@pytest.mark.parametrize("kind", ["missing", "empty"])
@pytest.mark.parametrize("argument", ["ssl", "proxy_ssl"])
async def test_files_that_are_no_certificates(face, argument, kind, tmp_path):
    """Nothing would be there the next time either, so connecting isn't tried again."""
    path = tmp_path / "ca.pem"
    if kind == "empty":
        path.touch()
    options = {"proxy": "https://127.0.0.1:9"} if argument == "proxy_ssl" else {}
    options[argument] = str(path)
    with pytest.raises(OSError, match=f"{path}|given as {argument}") as caught:
        async for _ in face.reconnect("wss://127.0.0.1:9/", reconnect_limit=1, **options):
            raise AssertionError("there is no connection")
    assert str(path) in str(caught.value)
    assert argument in str(caught.value)
    assert process_exception(caught.value) is caught.value
    assert process_exception_of_older_api(caught.value) is caught.value


async def test_a_name_with_a_dot_at_its_end(face, certificates):
    """TLS asks for, and verifies, the name without it (RFC 6066, section 3)."""
    server_context, client_context = certificates
    asked = []
    server_context.sni_callback = lambda _, name, __: asked.append(name)
    try:
        async with face.serve(echo, ssl=server_context) as (address, _):
            uri = f"wss://localhost.:{address[1]}/"
            async with face.connect(uri, ssl=client_context, host="127.0.0.1") as connection:
                await check(connection)
    finally:
        server_context.sni_callback = None
    assert asked == ["localhost"]


async def test_errors_of_tls_say_with_whom(face):
    async with face.serve(echo) as (address, _):
        with pytest.raises(ssl.SSLError, match=f"127.0.0.1:{address[1]}: "):
            async with face.connect(f"wss://127.0.0.1:{address[1]}/"):
                pass


async def test_arguments_that_are_no_tls(face):
    with pytest.raises(TypeError, match="ssl must be an SSLContext, True or a path, not int"):
        async for _ in face.reconnect("wss://127.0.0.1:9/", reconnect_limit=1, ssl=5):
            raise AssertionError("there is no connection")


async def test_a_unix_socket_may_be_there_the_next_time(face, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        async with face.unix_connect(str(tmp_path / "socket")):
            raise AssertionError("there is no connection")
    assert process_exception(caught.value) is None
    assert process_exception_of_older_api(caught.value) is None


async def test_an_unknown_certificate(face, certificates):
    async with face.serve(echo, ssl=certificates[0]) as (address, server):
        with pytest.raises(ssl.SSLCertVerificationError):
            async with face.connect(secure_uri(address)):
                pass
        while server.all_connections:
            await face.sleep(0.001)


async def test_a_certificate_for_another_name(face, certificates):
    server_context, client_context = certificates
    async with face.serve(echo, ssl=server_context) as (address, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            async with face.connect(
                secure_uri(address), ssl=client_context, server_hostname="example.com"
            ):
                pass


async def test_tls_with_who_does_not_speak_it(face, certificates):
    def script(sock):
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        sock.close()

    async with raw.server(face, script, opened=False) as address:
        with pytest.raises(OSError):
            async with face.connect(secure_uri(address), ssl=certificates[1]):
                pass


async def test_tls_that_never_begins(face, certificates):
    async with face.serve(echo, ssl=certificates[0], open_timeout=0.1) as (address, _):

        def exchange():
            return raw.exchange(address, b"", opened=False)

        assert await face.blocking(exchange) == b""


async def test_tls_and_what_contradicts_it(face, certificates):
    with pytest.raises(ValueError, match="ssl"):
        async with face.connect("ws://localhost/", ssl=certificates[1]):
            pass


# Proxies


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("kind", ["http", "socks5h", "socks5", "socks4", "socks4a"])
async def test_proxy(face, kind, secure, certificates):
    make = HTTPProxyServer if kind == "http" else SOCKSProxyServer
    with make(*([] if kind == "http" else [kind])).in_thread() as proxy:
        kwargs = {"ssl": certificates[0]} if secure else {}
        async with face.serve(echo, **kwargs) as (address, _):
            scheme = "wss" if secure else "ws"
            uri = uri_of(("localhost", address[1]), scheme=scheme)
            kwargs = {"ssl": certificates[1]} if secure else {}
            async with face.connect(uri, proxy=proxy.url, **kwargs) as connection:
                await check(connection)
                assert connection.proxy.route.proxy.port == proxy.port
                assert "CONNECT" in str(connection.proxy.timings) or connection.proxy.timings
            assert len(proxy.requests) == 1


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_https_proxy(face, secure, certificates, https_proxy, https_proxy_ca):
    """With wss, it is TLS in TLS."""
    kwargs = {"ssl": certificates[0]} if secure else {}
    async with face.serve(echo, **kwargs) as (address, _):
        uri = uri_of(("localhost", address[1]), scheme="wss" if secure else "ws")
        kwargs = {"ssl": certificates[1]} if secure else {}
        proxy = https_proxy.url
        async with face.connect(
            uri, proxy=proxy, proxy_ssl=str(https_proxy_ca), **kwargs
        ) as connection:
            await check(connection)
            await face.ping(connection)


async def test_an_https_proxy_that_is_not_trusted(face, https_proxy):
    with pytest.raises(ProxyCertificateError):
        async with face.connect("ws://localhost:1/", proxy=https_proxy.url):
            pass


async def test_proxies_behind_each_other(face, http_proxy, socks_proxy):
    async with face.serve(echo) as (address, _):
        chain = f"{http_proxy.url} -> {socks_proxy.url}"
        async with face.connect(uri_of(("localhost", address[1])), proxy=chain) as connection:
            await check(connection)
        assert len(http_proxy.requests) == len(socks_proxy.requests) == 1


async def test_a_proxy_that_wants_a_password(face):
    with HTTPProxyServer(username="me", password="secret").in_thread() as proxy:
        async with face.serve(echo) as (address, _):
            uri = uri_of(("localhost", address[1]))
            with pytest.raises(ProxyError, match="407"):
                async with face.connect(uri, proxy=f"http://{proxy.host}:{proxy.port}"):
                    pass
            async with face.connect(
                uri, proxy=f"http://me:secret@{proxy.host}:{proxy.port}"
            ) as connection:
                await check(connection)


@pytest.mark.parametrize(
    "faults",
    [{"refuse": 403}, {"reply": b"SSH-2.0\r\n\r\n"}, {"drop": True}],
    ids=["refuses", "is none", "closes"],
)
async def test_a_proxy_that_fails(face, faults, http_proxy):
    http_proxy.faults = Faults(**faults)
    with pytest.raises(ProxyError) as raised:
        async with face.connect("ws://localhost:1/", proxy=http_proxy.url):
            pass
    assert raised.value.target == "localhost:1"


async def test_a_proxy_that_says_nothing(face, http_proxy):
    http_proxy.faults = Faults(silent=True)
    with pytest.raises(ProxyTimeout, match="took too long"):
        async with face.connect(
            "ws://localhost:1/", proxy=http_proxy.url, proxy_timeouts=Timeouts(negotiate=0.1)
        ):
            pass


async def test_the_next_proxy(face, http_proxy, socks_proxy):
    http_proxy.faults = Faults(drop=True)
    async with face.serve(echo) as (address, _):
        uri = uri_of(("localhost", address[1]))
        async with face.connect(uri, proxy=[http_proxy.url, socks_proxy.url]) as connection:
            assert connection.proxy.route.proxy.port == socks_proxy.port


# PROXY protocol headers


@pytest.mark.parametrize("kind", ["plain", "before TLS", "inside TLS"])
async def test_proxy_protocol(face, kind, certificates):
    kwargs = {} if kind == "plain" else {"ssl": certificates[0]}
    policy = ProxyPolicy(trusted=["127.0.0.1"])
    seen = []

    async def handler(connection):
        seen.append((connection.remote_address, connection.peer_address[0]))
        seen.append(connection.proxy_header)
        await echo(connection)

    async with face.serve(
        handler, proxy_protocol=policy, inside_tls=kind == "inside TLS", **kwargs
    ) as (address, _):
        if kind == "inside TLS":

            def exchange():
                import socket

                with (
                    socket.create_connection(address[:2], timeout=10) as plain,
                    certificates[1].wrap_socket(plain, server_hostname="localhost") as sock,
                ):
                    sock.sendall(build(HEADER) + raw.REQUEST)
                    return raw.read_head(sock)

            assert (await face.blocking(exchange)).startswith(b"HTTP/1.1 101 ")
            while len(seen) < 2:
                await face.sleep(0.001)
        else:
            uri = uri_of(address) if kind == "plain" else secure_uri(address)
            kwargs = {} if kind == "plain" else {"ssl": certificates[1]}
            # A proxy sends the header and what follows in one segment.
            async with face.connect(uri, send_proxy_header=HEADER, **kwargs) as connection:
                await check(connection)
    assert seen[0] == (("203.0.113.7", 56324), "127.0.0.1")
    assert seen[1].destination == HEADER.destination
    assert policy.counters.proxied == 1


async def test_proxy_protocol_and_the_rest_in_one_segment(face):
    policy = ProxyPolicy(trusted=["127.0.0.1"])
    async with face.serve(echo, proxy_protocol=policy) as (address, _):

        def exchange():
            data = build(HEADER) + raw.REQUEST + raw.frame(8, b"\x03\xe8", mask=True)
            return raw.exchange(address, data, opened=False)

        answer = await face.blocking(exchange)
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert raw.close_code(answer) == 1000


async def test_proxy_protocol_and_the_beginning_of_tls_in_one_segment(face, certificates):
    policy = ProxyPolicy(trusted=["127.0.0.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificates[1].wrap_bio(incoming, outgoing, server_hostname="localhost")

    def exchange(address):
        first = build(HEADER)
        with socket.create_connection(address[:2], timeout=10) as sock:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(first + outgoing.read())
                    first = b""
                    incoming.write(sock.recv(65536))
            tls.write(raw.REQUEST)
            sock.sendall(outgoing.read())
            while True:
                incoming.write(sock.recv(65536))
                try:
                    return tls.read(65536)
                except ssl.SSLWantReadError:
                    pass

    async with face.serve(echo, proxy_protocol=policy, ssl=certificates[0]) as (address, _):
        assert (await face.blocking(exchange, address)).startswith(b"HTTP/1.1 101 ")
    assert policy.counters.proxied == 1


@pytest.mark.parametrize(
    ("data", "counter"),
    [(raw.REQUEST, "malformed"), (b"PROXY TCP4 ", "malformed"), (b"", "empty")],
    ids=["none", "half", "nothing"],
)
async def test_no_proxy_protocol_header(face, data, counter):
    import socket

    policy = ProxyPolicy(trusted=["127.0.0.1"])
    async with face.serve(echo, proxy_protocol=policy) as (address, _):

        def exchange():
            with socket.create_connection(address[:2], timeout=10) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                return raw.read_all(sock)

        assert await face.blocking(exchange) == b""
    assert getattr(policy.counters, counter) == 1


async def test_a_proxy_protocol_header_that_does_not_come(face):
    policy = ProxyPolicy(trusted=["127.0.0.1"], timeout=0.1)
    async with face.serve(echo, proxy_protocol=policy) as (address, _):

        def exchange():
            return raw.exchange(address, b"PROXY", opened=False)

        assert await face.blocking(exchange) == b""
    assert policy.counters.timed_out == 1


@pytest.mark.parametrize("untrusted", ["plain", "reject"])
async def test_who_is_not_trusted(face, untrusted):
    policy = ProxyPolicy(trusted=["192.0.2.1"], untrusted=untrusted)
    async with face.serve(echo, proxy_protocol=policy) as (address, _):
        expected = contextlib.nullcontext() if untrusted == "plain" else pytest.raises(Exception)
        with expected:
            async with face.connect(uri_of(address)) as connection:
                await check(connection)
                (one,) = [connection.local_address[0]]
                assert one == "127.0.0.1"
    assert policy.counters.plain == (untrusted == "plain")
    assert policy.counters.rejected == (untrusted == "reject")


# Unix sockets


async def test_unix_socket(face, tmp_path):
    path = tmp_path / "socket"
    async with (
        face.unix_serve(echo, path),
        face.unix_connect(path) as connection,
    ):
        await check(connection)
    # Where asyncio's own server listens, it is left behind before Python 3.13.
    assert not path.exists() or face.name == "asyncio"
    path.unlink(missing_ok=True)
    # One that was left behind is replaced.
    import socket

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    async with face.unix_serve(echo, path), face.unix_connect(path) as connection:
        await check(connection)


async def test_tls_on_a_unix_socket(face, tmp_path, certificates):
    path = str(tmp_path / "socket")
    async with (
        face.unix_serve(echo, path, ssl=certificates[0]),
        face.unix_connect(path, ssl=certificates[1]) as connection,
    ):
        await check(connection)


# Routes


async def test_router(face):
    async def greet(connection, name):
        await connection.send(f"hello, {name}")

    url_map = Map(
        [
            Rule("/", redirect_to="/to/you"),
            Rule("/to/<name>", endpoint=greet),
        ]
    )
    async with face.route(url_map) as (address, _):
        async with face.connect(uri_of(address, "/to/me")) as connection:
            assert await connection.recv() == "hello, me"
        async with face.connect(uri_of(address, "/")) as connection:
            assert await connection.recv() == "hello, you"
        with pytest.raises(Exception, match="404"):
            async with face.connect(uri_of(address, "/nowhere")):
                pass


# Reconnection


async def test_reconnecting(face):
    events = []
    count = 0

    async def handler(connection):
        await connection.send("hello")

    def process_request(connection, request):
        nonlocal count
        count += 1
        if count == 2:
            return connection.respond(503, "not now\n")

    async with face.serve(handler, process_request=process_request) as (address, _):
        received = 0
        async with contextlib.aclosing(
            face.reconnect(
                uri_of(address), reconnect_delays=lambda: iter([0.0, 0.0]), on_event=events.append
            ).__aiter__()
        ) as connections:
            async for connection in connections:
                assert await connection.recv() == "hello"
                received += 1
                if received == 3:
                    break
    states = [event.state for event in events]
    assert states[:2] == ["connecting", "connected"]
    assert "waiting" in states and states.count("connected") == 3


async def test_delays_grow_while_a_server_closes_at_once(face):
    """A server that is overloaded isn't helped by more connections."""
    events = []

    async def overloaded(connection):
        await face.close(connection, 1013, "later")

    async with face.serve(overloaded) as (address, _):
        delays = [0.0, 0.001, 0.002, 0.004]
        async with contextlib.aclosing(
            face.reconnect(
                uri_of(address),
                reconnect_delays=lambda: iter(delays),
                reconnect_limit=1,
                on_event=events.append,
            ).__aiter__()
        ) as connections:
            count = 0
            async for connection in connections:
                with pytest.raises(ConnectionClosed):
                    await connection.recv()
                count += 1
                if count == 4:
                    break
    waiting = [event for event in events if event.state == "waiting"]
    assert [event.delay for event in waiting] == delays[:3]
    assert all("1013" in str(event.exception) for event in waiting)


async def test_reconnecting_in_vain(face):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = sock.getsockname()
    with pytest.raises(OSError):
        async for _ in face.reconnect(uri_of(address), reconnect_limit=2, reconnect_delays=zeros):
            raise AssertionError("there is no server")


def zeros():
    while True:
        yield 0.0


# One face and another

# What a face's functions have to say that others need not.
OWN = {
    "asyncio": {
        "connect": {"coalesce", "listener"},
        "serve": {"coalesce"},
    },
    "threads": {
        "connect": {
            "sock",
            "ssl",
            "server_hostname",
            "proxy_ssl",
            "proxy_server_hostname",
            "legacy",
        },
        "serve": {"sock", "ssl"},
    },
    "trio": {
        "connect": {"stream", "ssl", "server_hostname"},
        "serve": {"backlog", "listeners", "ssl", "task_status"},
    },
}


# What it has no use for: where a thread sends, the operating system has it when that returns.
USELESS = {"threads": {"write_limit"}}


@pytest.mark.parametrize("function", ["connect", "serve"])
def test_arguments(face, function):
    """Those of all faces are the same, with the same defaults."""
    from tidegate.asyncio import client, server

    def parameters_of(function):
        return {
            name: parameter.default
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        }

    reference = parameters_of(getattr(client if function == "connect" else server, function))
    module = face.client if function == "connect" else face.server
    own = OWN.get(face.name, {}).get(function, set())
    found = parameters_of(getattr(module, function))
    for name in OWN["asyncio"][function] | USELESS.get(face.name, set()):
        del reference[name]
        found.pop(name, None)
    assert {name: default for name, default in found.items() if name not in own} == reference


async def test_misspelt_arguments(face):
    """They are refused before anything is done, with what was meant."""
    meant = re.escape("unexpected keyword argument 'ping_intervall'; did you mean ping_interval=?")
    with pytest.raises(TypeError, match=rf"connect\(\) got an {meant}"):
        async with face.connect("ws://127.0.0.1:1/", ping_intervall=1):
            pass
    with pytest.raises(TypeError, match=rf"connect\(\) got an {meant}"):
        async with face.unix_connect("/nonexistent", ping_intervall=1):
            pass
    with pytest.raises(Exception) as raised:
        async with face.serve(echo, ping_intervall=1):
            pass
    assert re.search(rf"serve\(\) got an {meant}", str(alone(raised.value)))
    with pytest.raises(Exception) as raised:
        async with face.route(Map([]), create_routr=None):
            pass
    assert "did you mean create_router=?" in str(alone(raised.value))


def alone(exc):
    """Give the exception that a group consists of."""
    while isinstance(exc, ExceptionGroup):
        [exc] = exc.exceptions
    assert type(exc) is TypeError
    return exc


async def test_both_ends_say_the_same(face):
    async with pair(face) as (client, server):
        assert client.id != server.id
        assert client.subprotocol is server.subprotocol is None
        assert client.close_code is client.close_reason is None
        assert client.ping_interval == 20
        client.ping_interval = 30
        assert client.ping_interval == 30
        assert client.buffered_amount == 0
