"""The program whose instructions are counted: servers, and clients when it is told to.

It is told on standard input: ``client NAME PORT WARM COUNT`` runs a client, which counts itself.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from tidegate.asyncio.client import connect
from tidegate.asyncio.connection import Connection
from tidegate.asyncio.listener import Listener
from tidegate.asyncio.server import broadcast, serve
from tidegate.sync.client import connect as sync_connect

receivers: set[Connection] = set()


async def handler(connection: Any) -> None:
    path = connection.request.path
    if path == "/receive":
        receivers.add(connection)
        await connection.wait_closed()
        receivers.discard(connection)
    elif path == "/trigger":
        async for message in connection:
            broadcast(receivers, message)
    else:
        async for message in connection:
            await connection.send(message)


class Echo(Listener):
    def on_message(self, message: str | bytes) -> None:
        self.connection.send_nowait(message)


def count(number: int) -> None:
    os.kill(os.getpid(), number)


async def on_asyncio(uri: str, warm: int, times: int) -> None:
    message = "x" * 64
    async with connect(uri, proxy=None, compression=None) as connection:
        for number in range(warm + times):
            if number == warm:
                count(signal.SIGUSR1)
            await connection.send(message)
            await connection.recv()
        count(signal.SIGUSR2)


async def in_thread(uri: str, warm: int, times: int) -> None:
    message = "x" * 64
    with sync_connect(uri, proxy=None, compression=None) as connection:
        for number in range(warm + times):
            if number == warm:
                count(signal.SIGUSR1)
            connection.send(message)
            connection.recv()
        count(signal.SIGUSR2)


CLIENTS: dict[str, Callable[[str, int, int], Awaitable[None]]] = {
    "asyncio": on_asyncio,
    "sync": in_thread,
}


async def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
    async with (
        serve(handler, "127.0.0.1", 0) as coroutines,
        serve(Echo, "127.0.0.1", 0) as listeners,
        serve(handler, "127.0.0.1", 0, ssl=context) as secured,
    ):
        ports = [each.sockets[0].getsockname()[1] for each in (coroutines, listeners, secured)]
        # Young objects are looked through as always. All there are would be, by chance, in one
        # scenario or another.
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, 1_000_000)
        print("ready", *ports, flush=True)
        while line := await lines.get():
            _, name, port, warm, times = line.split()
            await CLIENTS[name](f"ws://127.0.0.1:{port}/", int(warm), int(times))


if __name__ == "__main__":
    asyncio.run(main())
