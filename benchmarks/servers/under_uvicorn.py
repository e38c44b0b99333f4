"""An ASGI application under uvicorn, with default settings, on the class that is named."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

from . import common

CLASSES = {
    "tidegate": "tidegate.integrations.uvicorn:WebSocketProtocol",
    "websockets": "websockets-sansio",
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        text = event.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})


class Server(uvicorn.Server):
    """Tells the harness when it listens."""

    def __init__(self, config: uvicorn.Config, options: common.Options) -> None:
        super().__init__(config)
        self.options = options

    async def startup(self, *args: Any, **kwargs: Any) -> None:
        await super().startup(*args, **kwargs)
        common.announce(self.servers[0], self.options)


async def main(options: common.Options) -> None:
    config = uvicorn.Config(
        app,
        host=common.HOST,
        port=options.port,
        ws=CLASSES[library],
        lifespan="off",
        log_level="warning",
    )
    await Server(config, options).serve()


if __name__ == "__main__":
    library = sys.argv.pop(1)
    common.run(main)
