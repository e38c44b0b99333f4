"""A client on trio that doesn't wait for an answer for ever, for example of trio_server.py."""

import trio

from tidegate.trio.client import connect


async def main(uri="ws://localhost:8765/"):
    async with connect(uri) as websocket:
        await websocket.send("Hello, world!")
        with trio.fail_after(5):
            print(await websocket.recv())


if __name__ == "__main__":
    trio.run(main)
