"""Frameworks under uvicorn on `tidegate.integrations.uvicorn`."""

from __future__ import annotations

import asyncio

import pytest

from tidegate import ConnectionClosedError, InvalidStatus, connect

from .asgi_peer import connected, running

try:
    # FastAPI looks for the names in annotations here.
    import fastapi
except ImportError:
    fastapi = None


def starlette():
    """An application of Starlette, and what its endpoints have seen."""
    applications = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    responses = pytest.importorskip("starlette.responses")
    seen = []

    async def echo(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)
        seen.append("end")

    async def json(websocket):
        await websocket.accept(subprotocol="json", headers=[(b"x-a", b"1")])
        data = await websocket.receive_json()
        await websocket.send_json({"got": data})
        await websocket.close(4001, "enough")

    async def deny(websocket):
        await websocket.send_denial_response(responses.PlainTextResponse("no", 402))

    async def sends(websocket):
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("a" * 1000)
                await asyncio.sleep(0)
        except Exception as exc:
            seen.append(f"{type(exc).__name__} {exc.code}")

    async def fails(websocket):
        await websocket.accept()
        raise ValueError("of an endpoint")

    functions = (echo, json, deny, sends, fails)
    routes = [routing.WebSocketRoute(f"/{f.__name__}", f) for f in functions]
    return applications.Starlette(routes=routes), seen


async def test_starlette(caplog):
    app, seen = starlette()
    async with running(app) as server:
        uri = f"ws://127.0.0.1:{server.port}"
        async with connect(f"{uri}/echo") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
        async with connect(f"{uri}/json", subprotocols=["json"]) as websocket:
            assert websocket.subprotocol == "json"
            assert websocket.response.headers["x-a"] == "1"
            await websocket.send('{"a": 1}')
            assert await websocket.recv() == '{"got":{"a":1}}'
            with pytest.raises(ConnectionClosedError):
                await websocket.recv()
            assert (websocket.close_code, websocket.close_reason) == (4001, "enough")
        for path, status in ("/deny", 402), ("/elsewhere", 403):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{uri}{path}")
            assert refused.value.response.status_code == status
        assert not caplog.messages
        async with connected(server, "/sends") as peer:
            await peer.read()
            peer.abort()
        async with connected(server, "/fails") as peer:
            assert await peer.read_closing() == "close 1011"
        assert "of an endpoint" in caplog.text
    assert seen == ["end", "WebSocketDisconnect 1006"]


@pytest.mark.skipif(fastapi is None, reason="FastAPI isn't installed")
async def test_fastapi():
    app = fastapi.FastAPI()
    seen = []

    def who(name: str = "nobody"):
        return name

    depends = fastapi.Depends(who)

    @app.websocket("/greet/{word}")
    async def greet(websocket: fastapi.WebSocket, word: str, name=depends):
        await websocket.accept()
        try:
            while True:
                count = await websocket.receive_json()
                await websocket.send_json([word, name, count])
        except fastapi.WebSocketDisconnect as exc:
            seen.append((exc.code, exc.reason))

    async with running(app) as server:
        uri = f"ws://127.0.0.1:{server.port}/greet/hello?name=you"
        async with connect(uri) as websocket:
            await websocket.send("3")
            assert await websocket.recv() == '["hello","you",3]'
            await websocket.close(4000, "bye")
    assert seen == [(4000, "bye")]


@pytest.fixture
def consumer():
    """A consumer of Django Channels, and what it has seen."""
    pytest.importorskip("channels")
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    from channels.exceptions import StopConsumer
    from channels.generic.websocket import AsyncWebsocketConsumer

    seen = []

    class Echo(AsyncWebsocketConsumer):
        async def connect(self):
            if self.scope["path"] == "/no":
                await self.close()
            else:
                await self.accept()

        async def receive(self, text_data=None, bytes_data=None):
            if text_data == "close":
                await self.close(4002)
            else:
                await self.send(text_data=text_data, bytes_data=bytes_data)

        async def disconnect(self, code):
            seen.append(code)
            raise StopConsumer

    return Echo.as_asgi(), seen


async def test_channels(consumer, caplog):
    app, seen = consumer
    async with running(app) as server:
        uri = f"ws://127.0.0.1:{server.port}"
        async with connect(uri) as websocket:
            for message in "hello", b"\x00" * 1000:
                await websocket.send(message)
                assert await websocket.recv() == message
        async with connect(uri) as websocket:
            await websocket.send("close")
            with pytest.raises(ConnectionClosedError):
                await websocket.recv()
            assert websocket.close_code == 4002
        with pytest.raises(InvalidStatus):
            await connect(f"{uri}/no")
        async with connected(server) as peer:
            peer.abort()
            async with asyncio.timeout(10):
                while len(seen) < 4:
                    await asyncio.sleep(0.01)
    assert seen == [1000, 4002, 1006, 1005]
    assert not caplog.messages
