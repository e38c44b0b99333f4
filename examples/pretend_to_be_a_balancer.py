"""Connect as a load balancer would do it: to see what a server makes of its clients' addresses."""

import asyncio
import sys

from tidegate import connect
from tidegate.proxyprotocol import Header


async def main(uri="ws://localhost:8765/"):
    # With the addresses of the socket.
    async with connect(uri, send_proxy_header=True) as websocket:
        print(await websocket.recv())
    # With those of somebody else, the oldest and the newest version.
    for version in (1, 2):
        header = Header(version, source=("192.0.2.1", 4711), destination=("192.0.2.2", 443))
        async with connect(uri, send_proxy_header=header) as websocket:
            print(await websocket.recv())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
