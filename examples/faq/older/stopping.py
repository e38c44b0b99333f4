"""How do I stop a server? With the older API."""

import asyncio
import signal

from tidegate.legacy.server import serve


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main(port=8765):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(echo, "localhost", port):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
