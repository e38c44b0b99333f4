"""How do I access HTTP headers? How do I set them? With the older API."""

import asyncio

from tidegate.legacy.server import WebSocketServerProtocol, serve


class BoatProtocol(WebSocketServerProtocol):
    async def process_request(self, path, request_headers):
        # Before there is a WebSocket connection.
        if "X-Boat" not in request_headers:
            return 400, [], b"Which boat?\n"
        return None


async def handler(websocket):
    boat = websocket.request_headers["X-Boat"]
    sluice = websocket.response_headers["X-Sluice"]
    await websocket.send(f"The sluice is {sluice} for {boat}.")


async def main(port=8765):
    async with serve(
        handler,
        "localhost",
        port,
        create_protocol=BoatProtocol,
        extra_headers={"X-Sluice": "open"},
        server_header="sluices",
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
