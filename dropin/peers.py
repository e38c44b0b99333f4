"""Servers for the clients of others: a little of each protocol, on websockets itself."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


@contextlib.asynccontextmanager
async def serving(handler, **options):
    """Serve; give the URI."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def graphql(websocket):
    """The protocol graphql-transport-ws: two queries, of which one is wrong, and a subscription."""
    hello = json.loads(await websocket.recv())
    assert hello == {"type": "connection_init", "payload": {"token": "open sesame"}}
    await send(websocket, type="connection_ack")
    async for text in websocket:
        message = json.loads(text)
        if message["type"] == "ping":
            await send(websocket, type="pong")
        if message["type"] != "subscribe":
            continue
        query = message["payload"]["query"]
        if "wrong" in query:
            errors = [{"message": "no such field"}]
            await send(websocket, id=message["id"], type="error", payload=errors)
            continue
        answers = [{"tide": "high"}] if "tide" in query else [{"level": n} for n in range(3)]
        for data in answers:
            await send(websocket, id=message["id"], type="next", payload={"data": data})
        await send(websocket, id=message["id"], type="complete")


class Phoenix:
    """Channels of Phoenix, as Supabase has them; closes its first connection early.

    Attributes:
        uris: which were asked for.

    """

    def __init__(self):
        self.uris = []

    async def __call__(self, websocket):
        self.uris.append(websocket.request.path)
        async for text in websocket:
            message = json.loads(text)
            topic, ref = message["topic"], message.get("ref")
            if message["event"] == "broadcast":
                await send(
                    websocket, event="broadcast", topic=topic, payload=message["payload"], ref=None
                )
                if len(self.uris) == 1:
                    # As when the server is restarted.
                    await websocket.close(1012)
            else:
                payload = {"status": "ok", "response": {}}
                if message["event"] == "phx_join":
                    payload["response"] = {"postgres_changes": []}
                await send(websocket, event="phx_reply", topic=topic, payload=payload, ref=ref)


async def ethereum(websocket):
    """JSON-RPC of a node of Ethereum."""
    answers = {
        "eth_blockNumber": "0x10",
        "eth_chainId": "0x539",
        "eth_subscribe": "0xabc",
        "web3_clientVersion": "tides/1",
    }
    async for text in websocket:
        request = json.loads(text)
        method = request["method"]
        await send(websocket, jsonrpc="2.0", id=request["id"], result=answers.get(method, method))
        if method == "eth_subscribe":
            for number in range(3):
                params = {"subscription": "0xabc", "result": {"number": hex(number)}}
                await send(websocket, jsonrpc="2.0", method="eth_subscription", params=params)


async def realtime_model(websocket):
    """The realtime API of a language model that knows one answer."""
    await send(websocket, type="session.created", event_id="1", session={"type": "realtime"})
    async for text in websocket:
        event = json.loads(text)
        if event["type"] == "session.update":
            await send(websocket, type="session.updated", event_id="2", session=event["session"])
        elif event["type"] == "response.create":
            place = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
            for number, delta in enumerate(["At ", "nine."]):
                await send(
                    websocket,
                    type="response.output_text.delta",
                    event_id=f"3{number}",
                    delta=delta,
                    **place,
                )
            await send(
                websocket,
                type="response.output_text.done",
                event_id="4",
                text="At nine.",
                **place,
            )


async def speech(websocket):
    """The speech recognition of Deepgram: says how much it heard."""
    async for message in websocket:
        if isinstance(message, bytes):
            text = {"transcript": f"{len(message)} bytes", "confidence": 1, "words": []}
            await send(
                websocket,
                type="Results",
                channel_index=[0, 1],
                duration=0.1,
                start=0.0,
                is_final=True,
                channel={"alternatives": [text]},
            )
        elif json.loads(message)["type"] == "CloseStream":
            break


async def turns(websocket):
    """The speech recognition of AssemblyAI: says how much it heard."""
    await send(websocket, type="Begin", id="tide", expires_at=0)
    number = 0
    async for message in websocket:
        if isinstance(message, bytes):
            await send(
                websocket,
                type="Turn",
                turn_order=number,
                turn_is_formatted=True,
                end_of_turn=True,
                transcript=str(len(message)),
                end_of_turn_confidence=1.0,
                words=[],
            )
            number += 1
        elif json.loads(message)["type"] == "Terminate":
            await send(websocket, type="Termination", audio_duration_seconds=0)
            break


async def surreal(websocket):
    """A database that answers what it was asked, or much."""
    from surrealdb.data.cbor import decode, encode

    async for message in websocket:
        request = decode(message)
        answer = None
        if request["method"] == "query":
            query, variables = request["params"]
            text = "x" * 3_000_000 if query == "large" else f"{query} {variables['n']}"
            answer = [{"status": "OK", "time": "1ms", "result": text}]
        await websocket.send(encode({"id": request["id"], "result": answer}))


async def voice(websocket):
    """The speech of ElevenLabs, here the text itself; nobody is a voice that it doesn't have."""
    if "/nobody/" in websocket.request.path:
        await websocket.close(1008, "no such voice")
        return
    async for message in websocket:
        text = json.loads(message)["text"]
        if not text:
            break
        if text.strip():
            await send(websocket, audio=base64.b64encode(text.encode()).decode())


async def obs(websocket):
    """Remote control of OBS Studio, version 5, with the password "secret"."""
    await send(
        websocket,
        op=0,
        d={
            "obsWebSocketVersion": "5.0.0",
            "rpcVersion": 1,
            "authentication": {"challenge": "challenge", "salt": "salt"},
        },
    )
    answer = json.loads(await websocket.recv())
    assert answer["op"] == 1
    assert answer["d"]["authentication"] == digest(digest("secret" + "salt") + "challenge")
    await send(websocket, op=2, d={"negotiatedRpcVersion": 1})
    async for text in websocket:
        request = json.loads(text)["d"]
        await send(
            websocket,
            op=7,
            d={
                "requestType": request["requestType"],
                "requestId": request["requestId"],
                "requestStatus": {"result": True, "code": 100},
                "responseData": {"obsVersion": "30.0"},
            },
        )
        event = {"eventType": "SceneChanged", "eventData": {"scene": "tide"}, "eventIntent": 4}
        await send(websocket, op=5, d=event)


def digest(text):
    """Give the digest that OBS Studio's authentication is made of."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


async def browser(websocket):
    """The DevTools protocol of a browser with one page."""
    with contextlib.suppress(ConnectionClosed):
        async for text in websocket:
            request = json.loads(text)
            answer = {"id": request["id"]} | browser_answer(request["method"])
            await send(websocket, **answer)
            if request["method"] == "Target.sendMessageToTarget":
                inner = json.loads(request["params"]["message"])
                message = json.dumps({"id": inner["id"]} | browser_answer(inner["method"]))
                params = {"sessionId": request["params"]["sessionId"], "message": message}
                await send(websocket, method="Target.receivedMessageFromTarget", params=params)


def browser_answer(method):
    """Give result or error of a method of a browser."""
    results = {
        "Browser.getVersion": {"product": "Tides/1"},
        "Target.attachToTarget": {"sessionId": "s"},
        "Target.sendMessageToTarget": {},
        "Page.title": {"title": "High water"},
    }
    if method in results:
        return {"result": results[method]}
    return {"error": {"message": "no such method"}}


async def send(websocket, **message):
    """Send a message as JSON."""
    await websocket.send(json.dumps(message))
