"""A server behind an HTTP proxy that adds Forwarded or X-Forwarded-For to requests."""

import asyncio

from tidegate import serve
from tidegate.proxyprotocol import ForwardedPolicy


async def tell(websocket):
    request = websocket.forwarded
    await websocket.send(f"You are {websocket.remote_address[0]}.")
    await websocket.send(f"You asked for {request.proto}://{request.host}.")


async def main(port=8765, proxies=("10.0.0.0/8", "127.0.0.1", "::1")):
    policy = ForwardedPolicy(trusted=proxies, header="X-Forwarded-For")
    async with serve(tell, "localhost", port, forwarded=policy) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
