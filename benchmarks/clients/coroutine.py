"""The clients with a coroutine API, all with default settings but without compression."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from . import common

MODULES = {
    "picows.websockets": "picows.websockets",
    "tidegate": "tidegate.asyncio.client",
    "websockets": "websockets.asyncio.client",
}


async def roundtrip(connection: Any, task: common.Task) -> None:
    payload = task.payload
    sent_at = 0.0
    task.begin()
    while task.count(sent_at):
        sent_at = time.perf_counter()
        await connection.send(payload)
        await connection.recv()


async def upload(connection: Any, task: common.Task) -> None:
    payload = task.payload
    sent_at = 0.0
    task.begin()
    while task.count(sent_at, common.UPLOAD_TURN):
        sent_at = time.perf_counter()
        for _ in range(common.UPLOAD_TURN):
            await connection.send(payload)
        await connection.send("?")
        await connection.recv()


def main() -> None:
    library: Any = importlib.import_module(MODULES[sys.argv.pop(1)])

    async def work(task: common.Task) -> None:
        tls = {} if task.context is None else {"ssl": task.context}
        async with library.connect(task.url, compression=None, proxy=None, **tls) as connection:
            await (roundtrip if task.operation == "roundtrip" else upload)(connection, task)
            task.print_figures()

    common.run(work)


if __name__ == "__main__":
    main()
