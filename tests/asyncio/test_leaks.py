"""What is closed is freed at once, without the cyclic garbage collector."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import sys
import weakref

import pytest

from tidegate.asyncio.client import ClientConnection, connect
from tidegate.asyncio.hub import get_hub
from tidegate.asyncio.server import ServerConnection, serve
from tidegate.exceptions import ConnectionClosed
from tidegate.utils import accept_key

from ..conftest import loop_factories
from ..wire.exposed import compiled
from .connections import BINARY, CLOSE, TEXT, address, frame, pair, raw_client, raw_server, turns

pytestmark = pytest.mark.parametrize("transports", ["poller", "loop"])

KINDS = pytest.mark.parametrize("kind", ["plain", "tls", "unix"])


@pytest.fixture(autouse=True)
def without_collector(transports, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Watch:
    """Knows of objects that should be gone."""

    def __init__(self):
        self.references = []

    def add(self, *connections):
        for connection in connections:
            self.references += [weakref.ref(connection), weakref.ref(connection.protocol)]

    async def assert_gone(self):
        """Fail if one is still there, and say by what it is held."""
        await turns(20)
        if not compiled and sys.version_info >= (3, 12):
            # Frames in the traceback of an exception refer to those that called them, and these,
            # in Python code that the compiled core doesn't have, to the connection and its tasks.
            gc.collect()
        alive = [each() for each in self.references if each() is not None]
        holders = [
            f"{each!r:.100} <- {holder!r:.500}"
            for each in alive
            for holder in gc.get_referrers(each)
            if holder is not alive and holder is not asyncio.current_task()
        ]
        assert not alive, "\n".join(holders)


async def receive(connection):
    # Without a coroutine around it, and uncompiled, the exception of recv() in a task refers to all
    # frames below it, and one of those to the task.
    return await connection.recv()


@KINDS
async def test_connection_that_was_used_and_closed(kind, certificates, tmp_path):
    watch = Watch()
    async with pair(kind, certificates=certificates, path=tmp_path / "socket") as (server, client):
        watch.add(server, client)
        for one, other in ((server, client), (client, server)):
            await one.send("text" * 1000)
            await other.recv()
            await one.send(["frag", "ments"])
            assert [piece async for piece in other.recv_streaming()] == ["frag", "ments", ""]
            await (await one.ping())
            receiving = asyncio.create_task(receive(other))
            await asyncio.sleep(0)
            receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await receiving
    with pytest.raises(ConnectionClosed):
        await client.recv()
    del server, client, one, other, receiving
    await watch.assert_gone()


@KINDS
async def test_connection_that_was_lost(kind, certificates, tmp_path):
    watch = Watch()
    async with pair(kind, certificates=certificates, path=tmp_path / "socket") as (server, client):
        watch.add(server, client)
        await client.send("message")
        await server.recv()
        tasks = [asyncio.create_task(receive(client)), asyncio.create_task(receive(server))]
        await asyncio.sleep(0)
        server.transport.abort()
        for task in tasks:
            with pytest.raises(ConnectionClosed):
                await task
        for connection in (server, client):
            with pytest.raises(ConnectionClosed):
                await connection.send("message")
    del server, client, connection, tasks, task
    await watch.assert_gone()


async def test_connections_closed_by_a_server():
    watch = Watch()
    accepted = []

    async def handler(connection):
        accepted.append(connection)
        async for message in connection:
            await connection.send(message)

    server = await serve(handler, "127.0.0.1", 0)
    client = await connect(address(server))
    await client.send("message")
    await client.recv()
    watch.add(client, accepted.pop())
    server.close()
    await server.wait_closed()
    await client.wait_closed()
    del client
    await watch.assert_gone()


BROKEN = {
    "protocol error": frame(TEXT, b"x", rsv=0x70, mask=True),
    "not UTF-8": frame(TEXT, b"\xff", mask=True),
    "not UTF-8 in the middle": frame(TEXT, b"a" * 300_000 + b"\xffa", mask=True)[:-1],
    "too big": frame(BINARY, b"x" * 1001, mask=True),
    "wrong close frame": frame(CLOSE, b"\x00", mask=True),
    "messages before": frame(TEXT, b"x", mask=True) * 3 + frame(TEXT, b"\xff", mask=True),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_connection_that_was_failed(name):
    watch = Watch()
    done = asyncio.get_running_loop().create_future()

    async def handler(connection):
        watch.add(connection)
        try:
            while True:
                await connection.recv()
        except ConnectionClosed as exc:
            done.set_result(str(exc))

    async with serve(
        handler, "127.0.0.1", 0, max_size=10**6 if "middle" in name else 1000
    ) as server:
        async with raw_client(server) as peer:
            peer.writer.write(BROKEN[name])
            assert await peer.close_code() in (1002, 1007, 1009)
        assert await done
    await watch.assert_gone()


@pytest.mark.parametrize("process", ["crash", "refuse", "late crash", "wait"])
async def test_server_whose_handshake_failed(process, caplog):
    # A log record has the traceback, whose frames refer to the connection.
    caplog.set_level("CRITICAL", "tidegate.server")
    watch = Watch()

    def process_request(connection, request):
        watch.add(connection)
        if process == "refuse":
            return connection.respond(403, "No\n")
        if process == "crash":
            raise RuntimeError("mistake of the program")
        return later()

    async def later():
        await asyncio.sleep(0)
        if process == "late crash":
            raise RuntimeError("mistake of the program")
        await asyncio.sleep(3600)

    async with serve(
        lambda connection: None, "127.0.0.1", 0, process_request=process_request
    ) as server:
        with contextlib.suppress(Exception):
            await connect(address(server), open_timeout=0.05)
    await watch.assert_gone()


@pytest.mark.parametrize(
    "headers", ["Origin: x\r\n", "Sec-WebSocket-Version: 12\r\n", "Broken\r\n"]
)
async def test_server_that_refused(headers):
    watch = Watch()

    async def handler(connection):
        raise AssertionError("it is refused")

    class Watched(ServerConnection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            watch.add(self)

    async with serve(handler, "127.0.0.1", 0, origins=["y"], create_connection=Watched) as server:
        with contextlib.suppress(AssertionError, asyncio.IncompleteReadError):
            async with raw_client(server, headers=headers):
                pass
        await turns()
    assert watch.references
    await watch.assert_gone()


@pytest.mark.parametrize("answer", ["HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "nonsense", ""])
async def test_client_whose_handshake_failed(answer):
    watch = Watch()

    async def respond(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer.encode())
        writer.close()

    class Watched(ClientConnection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            watch.add(self)

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    for attempt in range(2):
        try:
            if attempt:
                async for _ in connect(
                    address(server), create_connection=Watched, process_exception=lambda exc: exc
                ):
                    raise AssertionError("it fails")
            else:
                await connect(address(server), create_connection=Watched)
        except Exception as exc:
            assert not isinstance(exc, AssertionError)
    server.close()
    assert len(watch.references) == 4
    await watch.assert_gone()


async def test_client_that_timed_out():
    watch = Watch()

    class Watched(ClientConnection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            watch.add(self)

    async def silent(reader, writer):
        await reader.read(65536)
        await reader.read(65536)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    with pytest.raises(TimeoutError):
        await connect(address(server), create_connection=Watched, open_timeout=0.01)
    server.close()
    await watch.assert_gone()


async def test_client_whose_server_breaks_the_rules():
    watch = Watch()

    async def script(peer):
        peer.writer.write(frame(TEXT, b"\xff"))
        await peer.close_code()

    async with raw_server(script) as (uri, _):
        connection = await connect(uri)
        watch.add(connection)
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        del connection
    await watch.assert_gone()


async def test_connection_with_debug_logs(caplog):
    watch = Watch()
    caplog.set_level("DEBUG", "tidegate")
    async with pair() as (server, client):
        watch.add(server, client)
        await client.send("message")
        await server.recv()
    del server, client
    caplog.clear()
    await watch.assert_gone()


async def test_reconnecting_client_keeps_only_the_connection_it_has():
    watch = Watch()

    async def handler(connection):
        await connection.send("hello")

    async with serve(handler, "127.0.0.1", 0) as server:
        count = 0
        async for connection in connect(address(server)):
            await watch.assert_gone()
            watch.references.clear()
            watch.add(connection)
            assert await connection.recv() == "hello"
            with contextlib.suppress(ConnectionClosed):
                await connection.recv()
            count += 1
            if count == 3:
                break
            del connection


async def test_connection_that_nobody_holds_is_open_until_its_peer_closes_it():
    """A11: the event loop holds it, and does what a connection has to do."""
    watch = Watch()
    accepted = asyncio.Queue()

    async def handler(connection):
        accepted.put_nowait(connection)
        await connection.wait_closed()

    async with serve(handler, "127.0.0.1", 0) as server:
        watch.add(await connect(address(server)))
        connection = await accepted.get()
        gc.collect()
        await (await connection.ping())
        await connection.close()
        assert connection.close_code == 1000
        del connection
    await watch.assert_gone()


def accept_one(listener):
    """Accept a connection, without an event loop, and open it."""
    sock, _ = listener.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(65536)
    key = head.decode().split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
    sock.sendall(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()
    )
    return sock


@pytest.mark.parametrize("loop_factory", list(loop_factories()))
def test_connection_that_is_left_open_when_the_loop_is_closed(loop_factory, caplog):
    """A11: that is told, its socket is closed, and no task is destroyed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}/"

        async def leave():
            accepting = asyncio.create_task(asyncio.to_thread(accept_one, listener))
            connection = await connect(uri, ping_interval=0.001)
            await connection.send("message")
            await asyncio.sleep(0.01)
            return await accepting, weakref.ref(connection)

        with pytest.warns(ResourceWarning, match="unclosed"):
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                sock, connection = runner.run(leave())
            del runner
            # What was kept for this loop goes when the next loop needs the like.
            asyncio.run(asyncio.sleep(0))
            gc.collect()
        # The warnings, which had it, are gone as well.
        gc.collect()
        assert connection() is None
        with sock, contextlib.suppress(ConnectionResetError):
            sock.settimeout(60)
            while sock.recv(65536):
                pass
    assert "destroyed" not in caplog.text


