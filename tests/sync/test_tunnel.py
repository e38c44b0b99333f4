"""Tunnels with blocking sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import ssl
import threading

import pytest

from tidegate.exceptions import (
    InvalidProxyMessage,
    InvalidProxyStatus,
    ProxyCertificateError,
    ProxyConnectionError,
    ProxyError,
    ProxyTimeout,
    ProxyTLSError,
)
from tidegate.proxy import DigestAuth, Passage, Route, Timeouts, parse_proxy
from tidegate.sync import tunnel
from tidegate.sync.tls import TLSStream
from tidegate.sync.tunnel import connect_through
from tidegate.testing import Faults, HTTPProxyServer, SOCKSProxyServer
from tidegate.uri import parse_uri

from ..proxy.conftest import corp, origin

# The fixtures with certificates are those of the proxies' tests.
__all__ = ["corp", "origin"]


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets, in TLS if the server has a context."""

    def handle(self):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            sock = self.request
            if self.server.context is not None:
                sock = self.server.context.wrap_socket(
                    sock, server_side=True, do_handshake_on_connect=False
                )
                stack.enter_context(sock)
                sock.do_handshake()
            while data := sock.recv(65536):
                sock.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    context = None

    def handle_error(self, request, client_address):
        pass


@contextlib.contextmanager
def echo_server(context=None):
    """A server in a thread of its own; gives its port."""
    with EchoServer(("127.0.0.1", 0), Echo) as server:
        server.context = context
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def connect(uri, proxy, timeouts=None, open_timeout=10, **options):
    """Connect through a proxy given by its URL."""
    ws_uri = parse_uri(uri)
    proxy = parse_proxy(proxy) if isinstance(proxy, str) else proxy
    passage = Passage(Route(ws_uri, proxy, "the test"), timeouts or Timeouts(), open_timeout)
    return connect_through(ws_uri, passage, **options)


def receive(sock, size):
    data = bytearray()
    while len(data) < size:
        received = sock.recv(65536)
        assert received, "the stream has ended"
        data += received
    return bytes(data)


def check(sock, received=b"", expected=b""):
    """Check that there is an echo, also of much more than buffers hold."""
    assert received == expected
    sock.settimeout(20)
    data = os.urandom(3_000_000)
    if isinstance(sock, ssl.SSLSocket):
        # Before CPython 3.13, its sockets can't be read and written by two threads at a time.
        for start in range(0, len(data), 50_000):
            piece = data[start : start + 50_000]
            sock.sendall(piece)
            assert receive(sock, len(piece)) == piece
        sock.close()
        return
    thread = threading.Thread(target=sock.sendall, args=(data,))
    thread.start()
    assert receive(sock, len(data)) == data
    thread.join()
    sock.close()


@pytest.mark.parametrize("secure_server", [False, True])
@pytest.mark.parametrize("kind", ["http", "https", "socks5h", "socks5h+tls", "chain"])
def test_all_combinations(origin, corp, kind, secure_server):
    tls = corp.server if kind in ("https", "socks5h+tls", "chain") else None
    options = {"username": "me", "password": "s3cret", "ssl": tls}
    with (
        echo_server(origin.server if secure_server else None) as port,
        HTTPProxyServer(**options).in_thread() as http,
        SOCKSProxyServer(**options).in_thread() as socks,
    ):
        urls = {"http": http.url, "https": http.url, "chain": f"{socks.url} -> {http.url}"}
        uri = f"{'wss' if secure_server else 'ws'}://127.0.0.1:{port}/"
        sock, received = connect(
            uri, urls.get(kind, socks.url), ssl=origin.client, proxy_ssl=corp.path
        )
        assert isinstance(sock, TLSStream) == (
            tls is not None and (secure_server or kind == "chain")
        )
        check(sock, received)


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
def test_all_versions_of_socks(scheme):
    with echo_server() as port, SOCKSProxyServer(scheme).in_thread() as proxy:
        check(*connect(f"ws://localhost:{port}/", proxy.url))
        assert (proxy.requests[0].host == "localhost") == (scheme in ("socks4a", "socks5h"))


def test_addresses_of_the_server_are_tried_in_turn(monkeypatch):
    with echo_server() as port, SOCKSProxyServer("socks5").in_thread() as proxy:
        getaddrinfo = socket.getaddrinfo

        def fake(host, *args, **kwargs):
            if host != "ws.test":
                return getaddrinfo(host, *args, **kwargs)
            return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(tunnel.socket, "getaddrinfo", fake)
        check(*connect(f"ws://ws.test:{port}/", proxy.url))
        assert [request.host for request in proxy.requests] == ["127.0.0.2", "127.0.0.1"]


