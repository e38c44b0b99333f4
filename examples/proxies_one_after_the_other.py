"""Try one proxy after the other, and read what a failure has to say.

python examples/proxies_one_after_the_other.py
"""

import asyncio

from tidegate import ProxyError, connect, serve
from tidegate.testing import Faults, HTTPProxyServer, SOCKSProxyServer


async def greet(websocket):
    await websocket.send("hello")


async def main():
    async with (
        serve(greet, "127.0.0.1", 0) as server,
        HTTPProxyServer(faults=Faults(refuse=403)) as strict,
        SOCKSProxyServer("socks5h") as open_to_all,
    ):
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with connect(uri, proxy=[strict.url, open_to_all.url]) as websocket:
            print(await websocket.recv(), "through", websocket.proxy.proxy)
        try:
            await connect(uri, proxy=strict.url)
        except ProxyError as exc:
            print(exc)


asyncio.run(main())
