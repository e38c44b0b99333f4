"""Why does the server close the connection prematurely? With the older API."""

import asyncio

from tidegate.legacy.server import serve


async def measure(websocket):
    await asyncio.sleep(0.01)
    await websocket.send("3.14 m")


async def handler(websocket):
    # The connection is closed when the handler returns: asyncio.create_task(measure(websocket))
    # instead would be too late.
    await measure(websocket)


async def main(port=8765):
    async with serve(handler, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
