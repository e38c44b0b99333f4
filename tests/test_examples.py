"""The examples run, and do what they say; those about proxies are tested in tests/proxy."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate import ConnectionClosed, InvalidStatus, connect
from tidegate.asyncio.server import serve
from tidegate.proxyprotocol import Header
from tidegate.testing.installed import free_port

from .loading import load as load_program

FOLDER = Path(__file__).resolve().parent.parent / "examples"

EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_has_a_test(name):
    files = Path(__file__).parent.rglob("test_examples.py")
    assert any(re.search(rf"\b(test_)?{name}\b", file.read_text("utf-8")) for file in files)


def load(name):
    """Give what an example defines."""
    return load_program(FOLDER / f"{name}.py")


def run(name, *arguments):
    """Run an example as a program; give what it prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", FOLDER / f"{name}.py", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@contextlib.asynccontextmanager
async def running(main, *arguments, scheme="ws", **options):
    """Run the coroutine function of a server on a free port; give its URI."""
    port = free_port()
    task = asyncio.create_task(main(*arguments, port=port, **options))
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("localhost", port)
                    break
                except OSError:
                    assert not task.done(), task.exception()
                    await asyncio.sleep(0.01)
        writer.transport.abort()
        yield f"{scheme}://localhost:{port}/"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.asyncio_only
async def test_listener():
    async with running(load("listener")["main"]) as uri, connect(uri) as websocket:
        await websocket.send("there and back")
        assert await websocket.recv() == "there and back"


@pytest.mark.asyncio_only
async def test_real_client_address():
    header = Header(source=("192.0.2.1", 4711), destination=("192.0.2.2", 443))
    async with (
        running(load("real_client_address")["main"], balancers=["127.0.0.1", "::1"]) as uri,
        connect(uri, send_proxy_header=header) as websocket,
    ):
        assert await websocket.recv() == "You are 192.0.2.1, port 4711."


@pytest.mark.asyncio_only
async def test_echo_server():
    async with running(load("echo_server")["main"]) as uri, connect(uri) as websocket:
        await websocket.send("there and back")
        assert await websocket.recv() == "there and back"


@pytest.mark.asyncio_only
async def test_hello_client(capsys):
    async with running(load("echo_server")["main"]) as uri:
        await load("hello_client")["main"](uri)
    assert capsys.readouterr().out == "Hello, world!\n"


@pytest.mark.asyncio_only
async def test_reconnecting_client(capsys):
    visits = 0

    async def answer(websocket):
        nonlocal visits
        visits += 1
        assert await websocket.recv() == "Any news?"
        await websocket.send(f"visit {visits}")
        if visits == 2:
            websocket.transport.abort()
        if visits == 3:
            done.set()

    done = asyncio.Event()
    async with serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        main = load("reconnecting_client")["main"]
        task = asyncio.create_task(main(f"ws://127.0.0.1:{port}/"))
        await done.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("connecting, attempt 1")
    assert lines[1].startswith("connected, attempt 1")
    assert "visit 1" in lines
    assert sum(line.startswith("connected") for line in lines) == 3


@pytest.mark.asyncio_only
async def test_clock():
    async with (
        running(load("clock")["main"], interval=0.01) as uri,
        connect(uri) as one,
        connect(uri) as other,
    ):
        for websocket in (one, other):
            first, second = await websocket.recv(), await websocket.recv()
            assert first < second


@pytest.mark.asyncio_only
async def test_tls(tmp_path, capsys):
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    paths = [str(tmp_path / name) for name in ("authority.pem", "certificate.pem", "key.pem")]
    authority.cert_pem.write_to_path(paths[0])
    certificate.cert_chain_pems[0].write_to_path(paths[1])
    certificate.private_key_pem.write_to_path(paths[2])
    example = load("tls")
    async with running(example["run_server"], *paths[1:], scheme="wss") as uri:
        await example["run_client"](paths[0], uri)
    assert capsys.readouterr().out == "Hello in private!\n"


@pytest.mark.asyncio_only
async def test_http_on_the_same_port():
    example = load("http_on_the_same_port")
    async with running(example["main"]) as uri:
        with pytest.raises(InvalidStatus) as refused:
            await connect(uri + "healthz")
        assert refused.value.response.status_code == 200
        assert refused.value.response.body == b"OK\n"
        for headers in ({}, {"Authorization": "Bearer guess"}):
            with pytest.raises(InvalidStatus) as refused:
                await connect(uri, additional_headers=headers)
            assert refused.value.response.status_code == 401
        headers = {"Authorization": f"Bearer {example['TOKEN']}"}
        async with connect(uri, additional_headers=headers) as websocket:
            assert await websocket.recv() == "Come in!"


def test_stream_a_file(tmp_path):
    content = os.urandom(3_000_001)
    path = tmp_path / "content"
    path.write_bytes(content)
    assert run("stream_a_file", str(path)) == hashlib.sha256(content).hexdigest() + "\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@pytest.mark.asyncio_only
