"""The answers to frequent questions work, with the newer API and with the older one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import pytest

from tidegate import ConnectionClosed, InvalidHandshake, InvalidStatus, connect

from .loading import load
from .test_examples import running

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "faq"

NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")

pytestmark = pytest.mark.asyncio_only


@pytest.fixture(params=["newer", "older"])
def serving(request):
    """Give what runs an example of each API: ``serving(name)``, which gives its URI.

    Functions of the example can be changed: ``serving(name, function=...)``.
    """
    folder = FOLDER if request.param == "newer" else FOLDER / "older"

    def serve_example(name, **changes):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"tidegate\.legacy is", DeprecationWarning)
            main = load(folder / f"{name}.py")["main"]
        main.__globals__.update(changes)
        return running(main)

    return serve_example


def test_all_questions_are_answered_twice_and_tested():
    assert sorted(path.stem for path in (FOLDER / "older").glob("*.py")) == NAMES
    assert [name for name in NAMES if f"test_{name}" not in globals()] == []
    page = (FOLDER.parent.parent / "docs" / "faq.md").read_text("utf-8")
    assert [name for name in NAMES if f"/{name}.py" not in page] == []


async def test_work_before_returning(serving):
    async with serving("work_before_returning") as uri, connect(uri) as websocket:
        assert await websocket.recv() == "3.14 m"
        await websocket.wait_closed()
        assert websocket.close_code == 1000


async def test_several_messages(serving):
    async with serving("several_messages") as uri, connect(uri) as websocket:
        for message in "high", "low":
            await websocket.send(message)
            assert await websocket.recv() == f"{message}, too"


async def test_without_blocking(serving):
    both = threading.Barrier(2)

    def measure():
        # Nobody gets past it unless somebody else is served at the same time.
        both.wait(timeout=20)
        return 3.14

    async with (
        serving("without_blocking", measure=measure) as uri,
        connect(uri) as one,
        connect(uri) as other,
    ):
        for _ in range(1_000):
            assert await one.recv() == await other.recv() == "3.14 m"


async def test_all_users(serving):
    async with (
        serving("all_users") as uri,
        connect(uri) as one,
        connect(uri) as other,
    ):
        # Everybody is there when everybody was heard.
        for websocket in one, other:
            await websocket.send("here")
            while await websocket.recv() != "here":
                pass
        await one.send("high water at nine")
        for websocket in one, other:
            while await websocket.recv() != "high water at nine":
                pass


async def test_one_user(serving):
    async with serving("one_user") as uri, connect(uri + "ada") as ada:
        async with connect(uri + "otto") as otto:
            await otto.send("otto: it's me")
            assert await otto.recv() == "otto: it's me"
            await ada.send("otto: hello")
            assert await otto.recv() == "ada: hello"
        await ada.send("otto: are you there?")
        assert await ada.recv() == "otto isn't there"


async def test_topic(serving):
    async with (
        serving("topic") as uri,
        connect(uri + "tides") as one,
        connect(uri + "tides") as other,
        connect(uri + "weather") as elsewhere,
    ):
        for websocket in one, other, elsewhere:
            await websocket.send("here")
            while await websocket.recv() != "here":
                pass
        await one.send("low water at three")
        for websocket in one, other:
            while (message := await websocket.recv()) != "low water at three":
                assert message == "here"
        await elsewhere.send("sunny")
        assert await elsewhere.recv() == "sunny"


async def test_handler_arguments(serving):
    async with serving("handler_arguments") as uri, connect(uri) as websocket:
        assert await websocket.recv() == "Ahoy!"


async def test_path_routing(serving):
    async with serving("path_routing") as uri:
        for path, message in ("flood", "rising"), ("ebb", "falling"):
            async with connect(uri + path) as websocket:
                assert await websocket.recv() == message
        async with connect(uri + "neap") as websocket:
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            assert websocket.close_code == 4404


async def test_http_headers(serving):
    async with serving("http_headers") as uri:
        async with connect(uri, additional_headers={"X-Boat": "Nelly"}) as websocket:
            assert await websocket.recv() == "The sluice is open for Nelly."
            assert websocket.response.headers["Server"] == "sluices"
        with pytest.raises(InvalidStatus) as refused:
            await connect(uri)
        assert refused.value.response.status_code == 400
        assert refused.value.response.body == b"Which boat?\n"


async def test_client_address(serving):
    async with serving("client_address") as uri, connect(uri) as websocket:
        assert await websocket.recv() == f"You are at {websocket.local_address[0]}."


async def test_several_addresses(serving):
    async with serving("several_addresses") as uri:
        port = uri.rpartition(":")[2]
        for host in "127.0.0.1", "[::1]":
            async with connect(f"ws://{host}:{port}") as websocket:
                assert await websocket.recv() == f"You came by way of {host.strip('[]')}."


async def test_one_family(serving):
    async with serving("one_family") as uri:
        port = uri.rpartition(":")[2]
        async with connect(f"ws://127.0.0.1:{port}") as websocket:
            assert await websocket.recv() == "You came by way of 127.0.0.1."
        with pytest.raises(OSError):
            await connect(f"ws://[::1]:{port}")


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [("bad", 4000, "mind your language"), ("bye", 1000, "")],
)
async def test_closing(serving, message, code, reason):
    async with serving("closing") as uri, connect(uri) as websocket:
        await websocket.send("good")
        await websocket.send(message)
        await websocket.wait_closed()
        assert (websocket.close_code, websocket.close_reason) == (code, reason)


@contextlib.contextmanager
def signals_given_back():
    """Take the program's signal handlers away at the end."""
    yield
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


@needs_signals
async def test_stopping(serving):
    with signals_given_back():
        async with serving("stopping") as uri, connect(uri) as websocket:
            await websocket.send("still here")
            assert await websocket.recv() == "still here"
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            assert websocket.close_code == 1001
            with pytest.raises(OSError):
                await connect(uri)


@needs_signals
async def test_stopping_without_closing_connections(serving):
    with signals_given_back():
        async with (
            serving("stopping_without_closing_connections") as uri,
            connect(uri) as websocket,
        ):
            await websocket.send("still here")
            assert await websocket.recv() == "still here"
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises((OSError, InvalidHandshake)):
                while True:
                    async with connect(uri):
                        pass
            await websocket.send("and stays")
            assert await websocket.recv() == "and stays"


async def test_health_check(serving):
    async with serving("health_check") as uri:
        with pytest.raises(InvalidStatus) as answer:
            await connect(uri + "healthz")
        assert answer.value.response.status_code == 200
        assert answer.value.response.body == b"The gates work.\n"
        async with connect(uri) as websocket:
            await websocket.send("open")
            assert await websocket.recv() == "open"


async def test_http_pages(serving):
    def status_and_page(uri):
        try:
            with urllib.request.urlopen(uri, timeout=20) as page:
                return page.status, page.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    async with serving("http_pages") as uri:
        page = "http" + uri.removeprefix("ws")
        answer = await asyncio.to_thread(status_and_page, page)
        assert answer == (200, b"Ask by WebSocket for the tide.\n")
        answer = await asyncio.to_thread(status_and_page, page + "elsewhere")
        assert answer == (404, b"No such page.\n")
        async with connect(uri) as websocket:
            assert await websocket.recv() == "3.14 m"
