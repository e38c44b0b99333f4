"""A server that sends back what it gets."""

import asyncio

from tidegate import serve


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main(port=8765):
    async with serve(echo, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
