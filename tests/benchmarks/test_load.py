"""The measuring instruments in C: what they claim to have measured has to have happened."""

from __future__ import annotations

import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trustme
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

SOURCES = Path(__file__).parents[2] / "benchmarks" / "c"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc") or not shutil.which("make"),
    reason="needs Linux and a C compiler",
)


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bin")
    environment = {**os.environ, "CFLAGS": os.environ.get("CFLAGS", "-O1")}
    subprocess.run(["make", "--quiet", f"OUT={folder}"], cwd=SOURCES, env=environment, check=True)
    return folder


@pytest.fixture
def server(programs):
    process = subprocess.Popen([programs / "echo_server"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline().split()[1])
    yield process.pid, port
    ended = process.poll()
    process.terminate()
    process.wait()
    process.stdout.close()
    assert ended is None


def load(programs, port, *options):
    command = [programs / "load", "--warmup", "0.02", "--duration", "0.1", *options]
    result = subprocess.run(
        [*command, f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=60
    )
    return result.returncode, json.loads(result.stdout) if result.stdout else result.stderr


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--size", "0"),
        ("--connections", "20", "--depth", "8", "--size", "300"),
        ("--binary", "--size", "200000", "--depth", "3", "--fragments", "7"),
        ("--compression", "--size", "2000", "--depth", "5"),
        ("--compression", "--size", "70000", "--fragments", "3"),
        ("--interval", "0.005", "--connections", "3"),
        ("--mode", "broadcast", "--connections", "30", "--compression"),
    ],
    ids=" ".join,
)
def test_messages_come_back(programs, server, options):
    pid, port = server
    status, figures = load(programs, port, "--pid", str(pid), *options)
    assert status == 0, figures
    assert figures["messages"] == figures["latency"]["count"] > 0
    assert figures["server_cpu"] > 0
    assert figures["latency"]["p50"] <= figures["latency"]["p999"] <= figures["latency"]["max"]


def test_connections_are_opened(programs, server):
    pid, port = server
    status, figures = load(
        programs, port, "--mode", "memory", "--connections", "200", "--pid", str(pid)
    )
    assert status == 0, figures
    assert figures["opened"] == 200
    assert figures["resident_used"] >= figures["resident_before"] > 0
    status, figures = load(programs, port, "--mode", "storm", "--connections", "5")
    assert status == 0, figures
    assert figures["opened"] > 5


class Corrupting(socketserver.BaseRequestHandler):
    """Passes bytes on to an echo server, and changes one of those that come back."""

    def handle(self):
        with socket.create_connection(("127.0.0.1", self.server.target)) as upstream:

            def forward():
                while data := self.request.recv(65536):
                    upstream.sendall(data)

            thread = threading.Thread(target=forward)
            thread.start()
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += upstream.recv(1)
            self.request.sendall(head)
            data = bytearray(upstream.recv(65536))
            data[-1] ^= 1
            self.request.sendall(data)
            thread.join()


def test_wrong_answer_ends_the_run(programs, server):
    with socketserver.TCPServer(("127.0.0.1", 0), Corrupting) as proxy:
        proxy.target = server[1]
        thread = threading.Thread(target=proxy.handle_request)
        thread.start()
        status, message = load(programs, proxy.server_address[1])
        thread.join()
    assert status == 1
    assert "isn't what was sent" in message


def test_absent_server_is_told(programs, unused_port):
    status, message = load(programs, unused_port)
    assert status == 1
    assert message.startswith("load: ")


@pytest.fixture
def unused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_server_talks_to_others(server):
    port = server[1]
    with connect(f"ws://127.0.0.1:{port}/", proxy=None) as connection:
        for message in ("", "é" * 1000, b"\x00" * 70000, os.urandom(100)):
            connection.send(message)
            assert connection.recv() == message
        connection.send(["frag", "ments", ""])
        assert connection.recv() == "fragments"
        assert connection.ping("are you there?").wait(10)


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abcdefgh\xe2\x82", b"\x80"],
)
def test_server_checks_text(server, text):
    with connect(f"ws://127.0.0.1:{server[1]}/", proxy=None, compression=None) as connection:
        connection.send(text, text=True)
        with pytest.raises(ConnectionClosedError) as raised:
            connection.recv()
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1007


def test_tls_sessions_are_resumed(programs, tmp_path):
    usage = subprocess.run([programs / "load", "--help"], capture_output=True, text=True)
    assert "--resume" in usage.stderr + usage.stdout
    issued = trustme.CA().issue_cert("localhost")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    command = [programs / "echo_server", "--tls", certificate, key]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait()
        pytest.skip("built without OpenSSL")
    port = int(line.split()[1])
    storm = ("--mode", "storm", "--connections", "4", "--duration", "0.5", "--tls")
    try:
        status, figures = load(programs, port, *storm)
        assert (status, figures["resumed"]) == (0, 0)
        status, figures = load(programs, port, *storm, "--resume")
        assert status == 0, figures
        assert figures["resumed"] > 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
