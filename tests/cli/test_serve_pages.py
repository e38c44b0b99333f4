"""`tidegate serve`: the health page, and the numbers of all workers for Prometheus."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys

import pytest

from tidegate.exceptions import ConnectionClosed
from tidegate.testing.installed import free_port

from .test_serve import start  # noqa: F401

pytestmark = [
    pytest.mark.asyncio_only,
    pytest.mark.skipif(sys.platform == "win32", reason="it tests signals"),
]


async def get(port, path, method="GET"):
    """Ask for a page; give status, headers and body."""
    async with asyncio.timeout(20):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                # Nobody listens yet.
                await asyncio.sleep(0.02)
                continue
            break
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


async def numbers(port):
    """Give what Prometheus gets."""
    status, head, body = await get(port, "/metrics")
    assert status == 200, body
    assert "content-type: text/plain; version=" in head
    return {
        name: float(value)
        for name, value in re.findall(r"^(tidegate_[^ ]+) (\S+)$", body, re.MULTILINE)
    }


async def until(port, name, value):
    """Wait until a number is so; give all of them."""
    async with asyncio.timeout(20):
        while True:
            found = await numbers(port)
            if found.get(name) == value:
                return found
            await asyncio.sleep(0.05)


async def test_health(start):  # noqa: F811
    command = start("--echo", "--health=/healthz", "--notice=30", "--spread=0")
    assert await get(command.port, "/healthz?from=balancer") == (
        200,
        *(await get(command.port, "/healthz"))[1:],
    )
    status, head, body = await get(command.port, "/healthz", "HEAD")
    assert (status, body) == (200, "")
    assert "content-length: 3" in head
    status, head, _ = await get(command.port, "/healthz", "POST")
    assert status == 405
    assert "allow: get, head" in head
    assert (await get(command.port, "/other"))[0] == 426
    command.process.send_signal(signal.SIGTERM)
    await command.until(lambda: "INFO ending" in command.log)
    status, _, body = await get(command.port, "/healthz")
    assert (status, body) == (503, "ending\n")
    # It still serves, until the balancer has taken note.
    async with await command.connect() as websocket:
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
    assert await command.end() != 0


async def test_metrics_of_one_process(start):  # noqa: F811
    pytest.importorskip("prometheus_client")
    port = free_port()
    command = start("--echo", f"--metrics={port}", "--max-connections=1", "--no-compression")
    async with await command.connect() as websocket:
        await websocket.send("hello")
        await websocket.recv()
        with pytest.raises(Exception, match="503"):
            async with await command.connect():
                pass
        found = await numbers(port)
        assert found["tidegate_connections"] == 1
        assert found['tidegate_messages_total{direction="received"}'] == 1
        assert found['tidegate_bytes_total{direction="sent"}'] == 7
        assert found['tidegate_handshakes_refused_total{limit="connections"}'] == 1
        assert found['tidegate_http_responses_total{status="503"}'] == 1
        assert found["tidegate_buffered_bytes"] == found["tidegate_messages_waiting"] == 0
    await until(port, 'tidegate_connections_closed_total{code="1000"}', 1)
    await until(port, 'tidegate_event_loop_lag_seconds_bucket{le="+Inf"}', 4)
    assert (await get(port, "/healthz"))[0] == 200
    assert (await get(port, "/metrics", "POST"))[0] == 405
    assert (await get(port, "/elsewhere"))[0] == 404
    assert await command.end() == 0
    assert "Traceback" not in command.log


async def test_metrics_of_all_workers(start):  # noqa: F811
    pytest.importorskip("prometheus_client")
    port = free_port()
    command = start("--echo", "--workers=2", f"--metrics=localhost:{port}", "--spread=0")
    found = await until(port, "tidegate_workers", 2)
    assert found["tidegate_connections"] == 0
    websockets = [await command.connect() for _ in range(8)]
    for websocket in websockets:
        await websocket.send("hello")
        await websocket.recv()
    found = await numbers(port)
    assert found["tidegate_connections"] == found["tidegate_connections_opened_total"] == 8
    assert found['tidegate_messages_total{direction="sent"}'] == 8
    # What a worker has counted stays when it is killed, but for what it has now.
    killed = command.workers[0]
    os.kill(killed, signal.SIGKILL)
    left = 0
    await command.until(lambda: len(command.workers) == 3)
    found = await until(port, "tidegate_workers", 2)
    for websocket in websockets:
        try:
            await websocket.send("again")
            await websocket.recv()
            left += 1
        except ConnectionClosed:
            pass
    found = await numbers(port)
    assert found["tidegate_connections"] == left
    assert found["tidegate_connections_opened_total"] == 8
    assert found['tidegate_messages_total{direction="sent"}'] == 8 + left
    # The last words of those that are replaced count, too.
    command.process.send_signal(signal.SIGHUP)
    found = await until(port, 'tidegate_connections_closed_total{code="1012"}', left)
    assert found["tidegate_connections"] == 0
    assert (await get(port, "/healthz"))[0] == 200
    assert await command.end() == 0
    assert "Traceback" not in command.log


async def test_the_pages_say_that_the_end_comes(start):  # noqa: F811
    pytest.importorskip("prometheus_client")
    port = free_port()
    command = start("--echo", "--workers=1", f"--metrics={port}", "--drain=60", "--spread=60")
    await until(port, "tidegate_workers", 1)
    websockets = [await command.connect() for _ in range(5)]
    command.process.send_signal(signal.SIGTERM)
    await command.until(lambda: "INFO ending" in command.log)
    assert (await get(port, "/healthz"))[::2] == (503, "ending\n")
    found = await numbers(port)
    assert found["tidegate_connections"] > 0
    assert await command.end() == 0
    for websocket in websockets:
        await websocket.wait_closed()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--metrics=nowhere"], "isn't [HOST:]PORT"),
        (["--metrics=1:99999"], "isn't [HOST:]PORT"),
        (["--health=healthz"], "begins with /"),
        (["--notice=-1"], "can't be negative"),
    ],
)
def test_mistakes(start, arguments, text):  # noqa: F811
    command = start("--echo", *arguments)
    assert command.process.wait(30) == 2
    assert text in command.log


def test_without_the_package(tmp_path):
    (tmp_path / "prometheus_client.py").write_text("raise ImportError")
    for program in (
        "import sys; from tidegate.cli import main; sys.exit(main(sys.argv[1:]))",
        "from tidegate.metrics import Metrics; Metrics()",
    ):
        run = subprocess.run(
            [sys.executable, "-c", program, "serve", "--echo", "--metrics=1"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.returncode != 0
        assert "pip install 'tidegate[metrics]'" in run.stderr
