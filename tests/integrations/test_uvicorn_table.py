"""What applications and peers see under uvicorn: with each of its own classes, and with ours.

The rows are those of the table in docs/uvicorn.md.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvicorn
from uvicorn.protocols.utils import ClientDisconnected

from .asgi_peer import OURS, PING, PONG, TEXT, Peer, close, frame, running

SANSIO, WSPROTO, LEGACY = OTHERS = "websockets-sansio", "wsproto", "websockets"

# What uvicorn's own classes do is what those of this version do.
VERSION = "0.54."
PAGE = Path(__file__).resolve().parents[2] / "docs" / "uvicorn.md"


class Row:
    """An ASGI application that notes what it sees, and its peer."""

    # What the application sees, and what the peer sees.
    expected = ""
    max_size = 2**20

    def __init__(self):
        self.seen = []
        self.scope = None
        self.done = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.scope = scope
        self._receive = receive
        self._send = send
        try:
            await self.run()
        finally:
            self.done.set()

    async def receive(self):
        """Receive an event, and note it."""
        try:
            async with asyncio.timeout(0.5 if self.seen else 5):
                event = await self._receive()
        except TimeoutError:
            self.seen.append("hangs")
            return
        kind = event["type"].removeprefix("websocket.")
        if kind == "receive":
            kind = event.get("text") or event.get("bytes")
        elif kind == "disconnect":
            kind = f"{event['code']} {event.get('reason') or ''}".rstrip()
        self.seen.append(kind)

    async def send(self, kind, **rest):
        """Send an event; note what it raises."""
        try:
            await self._send({"type": f"websocket.{kind}", **rest})
        except ClientDisconnected:
            self.seen.append("ClientDisconnected")
        except RuntimeError:
            self.seen.append("RuntimeError")

    async def accept(self):
        await self.receive()
        assert self.seen == ["connect"]
        del self.seen[:]
        await self.send("accept")

    async def run(self):
        """Be the application."""
        await self.accept()
        await self.receive()

    async def opened(self, peer):
        """Open the connection."""
        await peer.ask()
        status, _ = await peer.answer()
        assert status == 101

    async def be_peer(self, peer, server):
        """Be the peer; give what it sees."""
        raise NotImplementedError


class Close1000(Row):
    """The peer closes with 1000 "ok"."""

    expected = "1000 ok / close 1000 ok"

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(close(1000, "ok"))
        return await peer.read_closing()


class CloseWithoutCode(Row):
    """The peer closes without a code."""

    expected = "1005 / close"

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(frame(8))
        return await peer.read_closing()


class MessagesBeforeClose(Row):
    """The peer sends three messages and closes."""

    expected = "a, b, c, 1000 / close 1000"

    async def run(self):
        await self.accept()
        await self.goes_on.wait()
        for _ in range(4):
            await self.receive()

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(frame(TEXT, b"a"), frame(TEXT, b"b"), frame(TEXT, b"c"), close(1000))
        self.goes_on.set()
        return await peer.read_closing()


class Leaves(Row):
    """The peer leaves without a Close frame."""

    expected = "1005 connection lost"

    async def be_peer(self, peer, server):
        await self.opened(peer)
        await peer.leave()


class Breaks(Leaves):
    """The connection breaks."""

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.abort()


class InvalidText(Row):
    """The peer sends text that isn't UTF-8."""

    expected = "1007 invalid start byte at position 0 / close 1007 invalid start byte at position 0"

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(frame(TEXT, b"\xff"))
        return await peer.read_closing()


class TooLarge(Row):
    """The peer sends a message over --ws-max-size."""

    expected = (
        "1009 frame with 2000 bytes exceeds limit of 1000 bytes / "
        "close 1009 frame with 2000 bytes exceeds limit of 1000 bytes"
    )
    max_size = 1000

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(frame(TEXT, b"a" * 2000))
        return await peer.read_closing()


class Unmasked(Row):
    """The peer sends a frame that isn't masked."""

    expected = "1002 incorrect masking / close 1002 incorrect masking"

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(frame(TEXT, b"a", masked=False))
        return await peer.read_closing()


class Refuses(Row):
    """The application closes before it accepts."""

    expected = "1006 / 403"

    async def run(self):
        await self.receive()
        del self.seen[:]
        await self.send("close")
        await self.receive()

    async def be_peer(self, peer, server):
        await peer.ask()
        status, _ = await peer.answer()
        return str(status)


class Denies(Row):
    """The application sends a response of its own, in two parts."""

    expected = "1006 / 429 slow down"

    async def run(self):
        await self.receive()
        del self.seen[:]
        await self.send("http.response.start", status=429, headers=[(b"retry-after", b"1")])
        await self.send("http.response.body", body=b"slow ", more_body=True)
        await self.send("http.response.body", body=b"down")
        await self.receive()

    async def be_peer(self, peer, server):
        await peer.ask()
        status, headers = await peer.answer()
        assert ("retry-after", "1") in headers
        return f"{status} {await peer.body(headers)}"


