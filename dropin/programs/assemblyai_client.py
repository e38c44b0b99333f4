"""Has speech recognized, with the client of AssemblyAI."""

import json
import sys

import websockets
from assemblyai.streaming.v3 import (
    StreamingClient,
    StreamingClientOptions,
    StreamingEvents,
    StreamingParameters,
)

result = {"websockets": websockets.__name__, "turns": [], "errors": []}


def connect(uri):
    client = StreamingClient(StreamingClientOptions(api_host=uri, api_key="secret"))
    client.on(StreamingEvents.Begin, lambda _, event: result.update(id=event.id))
    client.on(StreamingEvents.Turn, lambda _, event: result["turns"].append(event.transcript))
    client.on(StreamingEvents.Error, lambda _, error: result["errors"].append(error.code))
    client.connect(StreamingParameters(sample_rate=16000, speech_model="u3-pro"))
    return client


uri = sys.argv[1].rstrip("/")
client = connect(uri)
client.stream(iter([bytes(3200)] * 3))
client.disconnect(terminate=True)
connect(f"{uri}/refused")
print(json.dumps(result))
