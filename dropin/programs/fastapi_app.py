"""A FastAPI application: a chat with dependencies and path parameters."""

import contextlib
import sys
from typing import Annotated

from fastapi import Depends, FastAPI, Query, WebSocket, WebSocketDisconnect, WebSocketException

app = FastAPI()
rooms = {}


async def check_token(websocket: WebSocket, token: Annotated[str | None, Query()] = None):
    if token != "open sesame":
        raise WebSocketException(code=1008, reason="who are you?")
    return token


@app.get("/describe")
def describe():
    module = sys.modules.get("websockets")
    return {"websockets": module and module.__name__}


@app.websocket("/rooms/{room}")
async def chat(websocket: WebSocket, room: str, token: Annotated[str, Depends(check_token)]):
    await websocket.accept()
    members = rooms.setdefault(room, set())
    members.add(websocket)
    try:
        while True:
            message = await websocket.receive_json()
            for member in list(members):
                # It may have left just now.
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                    await member.send_json({"room": room, **message})
    except WebSocketDisconnect:
        members.remove(websocket)
