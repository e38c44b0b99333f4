"""How to test a server of one's own: on a free port, in the test's event loop."""

import asyncio

from tidegate import connect, serve


async def shout(websocket):
    """What is to be tested."""
    async for message in websocket:
        await websocket.send(message.upper())


async def check_that_it_shouts():
    async with serve(shout, "localhost", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://localhost:{port}/") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "HELLO"


def test_shout():
    asyncio.run(check_that_it_shouts())


if __name__ == "__main__":
    test_shout()
    print("It shouts.")
