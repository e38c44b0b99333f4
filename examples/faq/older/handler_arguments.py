"""How do I pass arguments to the connection handler? With the older API."""

import asyncio
import functools

from tidegate.legacy.server import serve


async def handler(websocket, greeting):
    await websocket.send(greeting)


async def main(port=8765):
    bound = functools.partial(handler, greeting="Ahoy!")
    async with serve(bound, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
