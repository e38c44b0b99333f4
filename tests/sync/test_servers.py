"""Servers: opening handshakes, limits, PROXY protocol, shutting down."""

from __future__ import annotations

import http
import os
import socket
import subprocess
import sys
import threading

import pytest
from werkzeug.routing import Map, Rule

from tidegate.exceptions import ConnectionClosedOK, InvalidStatus
from tidegate.proxyprotocol import ForwardedPolicy, ProxyPolicy
from tidegate.proxyprotocol.builder import build
from tidegate.proxyprotocol.header import Header
from tidegate.sync.client import connect, unix_connect
from tidegate.sync.router import route, unix_route
from tidegate.sync.server import Limits, basic_auth, serve, unix_serve

from .connections import LONG, Task, address, raw_client, running, serving, until


def echo(connection):
    for message in connection:
        connection.send(message)


def wait(connection):
    connection.wait_closed()


def test_shutdown_closes_and_joins():
    with running(serve(wait, "127.0.0.1", 0)) as server:
        clients = [connect(address(server)) for _ in range(20)]
        until(lambda: len(server.connections) == 20)
        server.shutdown()
        assert not server.handler_threads
        # Another server can have the port.
        assert server.fileno() == -1
        for client in clients:
            with pytest.raises(ConnectionClosedOK, match="1001"):
                client.recv()
        with pytest.raises(OSError):
            connect(address_of_closed(server))
        server.shutdown()


def address_of_closed(server):
    return "ws://127.0.0.1:1/"


def test_shutdown_with_another_code_and_without_closing():
    go_on = threading.Event()

    def handler(connection):
        go_on.wait()
        connection.send("still here")

    with running(serve(handler, "127.0.0.1", 0)) as server, connect(address(server)) as client:
        task = Task(server.shutdown, close_connections=False)
        until(lambda: server.closing)
        go_on.set()
        assert client.recv() == "still here"
        task.result()
    with running(serve(wait, "127.0.0.1", 0)) as server, connect(address(server)) as client:
        until(lambda: server.connections)
        server.shutdown(code=4000, reason="over")
        assert (client.wait_closed(LONG), client.close_code) == (True, 4000)


def test_handlers_do_not_fail_because_of_a_shutdown(caplog):
    def handler(connection):
        for _ in connection:
            pass

    with running(serve(handler, "127.0.0.1", 0)) as server, connect(address(server)) as client:
        until(lambda: server.connections)
        server.shutdown(code=1012)
        assert (client.wait_closed(LONG), client.close_code) == (True, 1012)
    assert "connection handler failed" not in caplog.text


def test_a_handler_cannot_shut_down():
    caught = []

    def handler(connection):
        try:
            server.shutdown()
        except RuntimeError as exc:
            caught.append(exc)

    with running(serve(handler, "127.0.0.1", 0)) as server:
        connect(address(server)).close()
        until(lambda: caught)


def test_shutdown_in_an_opening_handshake(caplog):
    asked = threading.Event()
    go_on = threading.Event()

    def process_request(connection, request):
        asked.set()
        go_on.wait()

    with running(serve(wait, "127.0.0.1", 0, process_request=process_request)) as server:
        task = Task(connect, address(server))
        # And one that says nothing.
        with socket.create_connection(server.socket.getsockname()[:2]) as silent:
            until(lambda: len(server.all_connections) == 2)
            asked.wait(LONG)
            closing = Task(server.shutdown)
            with pytest.raises(InvalidStatus, match="503"):
                task.result()
            assert silent.recv(1000).startswith(b"HTTP/1.1 503 ")
            go_on.set()
            silent.close()
            closing.result()


