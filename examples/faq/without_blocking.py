"""Why can only one client connect at a time? Because the handler blocks the event loop."""

import asyncio
import time

from tidegate import serve


def measure():
    time.sleep(0.1)
    return 3.14


async def handler(websocket):
    # While measure() blocks, nobody else is served, unless another thread does it.
    level = await asyncio.to_thread(measure)
    while True:
        await websocket.send(f"{level} m")
        # send() waits only if much is waiting to be sent already.
        await asyncio.sleep(0)


async def main(port=8765):
    async with serve(handler, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
