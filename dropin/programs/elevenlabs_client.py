"""Has a text spoken while it is written, with the client of ElevenLabs."""

import json
import sys

import websockets
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError

result = {"websockets": websockets.__name__}
uri = sys.argv[1].rstrip("/")
client = ElevenLabs(api_key="secret", base_url=uri.replace("ws", "http", 1))
# It would insist on TLS.
client.text_to_speech._ws_base_url = uri


def speak(voice, *text):
    return b"".join(
        client.text_to_speech.convert_realtime(voice_id=voice, text=iter(text), model_id="tide")
    )


result["audio"] = speak("harbour", "High water ", "is at nine.").decode()
try:
    speak("nobody", "Who?")
except ApiError as exc:
    result["error"] = exc.status_code
print(json.dumps(result))
