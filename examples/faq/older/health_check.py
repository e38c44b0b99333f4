"""How do I implement a health check? With the older API."""

import asyncio
import http

from tidegate.legacy.server import serve


async def health_check(path, request_headers):
    if path == "/healthz":
        return http.HTTPStatus.OK, [], b"The gates work.\n"
    return None


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main(port=8765):
    async with serve(echo, "localhost", port, process_request=health_check) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
