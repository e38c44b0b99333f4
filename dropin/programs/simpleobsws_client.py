"""Remote control of OBS Studio, with a simpleobsws for websockets 13 and before."""

import asyncio
import json
import sys

import simpleobsws
import websockets


async def main(uri):
    client = simpleobsws.WebSocketClient(url=uri, password="secret")
    events = asyncio.Queue()

    async def on_event(kind, data):
        await events.put([kind, data])

    client.register_event_callback(on_event)
    await client.connect()
    await client.wait_until_identified()
    answer = await client.call(simpleobsws.Request("GetVersion"))
    event = await asyncio.wait_for(events.get(), 20)
    websocket = client.ws
    was_open = [websocket.open]
    await client.disconnect()
    was_open.append(websocket.open)
    print(
        json.dumps(
            {
                "websockets": websockets.__name__,
                "answer": answer.responseData,
                "event": event,
                "open": was_open,
            }
        )
    )


asyncio.run(main(sys.argv[1]))
