"""tidegate's callback API."""

from __future__ import annotations

import asyncio
import time

from tidegate.asyncio.client import connect
from tidegate.asyncio.listener import Listener
from tidegate.exceptions import ConnectionClosed

from . import common


class Client(Listener):
    """Sends again when the answer is there."""

    def __init__(self, task: common.Task) -> None:
        self.task = task
        self.payload = task.payload
        self.turn = 1 if task.operation == "roundtrip" else common.UPLOAD_TURN
        self.sent_at = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def on_open(self) -> None:
        self.task.begin()
        self.send()

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        for _ in range(self.turn):
            self.connection.send_nowait(self.payload)
        if self.turn > 1:
            self.connection.send_nowait("?")

    def on_message(self, message: str | bytes) -> None:
        if self.task.count(self.sent_at, self.turn):
            self.send()
        elif not self.closed.done():
            self.task.print_figures()
            self.closed.set_result(None)

    def on_close(self, exc: ConnectionClosed) -> None:
        if not self.closed.done():
            self.closed.set_exception(exc)


async def work(task: common.Task) -> None:
    client = Client(task)
    async with connect(task.url, listener=lambda: client, compression=None, proxy=None):
        await client.closed


if __name__ == "__main__":
    common.run(work)
