"""What operating systems do to programs: stop them, give them no descriptors, or no memory."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys

import pytest

from tidegate.exceptions import ConnectionClosedError

from ..faces.drivers import uri_of
from ..hostile import raw
from ..hostile.conftest import house
from ..hostile.peers import SERVERS, Server, available

__all__ = ["house"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="made for Linux")

# Those that accept connections by themselves.
OURS = [face for face in available(SERVERS) if face != "uvicorn"]


@contextlib.contextmanager
def program(house, face, **environment):
    """Run a server."""
    server = Server(face, house.certificate, house.folder, **environment)
    try:
        server.ready(house.contexts[1])
        yield server
    finally:
        os.kill(server.pid, signal.SIGCONT)
        server.end()


async def test_servers_that_are_stopped(face, house):
    """A16: keepalive tells within its limits; what is only slow loses nothing."""
    limits = {"ping_interval": 0.3, "ping_timeout": 0.3, "close_timeout": 0.3}
    with program(house, "asyncio") as server:
        address = "127.0.0.1", server.ports["plain"]
        async with face.connect(uri_of(address), ping_interval=None) as connection:
            for number in range(20):
                if number == 5:
                    os.kill(server.pid, signal.SIGSTOP)
                await connection.send(str(number))
            await face.sleep(0.1)
            os.kill(server.pid, signal.SIGCONT)
            for number in range(20):
                assert await face.recv(connection, 20) == str(number)
        async with face.connect(uri_of(address), **limits) as connection:
            await connection.send("x")
            assert await face.recv(connection, 20) == "x"
            os.kill(server.pid, signal.SIGSTOP)
            with pytest.raises(ConnectionClosedError) as info:
                await face.recv(connection, 20)
            assert info.value.sent.code == 1011
            os.kill(server.pid, signal.SIGCONT)
        await face.blocking(server.settle, server.held)


@pytest.mark.parametrize("which", OURS)
def test_clients_that_are_stopped(which, house):
    """A16: a server leaves a peer that stands still, and serves the others meanwhile."""
    script = (
        "import sys; sys.path.insert(0, '.'); from tests.hostile import raw\n"
        "sock = raw.connect(int(sys.argv[1])); sock.sendall(raw.request())\n"
        "raw.read_head(sock); print('open', flush=True); sock.recv(1)\n"
    )
    with program(house, which) as server:
        command = [sys.executable, "-c", script, str(server.ports["brief"])]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            client.stdout.readline()
            os.kill(client.pid, signal.SIGSTOP)
            with raw.connect(server.ports["plain"]) as sock:
                sock.sendall(raw.request())
                assert raw.status(raw.read_head(sock)) == 101
                raw.send(sock, raw.close().wire(True))
                raw.read_all(sock)
            server.settle(server.held)
            client.kill()


@pytest.mark.parametrize("which", OURS)
def test_no_descriptors(which, house):
    """A39: who finds none left waits, and serves those who waited when there are some again."""
    with program(house, which) as server:
        room = 20
        limits = server.held + room
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limits, limits))
        socks = []
        with contextlib.ExitStack() as stack:
            for _ in range(room * 2):
                sock = stack.enter_context(raw.connect(server.ports["plain"]))
                sock.sendall(raw.request())
                socks.append(sock)
            for sock in socks[: room // 2]:
                assert raw.status(raw.read_head(sock)) == 101
            before = cpu(server.pid)
            # One after the other leaves, and the next is served.
            for sock in socks[room // 2 :]:
                socks.pop(0).close()
                assert raw.status(raw.read_head(sock)) == 101
            # Spinning would have taken all of the time that is waited after each failure.
            assert cpu(server.pid) - before < 1.5
        server.settle(server.held)


def cpu(pid):
    """Say how much time of a processor a process has taken, in seconds."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


MEMORY = """
import asyncio, json, resource, sys
sys.path.insert(0, ".")
from tidegate.asyncio.server import serve

async def echo(connection):
    async for message in connection:
        await connection.send(str(len(message)))

async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        print(json.dumps(server.sockets[0].getsockname()), flush=True)
        await asyncio.to_thread(sys.stdin.readline)

pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 200 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
asyncio.run(main())
"""


def test_no_memory():
    """A message for which there is no memory ends its connection, and no other."""
    with subprocess.Popen(
        [sys.executable, "-c", MEMORY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        _, port = json.loads(process.stdout.readline())
        with raw.connect(port) as other, raw.connect(port) as sock:
            for each in (other, sock):
                each.sendall(raw.request())
                assert raw.status(raw.read_head(each)) == 101
            piece = bytes(2**20)
            head = raw.Frame(raw.BINARY, b"", length=2**30).wire(True)
            with contextlib.suppress(OSError):
                sock.sendall(head)
                for _ in range(1024):
                    sock.sendall(piece)
            answer = raw.received(raw.read_all(sock), False)
            assert answer.code in (1006, 1009, 1011)
            other.sendall(raw.wire([raw.text("honest")], True))
            assert other.recv(10) == raw.text("6").wire(False)
            other.sendall(raw.close().wire(True))
            raw.read_all(other)
        process.stdin.close()
        assert process.wait(raw.PATIENCE) == 0
