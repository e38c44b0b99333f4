"""A Sanic application."""

import sys

from sanic import Sanic, json
from sanic.exceptions import WebsocketClosed

app = Sanic("dropin")
app.config.WEBSOCKET_MAX_SIZE = 100_000


@app.get("/describe")
async def describe(request):
    return json({"websockets": sys.modules["websockets"].__name__})


@app.websocket("/echo", subprotocols=["chat"])
async def echo(request, ws):
    async for message in ws:
        await ws.send(message)


@app.websocket("/facts/<name>")
async def facts(request, ws, name):
    nothing = await ws.recv(timeout=0.01)
    await ws.send(f"{name} {request.headers['x-client']} {request.args.get('q')} {nothing}")
    await ws.ping(b"are you there?")
    await ws.send(await ws.recv())
    await ws.close(4001, "that is all")
    try:
        await ws.send("too late")
    except WebsocketClosed:
        app.ctx.refused = True


@app.get("/refused")
async def refused(request):
    return json(getattr(app.ctx, "refused", False))


@app.websocket("/stream")
async def stream(request, ws):
    # A message fragment by fragment.
    async for fragment in ws.recv_streaming():
        await ws.send(f"{len(fragment)}")
