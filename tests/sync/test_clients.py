"""Clients: ways to a server, redirects, reconnecting, mistakes."""

from __future__ import annotations

import inspect
import socket
import ssl
import time

import pytest

from tidegate.asyncio.client import connect as asyncio_connect
from tidegate.asyncio.server import serve as asyncio_serve
from tidegate.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    ProxyError,
    SecurityError,
)
from tidegate.sync.client import (
    MAX_REDIRECTS,
    ClientConnection,
    connect,
    reconnect,
    unix_connect,
    unix_reconnect,
)
from tidegate.sync.server import serve, unix_serve
from tidegate.testing import HTTPProxyServer, SOCKSProxyServer

from .connections import Task, running, serving


def greet(connection):
    connection.send(connection.request.path)


def redirect(where):
    def process_request(connection, request):
        location = where.pop(0) if where else None
        if location is None:
            return None
        seen.append(request)
        response = connection.respond(302, "")
        response.headers["Location"] = location
        return response

    seen = process_request.seen = []
    return process_request


def test_redirects():
    with (
        serving(greet) as target,
        serving(greet, process_request=redirect([target])) as first,
        connect(first) as client,
    ):
        assert client.recv() == "/"
        assert client.remote_address[1] == int(target.rstrip("/").rpartition(":")[2])
    there = redirect(["/one", "two?x=1"])
    with serving(greet, process_request=there) as uri, connect(uri) as client:
        assert client.recv() == "/two?x=1"


def test_redirects_do_not_take_credentials_along():
    with (
        serving(lambda c: c.send(repr(c.request.headers.get("Authorization")))) as target,
        serving(greet, process_request=redirect([target])) as first,
        connect(
            first.replace("//", "//me:secret@"), additional_headers={"Authorization": "x"}
        ) as client,
    ):
        assert client.recv() == "None"


def test_redirects_that_are_not_followed(certificates, tmp_path):
    with (
        serving(greet, process_request=redirect(["/a"] * 20)) as uri,
        pytest.raises(SecurityError, match=f"more than {MAX_REDIRECTS} redirects"),
    ):
        connect(uri)
    server, client = certificates
    with (
        serving(greet, process_request=redirect(["ws://127.0.0.1/"]), ssl=server) as uri,
        pytest.raises(SecurityError, match="non-secure"),
    ):
        connect(uri, ssl=client)
    path = tmp_path / "s"
    with (
        running(unix_serve(greet, path, process_request=redirect(["ws://elsewhere/"]))),
        pytest.raises(ValueError, match="Unix socket"),
    ):
        unix_connect(path)
    for names in (("address",), ("host", "port")):
        with serving(greet, process_request=redirect(["ws://elsewhere/"])) as uri:
            port = int(uri.rstrip("/").rpartition(":")[2])
            where = [("127.0.0.1", port)] if len(names) == 1 else ["127.0.0.1", port]
            with pytest.raises(ValueError, match="explicit host or port"):
                connect("ws://name.invalid/", **dict(zip(names, where, strict=True)))


def test_reconnecting():
    server = serve(greet, "127.0.0.1", 0)
    events = []
    port = server.socket.getsockname()[1]

    def delays():
        while True:
            yield 0.01

    got = []
    with running(server):
        connecting = reconnect(
            f"ws://127.0.0.1:{port}/",
            reconnect_delays=delays,
            reconnect_limit=2,
            on_event=lambda event: events.append(event.state),
        )
        with pytest.raises(OSError, match="refused"):
            for connection in connecting:
                got.append(connection.recv())
                if len(got) == 2:
                    server.shutdown()
                with pytest.raises(ConnectionClosed):
                    connection.recv()
    assert got == ["/", "/"]
    assert events == [
        # A server that closes its connections at once isn't asked again at once.
        *["connecting", "connected", "disconnected", "waiting"] * 2,
        *["connecting", "waiting", "connecting", "failed"],
    ]


def test_reconnect_as_a_context_manager():
    with serving(greet) as uri:
        connecting = connect(uri, legacy=False)
        assert isinstance(connecting, reconnect)
        with connecting as client:
            assert client.recv() == "/"
            with pytest.raises(RuntimeError):
                connecting.__enter__()
        assert client.ended


def test_unix(tmp_path):
    path = tmp_path / "s"
    with running(unix_serve(greet, path)):
        for client in (unix_connect(path), unix_connect(path, "ws://name/path")):
            with client:
                assert client.recv() == client.request.path
        with unix_reconnect(str(path)) as client:
            assert client.request.headers["Host"] == "localhost"


def test_a_socket_of_the_program():
    with serving(greet) as uri:
        host, port = uri.removeprefix("ws://").rstrip("/").split(":")
        with connect("ws://name/", sock=socket.create_connection((host, int(port)))) as client:
            assert client.recv() == "/"


def test_tls_that_fails(certificates):
    with serving(greet, ssl=certificates[0]) as uri:
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(uri)
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(uri, ssl=certificates[1], server_hostname="other.example")
        with connect(uri, ssl=certificates[1], server_hostname="localhost") as client:
            assert client.recv() == "/"
    with serving(greet) as uri, pytest.raises(OSError):
        connect(uri.replace("ws://", "wss://"))


