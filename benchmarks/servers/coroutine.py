"""The servers with a coroutine API, all with default settings and the same handler.

``tidegate``, ``websockets`` and ``picows.websockets`` share their names, so one script runs each.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from . import common

MODULES = {
    "picows.websockets": ("picows.websockets", "picows.websockets.exceptions"),
    "tidegate": ("tidegate.asyncio.server", "tidegate.exceptions"),
    "tidegate.legacy": ("tidegate.legacy.server", "tidegate.exceptions"),
    "websockets": ("websockets.asyncio.server", "websockets.exceptions"),
}

receivers: set[Any] = set()


def make_handler(library: Any, closed: type[Exception]) -> Any:
    async def handler(connection: Any) -> None:
        # The older API's connection has no request.
        path = getattr(connection, "request", connection).path
        try:
            if path == "/receive":
                receivers.add(connection)
                await connection.wait_closed()
            elif path == "/trigger":
                async for message in connection:
                    library.broadcast(receivers, message)
            else:
                async for message in connection:
                    await connection.send(message)
        except closed:
            pass
        finally:
            receivers.discard(connection)

    return handler


def main() -> None:
    module, exceptions = MODULES[sys.argv.pop(1)]
    library: Any = importlib.import_module(module)
    handler = make_handler(library, importlib.import_module(exceptions).ConnectionClosed)

    async def serve(options: common.Options) -> None:
        if options.unix:
            server = await library.unix_serve(handler, options.unix, ssl=options.tls)
        else:
            server = await library.serve(handler, common.HOST, options.port, ssl=options.tls)
        common.announce(server, options)
        await server.serve_forever()

    common.run(serve)


if __name__ == "__main__":
    main()
