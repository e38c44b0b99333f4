"""How do I implement a health check? Answer with HTTP on a path of its own."""

import asyncio
import http

from tidegate import serve


def health_check(connection, request):
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "The gates work.\n")
    return None


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main(port=8765):
    async with serve(echo, "localhost", port, process_request=health_check) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
