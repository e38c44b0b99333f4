"""A client that says hello, for example to echo_server.py."""

import asyncio

from tidegate import connect


async def main(uri="ws://localhost:8765/"):
    async with connect(uri) as websocket:
        await websocket.send("Hello, world!")
        print(await websocket.recv())


if __name__ == "__main__":
    asyncio.run(main())
