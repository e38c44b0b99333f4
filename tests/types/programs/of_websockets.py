"""What programs for websockets look like: only the import changes."""

from __future__ import annotations

import asyncio
import http
import json
import ssl
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.router import route
from websockets.asyncio.server import Server, ServerConnection, basic_auth, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Data, Origin, Subprotocol
from werkzeug.routing import Map, Rule

CONNECTIONS: set[ServerConnection] = set()


async def handler(websocket: ServerConnection) -> None:
    CONNECTIONS.add(websocket)
    host, port = websocket.remote_address[:2]
    print(host, port, websocket.id, websocket.subprotocol)
    try:
        async for message in websocket:
            event: dict[str, Any] = json.loads(message)
            broadcast(CONNECTIONS, json.dumps(event))
            await websocket.send(json.dumps(event))
    except ConnectionClosed as exc:
        print(exc.rcvd.code if exc.rcvd else 1006, exc.reason)
    finally:
        CONNECTIONS.remove(websocket)


async def health(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/health":
        return connection.respond(http.HTTPStatus.OK, "OK\n")
    return None


def add_header(connection: ServerConnection, request: Request, response: Response) -> None:
    response.headers["X-Path"] = request.path


async def read(websocket: ClientConnection) -> Data:
    text: str = await websocket.recv(decode=True)
    binary: bytes = await websocket.recv(decode=False)
    async for fragment in websocket.recv_streaming():
        print(fragment)
    pong = await websocket.ping()
    latency: float = await pong
    print(text, binary, latency, websocket.latency)
    try:
        return await asyncio.wait_for(websocket.recv(), 1)
    except ConnectionClosedOK:
        return ""
    finally:
        await websocket.close(CloseCode.GOING_AWAY, "bye")


async def client() -> None:
    headers = Headers({"Authorization": "Bearer token"})
    context = ssl.create_default_context()
    try:
        async with connect(
            "wss://example.com/",
            ssl=context,
            additional_headers=headers,
            origin=Origin("https://example.com"),
            subprotocols=[Subprotocol("chat")],
            max_size=None,
            open_timeout=5,
            ping_interval=None,
        ) as websocket:
            reader = asyncio.create_task(read(websocket))
            await websocket.send(b"binary")
            await websocket.send(piece for piece in ("a", "b"))
            await reader
    except InvalidStatus as exc:
        print(exc.response.status_code)
    async for websocket in connect("ws://localhost:8765"):
        try:
            await websocket.send("hello")
        except ConnectionClosed:
            continue


async def numbered(websocket: ServerConnection, number: int) -> None:
    await websocket.send(str(number))


async def main() -> None:
    stop = asyncio.get_running_loop().create_future()
    server: Server
    async with serve(
        handler,
        "localhost",
        8765,
        process_request=basic_auth("realm", credentials=("user", "password")),
        process_response=add_header,
        origins=[Origin("https://example.com"), None],
        compression=None,
        reuse_port=True,
    ) as server:
        print(server.sockets[0].getsockname())
        await stop
    async with serve(handler, "", 8001, process_request=health, max_size=2**20):
        await stop
    async with route(Map([Rule("/<int:number>", endpoint=numbered)]), "localhost", 8888) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
