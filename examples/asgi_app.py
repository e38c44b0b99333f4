"""An ASGI application whose WebSocket connections are tidegate's, under uvicorn.

It needs uvicorn: pip install 'tidegate[uvicorn]'. Without main(), the same is:

    uvicorn asgi_app:app --ws tidegate.integrations.uvicorn:WebSocketProtocol
"""

import asyncio

import uvicorn


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"Come with a WebSocket.\n"})


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


async def main(port=8765):
    config = uvicorn.Config(
        app,
        port=port,
        ws="tidegate.integrations.uvicorn:WebSocketProtocol",
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
