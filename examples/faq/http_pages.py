"""How do I run HTTP and WebSocket servers on the same port?

Better not: this is for a page or two. Run a web server beside it, or a framework that does both.
"""

import asyncio
import http

from tidegate import serve

PAGE = "Ask by WebSocket for the tide.\n"


def process_request(connection, request):
    if "Upgrade" in request.headers:
        return None
    if request.path == "/":
        return connection.respond(http.HTTPStatus.OK, PAGE)
    return connection.respond(http.HTTPStatus.NOT_FOUND, "No such page.\n")


async def handler(websocket):
    await websocket.send("3.14 m")


async def main(port=8765):
    async with serve(handler, "localhost", port, process_request=process_request) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
