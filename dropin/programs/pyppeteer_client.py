"""The connection to a browser, of a pyppeteer for websockets 10."""

import asyncio
import json
import sys

import websockets
from pyppeteer.connection import Connection
from pyppeteer.errors import NetworkError


async def main(uri):
    connection = Connection(uri, asyncio.get_running_loop())
    result = {"websockets": websockets.__name__}
    result["version"] = (await connection.send("Browser.getVersion"))["product"]
    session = await connection.createSession({"targetId": "page", "type": "page"})
    result["title"] = (await session.send("Page.title"))["title"]
    try:
        await connection.send("Browser.explode")
    except NetworkError as exc:
        result["error"] = str(exc)
    await connection.dispose()
    print(json.dumps(result))


asyncio.run(main(sys.argv[1]))
