"""What tracebacks, warnings and tools say of compiled code."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tidegate
from tidegate.asyncio.connection import Connection

SOURCES = Path(tidegate.__file__).parent

TRACEBACK = """
import traceback
from tidegate.proxyprotocol.header import Header
try:
    Header(version=7)
except ValueError:
    traceback.print_exc()
"""


def run(code, cwd, *options):
    result = subprocess.run(
        [sys.executable, *options, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCES.parent)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return result.stderr


def test_tracebacks_show_the_lines(tmp_path):
    # From a folder in which the sources aren't found by chance.
    lines = run(TRACEBACK, tmp_path).splitlines()
    [number] = [at for at, line in enumerate(lines) if "proxyprotocol/header.py" in line]
    assert lines[number + 1].strip().startswith('raise ValueError(f"there is no version')
    path = lines[number].split('"')[1]
    assert path in ("tidegate/proxyprotocol/header.py", str(SOURCES / "proxyprotocol/header.py"))


NEVER_AWAITED = """
import tidegate
async def main():
    async with tidegate.serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with tidegate.connect(f"ws://127.0.0.1:{port}/", proxy=None) as websocket:
            send_it(websocket)
def send_it(websocket):
    websocket.send("text")  # line 9
    websocket.recv()  # line 10
async def handler(websocket):
    await websocket.wait_closed()
import asyncio
asyncio.run(main())
"""


def test_what_was_never_awaited_is_told_with_its_line(tmp_path):
    (tmp_path / "program.py").write_text(NEVER_AWAITED)
    lines = run("import program", tmp_path, "-W", "always").splitlines()
    warnings = [line for line in lines if "never awaited" in line]
    assert [line.partition("program.py:")[2] for line in warnings] == [
        "9: RuntimeWarning: coroutine 'ClientConnection.send' was never awaited",
        "10: RuntimeWarning: coroutine 'ClientConnection.recv' was never awaited",
    ]


@pytest.mark.parametrize("name", ["recv", "send", "send_nowait", "pause_reading"])
def test_sources_of_methods(name):
    method = getattr(Connection, name)
    assert method.__qualname__ == f"Connection.{name}"
    assert inspect.getsource(method).lstrip().startswith(f"def {name}(")
    assert next(iter(inspect.signature(method).parameters)) == "self"


@pytest.mark.asyncio_only
@pytest.mark.parametrize("secure", [False, True])
async def test_debug_mode_names_the_handler_that_was_slow(caplog, secure, certificates):
    server_context, client_context = certificates
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01
    told = caplog.records

    async def slow_handler(websocket):
        async for message in websocket:
            time.sleep(0.02)
            await websocket.send(message)

    options = {"ssl": server_context} if secure else {}
    async with tidegate.serve(slow_handler, "localhost", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        uri = f"wss://localhost:{port}/" if secure else f"ws://localhost:{port}/"
        options = {"ssl": client_context} if secure else {}
        async with tidegate.connect(uri, proxy=None, **options) as websocket:
            await websocket.send("text")
            assert await websocket.recv() == "text"
    slow = [record.getMessage() for record in told if "took" in record.getMessage()]
    assert any("slow_handler" in message for message in slow), slow


async def tell_task(websocket):
    await websocket.send(repr(asyncio.current_task()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("api", ["today's", "older", "routes"])
async def test_tasks_are_called_as_their_handlers(api):
    if api == "older":
        from tidegate.legacy.server import serve
    elif api == "routes":
        routing = pytest.importorskip("werkzeug.routing")
        serve = tidegate.route
    else:
        serve = tidegate.serve
    first = tell_task
    if api == "routes":
        first = routing.Map([routing.Rule("/", endpoint=tell_task)])
    async with serve(first, "localhost", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with tidegate.connect(f"ws://localhost:{port}/", proxy=None) as websocket:
            assert "coro=<tell_task() running at" in await websocket.recv()
