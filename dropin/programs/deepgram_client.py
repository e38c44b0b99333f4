"""Has speech recognized, with the client of Deepgram."""

import json
import sys
import threading

import websockets
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment

uri = sys.argv[1].rstrip("/")
where = DeepgramClientEnvironment(
    base=uri.replace("ws", "http", 1), production=uri, agent=uri, agent_rest=uri
)
client = DeepgramClient(api_key="secret", environment=where)
result = {"websockets": websockets.__name__, "heard": [], "events": []}
with client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16000) as connection:
    connection.on(EventType.OPEN, lambda _: result["events"].append("open"))
    connection.on(EventType.CLOSE, lambda _: result["events"].append("close"))

    def heard(message):
        if message.type == "Results":
            result["heard"].append(message.channel.alternatives[0].transcript)

    connection.on(EventType.MESSAGE, heard)
    listening = threading.Thread(target=connection.start_listening)
    listening.start()
    for _ in range(3):
        connection.send_media(bytes(3200))
    connection.send_keep_alive()
    connection.send_close_stream()
    listening.join()
print(json.dumps(result))
