"""Several processes with connections of their own, on one server of an engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import pytest

from tidegate import ConnectionClosed, connect
from tidegate.testing.installed import free_port

pytestmark = pytest.mark.asyncio_only

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "hub.py"

PROGRAM = """
import asyncio, runpy, sys
asyncio.run(runpy.run_path(sys.argv[1])["main"](port=int(sys.argv[2]), url=sys.argv[3]))
"""


@contextlib.asynccontextmanager
async def worker(url):
    """Run the example as a process; give the process and its URI."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(EXAMPLE), str(port), url
    )
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("localhost", port)
                    writer.transport.abort()
                    break
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield process, f"ws://localhost:{port}/"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Client:
    """A client that keeps its place, and comes back to whoever is left."""

    def __init__(self, *uris):
        self.uris = list(uris)
        self.position = None
        self.got = []
        self.missed = 0

    async def run(self, room, last):
        """Receive until a certain text."""
        while True:
            since = "" if self.position is None else f"?since={self.position}"
            try:
                async with connect(self.uris[0] + room + since) as websocket:
                    async for text in websocket:
                        message = json.loads(text)
                        if "missed" in message:
                            self.missed += 1
                            continue
                        self.position = message["position"]
                        self.got.append(message["text"])
                        if message["text"] == last:
                            return
            except (ConnectionClosed, OSError):
                self.uris.append(self.uris.pop(0))


async def test_a_worker_is_killed_and_clients_go_on_with_another(Engine):
    """Each client gets everything from its first message on, once and in order."""
    count = 60
    async with (
        Engine() as server,
        worker(server.url) as (doomed, one),
        worker(server.url) as (_, two),
        worker(server.url) as (_, other),
    ):
        clients = [Client(one, two) for _ in range(10)]
        clients += [Client(uri) for uri in (two, other) for _ in range(10)]
        receiving = [asyncio.create_task(client.run("room", "end")) for client in clients]
        async with connect(other + "room") as websocket:
            await websocket.send("begin")
            # What clients missed before they have a position can't be known.
            while not all(client.got for client in clients):
                await websocket.send("begin")
                await asyncio.sleep(0.05)
            for number in range(count):
                if number == count // 2:
                    doomed.kill()
                await websocket.send(str(number))
                await asyncio.sleep(0.005)
            await websocket.send("end")
            async with asyncio.timeout(30):
                await asyncio.gather(*receiving)
        for client in clients:
            numbers = [text for text in client.got if text != "begin"]
            assert numbers == [*map(str, range(count)), "end"]
            assert client.missed == 0
