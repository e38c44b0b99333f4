"""Why does the server close the connection after one message? Because its handler returned."""

import asyncio

from tidegate import serve


async def handler(websocket):
    # One recv() is one message; this is one after the other, until the connection is closed.
    async for message in websocket:
        await websocket.send(f"{message}, too")


async def main(port=8765):
    async with serve(handler, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