def test_addresses_of_the_proxy_are_tried_in_turn(monkeypatch):
    with echo_server() as port, HTTPProxyServer().in_thread() as proxy:
        addresses = [("127.0.0.2", proxy.port), ("127.0.0.1", proxy.port)]
        monkeypatch.setattr(
            tunnel.socket, "getaddrinfo", lambda *a, **k: [(2, 1, 6, "", x) for x in addresses]
        )
        create_connection = socket.create_connection

        def connect_to(address, **kwargs):
            monkeypatch.undo()
            if address[0] == "127.0.0.2":
                raise ConnectionRefusedError
            return create_connection(address, **kwargs)

        monkeypatch.setattr(tunnel.socket, "create_connection", connect_to)
        check(*connect(f"ws://127.0.0.1:{port}/", f"http://proxy.test:{proxy.port}"))


@pytest.mark.parametrize("auth", ["basic", "MD5", "SHA-256-sess"])
@pytest.mark.parametrize("close", [False, True])
def test_authentication(auth, close):
    faults = Faults(close_on_challenge=close)
    server = HTTPProxyServer(auth=auth, username="me", password="s3cret", faults=faults)
    with echo_server() as port, server.in_thread() as proxy:
        check(*connect(f"ws://127.0.0.1:{port}/", proxy.url))
        target = parse_proxy(f"http://127.0.0.1:{proxy.port}")
        target.auth = DigestAuth("me", "wrong")
        with pytest.raises(InvalidProxyStatus) as raised:
            connect(f"ws://127.0.0.1:{port}/", target)
        assert raised.value.step == "authenticate"


def test_bytes_behind_the_reply():
    faults = Faults(early=b"early", fragment=1)
    with echo_server() as port, HTTPProxyServer(faults=faults).in_thread() as proxy:
        sock, received = connect(f"ws://127.0.0.1:{port}/", proxy.url)
        received += receive(sock, 5 - len(received)) if len(received) < 5 else b""
        check(sock, received, b"early")


def test_bytes_behind_the_reply_are_for_the_next_proxy():
    early = b"HTTP/1.1 200 OK\r\n\r\nearly"
    with echo_server() as port, HTTPProxyServer(faults=Faults(early=early)).in_thread() as near:
        sock, received = connect("ws://ws.test/", f"{near.url} -> http://127.0.0.1:{port}")
        while b"\r\n\r\n" not in received:
            received += sock.recv(100)
        assert received.startswith(b"earlyCONNECT ws.test:80 HTTP/1.1\r\n")
        sock.close()


def test_bytes_before_tls():
    faults = Faults(reply=b"HTTP/1.1 200 OK\r\n\r\n220 mail.test\r\n")
    with echo_server() as port, HTTPProxyServer(faults=faults).in_thread() as proxy:
        with pytest.raises(InvalidProxyMessage) as raised:
            connect(f"wss://127.0.0.1:{port}/", proxy.url)
        assert raised.value.step == "TLS to server"


def test_unix_socket_and_source_address(tmp_path):
    path = str(tmp_path / "proxy.sock")
    with echo_server() as port, HTTPProxyServer(unix_path=path).in_thread() as proxy:
        check(*connect(f"ws://127.0.0.1:{port}/", proxy.url))
    with echo_server() as port, HTTPProxyServer().in_thread() as proxy:
        sock, received = connect(
            f"ws://127.0.0.1:{port}/", proxy.url, source_address=("127.0.0.1", 0)
        )
        check(sock, received)