class DeniesAtOnce(Denies):
    """The application sends a response of its own, in one part."""

    async def run(self):
        await self.receive()
        del self.seen[:]
        await self.send("http.response.start", status=429, headers=[(b"retry-after", b"1")])
        await self.send("http.response.body", body=b"slow down")
        await self.receive()


class RaisesBefore(Row):
    """The application raises before it accepts."""

    expected = "connect / 500"

    async def run(self):
        await self.receive()
        raise ValueError

    async def be_peer(self, peer, server):
        await peer.ask()
        status, _ = await peer.answer()
        return str(status)


class ReturnsBefore(RaisesBefore):
    """The application returns before it accepts."""

    async def run(self):
        await self.receive()


class RaisesAfter(Row):
    """The application raises after it has accepted."""

    expected = "- / close 1011"

    async def run(self):
        await self.accept()
        raise ValueError

    async def be_peer(self, peer, server):
        await self.opened(peer)
        return await peer.read_closing()


class ReturnsAfter(RaisesAfter):
    """The application returns without closing."""

    expected = "- / close 1000"

    async def run(self):
        await self.accept()


class Closes(Row):
    """The application closes with 4001 "bye", and receives."""

    expected = "4001 bye / close 4001 bye"

    async def run(self):
        await self.accept()
        await self.send("close", code=4001, reason="bye")
        await self.receive()

    async def be_peer(self, peer, server):
        await self.opened(peer)
        seen = await peer.read_closing()
        peer.write(close(4001))
        return seen


class SendsAfterItsClose(Closes):
    """The application sends after it has closed."""

    expected = "RuntimeError / close 4001 bye"

    async def run(self):
        await self.accept()
        await self.send("close", code=4001, reason="bye")
        await self.send("send", text="a")


class SendsAfterLoss(Row):
    """The application sends after the connection was lost."""

    expected = "1005 connection lost, ClientDisconnected"

    async def run(self):
        await self.accept()
        await self.receive()
        await asyncio.sleep(0.05)
        await self.send("send", text="a")

    async def be_peer(self, peer, server):
        await self.opened(peer)
        await peer.leave()


class SendsAfterClose(SendsAfterLoss):
    """The application sends after the peer has closed."""

    expected = "1000, ClientDisconnected / close 1000"

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(close(1000))
        return await peer.read_closing()


class SendsAfterError(SendsAfterLoss):
    """The application sends after the peer broke the rules."""

    expected = "1002 incorrect masking, ClientDisconnected / close 1002 incorrect masking"

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(frame(TEXT, b"a", masked=False))
        return await peer.read_closing()


class ClosesAfterClose(SendsAfterClose):
    """The application closes after the peer has."""

    expected = "1000 / close 1000"

    async def run(self):
        await self.accept()
        await self.receive()
        await self.send("close")


class ReceivesAgain(Row):
    """The application receives again after the peer has closed."""

    expected = "1000 ok, 1000 ok / close 1000 ok"

    async def run(self):
        await self.accept()
        await self.receive()
        await self.receive()

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(close(1000, "ok"))
        return await peer.read_closing()


class ReceivesAgainAfterLoss(ReceivesAgain):
    """The application receives again after the connection was lost."""

    expected = "1005 connection lost, 1005 connection lost"

    async def be_peer(self, peer, server):
        await self.opened(peer)
        await peer.leave()


class AcceptsTooLate(Row):
    """The peer leaves before the application accepts."""

    expected = "ClientDisconnected, 1006"

    async def run(self):
        await self.receive()
        del self.seen[:]
        await self.goes_on.wait()
        await self.send("accept")
        await self.receive()

    async def be_peer(self, peer, server):
        await peer.ask()
        await asyncio.sleep(0.05)
        peer.abort()
        await asyncio.sleep(0.05)
        self.goes_on.set()


class LeavesBefore(Row):
    """The peer leaves, and the application receives before it accepts."""

    expected = "1006"

    async def run(self):
        await self.receive()
        del self.seen[:]
        await self.receive()

    async def be_peer(self, peer, server):
        await peer.ask()
        await asyncio.sleep(0.05)
        await peer.leave()


class Shutdown(Row):
    """uvicorn shuts down."""

    expected = "1012 / close 1012"

    async def be_peer(self, peer, server):
        await self.opened(peer)
        (connection,) = server.server_state.connections
        connection.shutdown()
        return await peer.read_closing()


class ShutdownBefore(Row):
    """uvicorn shuts down before the application accepts."""

    expected = "ClientDisconnected, 1006 / 500"

    async def run(self):
        await self.receive()
        del self.seen[:]
        await self.goes_on.wait()
        await self.send("accept")
        await self.receive()

    async def be_peer(self, peer, server):
        await peer.ask()
        while not server.server_state.tasks or self.seen:
            await asyncio.sleep(0.01)
        (connection,) = server.server_state.connections
        connection.shutdown()
        status, _ = await peer.answer()
        self.goes_on.set()
        return str(status)


