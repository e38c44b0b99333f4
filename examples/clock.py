"""A server that tells all its clients what time it is."""

import asyncio
import datetime

from tidegate import broadcast, serve


async def listen(websocket):
    await websocket.wait_closed()


async def main(port=8765, interval=1):
    async with serve(listen, "localhost", port) as server:
        while True:
            await asyncio.sleep(interval)
            broadcast(server.connections, datetime.datetime.now().isoformat())


if __name__ == "__main__":
    asyncio.run(main())
