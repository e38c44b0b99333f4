"""A server on trio that sends each message back, until Ctrl-C."""

import trio

from tidegate.trio.server import serve


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main(port=8765):
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, echo, port)
        # Closes the connections, and waits for the handlers, when it is left.
        async with server:
            await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
