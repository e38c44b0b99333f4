"""Talks to a realtime API with the client of OpenAI."""

import asyncio
import json
import sys

import websockets
from openai import AsyncOpenAI


async def main(uri):
    client = AsyncOpenAI(api_key="secret", websocket_base_url=uri)
    result = {"websockets": websockets.__name__, "events": []}
    async with client.realtime.connect(model="tide-1") as connection:
        await connection.session.update(session={"type": "realtime", "instructions": "be brief"})
        await connection.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "When is high water?"}],
            }
        )
        await connection.response.create()
        async for event in connection:
            result["events"].append(event.type)
            if event.type == "response.output_text.done":
                result["text"] = event.text
                break
    print(json.dumps(result))


asyncio.run(main(sys.argv[1]))
