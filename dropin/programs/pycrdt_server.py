"""The server for documents that several people edit in Jupyter (pycrdt), and two who do."""

import asyncio
import json

import websockets
from pycrdt import Doc, Provider, Text
from pycrdt.websocket import WebsocketServer


class Channel:
    """What pycrdt wants to have of a connection."""

    def __init__(self, websocket, path):
        self.websocket = websocket
        self.path = path

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await self.websocket.recv()
        except websockets.ConnectionClosed:
            raise StopAsyncIteration from None

    async def send(self, message):
        await self.websocket.send(message)

    async def recv(self):
        return await self.websocket.recv()


async def wait_for(text, expected):
    async with asyncio.timeout(20):
        while str(text) != expected:
            await asyncio.sleep(0.01)


async def main():
    server = WebsocketServer(auto_clean_rooms=False)

    async def handler(websocket):
        await server.serve(Channel(websocket, websocket.request.path))

    async with server, websockets.serve(handler, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        uri = f"ws://127.0.0.1:{port}/notebook"
        docs = [Doc(), Doc()]
        texts = [doc.get("text", type=Text) for doc in docs]
        async with (
            websockets.connect(uri) as one,
            Provider(docs[0], Channel(one, "/notebook")),
            websockets.connect(uri) as other,
            Provider(docs[1], Channel(other, "/notebook")),
        ):
            texts[0] += "high"
            await wait_for(texts[1], "high")
            texts[1] += " water"
            await wait_for(texts[0], "high water")
        print(json.dumps({"websockets": websockets.__name__, "text": str(texts[0])}))


asyncio.run(main())
