"""`tidegate serve`: one process, and several that are kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate import ConnectionClosed, connect
from tidegate.asyncio.client import unix_connect
from tidegate.cli import workers
from tidegate.proxyprotocol import Header
from tidegate.testing.installed import free_port

pytestmark = [
    pytest.mark.asyncio_only,
    pytest.mark.skipif(sys.platform == "win32", reason="it tests signals"),
]

PROGRAM = """
import contextlib
import os
import sys

from tidegate.asyncio.listener import Listener


async def tell(websocket):
    await websocket.send(str(os.getpid()))
    await websocket.wait_closed()


class Loud(Listener):
    def on_message(self, message):
        self.connection.send_nowait(message.upper())


async def address(websocket):
    await websocket.send(websocket.remote_address[0])


def of_two(one, two):
    pass


def page(connection, request):
    if request.path == "/page":
        return connection.respond(200, "a page")


opened = []


@contextlib.asynccontextmanager
async def lifespan():
    opened.append(True)
    yield
    print("closed", file=sys.stderr)


async def tell_opened(websocket):
    await websocket.send(str(len(opened)))
"""


class Command:
    """A ``tidegate serve`` that runs."""

    def __init__(self, folder, arguments):
        self.folder = folder
        self.port = free_port()
        self.log_path = folder / "log"
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tidegate", "serve", f"--port={self.port}", *arguments],
                cwd=folder,
                stderr=log,
            )

    @property
    def log(self):
        return self.log_path.read_text()

    @property
    def workers(self):
        """The processes that said that they serve."""
        return [int(pid) for pid in re.findall(r"\S+ \S+ (\d+) INFO serving on", self.log)]

    async def connect(self, **options):
        """Connect, as soon as there is somebody."""
        async with asyncio.timeout(20):
            while True:
                try:
                    return await connect(f"ws://127.0.0.1:{self.port}", proxy=None, **options)
                except (OSError, ConnectionClosed):
                    assert self.process.poll() is None, self.log
                    await asyncio.sleep(0.05)

    async def until(self, condition):
        """Wait until something is so."""
        async with asyncio.timeout(30):
            while not condition():
                assert self.process.poll() is None, self.log
                await asyncio.sleep(0.02)

    async def end(self, number=signal.SIGTERM):
        """Have it end; give the exit status."""
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, 30)


@pytest.fixture
def start(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    commands = []

    def start(*arguments):
        command = Command(tmp_path, arguments)
        commands.append(command)
        return command

    yield start
    for command in commands:
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait()
        for pid in command.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


# One process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_echo(start, number):
    command = start("--echo")
    websocket = await command.connect()
    await websocket.send("hello")
    assert await websocket.recv() == "hello"
    assert await command.end(number) == 0
    with pytest.raises(ConnectionClosed):
        await websocket.recv()
    assert websocket.close_code == 1012
    assert "of 1 connections, 0 had to be aborted" in command.log
    assert "Traceback" not in command.log


async def test_listener_on_uvloop(start):
    pytest.importorskip("uvloop")
    command = start("program:Loud", "--loop", "uvloop")
    websocket = await command.connect()
    await websocket.send("hello")
    assert await websocket.recv() == "HELLO"
    assert await command.end() == 0


async def test_proxy_protocol(start):
    command = start("program:address", "--proxy-protocol=127.0.0.0/8")
    header = Header(source=("192.0.2.1", 1), destination=("192.0.2.2", 2))
    websocket = await command.connect(send_proxy_header=header)
    assert await websocket.recv() == "192.0.2.1"
    await websocket.close()


async def test_what_is_around_the_handler(start):
    command = start(
        "program:tell_opened",
        "--process-request=program:page",
        "--lifespan=program:lifespan",
        "--health=/healthz",
    )
    for _ in range(2):
        websocket = await command.connect()
        assert await websocket.recv() == "1"
        await websocket.close()
    for path, body in ("/page", b"a page"), ("/healthz", b"OK\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", command.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\n" + body)
        writer.close()
    assert await command.end() == 0
    assert "closed" in command.log


async def test_limits(start):
    command = start("program:tell", "--max-connections=1", "--max-size=10")
    async with await command.connect() as websocket:
        with pytest.raises(Exception, match="503"):
            await connect(f"ws://127.0.0.1:{command.port}", proxy=None)
        await websocket.recv()
        await websocket.send("a" * 11)
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
        assert websocket.close_code == 1009


async def test_tls(start, tmp_path, certificates):
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    authority.cert_pem.write_to_path(tmp_path / "ca")
    command = start("--echo", "--cert=pem", "--workers=2")
    await command.until(lambda: len(command.workers) == 2)
    uri = f"wss://localhost:{command.port}"
    async with connect(uri, ssl=str(tmp_path / "ca"), proxy=None) as websocket:
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
    assert "wss://127.0.0.1:" in command.log


@pytest.mark.parametrize("more", [[], ["--workers=2"]])
async def test_unix_socket(start, tmp_path, more):
    path = tmp_path / "socket"
    for _ in range(2):
        command = start("program:tell", "--unix=socket", *more)
        await command.until(lambda: len(command.workers) == (2 if more else 1))  # noqa: B023
        async with unix_connect(str(path)) as websocket:
            assert int(await websocket.recv()) in command.workers
        command.process.kill()
        command.process.wait()
        # It stays, and the next one takes its place.
        assert path.exists()
    command = start("program:tell", "--unix=socket", *more)
    await command.until(lambda: len(command.workers) == (2 if more else 1))
    assert await command.end() == 0
    assert not path.exists()


# What is wrong with the arguments


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ([], 2, "give either MODULE:NAME or --echo"),
        (["program:tell", "--echo"], 2, "give either MODULE:NAME or --echo"),
        (["--echo", "--key=a"], 2, "--key is of no use"),
        (["--echo", "--workers=0"], 2, "at least 1"),
        (["--echo", "--drain=-1"], 2, "can't be negative"),
        (["program"], 1, "'program' isn't MODULE:NAME"),
        (["nowhere:tell"], 1, "there is no module 'nowhere'"),
        (["program:nothing"], 1, "module 'program' has no 'nothing'"),
        (["program:of_two"], 1, "handler"),
        (["--echo", "--process-request=program:nothing"], 1, "module 'program' has no 'nothing'"),
        (["--echo", "--lifespan=program:nothing"], 1, "module 'program' has no 'nothing'"),
        (["--echo", "--cert=nowhere"], 1, "No such file"),
        (["--echo", "--host=192.0.2.1"], 1, "cannot listen"),
        (["--echo", "--proxy-protocol=nobody"], 1, "nobody"),
        (["program:nothing", "--workers=2"], 1, "module 'program' has no 'nothing'"),
    ],
)
def test_mistakes(start, arguments, status, text):
    command = start(*arguments)
    assert command.process.wait(30) == status
    assert text in command.log
    assert "Traceback" not in command.log


# Workers


async def test_workers_share_connections(start):
    command = start("program:tell", "--workers=2")
    await command.until(lambda: len(command.workers) == 2)
    seen = set()
    async with asyncio.timeout(30):
        while len(seen) < 2:
            websocket = await command.connect()
            seen.add(int(await websocket.recv()))
            await websocket.close()
    assert seen == set(command.workers)
    websockets = [await command.connect() for _ in range(20)]
    assert await command.end() == 0
    for websocket in websockets:
        await websocket.wait_closed()
        assert websocket.close_code == 1012
    assert "Traceback" not in command.log


async def test_worker_that_dies_is_started_again(start):
    command = start("program:tell", "--workers=2")
    await command.until(lambda: len(command.workers) == 2)
    first, second = command.workers
    for count, pid in (3, first), (4, second):
        os.kill(pid, signal.SIGKILL)
        await command.until(lambda: len(command.workers) == count)  # noqa: B023
        assert f"worker {pid} has ended by signal 9" in command.log
    seen = set()
    for _ in range(20):
        websocket = await command.connect()
        seen.add(int(await websocket.recv()))
        await websocket.close()
    assert seen <= set(command.workers[2:])
    assert await command.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, all accept from one socket")
async def test_connections_wait_for_a_worker_that_is_started_again(start):
    """Who connects while a worker is dead is not refused."""
    command = start("program:tell", "--workers=1")
    await command.until(lambda: command.workers)
    os.kill(command.workers[0], signal.SIGKILL)
    for _ in range(5):
        async with connect(f"ws://127.0.0.1:{command.port}", proxy=None) as websocket:
            await websocket.recv()
    assert await command.end() == 0


async def test_delays_grow(start, tmp_path):
    command = start("program:tell", "--workers=1")
    await command.until(lambda: command.workers)
    (tmp_path / "program.py").write_text("raise ValueError('broken')")
    os.kill(command.workers[0], signal.SIGKILL)
    await command.until(lambda: "started in 0.4 s" in command.log)
    (tmp_path / "program.py").write_text(PROGRAM)
    await command.until(lambda: len(command.workers) == 2)
    assert "ValueError: broken" in command.log or "cannot serve: broken" in command.log
    assert await command.end() == 0


async def test_sighup_replaces_the_workers(start):
    command = start("program:tell", "--workers=2", "--spread=0")
    await command.until(lambda: len(command.workers) == 2)
    old = command.workers
    websockets = [await command.connect() for _ in range(10)]
    command.process.send_signal(signal.SIGHUP)
    for websocket in websockets:
        # There is somebody all the time.
        async with await command.connect():
            pass
        await websocket.recv()
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
        assert websocket.close_code == 1012
    await command.until(lambda: len(command.workers) == 4)
    async with await command.connect() as websocket:
        assert int(await websocket.recv()) in command.workers[2:]
    await command.until(lambda: command.log.count("had to be aborted") == 2)
    assert set(old).isdisjoint(command.workers[2:])
    assert await command.end() == 0
    assert "Traceback" not in command.log


async def test_sighup_keeps_the_workers_when_new_ones_do_not_start(start, tmp_path):
    command = start("program:tell", "--workers=2")
    await command.until(lambda: len(command.workers) == 2)
    (tmp_path / "program.py").write_text("a b")
    command.process.send_signal(signal.SIGHUP)
    await command.until(lambda: "so the old ones go on" in command.log)
    async with await command.connect() as websocket:
        assert int(await websocket.recv()) in command.workers
    assert await command.end() == 0


async def test_reload(start, tmp_path):
    command = start("program:tell", "--reload", "--spread=0")
    websocket = await command.connect()
    before = await websocket.recv()
    await asyncio.sleep(2 * workers.LOOK_EVERY)
    (tmp_path / "program.py").write_text(PROGRAM + "\n# changed\n")
    with pytest.raises(ConnectionClosed):
        await websocket.recv()
    async with await command.connect() as websocket:
        assert await websocket.recv() != before
    assert await command.end() == 0


async def test_workers_end_with_their_supervisor(start):
    command = start("program:tell", "--workers=2", "--spread=0")
    await command.until(lambda: len(command.workers) == 2)
    websocket = await command.connect()
    command.process.kill()
    command.process.wait()
    await websocket.wait_closed()
    assert websocket.close_code == 1012


async def test_a_second_signal_ends_at_once(start):
    command = start("program:tell", "--workers=1", "--drain=3600", "--spread=3600")
    await command.until(lambda: command.workers)
    websockets = [await command.connect() for _ in range(5)]
    command.process.send_signal(signal.SIGTERM)
    await command.until(lambda: "INFO ending" in command.log)
    assert await command.end() == 0
    for websocket in websockets:
        await websocket.wait_closed()


def test_python_files(tmp_path):
    for name in "a.py", "b/c.py", "b/d.txt", ".git/e.py", "venv/pyvenv.cfg", "venv/f.py":
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    found = {str(Path(name).relative_to(tmp_path)) for name, _ in workers.python_files(tmp_path)}
    assert found == {"a.py", os.path.join("b", "c.py")}
