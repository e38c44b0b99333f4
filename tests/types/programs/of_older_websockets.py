"""The same for its older API."""

from __future__ import annotations

import http

from tidegate.datastructures import Headers, HeadersLike
from tidegate.exceptions import ConnectionClosed
from tidegate.legacy.client import WebSocketClientProtocol, connect
from tidegate.legacy.server import WebSocketServerProtocol, serve
from tidegate.typing import Data


async def handler(websocket: WebSocketServerProtocol) -> None:
    try:
        async for message in websocket:
            await websocket.send(message)
            message.encode()  # wrong
        while websocket.open:
            received: Data = await websocket.recv()
            text: str = await websocket.recv()  # wrong
            print(received, text, websocket.path, websocket.remote_address[0])
    except ConnectionClosed as exc:
        print(exc.code, exc.reason)


async def health(path: str, headers: Headers) -> tuple[http.HTTPStatus, HeadersLike, bytes] | None:
    if path == "/health":
        return http.HTTPStatus.OK, {}, b"OK\n"
    return None


async def main() -> None:
    async with serve(handler, "localhost", 8765, process_request=health) as server:
        await server.wait_closed()
    websocket: WebSocketClientProtocol
    async with connect("ws://localhost:8765", extra_headers={"X": "y"}) as websocket:
        await websocket.send("text")
        await websocket.send(1)  # wrong
        await websocket.close(1000, "bye")
    serve(handler, "localhost", "8765")  # wrong
