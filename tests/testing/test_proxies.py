"""The proxies for tests, talked to by others than tidegate: sockets, and curl where it is."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from tidegate.testing import Faults, HTTPProxyServer, ProxyRequest, SOCKSProxyServer
from tidegate.testing.__main__ import make_parser, make_server

pytest_plugins = ["tidegate.testing.fixtures"]


@pytest.fixture
def web_server():
    """A web server that answers ``hello``, on 127.0.0.1; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def curl(proxy, url, *options):
    """Get a page with curl through a proxy; give its output and exit status."""
    if shutil.which("curl") is None:
        pytest.skip("curl isn't installed")
    done = subprocess.run(
        ["curl", "-sS", "-p", "-x", proxy, "--noproxy", "", "-m", "10", *options, url],
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.stdout, done.returncode


def test_http(http_proxy, web_server):
    assert curl(http_proxy.url, f"http://127.0.0.1:{web_server}/") == ("hello", 0)
    [request] = http_proxy.requests
    assert (request.host, request.port, request.username) == ("127.0.0.1", web_server, None)
    assert request.headers["host"] == f"127.0.0.1:{web_server}"
    assert request.version == "HTTP/1.1"


def test_https(https_proxy, https_proxy_ca, web_server):
    url = f"http://127.0.0.1:{web_server}/"
    assert https_proxy.url.startswith("https://127.0.0.1:")
    assert curl(https_proxy.url, url, "--proxy-cacert", str(https_proxy_ca)) == ("hello", 0)
    assert curl(https_proxy.url, url)[1] != 0


def test_socks(socks_proxy, web_server):
    socks_proxy.hosts["name.test"] = ("127.0.0.1", web_server)
    assert curl(socks_proxy.url, "http://name.test/") == ("hello", 0)
    assert socks_proxy.requests == [ProxyRequest("name.test", 80, None, {}, "SOCKS5")]


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
@pytest.mark.parametrize("user", [None, "me"])
def test_all_versions_of_socks(scheme, user, web_server):
    password = "secret" if user and scheme.startswith("socks5") else None
    hosts = {"localhost": ("127.0.0.1", web_server)}
    server = SOCKSProxyServer(scheme, username=user, password=password, hosts=hosts)
    with server.in_thread() as proxy:
        url = f"http://localhost:{web_server}/"
        assert curl(proxy.url, url) == ("hello", 0)
        assert proxy.requests[0].username == user
        if user:
            assert curl(proxy.url.replace("me", "you"), url)[1] != 0
            proxy.faults.wrong_password = True
            assert curl(proxy.url, url)[1] != 0
        assert proxy.connections == (3 if user else 1)


@pytest.mark.parametrize(
    ("auth", "option"),
    [
        ("basic", "--proxy-basic"),
        ("MD5", "--proxy-digest"),
        ("SHA-256", "--proxy-digest"),
        ("MD5-sess", "--proxy-digest"),
    ],
)
@pytest.mark.parametrize("close", [False, True])
def test_authentication(auth, option, close, web_server):
    faults = Faults(close_on_challenge=close)
    server = HTTPProxyServer(auth=auth, username="me", password="s3:cret", faults=faults)
    with server.in_thread() as proxy:
        url = f"http://127.0.0.1:{web_server}/"
        assert curl(proxy.url, url, option) == ("hello", 0)
        assert curl(proxy.url.replace("cret", "x"), url, option)[1] != 0
        assert curl(f"http://127.0.0.1:{proxy.port}", url, option)[1] != 0
        proxy.faults.wrong_password = True
        assert curl(proxy.url, url, option)[1] != 0
        assert len(proxy.requests) == 1


def talk(proxy, data, size=65536):
    """Send bytes to a proxy and give all that it answers."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as sock:
        sock.sendall(data)
        answer = b""
        # A proxy that doesn't read what it was sent resets the connection.
        with contextlib.suppress(ConnectionResetError):
            while (chunk := sock.recv(size)) and len(answer) < 10000:
                answer += chunk
    return answer


CONNECT = b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n"


class TestFaults:
    @pytest.mark.parametrize(
        ("faults", "answer"),
        [
            (Faults(drop=True), b""),
            (Faults(reply=b"SSH-2.0\r\n"), b"SSH-2.0\r\n"),
            (Faults(truncate=12, refuse=403), b"HTTP/1.1 403"),
            (Faults(truncate=0, refuse=403), b""),
            (Faults(endless=b"abc" * 5000, refuse=403), b"abc" * 5000),
        ],
    )
    def test_answers(self, http_proxy, faults, answer):
        http_proxy.faults = faults
        received = talk(http_proxy, CONNECT)
        assert received[: len(answer)] == answer
        assert bool(received) == bool(answer)

    def test_refusals(self, http_proxy, socks_proxy):
        http_proxy.faults = Faults(refuse=418)
        assert talk(http_proxy, CONNECT).startswith(b"HTTP/1.1 418 ")
        assert talk(http_proxy, b"GET / HTTP/1.1\r\n\r\n" + CONNECT).startswith(b"HTTP/1.1 405 ")
        socks_proxy.faults = Faults(refuse=2)
        request = b"\x05\x01\x00" + b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x01"
        assert talk(socks_proxy, request)[:4] == b"\x05\x00\x05\x02"

    def test_servers_that_are_not_there(self, http_proxy, socks_proxy):
        assert talk(http_proxy, CONNECT).startswith(b"HTTP/1.1 502 ")
        request = b"\x05\x01\x00" + b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x01"
        assert talk(socks_proxy, request)[:4] == b"\x05\x00\x05\x01"

    def test_silence(self, http_proxy):
        http_proxy.faults = Faults(silent=True)
        with socket.create_connection(("127.0.0.1", http_proxy.port)) as sock:
            sock.sendall(CONNECT)
            sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                sock.recv(1)

    def test_delay(self, http_proxy, monkeypatch):
        delays = []

        async def sleep(seconds):
            delays.append(seconds)

        monkeypatch.setattr("tidegate.testing.proxies.asyncio.sleep", sleep)
        http_proxy.faults = Faults(delay=1.5, refuse=403)
        talk(http_proxy, CONNECT)
        assert delays == [1.5]

    def test_fragments(self, http_proxy):
        http_proxy.faults = Faults(fragment=1, refuse=403)
        assert talk(http_proxy, CONNECT).startswith(b"HTTP/1.1 403 Refused\r\n")

    def test_early_bytes(self, http_proxy, web_server):
        http_proxy.faults = Faults(early=b"early")
        request = f"CONNECT 127.0.0.1:{web_server} HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n"
        answer = talk(http_proxy, request.encode())
        assert b"\r\n\r\nearlyHTTP/1.1 200 OK" in answer

    @pytest.mark.parametrize(
        "credentials", ["Basic !", "Basic " + base64.b64encode(b"x").decode(), "Digest", "x"]
    )
    @pytest.mark.parametrize("auth", ["basic", "MD5"])
    def test_credentials_that_are_none(self, credentials, auth):
        server = HTTPProxyServer(username="a", password="b", auth=auth)
        server.faults.close_on_challenge = True
        with server.in_thread() as proxy:
            request = f"CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: {credentials}\r\n\r\n"
            assert talk(proxy, request.encode()).startswith(b"HTTP/1.1 407 ")


async def test_half_closed_connections(http_proxy):
    async def answer_at_the_end(reader, writer):
        data = await reader.read()
        writer.write(b"got " + data)
        writer.close()

    server = await asyncio.start_server(answer_at_the_end, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", http_proxy.port)
    writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nall".encode())
    writer.write_eof()
    assert (await reader.read()).endswith(b"\r\n\r\ngot all")
    writer.close()
    server.close()


async def test_closing_ends_connections():
    async with HTTPProxyServer(faults=Faults(silent=True)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(CONNECT)
        await writer.drain()
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


def test_a_thread_that_cannot_start(http_proxy):
    with pytest.raises(OSError), HTTPProxyServer(port=http_proxy.port).in_thread():
        pass


def test_unix_socket(tmp_path):
    path = str(tmp_path / "proxy.sock")
    with HTTPProxyServer(unix_path=path).in_thread() as proxy:
        assert proxy.url == f"http+unix://{path}"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(CONNECT)
            assert sock.recv(100).startswith(b"HTTP/1.1 502 ")


class TestCommand:
    def test_it_runs_in_a_process_of_its_own(self, web_server):
        command = [sys.executable, "-m", "tidegate.testing", "socks5h", "--user", "me:secret"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                url = process.stdout.readline().strip()
                assert url.startswith("socks5h://me:secret@127.0.0.1:")
                assert curl(url, f"http://127.0.0.1:{web_server}/") == ("hello", 0)
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == 0
            finally:
                # Without curl the test is skipped, and the block would wait for ever.
                process.kill()

    def make(self, *arguments):
        return make_server(make_parser().parse_args(arguments))

    def test_options(self, https_proxy_ca):
        certificate = str(https_proxy_ca.with_name("server.pem"))
        server = self.make("http", "--port", "1", "--auth", "MD5", "--cert", certificate)
        assert isinstance(server, HTTPProxyServer)
        assert isinstance(server.ssl, ssl.SSLContext)
        assert (server.port, server.auth, server.username) == (1, "MD5", None)
        server = self.make("socks4a", "--user", "me")
        assert isinstance(server, SOCKSProxyServer)
        assert (server.username, server.password) == ("me", None)

    def test_faults(self):
        arguments = ["--fault", "refuse=503", "--fault", "delay=1.5", "--fault", "silent"]
        faults = self.make("http", *arguments, "--fault", "early=abc").faults
        assert faults == Faults(refuse=503, delay=1.5, silent=True, early=b"abc")

    @pytest.mark.parametrize("fault", ["sleepy", "refuse=x"])
    def test_faults_that_do_not_exist(self, fault, capsys):
        with pytest.raises(SystemExit):
            self.make("http", "--fault", fault)
        assert "refuse" in capsys.readouterr().err