class PingWhileBusy(Row):
    """The peer sends a message and a ping while the application is busy."""

    expected = "a / pong"

    async def run(self):
        await self.accept()
        await self.goes_on.wait()
        await self.receive()

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(frame(TEXT, b"a"))
        await asyncio.sleep(0.05)
        peer.write(frame(PING, b"b"))
        seen = "nothing"
        try:
            async with asyncio.timeout(0.5):
                assert await peer.read() == (PONG, b"b")
                seen = "pong"
        except TimeoutError:
            pass
        self.goes_on.set()
        return seen


class TwoReceive(Row):
    """Two tasks of the application receive."""

    expected = "a, b"

    async def run(self):
        await self.accept()
        tasks = [asyncio.create_task(self.receive()) for _ in range(2)]
        await asyncio.gather(*tasks)

    async def be_peer(self, peer, server):
        await self.opened(peer)
        peer.write(frame(TEXT, b"a"))
        await asyncio.sleep(0.05)
        peer.write(frame(TEXT, b"b"))
        await self.done.wait()


def rows(cls=Row):
    for subclass in cls.__subclasses__():
        yield subclass
        yield from rows(subclass)


async def observe(cls, ws):
    """Give what application and peer of a row see with a class."""
    application = cls()
    async with running(application, ws, ws_max_size=cls.max_size) as server:
        peer = await Peer.connect(server.port)
        try:
            seen = await cls.be_peer(application, peer, server)
        finally:
            await peer.leave()
        async with asyncio.timeout(10):
            await application.done.wait()
    noted = ", ".join(application.seen) or "-"
    return noted if seen is None else f"{noted} / {seen}"


# What is otherwise with uvicorn's own classes.
DIFFERENCES = {
    "Leaves": {SANSIO: "1005", WSPROTO: "1005", LEGACY: "1006"},
    "Breaks": {SANSIO: "1005", WSPROTO: "1005", LEGACY: "1006"},
    "InvalidText": {
        SANSIO: "1007 / close 1007",
        WSPROTO: (
            "1007 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte / nothing"
        ),
        LEGACY: "1006 / close 1007",
    },
    "TooLarge": {
        WSPROTO: (
            "1009 Message exceeds the maximum size (1000 bytes) / "
            "close 1009 Message exceeds the maximum size (1000 bytes)"
        ),
        LEGACY: "1006 / close 1009",
    },
    "Unmasked": {
        WSPROTO: "1002 server received unexpected unmasked frame / nothing",
        LEGACY: "1006 / close 1002",
    },
    "RaisesAfter": dict.fromkeys(OTHERS, "- / nothing"),
    "ReturnsAfter": dict.fromkeys(OTHERS, "- / nothing"),
    "Closes": {LEGACY: "1005 / close 4001 bye"},
    "SendsAfterLoss": {
        SANSIO: "1005, ClientDisconnected",
        WSPROTO: "1005, ClientDisconnected",
        LEGACY: "1006, RuntimeError",
    },
    "SendsAfterClose": {LEGACY: "1000, RuntimeError / close 1000"},
    "SendsAfterError": {
        WSPROTO: "1002 server received unexpected unmasked frame, ClientDisconnected / nothing",
        LEGACY: "1006, RuntimeError / close 1002",
    },
    "ClosesAfterClose": {
        WSPROTO: "1000, ClientDisconnected / close 1000",
        LEGACY: "1000, RuntimeError / close 1000",
    },
    "ReceivesAgain": dict.fromkeys(OTHERS, "1000 ok, 1005 / close 1000 ok"),
    "ReceivesAgainAfterLoss": {SANSIO: "1005, hangs", WSPROTO: "1005, hangs", LEGACY: "1006, 1005"},
    "AcceptsTooLate": {LEGACY: "1006"},
    "ShutdownBefore": {LEGACY: "RuntimeError, 1006 / 500"},
    "PingWhileBusy": {SANSIO: "a / nothing", WSPROTO: "a / nothing"},
    "TwoReceive": {LEGACY: "1006"},
}

ROWS = list(rows())


def outcomes(cls):
    """Give what comes of a row, by the class."""
    return dict.fromkeys(("tidegate", *OTHERS), cls.expected) | DIFFERENCES.get(cls.__name__, {})


@pytest.mark.parametrize("cls", ROWS, ids=lambda cls: cls.__name__)
async def test_ours(cls):
    assert await observe(cls, OURS) == cls.expected


@pytest.mark.asyncio_only
@pytest.mark.filterwarnings("ignore::uvicorn.config.UvicornDeprecationWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(
    not uvicorn.__version__.startswith(VERSION), reason=f"the table is of uvicorn {VERSION}x"
)
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("cls", ROWS, ids=lambda cls: cls.__name__)
async def test_others(cls, name):
    if name == WSPROTO:
        pytest.importorskip("wsproto")
    assert await observe(cls, name) == outcomes(cls)[name]


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_are_in_the_table(name):
    (cls,) = [cls for cls in ROWS if cls.__name__ == name]
    line = " | ".join([cls.__doc__.removesuffix("."), *outcomes(cls).values()])
    assert f"| {line} |\n" in PAGE.read_text("utf-8")