class TestFailures:
    def test_nobody_listens(self):
        with pytest.raises(ProxyConnectionError) as raised:
            connect("ws://ws.test/", "http://127.0.0.1:1")
        assert raised.value.step == "connect"
        assert "Connection refused" in str(raised.value)

    def test_name_that_is_unknown(self):
        with pytest.raises(ProxyConnectionError) as raised:
            connect("ws://ws.test/", "http://proxy.invalid:1")
        assert raised.value.step == "resolve"

    @pytest.mark.parametrize("faults", [Faults(drop=True), Faults(truncate=5)])
    def test_proxy_closes(self, faults):
        with echo_server() as port, HTTPProxyServer(faults=faults).in_thread() as proxy:
            with pytest.raises(ProxyError) as raised:
                connect(f"ws://127.0.0.1:{port}/", proxy.url)
            assert raised.value.step == "CONNECT"
            assert raised.value.transient

    def test_silence(self):
        server = HTTPProxyServer(faults=Faults(silent=True))
        timeouts = Timeouts(negotiate=0.05)
        with echo_server() as port, server.in_thread() as proxy, pytest.raises(ProxyTimeout):
            connect(f"ws://127.0.0.1:{port}/", proxy.url, timeouts)

    @pytest.mark.parametrize("secure_proxy", [False, True])
    def test_server_that_never_answers(self, corp, secure_proxy):
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            HTTPProxyServer(ssl=corp.server if secure_proxy else None).in_thread() as proxy,
        ):
            uri = f"wss://127.0.0.1:{listener.getsockname()[1]}/"
            with pytest.raises(ProxyTimeout) as raised:
                # The handshake with the proxy has that time, too.
                connect(uri, proxy.url, Timeouts(tls=1), proxy_ssl=corp.client)
            assert raised.value.step == "TLS to server"

    @pytest.mark.parametrize("secure_proxy", [False, True])
    def test_certificates(self, origin, corp, secure_proxy):
        proxy = HTTPProxyServer(ssl=corp.server if secure_proxy else None)
        with echo_server(origin.server) as port, proxy.in_thread():
            uri = f"wss://127.0.0.1:{port}/"
            with pytest.raises(ProxyCertificateError) as raised:
                connect(uri, proxy.url, proxy_ssl=corp.client)
            assert raised.value.step == "TLS to server"
            if secure_proxy:
                with pytest.raises(ProxyCertificateError) as raised:
                    connect(uri, proxy.url, ssl=origin.client)
                assert raised.value.step == "TLS to proxy"

    def test_tls_to_what_has_none(self):
        with echo_server() as port:
            # Its own ClientHello comes back.
            with pytest.raises(ProxyTLSError) as raised:
                connect("ws://ws.test/", f"https://127.0.0.1:{port}")
            assert raised.value.step == "TLS to proxy"

    def test_refusal_whose_body_never_comes(self, monkeypatch):
        monkeypatch.setattr(tunnel, "REFUSAL_GRACE", 0.05)
        done = threading.Event()

        class Refuse(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.recv(1000)
                self.request.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nbec")
                done.wait(10)

        with EchoServer(("127.0.0.1", 0), Refuse) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            with pytest.raises(InvalidProxyStatus) as raised:
                connect("ws://ws.test/", f"http://127.0.0.1:{server.server_address[1]}")
            assert raised.value.response.body == b"bec"
            done.set()
            server.shutdown()
            thread.join()


class TestTLSStream:
    @pytest.fixture
    def streams(self, origin):
        """A stream and the TLS socket on its other side, over TLS."""
        near, far = socket.socketpair()
        results = []

        def accept():
            sock = origin.server.wrap_socket(far, server_side=True)
            inner = ssl.MemoryBIO(), ssl.MemoryBIO()
            results.append((sock, origin.server.wrap_bio(*inner, server_side=True), inner))

        thread = threading.Thread(target=accept)
        thread.start()
        sock = origin.client.wrap_socket(near, server_hostname="localhost")
        thread.join()
        [(server, inner, (incoming, outgoing))] = results
        stream = TLSStream(sock, origin.client, "localhost")

        def handshake():
            while True:
                try:
                    inner.do_handshake()
                except ssl.SSLWantReadError:
                    server.sendall(outgoing.read())
                    incoming.write(server.recv(65536))
                else:
                    server.sendall(outgoing.read())
                    return

        thread = threading.Thread(target=handshake)
        thread.start()
        stream.do_handshake()
        thread.join()

        class Server:
            def send(self, data):
                inner.write(data)
                server.sendall(outgoing.read())

            def receive(self):
                while True:
                    try:
                        return inner.read(65536)
                    except ssl.SSLWantReadError:
                        incoming.write(server.recv(65536))

            def close(self, notify):
                if notify:
                    with contextlib.suppress(ssl.SSLWantReadError):
                        inner.unwrap()
                    server.sendall(outgoing.read())
                server.close()

        yield stream, Server()
        stream.close()
        server.close()

    def test_data(self, streams):
        stream, server = streams
        stream.sendall(b"there")
        assert server.receive() == b"there"
        assert stream.send(memoryview(b"more")) == 4
        assert server.receive() == b"more"
        server.send(b"and back")
        buffer = bytearray(20)
        assert stream.recv_into(buffer) == 8
        assert buffer[:8] == b"and back"

    def test_what_select_cannot_see_is_pending(self, streams):
        stream, server = streams
        assert stream.pending() == 0
        server.send(b"x" * 1000)
        assert stream.recv(10) == b"x" * 10
        assert stream.pending() == 990
        assert stream.recv(2000) == b"x" * 990

    @pytest.mark.parametrize("notify", [False, True])
    def test_end(self, streams, notify):
        stream, server = streams
        server.send(b"last")
        server.close(notify)
        assert stream.recv(100) == b"last"
        assert stream.recv(100) == b""
        assert stream.recv_into(bytearray(1)) == 0

    def test_shutdown(self, streams):
        stream, server = streams
        stream.shutdown(socket.SHUT_RDWR)
        # It ends as it should, which is not the same as breaking off.
        assert server.receive() == b""

    def test_time_limit(self, streams):
        stream, _ = streams
        stream.settimeout(0.01)
        assert stream.gettimeout() == 0.01
        with pytest.raises(TimeoutError):
            stream.recv(1)

    def test_what_can_be_known(self, streams):
        stream, _ = streams
        assert stream.version() in ("TLSv1.2", "TLSv1.3")
        assert ("DNS", "localhost") in stream.getpeercert()["subjectAltName"]
        assert stream.selected_alpn_protocol() is None
        assert stream.fileno() > 0
        stream.getsockname()
        stream.getpeername()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
