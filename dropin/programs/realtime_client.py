"""Joins a channel with the realtime client of Supabase; survives that the server closes."""

import asyncio
import json
import sys

import websockets
from realtime import AsyncRealtimeClient


async def main(uri):
    client = AsyncRealtimeClient(uri, "secret", hb_interval=1, initial_backoff=0.01)
    result = {"websockets": websockets.__name__, "received": []}
    done = asyncio.Event()
    subscribed = asyncio.Event()

    def on_tide(message):
        result["received"].append(message["payload"]["level"])
        if len(result["received"]) == 2:
            done.set()

    def on_subscribe(status, error):
        if status == "SUBSCRIBED":
            subscribed.set()

    await client.connect()
    channel = client.channel("room", {"config": {"broadcast": {"self": True}}})
    channel.on_broadcast("tide", on_tide)
    await channel.subscribe(on_subscribe)
    await asyncio.wait_for(subscribed.wait(), 20)
    subscribed.clear()
    await channel.send_broadcast("tide", {"level": 1})
    # The server closes the connection now; the client comes back and joins again.
    await asyncio.wait_for(subscribed.wait(), 20)
    await channel.send_broadcast("tide", {"level": 2})
    await asyncio.wait_for(done.wait(), 20)
    await client.close()
    print(json.dumps(result))


asyncio.run(main(sys.argv[1]))
