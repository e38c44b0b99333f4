"""The chat for browsers, in a browser: pages on two workers over Redis, one of which is killed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import signal
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from tidegate import connect
from tidegate.testing.installed import free_port

from ..proxy.real.peers import find, missing
from .servers import RedisServer

pytestmark = [
    pytest.mark.asyncio_only,
    pytest.mark.skipif(sys.platform == "win32", reason="workers need a Unix system"),
]

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "chat"


class Browser:
    """A Chromium without windows, spoken to by its own protocol."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.serial = 0
        self.answers = {}
        self.task = asyncio.create_task(self.listen())

    async def listen(self):
        async for text in self.websocket:
            message = json.loads(text)
            if "id" in message:
                self.answers.pop(message["id"]).set_result(message)

    async def call(self, method, session=None, **params):
        self.serial += 1
        call = {"id": self.serial, "method": method, "params": params}
        if session is not None:
            call["sessionId"] = session
        answer = self.answers[self.serial] = asyncio.get_running_loop().create_future()
        await self.websocket.send(json.dumps(call))
        async with asyncio.timeout(60):
            message = await answer
        assert "error" not in message, message
        return message["result"]

    async def open(self, url):
        # A window of its own: what is in the background may be slow.
        target = await self.call(
            "Target.createTarget", url=url, width=1000, height=520, newWindow=True
        )
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        return Page(self, attached["sessionId"])


class Page:
    """A page in it."""

    def __init__(self, browser, session):
        self.browser = browser
        self.session = session

    async def evaluate(self, expression):
        result = await self.browser.call(
            "Runtime.evaluate", self.session, expression=expression, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def lines(self, place):
        return await self.evaluate(
            f"Array.from(document.querySelectorAll('[data-place={place}] li'),"
            " each => Array.from(each.children, part => part.textContent).join(': '))"
        )

    async def say(self, place, text):
        await self.evaluate(
            f"document.querySelector('[data-place={place}] input').value = {json.dumps(text)};"
            f"document.querySelector('[data-place={place}] form').requestSubmit()"
        )

    async def until(self, function, *args):
        """Wait until something is so; give it."""
        async with asyncio.timeout(60):
            while not (found := await function(*args)):
                await asyncio.sleep(0.05)
        return found

    async def worker(self):
        """Give which worker the page is connected to."""

        async def look():
            text = await self.evaluate("document.getElementById('state')?.textContent ?? ''")
            return re.fullmatch(r"connected to worker (\d+)", text)

        return int((await self.until(look))[1])

    async def sees(self, place, lines):
        """Wait for the last of the lines, and hold that exactly these are there."""

        async def look():
            found = await self.lines(place)
            return found if found[-1:] == lines[-1:] else None

        assert await self.until(look) == lines

    async def screenshot(self, path):
        result = await self.browser.call("Page.captureScreenshot", self.session, format="png")
        path.write_bytes(b64decode(result["data"]))


@contextlib.asynccontextmanager
async def browser(folder):
    """Run Chromium."""
    # Root has no other way, and no page of the test is anybody else's.
    process = await asyncio.create_subprocess_exec(
        find("chromium"),
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--disable-background-networking", "--no-proxy-server"),
        *("--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}", "about:blank"),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    said = []
    try:
        async with asyncio.timeout(60):
            while not said or b"DevTools listening on" not in said[-1]:
                said.append(await process.stderr.readline())
                assert said[-1], b"".join(said)
        uri = said[-1].split()[-1].decode()
        # It says much, which nobody reads on.
        draining = asyncio.create_task(process.stderr.read())
        async with connect(uri, max_size=None, proxy=None, compression=None) as websocket:
            driver = Browser(websocket)
            yield driver
            driver.task.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await draining


@contextlib.asynccontextmanager
async def chat(engine):
    """Run the chat on two workers; give its address."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tidegate", "serve", "chat:handler", "--workers=2", "--spread=0"),
        *("--process-request=chat:process_request", "--lifespan=chat:lifespan", f"--port={port}"),
        cwd=FOLDER,
        env={**os.environ, "CHAT_ENGINE": engine},
    )
    try:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.transport.abort()
                    break
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_chat(tmp_path):
    if importlib.util.find_spec("redis") is None:
        missing("redis-py isn't installed")
    find("redis-server")
    find("chromium")
    async with RedisServer() as redis, chat(redis.url) as url, browser(tmp_path) as driver:
        # Bob's page is opened until it is with another worker than Ann's.
        ann = await driver.open(f"{url}?name=Ann&room=harbour")
        doomed = await ann.worker()
        while True:
            bob = await driver.open(f"{url}?name=Bob&room=island")
            if await bob.worker() != doomed:
                break
            await bob.evaluate("socket.onclose = null; socket.close()")
        await ann.say("square", "Is anybody here?")
        await bob.sees("square", ["Ann: Is anybody here?"])
        await bob.say("square", "<b>I am</b>")
        await ann.say("room", "Only we can read this.")
        await bob.say("room", "And this only we.")
        square = ["Ann: Is anybody here?", "Bob: <b>I am</b>"]
        await ann.sees("square", square)
        await ann.sees("room", ["Ann: Only we can read this."])
        await bob.sees("room", ["Bob: And this only we."])

        os.kill(doomed, signal.SIGKILL)
        for number in range(5):
            await bob.say("square", f"While you are away: {number}")
            square.append(f"Bob: While you are away: {number}")
        await bob.sees("square", square)

        async def elsewhere():
            return await ann.worker() != doomed

        await ann.until(elsewhere)
        await ann.sees("square", square)
        await ann.say("room", "Here again.")
        await ann.sees("room", ["Ann: Only we can read this.", "Ann: Here again."])
        await ann.say("square", "I missed nothing.")
        square.append("Ann: I missed nothing.")
        await bob.sees("square", square)
        await ann.sees("square", square)
        await bob.sees("room", ["Bob: And this only we."])
        await ann.screenshot(Path(os.environ.get("SCREENSHOTS", tmp_path)) / "chat.png")