def test_mistakes():
    with pytest.raises(InvalidURI):
        connect("http://localhost/")
    with pytest.raises(ValueError, match="ssl argument is incompatible"):
        connect("ws://localhost/", ssl=True)
    with pytest.raises(ValueError, match="compression"):
        connect("ws://localhost/", compression="other")
    with pytest.raises(TypeError, match="additional_headers"):
        connect("ws://localhost/", extra_headers={})
    with pytest.raises(TypeError, match="create_connection"):
        connect("ws://localhost/", create_connection=int)


def silent_server(answer=b"", *, end=False):
    listening = socket.create_server(("127.0.0.1", 0))

    def accept():
        sock, _ = listening.accept()
        with listening, sock:
            sock.sendall(answer)
            if not end:
                while sock.recv(65536):
                    pass

    return f"ws://127.0.0.1:{listening.getsockname()[1]}/", Task(accept)


def test_a_server_that_does_not_answer():
    uri, task = silent_server()
    with pytest.raises(TimeoutError, match="timed out during opening handshake"):
        connect(uri, open_timeout=0.1)
    task.result()
    uri, task = silent_server()
    # Making one takes its time, too.
    context = ssl.create_default_context()
    with pytest.raises(TimeoutError, match="timed out"):
        connect(uri.replace("ws:", "wss:"), ssl=context, open_timeout=0.1)
    task.result()


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 101 OK\r\n\r\n"])
def test_a_server_that_is_none(answer):
    uri, task = silent_server(answer, end=True)
    with pytest.raises((InvalidHandshake, ConnectionError)):
        connect(uri)
    task.result()


def test_what_the_server_says_in_refusing():
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    uri, task = silent_server(answer)
    with pytest.raises(InvalidStatus) as caught:
        connect(uri)
    assert caught.value.response.body == b"no"
    task.result()


def test_messages_right_behind_the_answer():
    with serving(lambda c: [c.send(str(n)) for n in range(100)]) as uri, connect(uri) as client:
        time.sleep(0.05)
        assert list(client) == [str(n) for n in range(100)]


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("kind", ["http", "https", "socks5h", "socks5h+tls", "chain"])
def test_proxies(kind, secure, certificates):
    server, client = certificates
    tls = server if kind in ("https", "socks5h+tls", "chain") else None

    def echo(connection):
        for message in connection:
            connection.send(message)

    with (
        serving(echo, ssl=server if secure else None) as uri,
        HTTPProxyServer(ssl=tls).in_thread() as http,
        SOCKSProxyServer(ssl=tls).in_thread() as socks,
    ):
        urls = {"http": http.url, "https": http.url, "chain": f"{socks.url} -> {http.url}"}
        options = {"ssl": client} if secure else {}
        if tls is not None:
            options["proxy_ssl"] = client
        with connect(
            uri, proxy=urls.get(kind, socks.url), proxy_loopback=True, **options
        ) as connection:
            assert connection.proxy.timings
            # A TLS record in the record of another: nothing stalls on what is decrypted already.
            for size in (10, 16_000, 17_000, 900_000):
                connection.send(bytes(size))
                assert len(connection.recv()) == size
            task = Task(lambda: [connection.send(bytes(10**6)) for _ in range(10)])
            assert [len(connection.recv()) for _ in range(10)] == [10**6] * 10
            task.result()


def test_a_proxy_that_refuses():
    with HTTPProxyServer(username="me", password="secret").in_thread() as proxy:
        url = proxy.url.replace("me:secret@", "")
        options = {"proxy": url, "proxy_loopback": True}
        with pytest.raises(ProxyError, match="407"):
            connect("ws://127.0.0.1:1/", **options)
        with pytest.raises(ProxyError, match="502"):
            connect("ws://127.0.0.1:1/", proxy_auth=("me", "secret"), **options)


def test_the_next_proxy_is_tried():
    with serving(greet) as uri, HTTPProxyServer().in_thread() as proxy:
        with connect(uri, proxy=["http://127.0.0.1:1", proxy.url], proxy_loopback=True) as client:
            assert client.recv() == "/"
        with connect(uri, proxy=["http://127.0.0.1:1", None], proxy_loopback=True) as client:
            assert client.recv() == "/"
            assert client.proxy is None


def test_a_subclass():
    class Mine(ClientConnection):
        pass

    with serving(greet) as uri, connect(uri, create_connection=Mine) as client:
        assert type(client) is Mine


NOT_HERE = {
    # A send returns when the operating system has the message; nothing is held back.
    "write_limit",
    "coalesce",
    # There are threads for that.
    "listener",
}


def test_the_arguments_are_those_of_asyncio():
    """But for those about what is below, which sockets have and event loops don't."""
    below = {"sock", "ssl", "server_hostname", "proxy_ssl", "proxy_server_hostname"}
    for ours, theirs in ((reconnect, asyncio_connect), (serve, asyncio_serve)):
        mine, others = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
        assert set(others) - set(mine) <= NOT_HERE
        assert set(mine) - set(others) <= below
        for name in set(mine) & set(others):
            assert mine[name].default == others[name].default, name
            assert mine[name].kind == others[name].kind, name


def test_an_invalid_message_has_its_cause():
    uri, task = silent_server(b"HTTP/1.1 abc\r\n\r\n", end=True)
    with pytest.raises(InvalidMessage):
        connect(uri)
    task.result()
