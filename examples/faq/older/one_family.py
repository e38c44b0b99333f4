"""What does "OSError: [Errno 99] error while attempting to bind on address" mean?

With the older API.
"""

import asyncio
import socket

from tidegate.legacy.server import serve


async def handler(websocket):
    await websocket.send(f"You came by way of {websocket.local_address[0]}.")


async def main(port=8765):
    async with serve(handler, "localhost", port, family=socket.AF_INET) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
