"""How do I access HTTP headers? How do I set them?"""

import asyncio

from tidegate import serve


def process_request(connection, request):
    # Before there is a WebSocket connection.
    if "X-Boat" not in request.headers:
        return connection.respond(400, "Which boat?\n")
    return None


def process_response(connection, request, response):
    response.headers["X-Sluice"] = "open"


async def handler(websocket):
    boat = websocket.request.headers["X-Boat"]
    sluice = websocket.response.headers["X-Sluice"]
    await websocket.send(f"The sluice is {sluice} for {boat}.")


async def main(port=8765):
    async with serve(
        handler,
        "localhost",
        port,
        process_request=process_request,
        process_response=process_response,
        server_header="sluices",
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
