"""How do I send a message to all users? Here, what one says is heard by all."""

import asyncio

from tidegate import broadcast, serve

connections = set()


async def handler(websocket):
    connections.add(websocket)
    try:
        async for message in websocket:
            broadcast(connections, message)
    finally:
        connections.remove(websocket)


async def main(port=8765):
    async with serve(handler, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
