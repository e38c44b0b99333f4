"""How do I send a message to a channel, a topic, or some users? Here, the path is the topic."""

import asyncio
import collections

from tidegate import broadcast, serve

topics = collections.defaultdict(set)


async def handler(websocket):
    listeners = topics[websocket.request.path]
    listeners.add(websocket)
    try:
        async for message in websocket:
            broadcast(listeners, message)
    finally:
        listeners.remove(websocket)


async def main(port=8765):
    async with serve(handler, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
