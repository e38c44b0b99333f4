"""How do I send a message to a single user? With the older API."""

import asyncio

from tidegate.exceptions import ConnectionClosed
from tidegate.legacy.server import serve

connections = {}


async def handler(websocket):
    # Who it is, the application knows; here, the path says it.
    user = websocket.path.strip("/")
    connections[user] = websocket
    try:
        async for message in websocket:
            receiver, _, text = message.partition(": ")
            await tell(receiver, f"{user}: {text}", sender=websocket)
    finally:
        del connections[user]


async def tell(user, message, sender):
    try:
        await connections[user].send(message)
    except (KeyError, ConnectionClosed):
        await sender.send(f"{user} isn't there")


async def main(port=8765):
    async with serve(handler, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
