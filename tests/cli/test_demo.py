"""`tidegate demo` and the proxies that it uses."""

from __future__ import annotations

import asyncio
import os
import re

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.cli import demo, main
from tidegate.testing import installed
from tidegate.testing.installed import (
    PROGRAMS,
    InstalledProxy,
    Program,
    ProxyNotStarted,
    installed_programs,
)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(demo, "RATE_TIME", 0.05)
    monkeypatch.setattr(demo, "MAX_ROUND_TRIPS", 20)


def legs(output):
    """Split the account into what happened directly, and through the proxy."""
    directly, through = output.split("\nDirectly\n")[1].split("\nThrough ")
    return directly, through


def check_leg(text):
    said = {line[2:14].strip(): line[14:] for line in text.splitlines() if line.startswith("  ")}
    assert "permessage-deflate" in said["extensions"]
    assert "ms" in said["opening"]
    for label in ("text", "binary", "fragmented", "compressed"):
        assert "came back" in said[label]
    assert "ms" in said["ping"]
    assert "median" in said["round trips"]
    assert "messages/s" in said["rate"]
    assert "code 1000" in said["closing"]
    return said


def test_built_in_proxy(capsys):
    main(["demo", "--proxy", "built-in"])
    directly, through = legs(capsys.readouterr().out)
    assert check_leg(directly)["route"].count("→") == 1
    assert through.startswith("the CONNECT proxy of tidegate.testing\n")
    said = check_leg(through)
    assert said["route"].count("→") == 2
    assert re.search(r"connect [\d.]+ ms, CONNECT [\d.]+ ms", said["opening"])
    assert through.endswith("Everything that was sent came back.\n")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_installed_proxies(program, capsys):
    if program.path is None:
        pytest.skip(f"{program.name} isn't installed")
    main(["demo", "--proxy", program.name])
    directly, through = legs(capsys.readouterr().out)
    check_leg(directly)
    assert through.startswith(f"{program.name} ({program.path}, process ")
    assert f"{program.scheme}://127.0.0.1:" in check_leg(through)["route"]


def test_first_that_starts_is_used(capsys, monkeypatch):
    broken = Program("false", "http", ())
    monkeypatch.setattr(demo, "installed_programs", lambda: [broken])
    main(["demo"])
    out = capsys.readouterr().out
    assert "false ended with status 1" in out
    through = legs(out)[1]
    assert through.startswith("the CONNECT proxy of tidegate.testing\n")
    check_leg(through)


def test_nothing_is_installed(capsys, monkeypatch):
    monkeypatch.setattr(demo, "installed_programs", list)
    main(["demo"])
    assert "tidegate.testing: none that this command knows is installed" in capsys.readouterr().out


async def loses_one(websocket):
    async for message in websocket:
        if message != b"\x00\xff":
            await websocket.send(message)


async def alters_text(websocket):
    async for message in websocket:
        await websocket.send(message + "!" if isinstance(message, str) else message)


async def joins_fragments(websocket):
    async for message in websocket:
        await websocket.send(message)


async def closes(websocket):
    await websocket.close(4000, "not today")


@pytest.mark.parametrize("liar", [loses_one, alters_text, joins_fragments, closes])
def test_failure_is_told(liar, capsys, monkeypatch):
    monkeypatch.setattr(demo, "echo", liar)
    monkeypatch.setattr(demo, "LIMIT", 1)
    with pytest.raises(SystemExit) as exit:
        main(["demo", "--proxy", "built-in"])
    assert exit.value.code == 1
    out = capsys.readouterr().out
    assert "FAILED: " in out
    assert "Everything that was sent" not in out


# The processes


@pytest.mark.asyncio_only
@pytest.mark.parametrize("program", installed_programs(), ids=lambda program: program.name)
async def test_process_lives_as_long_as_the_block(program):
    async def hello(websocket):
        await websocket.send("hello")

    async with serve(hello, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with InstalledProxy(program) as proxy:
            os.kill(proxy.pid, 0)
            async with connect(f"ws://127.0.0.1:{port}/", proxy=proxy.url) as websocket:
                assert await websocket.recv() == "hello"
                [peer] = server.all_connections
                assert peer.remote_address != websocket.local_address
        with pytest.raises(ProcessLookupError):
            os.kill(proxy.pid, 0)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", proxy.port)


@pytest.mark.asyncio_only
async def test_program_that_is_not_installed():
    with pytest.raises(ProxyNotStarted, match="no-such-proxy isn't installed"):
        async with InstalledProxy(Program("no-such-proxy", "http", ())):
            pass


@pytest.mark.asyncio_only
async def test_program_that_complains():
    complaining = Program("sh", "http", ("-c", "echo cannot open the gates >&2; exit 3"))
    with pytest.raises(ProxyNotStarted, match="status 3:\ncannot open the gates"):
        async with InstalledProxy(complaining):
            pass


@pytest.mark.asyncio_only
async def test_program_that_does_not_listen(monkeypatch):
    monkeypatch.setattr(installed, "START_TIMEOUT", 0.1)
    monkeypatch.setattr(installed, "STOP_TIMEOUT", 0.1)
    # It doesn't end when it is told to, either.
    deaf = Program("sh", "http", ("-c", "trap '' TERM; while :; do sleep 0.05; done"))
    proxy = InstalledProxy(deaf)
    with pytest.raises(ProxyNotStarted, match="doesn't listen"):
        await proxy.__aenter__()
    with pytest.raises(ProcessLookupError):
        os.kill(proxy.pid, 0)
