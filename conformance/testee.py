"""The server and the client that are tested: they give every message back.

    python -m conformance.testee LIBRARY server --port PORT
    python -m conformance.testee LIBRARY client --url URL

LIBRARY is tidegate, or one with the same names to compare it with. Limits are raised to what the
cases send (16 MiB); nothing else differs from the defaults, but that no pings are sent: an answer
that a case doesn't expect would fail it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
from typing import Any

MODULES = {
    "picows": ("picows.websockets", "picows.websockets", "picows.websockets.exceptions"),
    "tidegate": ("tidegate.asyncio.server", "tidegate.asyncio.client", "tidegate.exceptions"),
    "websockets": (
        "websockets.asyncio.server",
        "websockets.asyncio.client",
        "websockets.exceptions",
    ),
}
SETTINGS: dict[str, Any] = {"max_size": 32 * 1024 * 1024, "ping_interval": None}
AGENT = "testee"


async def echo(connection: Any, closed: type[Exception]) -> None:
    try:
        async for message in connection:
            await connection.send(message)
    except closed:
        pass  # cases that break the protocol end so


async def serve(library: Any, closed: type[Exception], port: int) -> None:
    async def handler(connection: Any) -> None:
        await echo(connection, closed)

    server = await library.serve(handler, "127.0.0.1", port, **SETTINGS)
    await server.serve_forever()


async def answer(library: Any, closed: type[Exception], url: str) -> None:
    async with library.connect(f"{url}/getCaseCount") as connection:
        count = int(await connection.recv())
    for case in range(1, count + 1):
        path = f"/runCase?case={case}&agent={AGENT}"
        try:
            async with library.connect(url + path, **SETTINGS) as connection:
                await echo(connection, closed)
        except closed:
            pass
    async with library.connect(f"{url}/updateReports?agent={AGENT}"):
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=MODULES)
    roles = parser.add_subparsers(dest="role", required=True)
    roles.add_parser("server").add_argument("--port", type=int, required=True)
    roles.add_parser("client").add_argument("--url", required=True)
    parser.add_argument("--uvloop", action="store_true")
    arguments = parser.parse_args()

    server, client, exceptions = MODULES[arguments.peer]
    closed = importlib.import_module(exceptions).ConnectionClosed
    if arguments.role == "server":
        work = serve(importlib.import_module(server), closed, arguments.port)
    else:
        work = answer(importlib.import_module(client), closed, arguments.url)
    asyncio.run(work)


if __name__ == "__main__":
    main()