async def test_compression_contexts_are_freed_when_closed():
    """A46: at once, also where the program keeps the connection."""
    async with pair() as (server, client):
        for one, other in ((server, client), (client, server)):
            await one.send("compressed " * 100)
            await other.recv()
        (deflate,) = client.protocol.extensions
        assert deflate.deflater._compressor is not None
        assert deflate.inflater._inflater is not None
        await client.close()
    for connection in (server, client):
        (deflate,) = connection.protocol.extensions
        assert deflate.deflater._compressor is deflate.deflater._current is None
        assert deflate.inflater._inflater is None


async def test_nothing_grows_with_the_number_of_connections():
    """A37: neither objects nor descriptors; some of them end badly."""

    async def handler(connection):
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async def use(server, number):
        try:
            async with connect(address(server)) as connection:
                await connection.send("message " * 20)
                await connection.recv()
                if number % 10 == 0:
                    connection.transport.abort()
                if number % 10 == 1:
                    raise RuntimeError("mistake of the program")
        except RuntimeError:
            pass

    async def use_many(server):
        for start in range(0, 200, 50):
            await asyncio.gather(*(use(server, start + number) for number in range(50)))
        while server.connections:
            await asyncio.sleep(0)
        await turns(20)
        # There may be some timers of connections that are gone, but not more and more.
        get_hub(asyncio.get_running_loop()).sweep()
        gc.collect()
        return len(gc.get_objects()), descriptors()

    async with serve(handler, "127.0.0.1", 0) as server:
        objects, open_files = await use_many(server)
        for _ in range(3):
            more, open_files_now = await use_many(server)
            assert open_files_now <= open_files
        # Caches and counters of others may grow a little; a leak would be 600 of each kind.
        assert more - objects < 300


def descriptors():
    """How many files are open, where that can be known."""
    return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
async def test_no_descriptor_is_left():
    async def handler(connection):
        async for message in connection:
            await connection.send(message)

    async def use(server):
        async with connect(address(server)) as connection:
            await connection.send("message")
            await connection.recv()

    async with serve(handler, "127.0.0.1", 0) as server:
        await use(server)
        await turns()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            await use(server)
        await turns()
        assert len(os.listdir("/proc/self/fd")) <= before
