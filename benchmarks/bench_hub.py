"""What a hub costs: a message that is delivered, one that goes through an engine, and a topic.

The receivers are connections whose other ends are in another process, which reads and throws away.
What counts is CPU time of the process with the hub. It is a part of ``make bench``, and runs by
itself, too: ``python -m benchmarks.bench_hub``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import multiprocessing
import os
import resource
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from tidegate.asyncio.server import serve
from tidegate.pubsub import EngineError, Hub
from tidegate.testing.installed import SYSTEM_FOLDERS, free_port

from .report import table
from .run import Failure

TITLE = "What a hub costs"

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

RECEIVERS = 1000
TOPICS = 100_000
DEPTH = 64
LOCAL, ENGINE = "x" * 1024, "x" * 256

# What it is to take at most: µs of CPU for a message with an engine, bytes for a topic.
MOST_MICROSECONDS = 15
MOST_BYTES = 1024


@dataclasses.dataclass
class Cost:
    """What something takes, in the best of its rounds.

    Attributes:
        figure: the figure; None if what it needs isn't installed.
        unit: its unit.
        goal: what it is to be at most; None for no goal.

    """

    name: str
    figure: float | None
    unit: str
    goal: float | None = None

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None or self.figure is None else self.figure <= self.goal


def receive(port: int, count: int) -> None:
    """Open connections, and read what comes for ever."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(REQUEST)
        selector.register(sock, selectors.EVENT_READ)
    buffer = bytearray(2**18)
    while selector.get_map():
        for key, _ in selector.select():
            if not key.fileobj.recv_into(buffer):  # type: ignore[union-attr]
                selector.unregister(key.fileobj)


@contextlib.asynccontextmanager
async def receivers(count: int) -> AsyncIterator[list[Any]]:
    """Give the server's ends of so many connections."""
    accepted: list[Any] = []

    async def handler(connection: Any) -> None:
        accepted.append(connection)
        await connection.wait_closed()

    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        process = multiprocessing.get_context("spawn").Process(
            target=receive, args=(port, count), daemon=True
        )
        process.start()
        try:
            async with asyncio.timeout(60):
                while len(accepted) < count:
                    await asyncio.sleep(0.01)
            yield accepted
        finally:
            process.kill()
            process.join()


async def measure_local(rounds: int) -> list[Cost]:
    """Measure what a delivery takes within a process."""
    found = []
    async with receivers(RECEIVERS) as accepted:
        for each in (1, 100):
            async with Hub() as hub:
                for number, connection in enumerate(accepted):
                    hub.join(connection, f"topic.{number // each}")
                best = float("inf")
                for _ in range(rounds):
                    begin, before = time.process_time(), hub.stats.delivered
                    for number in range(RECEIVERS // each):
                        hub.publish(f"topic.{number}", LOCAL)
                        while hub.stats.backlog_bytes:
                            await asyncio.sleep(0)
                    taken = time.process_time() - begin
                    if hub.stats.delivered - before != RECEIVERS:
                        raise Failure("a message was not delivered")
                    best = min(best, taken / RECEIVERS)
                    # The other process gets time to read.
                    await asyncio.sleep(0.05)
            name = f"1 KB, receivers of a topic: {each}"
            found.append(Cost(name, best * 1e6, "µs/delivery"))
    return found


async def measure_topics(topics: int) -> Cost:
    """Measure what a topic takes that somebody has joined."""
    async with receivers(100) as accepted, Hub() as hub:
        before = resident()
        for number in range(topics):
            hub.join(accepted[number % 100], f"topic.{number}")
        each = (resident() - before) / topics
    return Cost(f"memory of a topic, of {topics:,}", each, "B", MOST_BYTES)


def resident() -> int:
    """Give the memory that the process has, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@contextlib.contextmanager
def engine(name: str) -> Iterator[str | None]:
    """Run the server of an engine; give its URL, or None if it isn't installed."""
    path = shutil.which(f"{name}-server", path=os.pathsep.join([os.defpath, *SYSTEM_FOLDERS]))
    if path is None:
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        arguments = {
            "redis": ["--port", str(port), "--bind", "127.0.0.1", "--save", ""],
            "nats": ["-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder],
        }[name]
        process = subprocess.Popen(
            [path, *arguments],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"{name}://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


async def measure_engine(name: str, rounds: int, messages: int) -> list[Cost]:
    """Measure what publishing takes, with a number of messages on their way."""
    found = []
    with engine(name) as url:
        for history in (None, 100):
            best: float | None = None
            if url is not None:
                try:
                    best = await publishing(url, history, rounds, messages)
                except ImportError:
                    pass
                except EngineError as exc:
                    raise Failure(f"publishing by {name}: {exc}") from exc
            engine_name = {"redis": "Redis", "nats": "NATS"}[name]
            kind = "with a history" if history else "without a history"
            title = f"publishing by {engine_name}, {kind}, {DEPTH} on their way"
            goal = MOST_MICROSECONDS if name == "redis" else None
            found.append(Cost(title, best, "µs/message", goal))
    return found


async def publishing(url: str, history: int | None, rounds: int, messages: int) -> float:
    best = float("inf")
    async with Hub(url, history=history) as hub:
        for _ in range(rounds):
            begin = time.process_time()
            for _ in range(messages // DEPTH):
                for _ in range(DEPTH):
                    receipt = hub.publish("topic", ENGINE)
                await receipt
            best = min(best, (time.process_time() - begin) / messages)
        if hub.stats.refused or hub.stats.uncertain:
            raise Failure("a message was not taken")
    return best * 1e6


def measure_hub(quick: bool) -> list[Cost]:
    """Measure everything.

    Raises:
        Failure: if something isn't delivered.

    """

    async def measure() -> list[Cost]:
        rounds, messages = (3, 64 * 20) if quick else (30, 64 * 200)
        # First, as memory that was used before would be used again.
        memory = await measure_topics(TOPICS // 10 if quick else TOPICS)
        found = await measure_local(rounds)
        for name in ("redis", "nats"):
            found += await measure_engine(name, 3 if quick else 8, messages)
        return [*found, memory]

    return asyncio.run(measure())


def hub_section(costs: list[Cost]) -> str:
    """Give what was measured as a section of Markdown."""
    rows = [
        [
            cost.name,
            "not installed" if cost.figure is None else f"{cost.figure:.1f} {cost.unit}",
            "" if cost.goal is None else f"{cost.goal:g} {cost.unit}",
            "" if cost.reached is None else "yes" if cost.reached else "**no**",
        ]
        for cost in costs
    ]
    return "\n".join(
        (
            f"## {TITLE}\n",
            "CPU time of the process with the hub, in the best of the rounds; receivers are TCP"
            " connections\nwithout compression, messages for engines have 256 B.\n",
            table(["", "measured", "at most", "reached"], rows),
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a rough picture in seconds")
    print(hub_section(measure_hub(parser.parse_args().quick)), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
