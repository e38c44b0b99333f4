"""How do I get the IP address of the client?

Behind a load balancer, remote_address is the balancer's, unless serve() is told to believe what it
says about its clients: see proxy_protocol= and forwarded=.
"""

import asyncio

from tidegate import serve


async def handler(websocket):
    host = websocket.remote_address[0]
    await websocket.send(f"You are at {host}.")


async def main(port=8765):
    async with serve(handler, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
