"""A server that is told to end, and sends its clients elsewhere one after the other.

On SIGTERM it takes no more connections, closes those that it has over twenty seconds, with code
1012, and ends after thirty at the latest.
"""

import asyncio
import signal

from tidegate import serve


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main(port=8765, timeout=30, spread=20):
    async with serve(echo, "localhost", port) as server:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        await told.wait()
        aborted = await server.drain(timeout, spread=spread)
        print(f"{aborted} connections had to be aborted")


if __name__ == "__main__":
    asyncio.run(main())
