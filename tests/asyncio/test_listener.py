"""Callbacks instead of a coroutine."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.listener import Listener
from tidegate.asyncio.server import broadcast, serve
from tidegate.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
)


class Echo(Listener):
    def on_message(self, message):
        self.connection.send_nowait(message)


class Recorder(Listener):
    def __init__(self):
        self.calls = []
        self.changed = asyncio.Event()

    def on_open(self):
        self.note("open")

    def on_message(self, message):
        self.note("message", message)

    def on_batch(self):
        self.note("batch")

    def on_ping(self, data):
        self.note("ping", data)

    def on_pong(self, data):
        self.note("pong", data)

    def on_close(self, exc):
        self.note("close", type(exc))

    def note(self, *call):
        self.calls.append(call)
        self.changed.set()

    async def until(self, *call):
        while call not in self.calls:
            self.changed.clear()
            await self.changed.wait()


def address(server):
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_server_listener_echoes():
    async with (
        serve(Echo, "127.0.0.1", 0) as server,
        connect(address(server)) as websocket,
    ):
        for message in ["text", b"bytes", "x" * 100_000, ""]:
            await websocket.send(message)
            assert await websocket.recv() == message
        await websocket.send(["in ", "three ", "frames"])
        assert await websocket.recv() == "in three frames"
        for number in range(5000):
            await websocket.send(str(number))
        for number in range(5000):
            assert await websocket.recv() == str(number)


async def test_client_listener_is_told_everything():
    async def handler(websocket):
        await websocket.send("one")
        await websocket.send("two")
        await (await websocket.ping(b"?"))
        async for _ in websocket:
            pass

    recorder = Recorder()
    async with serve(handler, "127.0.0.1", 0) as server:
        connection = await connect(address(server), listener=lambda: recorder)
        await recorder.until("ping", b"?")
        await (await connection.ping(b"!"))
        await connection.close()
    kinds = [call for call in recorder.calls if call != ("batch",)]
    assert kinds == [
        ("open",),
        ("message", "one"),
        ("message", "two"),
        ("ping", b"?"),
        ("pong", b"!"),
        ("close", ConnectionClosedOK),
    ]
    assert ("batch",) in recorder.calls
    assert connection.listener is None


async def test_messages_of_a_batch_come_before_its_end():
    received = []

    class Batches(Listener):
        def on_message(self, message):
            received.append(message)

        def on_batch(self):
            received.append(None)
            if received.count(None) and "last" in received:
                self.connection.start_closing()

    async with serve(Batches, "127.0.0.1", 0) as server, connect(address(server)) as websocket:
        for number in range(100):
            await websocket.send(str(number))
        await websocket.send("last")
        await websocket.wait_closed()
    assert [each for each in received if each is not None] == [*map(str, range(100)), "last"]
    assert received[-1] is None
    assert websocket.close_code == 1000


async def test_exception_in_listener_closes_the_connection(caplog):
    class Broken(Listener):
        def on_message(self, message):
            raise RuntimeError("broken")

    async with serve(Broken, "127.0.0.1", 0) as server, connect(address(server)) as websocket:
        await websocket.send("x")
        with pytest.raises(ConnectionClosedError):
            await websocket.recv()
    assert websocket.close_code == 1011
    assert "connection listener failed" in caplog.text


async def test_receiving_beside_a_listener_is_refused():
    async with serve(Echo, "127.0.0.1", 0) as server:
        connection = await connect(address(server), listener=Recorder)
        with pytest.raises(ConcurrencyError):
            await connection.recv()
        await connection.close()


async def test_sending_without_waiting_tells_of_a_full_buffer():
    drained = asyncio.Event()
    received = []

    class Slow(Listener):
        def on_drain(self):
            drained.set()

    async def handler(websocket):
        await release.wait()
        received.extend([len(await websocket.recv()) for _ in range(count)])

    release = asyncio.Event()
    async with serve(handler, "127.0.0.1", 0) as server:
        connection = await connect(address(server), listener=Slow, compression=None)
        count = 1
        while connection.send_nowait(b"x" * 500_000):
            count += 1
            assert count < 1000
        assert connection.buffered_amount > 0
        release.set()
        await drained.wait()
        await connection.close()
        with pytest.raises(ConnectionClosedOK):
            connection.send_nowait("late")
    assert received == [500_000] * count


async def test_another_method_may_take_over():
    """A listener is a state machine if it wants: what it assigns to itself counts at once."""

    class Greeting(Listener):
        def on_open(self):
            self.on_message = self.greet

        def greet(self, message):
            self.connection.send_nowait(f"Hello, {message}!")
            del self.on_message

        def on_message(self, message):
            self.connection.send_nowait(message)

    async with (
        serve(Greeting, "127.0.0.1", 0) as server,
        connect(address(server)) as client,
    ):
        # Two of them at once.
        client.send_nowait("you")
        client.send_nowait("again")
        assert [await client.recv() for _ in range(2)] == ["Hello, you!", "again"]


CALLS = {
    "send": lambda connection: connection.send_nowait("more"),
    "close": lambda connection: connection.start_closing(),
    "fail": lambda connection: connection.protocol.fail(1011),
    "abort": lambda connection: connection.transport.abort(),
    "close the transport": lambda connection: connection.transport.close(),
    "broadcast": lambda connection: broadcast([connection], "to all"),
    "receive": lambda connection: connection.recv().close(),
    "raise": lambda connection: 1 / 0,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("method", ["on_open", "on_message", "on_batch", "on_ping", "on_close"])
@pytest.mark.parametrize("transports", ["poller", "loop"])
async def test_anything_can_be_called_from_anywhere(method, call, transports, monkeypatch, caplog):
    """A41: also what ends the connection in the middle of what it is doing."""
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    closed = asyncio.Event()
    listeners = []

    class Calling(Recorder):
        def __init__(self):
            super().__init__()
            listeners.append(self)

        def note(self, name, *args):
            super().note(name, *args)
            if name == "close":
                closed.set()
            if f"on_{name}" == method:
                # That it is closed, or being closed, is no mistake here.
                with contextlib.suppress(ConnectionClosed, InvalidState):
                    CALLS[call](self.connection)

    async with serve(Calling, "127.0.0.1", 0, close_timeout=0.05) as server:
        client = await connect(address(server), close_timeout=0.05)
        with contextlib.suppress(ConnectionClosed):
            for number in range(20):
                await client.send(str(number))
                await client.ping()
        await client.close()
        await closed.wait()
    # Once each, in their order, and nothing after the end.
    names = [name for name, *_ in listeners[0].calls]
    assert names.count("open") == names.count("close") == 1
    assert names[0] == "open"
    assert names[-1] == "close"
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == (
        ["connection listener failed"] * (names.count(method[3:]) if call == "raise" else 0)
    )
