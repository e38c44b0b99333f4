"""A server behind a load balancer, which tells clients who they are."""

import asyncio

from tidegate import serve
from tidegate.proxyprotocol import ProxyPolicy


async def tell(websocket):
    host, port = websocket.remote_address[:2]
    await websocket.send(f"You are {host}, port {port}.")


async def main(port=8765, balancers=("10.0.0.0/8", "127.0.0.1")):
    policy = ProxyPolicy(trusted=balancers)
    async with serve(tell, "localhost", port, proxy_protocol=policy) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
