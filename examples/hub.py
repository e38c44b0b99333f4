#!/usr/bin/env python3
"""A chat of many rooms: who comes back gets what was said meanwhile.

Connect to ``/room`` or, after an interruption, to ``/room?since=POSITION`` with the last position.
"""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

from tidegate import serve
from tidegate.pubsub import Hub, Slow, word


def wrap(message):
    return json.dumps({"position": str(message.position), "text": message.data})


async def main(port=8765, url="memory://"):
    async with Hub(url, history=100, slow=Slow.close(256_000), wrap=wrap) as hub:

        async def chat(websocket):
            path = urlsplit(websocket.request.path)
            room = "room." + word(path.path)
            since = parse_qs(path.query).get("since", [None])[0]
            joined = await hub.join(websocket, room, since=since)
            if joined.recovered is False:
                await websocket.send(json.dumps({"missed": True}))
            async for text in websocket:
                hub.publish(room, text)

        async with serve(chat, "localhost", port) as server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
