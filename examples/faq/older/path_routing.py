"""How do I access the request path? With the older API."""

import asyncio

from tidegate.legacy.server import serve


async def flood(websocket):
    await websocket.send("rising")


async def ebb(websocket):
    await websocket.send("falling")


handlers = {"/flood": flood, "/ebb": ebb}


async def handler(websocket):
    chosen = handlers.get(websocket.path)
    if chosen is None:
        await websocket.close(4404, "no such tide")
    else:
        await chosen(websocket)


async def main(port=8765):
    async with serve(handler, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
