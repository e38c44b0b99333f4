"""A client on trio that goes through a proxy, and tells how that went."""

import trio

from tidegate import ProxyError
from tidegate.trio.client import connect


async def main(uri="wss://example.com/", proxy="http://proxy.example:3128", **arguments):
    try:
        async with connect(uri, proxy=proxy, **arguments) as websocket:
            await websocket.send("Hello out there!")
            print(await websocket.recv())
            print("by way of", websocket.proxy.route)
    except ProxyError as exc:
        # It says which proxy, which step failed, and what to try.
        print(exc)


if __name__ == "__main__":
    trio.run(main)
