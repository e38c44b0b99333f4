"""Servers of others, asked by clients that run on websockets itself."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from conftest import free_port

MESSAGES = ["high water", "", "ß" * 100_000, b"\0\xff", b"", b"low" * 100_000]


async def fetch(port, path):
    """Give what a server says in JSON at a path."""

    def get():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
            return json.load(response)

    return await asyncio.to_thread(get)


async def check_echo(websocket):
    """Check that messages of all kinds come back."""
    for message in MESSAGES:
        await websocket.send(message)
        assert await websocket.recv() == message
    await websocket.send(["high", " ", "water"])
    assert await websocket.recv() == "high water"
    await (await websocket.ping())


async def closing_of(websocket):
    """Give code and reason with which a server closes a connection."""
    with pytest.raises(ConnectionClosed):
        while True:
            await websocket.recv()
    return websocket.close_code, websocket.close_reason


async def refusal_of(uri):
    """Give status and body with which a server refuses a connection."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(uri)
    return caught.value.response.status_code, bytes(caught.value.response.body)


def uvicorn(app, implementation, *options):
    """Give the arguments that start uvicorn."""
    return (
        *("-m", "uvicorn", "--port", "PORT", "--ws", implementation),
        *("--log-level", "warning", "--ws-max-size", "1000000", *options, f"{app}:app"),
    )


both_implementations = pytest.mark.parametrize(
    "implementation", ["websockets", "websockets-sansio"]
)


@both_implementations
async def test_uvicorn_with_starlette(library, implementation):
    async with library.serving(*uvicorn("starlette_app", implementation)) as port:
        uri = f"ws://127.0.0.1:{port}"
        assert (await fetch(port, "/describe"))["websockets"] == library.name

        async with connect(uri + "/echo", subprotocols=["chat"]) as websocket:
            assert websocket.subprotocol == "chat"
            assert websocket.response.headers["X-App"] == "starlette"
            extensions = websocket.response.headers["Sec-WebSocket-Extensions"]
            assert extensions.startswith("permessage-deflate")
            await check_echo(websocket)
            await websocket.close(4002, "enough")
        async with connect(uri + "/echo", compression=None) as websocket:
            assert "Sec-WebSocket-Extensions" not in websocket.response.headers
            await check_echo(websocket)
            await websocket.send("x" * 1_000_001)
            assert (await closing_of(websocket))[0] == 1009

        headers = {"X-Client": "me"}
        async with connect(uri + "/facts?a=1", additional_headers=headers) as websocket:
            assert json.loads(await websocket.recv()) == {
                "path": "/facts",
                "query": "a=1",
                "header": "me",
                "client": "127.0.0.1",
            }
            assert await closing_of(websocket) == (4001, "that is all")

        assert await refusal_of(uri + "/refuse") == (403, b"")
        assert await refusal_of(uri + "/nowhere") == (403, b"")
        assert await refusal_of(uri + "/deny") == (418, b"no entry")
        async with connect(uri + "/fail") as websocket:
            # uvicorn cuts the connection: 1011 wasn't sent.
            assert (await closing_of(websocket))[0] == 1006

        websocket = await connect(uri + "/echo")
        websocket.transport.abort()
        while len(codes := (await fetch(port, "/describe"))["disconnects"]) < 3:
            await asyncio.sleep(0.01)
        assert codes[0] == [4002, "enough"]
        assert codes[1][0] in (1006, 1009)
        assert codes[2][0] in (1005, 1006)


@both_implementations
async def test_uvicorn_keeps_alive_and_stops(library, implementation):
    keepalive = "--ws-ping-interval", "0.1", "--ws-ping-timeout", "1"
    async with library.serving(*uvicorn("starlette_app", implementation, *keepalive)) as port:
        uri = f"ws://127.0.0.1:{port}/echo"
        quiet = await connect(uri, ping_interval=None)
        mute = await connect(uri, ping_interval=None)
        mute.transport.pause_reading()
        while not (await fetch(port, "/describe"))["disconnects"]:
            await asyncio.sleep(0.05)
        mute.transport.abort()
        # The one that answers pings was left alone.
        await quiet.send("still here")
        assert await quiet.recv() == "still here"
        closing = asyncio.create_task(closing_of(quiet))
    assert (await closing)[0] == 1012


async def test_uvicorn_with_workers(library):
    # They are child processes, and find what their parent found.
    command = uvicorn("starlette_app", "auto", "--workers", "2")
    async with library.serving(*command) as port:
        for _ in range(4):
            assert (await fetch(port, "/describe"))["websockets"] == library.name
            async with connect(f"ws://127.0.0.1:{port}/echo") as websocket:
                await check_echo(websocket)


