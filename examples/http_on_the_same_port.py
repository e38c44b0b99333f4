"""A server that answers health checks, and lets in those with a token only."""

import asyncio
import hmac
import http

from tidegate import serve

TOKEN = "open sesame"


def process_request(connection, request):
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "OK\n")
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {TOKEN}".encode()):
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "Who are you?\n")
    return None


async def greet(websocket):
    await websocket.send("Come in!")


async def main(port=8765):
    async with serve(greet, "localhost", port, process_request=process_request) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
