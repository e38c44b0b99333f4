"""The client of ``aiohttp``."""

from __future__ import annotations

import time

import aiohttp

from . import common


async def work(task: common.Task) -> None:
    payload = task.payload
    sent_at = 0.0
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(task.url, compress=0) as connection,
    ):
        task.begin()
        if isinstance(payload, str):
            while task.count(sent_at):
                sent_at = time.perf_counter()
                await connection.send_str(payload)
                await connection.receive()
        else:
            while task.count(sent_at, common.UPLOAD_TURN):
                sent_at = time.perf_counter()
                for _ in range(common.UPLOAD_TURN):
                    await connection.send_bytes(payload)
                await connection.send_str("?")
                await connection.receive()
        task.print_figures()


if __name__ == "__main__":
    common.run(work)
