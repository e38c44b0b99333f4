"""The server: ``python -m benchmarks.soak.server PORT``, which is told what to do on its stdin.

``/echo`` gives back, ``/topic/NAME`` joins a topic of the hub, and what comes there is published.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import sys
import time

from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosed
from tidegate.pubsub import Hub

# How often it is seen how late the event loop is, in seconds.
EVERY = 0.01


def memory() -> float:
    """The resident memory of this process, in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def settle() -> None:
    """Let go of what nobody uses, and have the C library give it back."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        # Not the GNU C library.
        pass


async def look_at_lag(lags: list[float]) -> None:
    """Note how much later than it should the event loop comes back."""
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(EVERY)
        lags.append(time.perf_counter() - begin - EVERY)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    lags: list[float] = []
    probe = loop.create_task(look_at_lag(lags))

    async with Hub() as hub:

        async def handler(connection):
            kind, _, topic = connection.request.path.strip("/").partition("/")
            try:
                if kind == "topic":
                    hub.join(connection, topic)
                    async for message in connection:
                        hub.publish(topic, message)
                else:
                    async for message in connection:
                        await connection.send(message)
            except ConnectionClosed:
                pass

        # A process that takes over listens on the same port before the other one stops.
        server = await serve(
            handler, "127.0.0.1", port, reuse_port=True, backlog=4096, open_timeout=60
        )
        print(json.dumps({"ready": True}), flush=True)
        while command := (await commands.readline()).decode().split():
            answer: dict[str, float] = {}
            if command[0] == "drain":
                answer["aborted"] = await server.drain(float(command[1]), spread=float(command[2]))
            elif command[0] == "settle":
                settle()
                lags.clear()
            lags.sort()
            cpu = time.process_time()
            answer |= {
                "memory": memory(),
                "cpu": cpu,
                "connections": len(server.connections),
                "descriptors": len(os.listdir("/proc/self/fd")),
                "delivered": hub.stats.delivered,
            }
            if lags:
                answer |= {"lag_p99": lags[int(len(lags) * 0.99)], "lag_max": lags[-1]}
            lags.clear()
            print(json.dumps(answer), flush=True)
        probe.cancel()
        server.close()
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
