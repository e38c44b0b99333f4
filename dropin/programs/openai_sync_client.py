"""Talks to a realtime API with the client of OpenAI for threads."""

import json
import sys
import threading

import websockets
from openai import OpenAI

client = OpenAI(api_key="secret", websocket_base_url=sys.argv[1])
result = {"websockets": websockets.__name__, "events": []}
with client.realtime.connect(model="tide-1") as connection:

    def ask():
        connection.session.update(session={"type": "realtime", "instructions": "be brief"})
        connection.response.create()

    # While this thread receives, as with a microphone.
    asking = threading.Thread(target=ask)
    asking.start()
    for event in connection:
        result["events"].append(event.type)
        if event.type == "response.output_text.done":
            result["text"] = event.text
            break
    asking.join()
print(json.dumps(result))
