"""What the clients of the benchmark share: arguments, the measured time, and the figures.

Three things are measured, against the server in C:

- ``roundtrip``: one message is sent, and its echo awaited, again and again;
- ``upload``: binary messages are sent to a server that drops them; after each ``UPLOAD_TURN`` of
  them a text message asks whether all came;
- ``receive``: binary messages are received as fast as they come, from `streaming`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..servers.common import loop_factory

UPLOAD_TURN = 16
# After how many messages the time is looked at, where they are only received.
RECEIVE_TURN = 64


@dataclass
class Task:
    url: str
    operation: str
    size: int
    warmup: float
    duration: float
    binary: bool = False
    started: float = 0.0
    cpu_started: float = 0.0
    messages: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def payload(self) -> str | bytes:
        binary = self.binary or self.operation == "upload"
        return bytes(self.size) if binary else "x" * self.size

    @property
    def context(self) -> ssl.SSLContext | None:
        """How to do TLS, with a server that nobody vouches for; None for none."""
        if not self.url.startswith("wss://"):
            return None
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def begin(self) -> None:
        """Start to warm up."""
        self.started = time.perf_counter()
        self.cpu_started = 0.0

    def count(self, sent_at: float, messages: int = 1) -> bool:
        """Note that an answer came; give whether to go on."""
        now = time.perf_counter()
        if not self.cpu_started:
            if now - self.started >= self.warmup:
                self.started = now
                self.cpu_started = time.process_time()
            return True
        self.messages += messages
        self.latencies.append(now - sent_at)
        return now - self.started < self.duration

    def print_figures(self) -> None:
        seconds = time.perf_counter() - self.started
        cpu = time.process_time() - self.cpu_started
        self.latencies.sort()
        count = len(self.latencies)
        figures = {
            "connections": 1,
            "seconds": seconds,
            "messages": self.messages,
            "message_bytes": self.messages * self.size,
            "client_cpu": cpu,
            "latency": {
                "count": count,
                "p50": self.latencies[count // 2] * 1e9,
                "p99": self.latencies[count * 99 // 100] * 1e9,
                "p999": self.latencies[count * 999 // 1000] * 1e9,
                "max": self.latencies[-1] * 1e9,
            },
        }
        print(json.dumps(figures))


def parse() -> Task:
    """Give the task of the command line."""
    return parse_with_loop()[0]


def parse_with_loop() -> tuple[Task, str]:
    """Give the task of the command line, and the event loop to do it on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    operations = ("roundtrip", "upload", "receive")
    parser.add_argument("--operation", choices=operations, default="roundtrip")
    parser.add_argument("--binary", action="store_true")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--warmup", type=float, default=0.3)
    parser.add_argument("--duration", type=float, default=1.0)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    arguments = parser.parse_args()
    loop = arguments.loop
    del arguments.loop
    task = Task(**vars(arguments))
    if task.operation == "upload":
        task.url += "sink"
    return task, loop


def run(work: Callable[[Task], Awaitable[None]]) -> None:
    """Run ``work`` with the task of the command line and print what it took."""
    task, loop = parse_with_loop()

    async def main() -> None:
        await work(task)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())
