"""A client on trio that stays connected: it reconnects when it must, and says what happens."""

import trio

from tidegate import ConnectionClosed
from tidegate.trio.client import connect


def show(event):
    print(f"{event.state}, attempt {event.attempt}", event.exception or "")


async def main(uri="ws://localhost:8765/"):
    async for websocket in connect(uri, reconnect_limit=5, on_event=show):
        try:
            await websocket.send("Any news?")
            async for message in websocket:
                print(message)
        except ConnectionClosed:
            continue


if __name__ == "__main__":
    trio.run(main)
