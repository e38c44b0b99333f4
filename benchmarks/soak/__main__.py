"""Loads a server for minutes: ``python -m benchmarks.soak --scale 0.1 --seconds 180``.

The server is a process of its own, see `server`; this one has the clients. At scale 1 there are
20,000 idle and 2,000 busy connections and 2,000 topics. With ``--write``, the figures go to
``benchmarks/SOAK.md``. The exit status is 1 if memory doesn't come back within 5 %, if a descriptor
is left, or a message is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import resource
import socket
import sys
import time
from pathlib import Path
from typing import Any

from tidegate import Listener
from tidegate.asyncio.client import connect
from tidegate.exceptions import ConnectionClosed
from tidegate.version import version

from .report import report

IDLE, BUSY, TOPICS = 20_000, 2_000, 2_000

# How many members a topic has, and how many are connected to at once.
MEMBERS = 2
AT_ONCE = 100

# So many peers are quiet beside one that is not.
QUIET = 50

# How long closing, or coming back after a restart, may take, in seconds.
PATIENCE = 120.0

# What memory may have grown by in the end.
MOST_GROWTH = 1.05

MESSAGE = "x" * 100


class Server:
    """A process that serves."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: asyncio.subprocess.Process

    async def start(self) -> Server:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.soak.server",
            str(self.port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        await self.answer()
        return self

    async def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError("the server has died")
        found: dict[str, Any] = json.loads(line)
        return found

    async def tell(self, *command: object) -> dict[str, Any]:
        """Tell it to do something, and give its figures after that."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, command)).encode() + b"\n")
        return await self.answer()

    async def stop(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return await self.process.wait()


class Counter(Listener):
    """Counts what comes."""

    count = 0

    def on_message(self, message: Any) -> None:
        Counter.count += 1


class Soak:
    """One run.

    Args:
        scale: what part of the full numbers of connections there are.
        seconds: how long all of it takes, about.

    """

    def __init__(self, scale: float, seconds: float) -> None:
        self.scale = scale
        self.idle, self.busy, self.topics = (
            max(int(number * scale), 10) for number in (IDLE, BUSY, TOPICS)
        )
        # Five phases last; opening and closing takes as long as it does.
        self.phase = seconds / 7
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.uri = f"ws://127.0.0.1:{port}"
        self.server = Server(port)
        self.rows: list[dict[str, Any]] = []
        self.failures: list[str] = []
        # Echoes that didn't come although their connection was open, or came twice.
        self.wrong = 0

    def note(self, phase: str, figures: dict[str, Any], **more: Any) -> None:
        """Take down how a phase was."""
        row = {"phase": phase} | figures | more
        self.rows.append(row)
        print({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()})

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.failures.append(what)
            print("FAILED:", what)

    async def open(self, count: int, path: str = "/echo", **options: Any) -> list[Any]:
        """Open connections."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(i: int) -> Any:
            async with turns:
                return await connect(
                    self.uri + path.format(i), open_timeout=60, ping_interval=None, **options
                )

        return await asyncio.gather(*map(one, range(count)))

    async def close(self, connections: list[Any]) -> None:
        """Close connections, and wait until the server has none of them."""
        for connection in connections:
            connection.start_closing()
        await asyncio.gather(*(connection.wait_closed() for connection in connections))
        end = time.monotonic() + PATIENCE
        while (await self.server.tell("look"))["connections"] and time.monotonic() < end:
            await asyncio.sleep(0.1)

    async def echo(self, connection: Any, until: float, pause: float = 0.0) -> list[float]:
        """Send and receive in turn; give the round-trip times."""
        times = []
        while (begin := time.perf_counter()) < until:
            await connection.send(MESSAGE)
            if await connection.recv() != MESSAGE:
                self.wrong += 1
            times.append(time.perf_counter() - begin)
            if pause:
                await asyncio.sleep(pause)
        return times

    async def run(self) -> None:
        """All phases."""
        await self.server.start()
        try:
            await self.warm_up()
            before = await self.server.tell("settle")
            self.note("before", before)
            idle = await self.open(self.idle, listener=Counter)
            figures = await self.server.tell("settle")
            self.note("idle connections", figures)
            await self.keep_busy()
            await self.churn()
            await self.chatty_peer()
            await self.hub()
            await self.close(idle)
            del idle
            after = await self.server.tell("settle")
            growth = after["memory"] / before["memory"]
            self.note("after", after, growth=growth)
            self.expect(growth <= MOST_GROWTH, f"memory has grown by {growth - 1:.1%}")
            left = after["descriptors"] - before["descriptors"]
            self.expect(left == 0, f"{left} descriptors are left")
            await self.restart()
            self.expect(self.wrong == 0, f"{self.wrong} echoes were wrong")
        finally:
            await self.server.stop()

    async def warm_up(self) -> None:
        """Have everything happen that takes memory once, or keeps a pool."""
        connections = await self.open(self.idle)
        phase, self.phase = self.phase, min(self.phase, 1.0)
        await self.keep_busy()
        await self.churn()
        await self.chatty_peer()
        await self.hub()
        await self.close(connections)
        self.phase = phase
        self.rows.clear()

    async def keep_busy(self) -> None:
        """Echo on many connections, and see whether a message costs the same in the end."""
        connections = await self.open(self.busy)
        await self.server.tell("settle")
        for part in range(1, 4):
            begin = await self.server.tell("look")
            end = time.perf_counter() + self.phase / 3
            times = await asyncio.gather(*(self.echo(each, end) for each in connections))
            figures = await self.server.tell("look")
            count = sum(map(len, times))
            cpu = (figures["cpu"] - begin["cpu"]) * 1e6 / count
            self.note(f"busy connections, part {part}", figures, messages=count, cpu_each=cpu)
        await self.close_some(connections)

    async def close_some(self, connections: list[Any]) -> None:
        """Close connections while others stay open."""
        await asyncio.gather(*(connection.close() for connection in connections))

    async def churn(self) -> None:
        """Open and close all the time."""
        begin = await self.server.tell("look")
        end = time.perf_counter() + self.phase
        count = 0

        async def one() -> None:
            nonlocal count
            while time.perf_counter() < end:
                async with connect(self.uri + "/echo", open_timeout=60) as connection:
                    await connection.send(MESSAGE)
                    await connection.recv()
                count += 1

        await asyncio.gather(*(one() for _ in range(20)))
        figures = await self.server.tell("settle")
        cpu = (figures["cpu"] - begin["cpu"]) * 1e6 / count
        self.note("churn", figures, connections_made=count, cpu_each=cpu)

    async def chatty_peer(self) -> None:
        """One that sends all the time, beside those who seldom do."""
        quiet = await self.open(QUIET)
        for phase, talks in ("quiet peers", False), ("quiet peers and a chatty one", True):
            seconds = self.phase / 2
            chatty = None
            if talks:
                command = ["-m", "benchmarks.soak.chatty", self.uri + "/echo", str(seconds)]
                chatty = await asyncio.create_subprocess_exec(
                    sys.executable, *command, cwd=Path(__file__).parents[2]
                )
            await self.server.tell("settle")
            end = time.perf_counter() + seconds
            results = await asyncio.gather(*(self.echo(each, end, 0.05) for each in quiet))
            figures = await self.server.tell("look")
            times = sorted(time for result in results for time in result)
            self.note(phase, figures, trip_p99=times[int(len(times) * 0.99)])
            if chatty is not None:
                self.expect(await chatty.wait() == 0, "the chatty peer failed")
        await self.close_some(quiet)

    async def hub(self) -> None:
        """Publish to topics with few members each."""
        members = []
        for _ in range(MEMBERS):
            members += await self.open(self.topics, "/topic/{}", listener=Counter)
        await self.server.tell("settle")
        begin = await self.server.tell("look")
        Counter.count = published = 0
        end = time.perf_counter() + self.phase
        while time.perf_counter() < end:
            for member in members[: self.topics]:
                member.send_nowait(MESSAGE)
                published += 1
                if published % 500 == 0:
                    await asyncio.sleep(0.02)
            # All of them before the next, so that nobody is too slow.
            patience = time.monotonic() + PATIENCE
            while Counter.count < published * MEMBERS and time.monotonic() < patience:
                await asyncio.sleep(0.01)
        figures = await self.server.tell("look")
        lost = published * MEMBERS - Counter.count
        self.expect(lost == 0, f"{lost} deliveries of the hub are missing")
        cpu = (figures["cpu"] - begin["cpu"]) * 1e6 / max(Counter.count, 1)
        self.note(f"hub with {self.topics} topics", figures, deliveries=Counter.count, cpu_each=cpu)
        await self.close_some(members)

    async def restart(self) -> None:
        """Have another process take over, while connections are busy."""
        stop = asyncio.Event()
        served = [0] * self.busy
        again = [0] * self.busy

        async def client(i: int) -> None:
            # What was sent on a connection that closes is sent again on the next one.
            async for connection in connect(self.uri + "/echo", open_timeout=60):
                try:
                    while not stop.is_set():
                        await connection.send(f"{i}:{served[i]}")
                        if await connection.recv() != f"{i}:{served[i]}":
                            self.wrong += 1
                        served[i] += 1
                        await asyncio.sleep(0.1)
                    await connection.close()
                    return
                except ConnectionClosed as exc:
                    code = exc.rcvd.code if exc.rcvd is not None else 1006
                    self.expect(code == 1012, f"closed with {code} rather than 1012")
                    again[i] += 1

        clients = asyncio.gather(*map(client, range(self.busy)))
        await asyncio.sleep(self.phase / 2)
        old, new = self.server, Server(self.server.port)
        await new.start()
        begin = time.monotonic()
        figures = await old.tell("drain", 60, self.phase / 4)
        took = time.monotonic() - begin
        status = await old.stop()
        self.server = new
        self.expect(status == 0, f"the server that was drained ended with status {status}")
        self.expect(figures["aborted"] == 0, f"{figures['aborted']} connections were aborted")
        mark = list(served)
        patience = time.monotonic() + PATIENCE
        while any(map(int.__eq__, served, mark)) and time.monotonic() < patience:
            await asyncio.sleep(0.1)
        stalled = sum(map(int.__eq__, served, mark))
        self.expect(stalled == 0, f"{stalled} clients were not served after the restart")
        stop.set()
        await clients
        self.note(
            "rolling restart",
            await new.tell("settle"),
            aborted=figures["aborted"],
            drained_in=took,
            reconnected=sum(again),
        )


def main() -> int:
    """Run, and say whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--scale", type=float, default=0.1, help="of 20,000 idle connections")
    parser.add_argument("--seconds", type=float, default=180, help="how long it takes, about")
    parser.add_argument("--write", action="store_true", help="write benchmarks/SOAK.md")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    need = (IDLE + BUSY + TOPICS * MEMBERS) * arguments.scale + 500
    if need > hard:
        print(f"{hard} descriptors are not enough for this scale: ulimit -n {need:.0f}")
        return 1
    soak = Soak(arguments.scale, arguments.seconds)
    load = os.getloadavg()[0]
    begin = time.monotonic()
    asyncio.run(soak.run())
    facts = {
        "load": load,
        "version": version,
        "date": datetime.date.today().isoformat(),
        "scale": arguments.scale,
        "minutes": (time.monotonic() - begin) / 60,
        "idle": soak.idle,
        "busy": soak.busy,
        "topics": soak.topics,
        "machine": f"{platform.system()}, {os.cpu_count()} processors, "
        f"Python {platform.python_version()}",
    }
    text = report(facts, soak.rows, soak.failures)
    print(text)
    if arguments.write:
        (Path(__file__).parents[1] / "SOAK.md").write_text(text)
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