async def test_graceful_shutdown():
    async with running(load("graceful_shutdown")["main"]) as uri:
        async with connect(uri) as websocket:
            await websocket.send("still here")
            assert await websocket.recv() == "still here"
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            assert websocket.close_code == 1001
        with pytest.raises(OSError):
            await connect(uri)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


@pytest.mark.asyncio_only
async def test_public_server():
    async with running(load("public_server")["main"]) as uri:
        for origin in ("https://example.com", "https://www.example.com", None):
            async with connect(uri, origin=origin) as websocket:
                await websocket.send("hello")
                assert await websocket.recv() == "hello"
        with pytest.raises(InvalidStatus) as refused:
            await connect(uri, origin="https://evil.test")
        assert refused.value.response.status_code == 403
        # More handshakes than one address may begin in a second.
        with pytest.raises(InvalidStatus) as refused:
            for _ in range(30):
                async with connect(uri) as websocket:
                    pass
        assert refused.value.response.status_code == 429


@pytest.mark.asyncio_only
async def test_public_server_limits_messages():
    async with running(load("public_server")["main"]) as uri, connect(uri) as websocket:
        await websocket.send("x" * 65_537)
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
        assert websocket.close_code == 1009


@pytest.mark.asyncio_only
async def test_routes():
    pytest.importorskip("werkzeug")
    async with running(load("routes")["main"]) as uri:
        async with connect(uri + "count/3") as websocket:
            assert [message async for message in websocket] == ["1", "2", "3"]
        async with connect(uri + "echo") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
        with pytest.raises(InvalidStatus) as refused:
            await connect(uri + "elsewhere")
        assert refused.value.response.status_code == 404


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@pytest.mark.asyncio_only
async def test_draining(capsys):
    port = free_port()
    task = asyncio.create_task(load("draining")["main"](port, timeout=10, spread=0.1))
    clients = []
    async with asyncio.timeout(20):
        while len(clients) < 10:
            try:
                clients.append(await connect(f"ws://localhost:{port}"))
            except OSError:
                await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await task
    assert [client.close_code for client in clients] == [1012] * 10
    assert capsys.readouterr().out == "0 connections had to be aborted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@pytest.mark.asyncio_only
async def test_asgi_app():
    pytest.importorskip("uvicorn")
    port = free_port()
    program = f"import asyncio, asgi_app; asyncio.run(asgi_app.main({port}))"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", program),
        cwd=FOLDER,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            while b"Uvicorn running on" not in (line := await process.stderr.readline()):
                assert line
        async with connect(f"ws://127.0.0.1:{port}") as websocket:
            for message in "hello", b"bytes":
                await websocket.send(message)
                assert await websocket.recv() == message
            process.terminate()
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            assert websocket.close_code == 1012
        assert b"Finished server process" in await process.stderr.read()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_testing_a_server():
    assert run("testing_a_server") == "It shouts.\n"


@pytest.mark.asyncio_only
async def test_hub():
    async with running(load("hub")["main"]) as uri:
        async with connect(uri + "lobby") as one, connect(uri + "lobby") as two:
            await asyncio.gather(one.send("hello"), two.send("hello"))
            await one.recv()
            position = json.loads(await one.recv())["position"]
            await two.recv()
        async with connect(uri + "lobby") as two, connect(f"{uri}lobby?since={position}") as one:
            await two.send("again")
            assert json.loads(await one.recv())["text"] == "again"
        async with connect(f"{uri}lobby?since={position}") as one:
            assert json.loads(await one.recv())["text"] == "again"
        async with connect(f"{uri}lobby?since=nonsense") as one:
            assert json.loads(await one.recv()) == {"missed": True}


@pytest.mark.asyncio_only
async def test_metrics():
    pytest.importorskip("prometheus_client")
    metrics_port = free_port()
    async with (
        running(load("metrics")["main"], metrics_port=metrics_port) as uri,
        connect(uri) as websocket,
    ):
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
        reader, writer = await asyncio.open_connection("127.0.0.1", metrics_port)
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = (await reader.read()).decode()
        writer.close()
    assert "tidegate_connections 1.0\n" in page
    assert 'tidegate_messages_total{direction="received"} 1.0\n' in page
    assert "tidegate_event_loop_lag_seconds_count" in page


@pytest.mark.asyncio_only
async def test_tracing():
    pytest.importorskip("opentelemetry.sdk")
    port = free_port()
    # What it sets is for a whole process.
    program = f"import asyncio, tracing; asyncio.run(tracing.main({port}))"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=FOLDER, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    async with connect(f"ws://localhost:{port}/") as websocket:
                        await websocket.send("hello")
                        assert await websocket.recv() == "HELLO"
                    break
                assert process.returncode is None
                await asyncio.sleep(0.05)
            told = b""
            while b"websocket.close.code" not in told:
                line = await process.stdout.readline()
                assert line
                told += line
    finally:
        process.kill()
        await process.communicate()
    names = re.findall(r'"name": "(.*?)"', told.decode())
    assert names == ["WebSocket open", "message", "WebSocket close"]