def test_a_client_that_says_nothing():
    with serving(wait, open_timeout=0.1) as uri:
        host, port = uri.removeprefix("ws://").rstrip("/").split(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.settimeout(LONG)
            assert sock.recv(100) == b""


def test_a_client_that_says_nothing_where_there_is_tls(certificates):
    with serving(wait, open_timeout=0.1, ssl=certificates[0]) as uri:
        host, port = uri.removeprefix("wss://").rstrip("/").split(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.settimeout(LONG)
            assert sock.recv(100) == b""


def test_process_request_and_response():
    def process_request(connection, request):
        assert connection.request is request
        if request.path == "/teapot":
            return connection.respond(http.HTTPStatus.IM_A_TEAPOT, "short and stout")
        return None

    def process_response(connection, request, response):
        response.headers["X-Made"] = "here"

    with serving(echo, process_request=process_request, process_response=process_response) as uri:
        with connect(uri) as client:
            assert client.response.headers["X-Made"] == "here"
        with pytest.raises(InvalidStatus) as caught:
            connect(f"{uri}teapot")
        assert caught.value.response.body == b"short and stout"


def test_a_mistake_in_process_request(caplog):
    def process_request(connection, request):
        raise ValueError("mistake")

    with (
        serving(echo, process_request=process_request) as uri,
        pytest.raises(InvalidStatus, match="500"),
    ):
        connect(uri)
    assert "process_request failed" in caplog.text


def test_basic_auth():
    check = basic_auth("sluices", ("keeper", "secret"))
    with serving(lambda c: c.send(c.username), process_request=check) as uri:
        with pytest.raises(InvalidStatus, match="401"):
            connect(uri)
        with connect(uri.replace("//", "//keeper:secret@")) as client:
            assert client.recv() == "keeper"


def test_an_asynchronous_check_is_refused(caplog):
    async def check(username, password):
        await never()

    async def never():
        import asyncio

        await asyncio.sleep(0)

    with (
        serving(echo, process_request=basic_auth(check_credentials=check)) as uri,
        pytest.raises(InvalidStatus, match="500"),
    ):
        connect(uri.replace("//", "//keeper:secret@"))
    assert "coroutine function" in caplog.text


def test_routes(tmp_path):
    def channel(connection, name):
        connection.send(f"channel {name}")

    def rules():
        return Map([Rule("/channel/<name>", endpoint=channel)])

    with running(route(rules(), "127.0.0.1", 0)) as server:
        with connect(f"{address(server)}channel/one") as client:
            assert client.recv() == "channel one"
        with pytest.raises(InvalidStatus, match="404"):
            connect(f"{address(server)}other")

    def refuse(connection, request):
        return connection.respond(403, "no")

    with (
        running(unix_route(rules(), str(tmp_path / "s"), process_request=refuse)),
        pytest.raises(InvalidStatus, match="403"),
    ):
        unix_connect(tmp_path / "s", "ws://localhost/channel/one")


def test_a_unix_socket_is_removed(tmp_path):
    path = tmp_path / "socket"
    for _ in range(2):
        with running(unix_serve(echo, path)), unix_connect(path) as client:
            client.send("message")
            assert client.recv() == "message"
        assert not path.exists()


def test_limits():
    with serving(echo, limits=Limits(connections=1)) as uri:
        with connect(uri), pytest.raises(InvalidStatus, match="503"):
            connect(uri)
        # The place is free a moment after the client has gone.
        until(lambda: works(uri))


def test_who_is_refused_has_no_thread():
    before = threading.active_count()
    with serving(echo, limits=Limits(connections=0)) as uri:
        host, port = uri.removeprefix("ws://").rstrip("/").split(":")
        socks = [socket.create_connection((host, int(port))) for _ in range(20)]
        for sock in socks:
            assert sock.recv(1000).startswith(b"HTTP/1.1 503 ")
            # The server's and the attendant's.
            assert threading.active_count() <= before + 2
            sock.close()


def test_limits_before_tls(certificates):
    with serving(echo, limits=Limits(connections=1), ssl=certificates[0]) as uri:
        host, port = uri.removeprefix("wss://").rstrip("/").split(":")
        where = (host, int(port))
        with socket.create_connection(where), socket.create_connection(where) as second:
            second.settimeout(LONG)
            assert second.recv(1) == b""
        until(lambda: works(uri, certificates[1]))


def works(uri, context=None):
    try:
        with connect(uri, ssl=context) as client:
            client.send("message")
            return client.recv() == "message"
    except (OSError, InvalidStatus):
        return False


HEADER = Header(source=("203.0.113.7", 4321), destination=("203.0.113.1", 80))


@pytest.mark.parametrize("inside_tls", [False, True, None])
def test_proxy_protocol(inside_tls, certificates):
    policy = ProxyPolicy(trusted=["127.0.0.1"])
    options = {} if inside_tls is None else {"ssl": certificates[0], "inside_tls": inside_tls}

    def handler(connection):
        connection.send(repr((connection.remote_address, connection.local_address)))

    with serving(handler, proxy_protocol=policy, **options) as uri:
        client = {} if inside_tls is None else {"ssl": certificates[1]}
        if inside_tls:
            raw = socket.create_connection(tuple_of(uri))
            sock = certificates[1].wrap_socket(raw, server_hostname="localhost")
            sock.sendall(build(HEADER) + b"GET / HTTP/1.1\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 ")
            sock.close()
        else:
            with connect(uri, send_proxy_header=HEADER, **client) as connection:
                assert connection.recv() == repr((HEADER.source, HEADER.destination))
        assert policy.counters.proxied == 1
    others = ProxyPolicy(trusted=["192.0.2.1"])
    with serving(handler, proxy_protocol=others) as uri, pytest.raises(InvalidStatus, match="400"):
        connect(uri, send_proxy_header=True)


def tuple_of(uri):
    host, port = uri.partition("://")[2].rstrip("/").split(":")
    return host, int(port)


def test_a_proxy_protocol_header_that_does_not_come_or_is_none():
    policy = ProxyPolicy(trusted=["127.0.0.1"], timeout=0.1)
    with serving(wait, proxy_protocol=policy) as uri:
        for data in (b"", b"PROXY TCP", b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection(tuple_of(uri)) as sock:
                sock.settimeout(LONG)
                sock.sendall(data)
                try:
                    assert sock.recv(1) == b""
                except ConnectionError:
                    pass
    assert policy.counters.timed_out == 2
    assert policy.counters.malformed == 1


def test_forwarded():
    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    headers = {"X-Forwarded-For": "203.0.113.9"}
    with (
        serving(lambda c: c.send(repr(c.remote_address)), forwarded=policy) as uri,
        connect(uri, additional_headers=headers) as client,
    ):
        assert "203.0.113.9" in client.recv()


def test_limits_count_the_addresses_of_clients_behind_a_proxy():
    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    limits = Limits(connections_per_address=1)

    def through(uri, client):
        return connect(uri, additional_headers={"X-Forwarded-For": client})

    with serving(lambda c: c.wait_closed(), forwarded=policy, limits=limits) as uri:
        with (
            through(uri, "192.0.2.1"),
            through(uri, "192.0.2.2"),
            connect(uri),
            connect(uri),
            pytest.raises(InvalidStatus, match="429"),
        ):
            through(uri, "192.0.2.1")
        until(lambda: limits._total == 0)
        assert limits._counts == {}


def test_addresses():
    seen = []

    def handler(connection):
        seen.append((connection.remote_address, connection.local_address))
        connection.wait_closed()
        seen.append(connection.remote_address)

    with serving(handler) as uri:
        with connect(uri) as client:
            local, remote = client.local_address, client.remote_address
            until(lambda: seen)
        until(lambda: len(seen) == 2)
        assert seen == [(local, remote), local]
        assert (client.local_address, client.remote_address) == (local, remote)


def test_a_thread_cannot_be_had(monkeypatch, caplog):
    def start(self):
        raise RuntimeError("can't start new thread")

    with serving(echo) as uri:
        with monkeypatch.context() as patched:
            patched.setattr("tidegate.sync.running.threading.Thread.start", start)
            with socket.create_connection(tuple_of(uri)) as sock:
                sock.settimeout(LONG)
                try:
                    assert sock.recv(1) == b""
                except ConnectionError:
                    pass
        assert "can't start new thread" in caplog.text
        with connect(uri) as client:
            client.send("again")
            assert client.recv() == "again"


def test_raw_requests():
    with serving(echo) as uri:
        with raw_client(uri) as peer:
            peer.send(1, b"early" * 10)
            assert peer.receive() == (1, b"early" * 10)
            peer.finish()
        with socket.create_connection(tuple_of(uri)) as sock:
            sock.sendall(b"nonsense\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")


PROGRAM = """
import os, sys, threading
from tidegate.sync.client import connect
from tidegate.sync.server import serve
def echo(connection):
    for message in connection:
        connection.send(message)
server = serve(echo, "127.0.0.1", 0)
uri = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
accepting = threading.Thread(target=server.serve_forever, daemon=True)
accepting.start()
client = connect(uri)
"""

ENDINGS = {
    "exit": "",
    "fork": """
pid = os.fork()
if not pid:
    # The child's connections have an attendant of their own; the parent's stay the parent's.
    with connect(uri) as mine:
        assert mine.ping().wait(20)
        mine.send("child")
        assert mine.recv() == "child"
    del client
    import gc
    gc.collect()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
client.send("parent")
assert client.recv() == "parent"
assert client.ping().wait(20)
client.close()
server.shutdown()
assert server.fileno() == -1
accepting.join()
assert threading.active_count() == 1, threading.enumerate()
""",
    "interrupt": """
import signal
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    client.recv()
except KeyboardInterrupt:
    client.send("usable")
    assert client.recv() == "usable"
""",
    "receiving": """
threading.Thread(target=client.recv, daemon=True).start()
""",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_programs_end_without_a_trace(ending):
    if ending == "fork" and not hasattr(os, "fork"):
        pytest.skip("there is no fork")
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "ignore::ResourceWarning",
            # A program that forks beside threads is told so from Python 3.12 on.
            "-W",
            "ignore:This process:DeprecationWarning",
            "-c",
            PROGRAM + ENDINGS[ending],
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_shutdown_before_the_opening_handshake_has_begun():
    """There is a connection by then, which is told: nobody breaks off its socket."""
    gate = threading.Event()
    with running(serve(echo, "127.0.0.1", 0)) as server:
        run = server.run

        def run_late(sock, serve):
            gate.wait(LONG)
            run(sock, serve)

        server.run = run_late
        with socket.create_connection(server.socket.getsockname()) as sock:
            until(lambda: server.all_connections)
            closing = threading.Thread(target=server.shutdown)
            closing.start()
            sock.settimeout(LONG)
            answer = sock.recv(1000)
            gate.set()
            closing.join()
        assert answer.startswith(b"HTTP/1.1 503 ")
