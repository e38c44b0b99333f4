"""A server whose process has no descriptors left says so, waits, and goes on."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys

import pytest

from tidegate.asyncio.client import connect

SERVER = """
import asyncio, json, resource, sys, time
from tidegate.asyncio.server import serve

told = []

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
    async with serve(echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
        print(json.dumps([sock.getsockname() for sock in server.sockets]), flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
        begun, turns = time.process_time(), 0
        # Whoever spins does nothing else.
        for _ in range(25):
            await asyncio.sleep(0.1)
        print(json.dumps([told, time.process_time() - begun]), flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)

resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


THREADS = """
import json, logging, resource, sys, threading, time
from tidegate.sync.server import serve

told = []

class Handler(logging.Handler):
    def emit(self, record):
        told.append(record.getMessage())

def echo(connection):
    for message in connection:
        connection.send(message)

resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
logging.getLogger("tidegate.server").addHandler(Handler(logging.ERROR))
with serve(echo, "127.0.0.1", 0) as server:
    threading.Thread(target=server.serve_forever).start()
    print(json.dumps([server.socket.getsockname()]), flush=True)
    sys.stdin.readline()
    begun = time.process_time()
    time.sleep(2.5)
    print(json.dumps([told, time.process_time() - begun]), flush=True)
    sys.stdin.readline()
"""

TRIO = """
import json, logging, resource, sys, time
import trio
from tidegate.trio.server import serve

told = []

class Handler(logging.Handler):
    def emit(self, record):
        told.append(record.getMessage())

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def main():
    async with trio.open_nursery() as nursery:
        async def start(task_status):
            await serve(echo, 0, host="127.0.0.1", task_status=task_status)
        async with await nursery.start(start) as server:
            print(json.dumps([server.listeners[0].socket.getsockname()]), flush=True)
            await trio.to_thread.run_sync(sys.stdin.readline)
            begun = time.process_time()
            for _ in range(25):
                await trio.sleep(0.1)
            print(json.dumps([told, time.process_time() - begun]), flush=True)
            await trio.to_thread.run_sync(sys.stdin.readline)

resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
logging.getLogger().addHandler(Handler(logging.ERROR))
trio.run(main)
"""


@pytest.mark.asyncio_only
@pytest.mark.parametrize("kind", ["threads", "trio"])
async def test_no_descriptors_on_other_faces(kind):
    if kind == "trio":
        pytest.importorskip("trio")
    await exhaust([THREADS if kind == "threads" else TRIO], "accepting connections failed: ")


@pytest.mark.skipif(sys.platform != "linux", reason="servers listen in the poller on Linux only")
@pytest.mark.parametrize("transports", ["poller", "loop"])
async def test_no_descriptors(transports, loop_factory):
    kind = loop_factory.__module__.partition(".")[0]
    told = "socket.accept() out of system resource"
    await exhaust([SERVER, kind], told, TIDEGATE_TRANSPORTS=transports)


async def exhaust(program, message, **environment):
    """Run a server that has few descriptors, and give it more connections than that."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 256:
        pytest.skip("there are few descriptors here, too")
    process = subprocess.Popen(
        [sys.executable, "-c", *program],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        addresses = [tuple(address) for address in json.loads(process.stdout.readline())]
        clients = []
        for address in addresses:
            for _ in range(60):
                clients.append(socket.create_connection(address, timeout=10))
        process.stdin.write("\n")
        process.stdin.flush()
        told, seconds = json.loads(process.stdout.readline())
        # Two sockets that listen at most, and some more than two seconds.
        assert 1 <= len(told) <= 4
        assert all(each.startswith(message) for each in told)
        # Spinning would take all of it.
        assert seconds < 1.5
        for client in clients:
            client.close()
        for host, port in addresses:
            async with connect(f"ws://{host}:{port}/", proxy=None, open_timeout=60) as connection:
                await connection.send("hello")
                assert await connection.recv() == "hello"
        process.stdin.write("\n")
        process.stdin.close()
    assert process.returncode == 0
