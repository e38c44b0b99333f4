"""Give a client another proxy while it runs: it counts from the next connection on.

python examples/another_proxy_at_run_time.py
"""

import asyncio

from tidegate import Client, serve
from tidegate.testing import HTTPProxyServer


async def greet(websocket):
    await websocket.send("hello")


async def main():
    async with (
        serve(greet, "127.0.0.1", 0) as server,
        HTTPProxyServer() as one,
        HTTPProxyServer() as two,
    ):
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        client = Client(proxy=one.url, max_size=2**16)
        async for websocket in client.connect(uri):
            print(await websocket.recv(), "through", websocket.proxy.proxy)
            if websocket.proxy.proxy.port == two.port:
                break
            client.set_proxy(two.url)
        await websocket.close()


asyncio.run(main())