@both_implementations
async def test_uvicorn_with_fastapi(library, implementation):
    async with library.serving(*uvicorn("fastapi_app", implementation)) as port:
        uri = f"ws://127.0.0.1:{port}/rooms/tides"
        assert await fetch(port, "/describe") == {"websockets": library.name}
        assert (await refusal_of(uri))[0] == 403
        uri += "?token=open+sesame"
        async with connect(uri) as one, connect(uri) as other:
            # Who is heard is there.
            for websocket in one, other:
                await websocket.send(json.dumps({"text": "here"}))
                assert json.loads(await websocket.recv()) == {"room": "tides", "text": "here"}
            await one.send(json.dumps({"text": "high water"}))
            for websocket in one, other:
                await receive_until(websocket, "high water")
            await other.close()
            await one.send(json.dumps({"text": "alone"}))
            await receive_until(one, "alone")


async def receive_until(websocket, text):
    """Receive until somebody says that; nobody knows who is heard first."""
    while json.loads(await websocket.recv())["text"] != text:
        pass


async def test_sanic(library):
    command = "-m", "sanic", "sanic_app:app", "--port", "PORT", "--single-process"
    async with library.serving(*command) as port:
        uri = f"ws://127.0.0.1:{port}"
        assert await fetch(port, "/describe") == {"websockets": library.name}
        async with connect(uri + "/echo", subprotocols=["chat"]) as websocket:
            assert websocket.subprotocol == "chat"
            for message in "high water", "ß" * 10_000, b"\0\xff":
                await websocket.send(message)
                assert await websocket.recv() == message
            await websocket.send("x" * 100_001)
            assert (await closing_of(websocket))[0] == 1009
        headers = {"X-Client": "me"}
        async with connect(uri + "/facts/tide?q=1", additional_headers=headers) as websocket:
            assert await websocket.recv() == "tide me 1 None"
            await websocket.send("go on")
            assert await websocket.recv() == "go on"
            assert await closing_of(websocket) == (4001, "that is all")
        while not await fetch(port, "/refused"):
            await asyncio.sleep(0.01)
        async with connect(uri + "/stream") as websocket:
            await websocket.send([b"high", b"water"])
            lengths = 0
            while lengths < len("highwater"):
                lengths += int(await websocket.recv())


class LanguageClient:
    """A client of a language server.

    Args:
        websocket: the connection to it.

    """

    def __init__(self, websocket):
        self.websocket = websocket
        self.last_id = 0

    async def notify(self, method, **params):
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        await self.websocket.send(json.dumps(message))

    async def request(self, method, **params):
        self.last_id += 1
        message = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}
        await self.websocket.send(json.dumps(message))
        while (answer := json.loads(await self.websocket.recv())).get("id") != self.last_id:
            pass
        return answer["result"]

    async def hover(self, text, position):
        """Open a document, and ask about a place in it."""
        document = {"uri": "file:///tides.py", "languageId": "python", "version": 1, "text": text}
        await self.request("initialize", processId=None, rootUri=None, capabilities={})
        await self.notify("initialized")
        await self.notify("textDocument/didOpen", textDocument=document)
        return await self.request(
            "textDocument/hover", textDocument={"uri": document["uri"]}, position=position
        )


async def test_pygls(library):
    # It serves one connection and ends.
    async with library.serving("pygls_server.py", "PORT", probe=False) as port:
        websocket = None
        while websocket is None:
            try:
                websocket = await connect(f"ws://127.0.0.1:{port}")
            except OSError:
                await asyncio.sleep(0.05)
        async with websocket:
            client = LanguageClient(websocket)
            hover = await client.hover("level = 3", {"line": 0, "character": 2})
            assert hover == {"contents": f"level of {library.name}"}
            assert await client.request("shutdown") is None


async def test_python_lsp_server(library):
    text = 'def level(gauge):\n    """Read the level."""\n\nlevel(1)\n'
    async with (
        library.serving("-m", "pylsp", "--ws", "--port", "PORT") as port,
        connect(f"ws://localhost:{port}") as websocket,
    ):
        client = LanguageClient(websocket)
        hover = await client.hover(text, {"line": 3, "character": 1})
        assert "Read the level." in json.dumps(hover)
        assert await client.request("shutdown") is None


async def test_pycrdt(library):
    assert await library.run("pycrdt_server") == {"text": "high water"}


async def test_amqtt(library):
    result = await library.run("amqtt_both", free_port())
    assert result == {"received": [len(b"high"), len(b"low" * 10_000)]}
