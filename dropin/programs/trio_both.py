"""A server and clients on trio, as the documentation of websockets has them."""

import functools
import json
import sys

import trio
import websockets
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import connect
from websockets.trio.server import broadcast, serve

result = {"websockets": websockets.__name__, "received": []}


async def handler(websocket):
    async for message in websocket:
        await broadcast(server.connections, message)


async def listen(uri, name, ready):
    async with connect(uri) as websocket:
        await (await websocket.ping()).wait()
        ready.set()
        async for message in websocket:
            result["received"].append(f"{name} {message}")


async def main():
    global server
    async with trio.open_nursery() as nursery:
        server = await nursery.start(functools.partial(serve, handler, 0, host="127.0.0.1"))
        port = server.listeners[0].socket.getsockname()[1]
        uri = f"ws://127.0.0.1:{port}/"
        for name in ("one", "two"):
            ready = trio.Event()
            nursery.start_soon(listen, uri, name, ready)
            await ready.wait()
        async with connect(uri) as websocket:
            with trio.move_on_after(0.01):
                await websocket.recv()
            await websocket.send("high water")
            result["echo"] = await websocket.recv()
        while len(result["received"]) < 2:
            await trio.sleep(0.01)
        await server.aclose(code=1001)
    try:
        await websocket.send("late")
    except ConnectionClosed as exc:
        result["closed"] = exc.rcvd.code
    async for websocket in connect(sys.argv[1]):
        result["other"] = await websocket.recv()
        break
    result["received"].sort()
    print(json.dumps(result))


trio.run(main)
