"""The examples for trio run, and do what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

from tidegate.testing.installed import free_port

from .running import address_of, echo, run, serving, trio

FOLDER = Path(__file__).resolve().parents[2] / "examples"


def load(name):
    """Give what an example defines."""
    return runpy.run_path(str(FOLDER / f"{name}.py"))


def uri_of(server):
    return f"ws://localhost:{address_of(server)[1]}/"


@run
async def test_trio_server():
    from tidegate.trio.client import connect

    port = free_port()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load("trio_server")["main"], port)
        with trio.fail_after(10):
            while True:
                try:
                    async with connect(f"ws://localhost:{port}/", proxy=None) as websocket:
                        await websocket.send("there and back")
                        assert await websocket.recv() == "there and back"
                    break
                except OSError:
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


@run
async def test_trio_client(capsys):
    async with serving(echo, host=None) as server:
        await load("trio_client")["main"](uri_of(server))
    assert capsys.readouterr().out == "Hello, world!\n"


@run
async def test_trio_reconnecting_client(capsys):
    """The server refuses at last."""
    count = 0

    def process_request(connection, request):
        nonlocal count
        count += 1
        if count > 1:
            return connection.respond(403, "no more\n")

    async def handler(websocket):
        assert await websocket.recv() == "Any news?"
        await websocket.send("None.")

    example = load("trio_reconnecting_client")
    async with serving(handler, host=None, process_request=process_request) as server:
        try:
            await example["main"](uri_of(server))
        except Exception as exc:
            assert "403" in str(exc)
    out = capsys.readouterr().out
    assert out.startswith("connecting, attempt 1 \nconnected, attempt 1 \nNone.\n")


@run
async def test_trio_through_a_proxy(capsys):
    from tidegate.testing import HTTPProxyServer

    main = load("trio_through_a_proxy")["main"]
    with HTTPProxyServer().in_thread() as proxy:
        async with serving(echo) as server:
            proxy.hosts["example.com"] = address_of(server)
            await main("ws://example.com/", proxy=proxy.url)
        out = capsys.readouterr().out
        assert out.startswith("Hello out there!\nby way of ")
        await main("ws://nobody.example/", proxy=proxy.url, open_timeout=10)
    assert "nobody.example" in capsys.readouterr().out
