"""A server that ends well when it is told to: SIGTERM, as containers and service managers send it.

It takes no more connections, closes those that it has with code 1001, and waits for its handlers.
"""

import asyncio
import signal

from tidegate import serve


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main(port=8765):
    async with serve(echo, "localhost", port) as server:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, server.close)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
