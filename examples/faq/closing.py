"""How do I close a connection?"""

import asyncio

from tidegate import serve


async def handler(websocket):
    async for message in websocket:
        if message == "bad":
            await websocket.close(4000, "mind your language")
            break
        if message == "bye":
            # The end of the handler closes the connection, with code 1000.
            break


async def main(port=8765):
    async with serve(handler, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
