"""A peer that sends all the time: ``python -m benchmarks.soak.chatty URI SECONDS``."""

from __future__ import annotations

import asyncio
import sys
import time

from tidegate.asyncio.client import connect


async def main(uri: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    async with connect(uri, ping_interval=None) as connection:

        async def swallow():
            async for _ in connection:
                pass

        swallowing = asyncio.create_task(swallow())
        while time.monotonic() < end:
            await connection.send("x" * 100)
        await connection.close()
        await swallowing


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
