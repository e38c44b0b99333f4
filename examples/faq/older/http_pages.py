"""How do I run HTTP and WebSocket servers on the same port? With the older API."""

import asyncio
import http

from tidegate.legacy.server import serve

PAGE = "Ask by WebSocket for the tide.\n"


async def process_request(path, request_headers):
    if "Upgrade" in request_headers:
        return None
    if path == "/":
        return http.HTTPStatus.OK, [], PAGE.encode()
    return http.HTTPStatus.NOT_FOUND, [], b"No such page.\n"


async def handler(websocket):
    await websocket.send("3.14 m")


async def main(port=8765):
    async with serve(handler, "localhost", port, process_request=process_request) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
