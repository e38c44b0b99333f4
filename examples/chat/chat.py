"""A chat for browsers, in any number of processes on any number of machines.

    pip install 'tidegate[redis]'
    cd examples/chat
    CHAT_ENGINE=redis://localhost tidegate serve chat:handler --workers 2 \\
        --process-request chat:process_request --lifespan chat:lifespan

Then open http://localhost:8765/?name=Ann&room=harbour in several windows. Without CHAT_ENGINE it is
for one process. Each page is in its room, and in the square, where all are.
"""

import http
import json
import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tidegate.pubsub import Hub, Slow, word

PAGE = (Path(__file__).parent / "page.html").read_text("utf-8")
LONGEST = 2000


def wrap(message):
    """Make what browsers get: all of them get the same, so it is made once."""
    said = json.loads(message.data)
    return json.dumps({**said, "topic": message.topic, "position": str(message.position)})


hub = Hub(
    os.environ.get("CHAT_ENGINE", "memory://"),
    history=200,
    slow=Slow.close(256_000),
    wrap=wrap,
    prefix="chat",
)


def lifespan():
    """Give what a worker has open while it serves."""
    return hub


def process_request(connection, request):
    """Give the page to who doesn't ask for a WebSocket."""
    if urlsplit(request.path).path == "/talk":
        return None
    response = connection.respond(http.HTTPStatus.OK, PAGE)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "text/html; charset=utf-8"
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'"
    )
    return response


async def handler(websocket):
    """Send a page what is said in its room and in the square, and publish what it says."""
    query = parse_qs(urlsplit(websocket.request.path).query)
    name = query.get("name", ["Nobody"])[0][:40]
    room = "room." + word(query.get("room", ["harbour"])[0][:40])
    topics = {"room": room, "square": "square"}
    # By topic, the last message that the page has seen, if it was here before.
    since = {
        topic: query[f"{place}-since"][0]
        for place, topic in topics.items()
        if f"{place}-since" in query
    }
    joined = await hub.join(websocket, *topics.values(), since=since or None)
    positions = {topic: str(position) for topic, position in joined.positions.items()}
    await websocket.send(
        json.dumps(
            {
                "worker": os.getpid(),
                # From where to go on, as long as nothing was said.
                "positions": {place: positions.get(topic) for place, topic in topics.items()},
                # False if so much was said meanwhile that the history doesn't go back that far.
                "recovered": joined.recovered,
            }
        )
    )
    async for message in websocket:
        if isinstance(message, str):
            place, _, text = message.partition(" ")
            said = json.dumps({"name": name, "text": text[:LONGEST]})
            hub.publish(topics.get(place, room), said)
