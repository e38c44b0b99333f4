"""How do I set the IP addresses that my server listens on? With the older API."""

import asyncio

from tidegate.legacy.server import serve

# All addresses of the machine would be None, all of IPv4 "0.0.0.0".
HOSTS = ["127.0.0.1", "::1"]


async def handler(websocket):
    await websocket.send(f"You came by way of {websocket.local_address[0]}.")


async def main(port=8765):
    async with serve(handler, HOSTS, port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
