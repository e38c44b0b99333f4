"""Talk to a server through a proxy, and look at the way that was taken.

It starts the server and the proxy itself, so it runs anywhere::

    python examples/through_a_proxy.py
"""

import asyncio

from tidegate import connect, serve
from tidegate.testing import HTTPProxyServer


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main():
    async with (
        serve(echo, "127.0.0.1", 0) as server,
        HTTPProxyServer(username="me", password="secret") as proxy,
    ):
        port = server.sockets[0].getsockname()[1]
        # The proxy is told where example.com is; usually it would ask the DNS.
        proxy.hosts["example.com"] = ("127.0.0.1", port)
        async with connect("ws://example.com/", proxy=proxy.url) as websocket:
            await websocket.send("hello")
            print("answer:", await websocket.recv())
            print("proxy:", websocket.proxy.proxy)
            for step in websocket.proxy.steps:
                print(f"{step.seconds * 1000:8.2f} ms  {step.name}")


asyncio.run(main())
