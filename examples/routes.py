"""A server with a handler for each path. It needs werkzeug: pip install werkzeug."""

import asyncio

from werkzeug.routing import Map, Rule

from tidegate import route


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def count(websocket, end):
    for number in range(1, end + 1):
        await websocket.send(str(number))


url_map = Map([Rule("/echo", endpoint=echo), Rule("/count/<int:end>", endpoint=count)])


async def main(port=8765):
    async with route(url_map, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
