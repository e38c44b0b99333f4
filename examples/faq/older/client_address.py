"""How do I get the IP address of the client? With the older API."""

import asyncio

from tidegate.legacy.server import serve


async def handler(websocket):
    host = websocket.remote_address[0]
    await websocket.send(f"You are at {host}.")


async def main(port=8765):
    async with serve(handler, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
