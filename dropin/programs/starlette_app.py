"""A Starlette application that uses what ASGI has for WebSockets."""

import sys

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

disconnects = []


async def describe(request):
    module = sys.modules.get("websockets")
    return JSONResponse({"websockets": module and module.__name__, "disconnects": disconnects})


async def echo(websocket):
    await websocket.accept(
        subprotocol="chat" if "chat" in websocket.scope["subprotocols"] else None,
        headers=[(b"x-app", b"starlette")],
    )
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                disconnects.append([message["code"], message.get("reason")])
                return
            if message.get("text") is not None:
                await websocket.send_text(message["text"])
            else:
                await websocket.send_bytes(message["bytes"])
    except WebSocketDisconnect as exc:
        disconnects.append([exc.code, exc.reason])


async def facts(websocket):
    await websocket.accept()
    await websocket.send_json(
        {
            "path": websocket.url.path,
            "query": websocket.url.query,
            "header": websocket.headers["x-client"],
            "client": websocket.client.host,
        }
    )
    await websocket.close(4001, "that is all")


async def refuse(websocket):
    await websocket.close()


async def deny(websocket):
    await websocket.send_denial_response(PlainTextResponse("no entry", status_code=418))


async def fail(websocket):
    await websocket.accept()
    raise RuntimeError("no luck")


app = Starlette(
    routes=[
        Route("/describe", describe),
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/facts", facts),
        WebSocketRoute("/refuse", refuse),
        WebSocketRoute("/deny", deny),
        WebSocketRoute("/fail", fail),
    ]
)
