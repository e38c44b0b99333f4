"""A server for the internet, which trusts nobody."""

import asyncio
import re

from tidegate import Limits, serve


async def echo(websocket):
    async for message in websocket:
        # A client that doesn't read for so long isn't worth the memory.
        await websocket.send(message, timeout=30)


async def main(port=8765):
    async with serve(
        echo,
        "localhost",
        port,
        # Browsers say which page opened a connection. None is for clients that aren't browsers.
        origins=["https://example.com", re.compile(r"https://[a-z]+\.example\.com"), None],
        # 64 KiB per message, and no more than four waiting for the handler.
        max_size=64 * 1024,
        max_queue=4,
        open_timeout=5,
        limits=Limits(
            connections=10_000,
            connections_per_address=20,
            handshakes_per_second=500,
            handshakes_per_second_per_address=10,
        ),
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
