"""The life of a connection: nothing stays for ever, and reading that is paused proves nothing."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading
import tracemalloc

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.listener import Listener
from tidegate.asyncio.server import broadcast, serve
from tidegate.datastructures import Headers
from tidegate.exceptions import ConnectionClosedError
from tidegate.http11 import Response

from .connections import TEXT, RawPeer, address, frame, pair, raw_client, raw_server, request, until

transports = pytest.mark.parametrize("transports", ["poller", "loop"])


def leave(peer, how):
    """Leave a connection behind messages that nobody reads."""
    sock = peer.writer.transport.get_extra_info("socket")
    if how == "close":
        peer.writer.close()
    elif how == "close frame":
        peer.send_close()
        peer.writer.close()
    elif how == "half-close":
        peer.writer.write_eof()
    else:
        linger = b"\x01\0\0\0\0\0\0\0"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        peer.writer.transport.abort()


# 1. Reading that is paused


@transports
@pytest.mark.parametrize("how", ["close", "close frame", "half-close", "reset"])
@pytest.mark.parametrize("ping_interval", [None, 0.05])
async def test_peer_that_leaves_behind_messages_nobody_reads(
    transports, how, ping_interval, monkeypatch
):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    monkeypatch.setattr("tidegate.core.life.LOOK_EVERY", 0.05)
    ended = asyncio.get_running_loop().create_future()

    async def handler(connection):
        await connection.wait_closed()
        ended.set_result(connection)

    arguments = {"close_timeout": 0.1, "ping_interval": ping_interval, "ping_timeout": 10}
    async with serve(handler, "127.0.0.1", 0, **arguments) as server:
        async with raw_client(server) as peer:
            peer.writer.write(b"".join(frame(TEXT, b"x", mask=True) for _ in range(40)))
            await until(lambda: any(c.hold for c in server.connections))
            leave(peer, how)
            connection = await asyncio.wait_for(ended, 20)
        assert not server.all_connections
        # What was received in time can be received still.
        assert await connection.recv() == "x"
        if how == "close frame" and transports == "poller":
            assert connection.close_code == 1000


async def test_program_that_reads_on_keeps_what_a_peer_left_behind():
    received = []

    async def handler(connection):
        await until(lambda: connection.hold)
        async for message in connection:
            received.append(message)
            await asyncio.sleep(0.01)

    async with (
        serve(handler, "127.0.0.1", 0, close_timeout=10) as server,
        raw_client(server) as peer,
    ):
        peer.writer.write(b"".join(frame(TEXT, b"%d" % n, mask=True) for n in range(40)))
        peer.send_close()
        peer.writer.write_eof()
        await until(lambda: len(received) == 40)
        assert await peer.close_code() == 1000
    assert received == [str(n) for n in range(40)]


@transports
async def test_peer_that_takes_nothing_is_dead_although_it_isnt_read_from(transports, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    monkeypatch.setattr("tidegate.core.link.DEAD_PEER_TIMEOUT", 0.02)
    ended = asyncio.get_running_loop().create_future()

    async def handler(connection):
        await connection.wait_closed()
        ended.set_result(None)

    arguments = {"compression": None, "ping_interval": 0.1, "ping_timeout": 0.1}
    async with serve(handler, "127.0.0.1", 0, **arguments) as server, raw_client(server) as peer:
        peer.writer.write(b"".join(frame(TEXT, b"x", mask=True) for _ in range(40)))
        peer.stop_reading()
        await until(lambda: any(c.hold for c in server.connections))
        for _ in range(8):
            broadcast(server.connections, b"x" * 1_000_000)
        await asyncio.wait_for(ended, 20)


# 2. Half-close with unsent data


@transports
@pytest.mark.parametrize("end", ["server", "client"])
async def test_half_close_with_unsent_data_has_an_end(transports, end, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    data = b"x" * 8_000_000
    if end == "server":

        async def handler(connection):
            connection.send_nowait(data)
            await connection.wait_closed()

        arguments = {"compression": None, "close_timeout": 0.1, "ping_interval": None}
        async with (
            serve(handler, "127.0.0.1", 0, **arguments) as server,
            raw_client(server) as peer,
        ):
            peer.stop_reading()
            peer.writer.write_eof()
            await until(lambda: not server.all_connections)
    else:
        async with (
            raw_server() as (uri, peers),
            connect(uri, compression=None, close_timeout=0.1) as client,
        ):
            peer = await peers.get()
            peer.stop_reading()
            client.send_nowait(data)
            peer.writer.write_eof()
            await asyncio.wait_for(client.close(), 20)
            assert client.state.name == "CLOSED"
            await peer.close()


# 3. While the program is asked


@transports
async def test_reading_stops_while_the_program_is_asked(transports, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def process_request(connection, request):
        asked.set()
        await go_on.wait()

    async def handler(connection):
        await connection.send(str(sum([len(await connection.recv()) for _ in range(1000)])))

    async with serve(
        handler, "127.0.0.1", 0, process_request=process_request, max_queue=None
    ) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(request())
        await asked.wait()
        tracemalloc.start()
        writer.write(frame(TEXT, b"x" * 20_000, mask=True) * 1000)
        await asyncio.sleep(0.2)
        (connection,) = server.all_connections
        assert connection.protocol.reader is not None
        assert len(connection.protocol.reader.buffer) < 1_000_000
        tracemalloc.stop()
        # Nothing of it is lost.
        go_on.set()
        await reader.readuntil(b"\r\n\r\n")
        peer = RawPeer(reader, writer, mask=True)
        assert (await peer.receive())[1] == b"20000000"
        await peer.finish()


# 4. Listeners


@transports
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("count", [3, 100])
async def test_listener_gets_what_came_with_the_request(
    transports, asynchronous, count, monkeypatch
):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    calls = []

    class Recorder(Listener):
        def on_open(self):
            calls.append("open")

        def on_message(self, message):
            calls.append(message)

        def on_close(self, exc):
            calls.append("close")

    async def process_request(connection, request):
        await asyncio.sleep(0.05)

    arguments = {"process_request": process_request} if asynchronous else {}
    async with serve(Recorder, "127.0.0.1", 0, **arguments) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        messages = [frame(TEXT, b"%d" % n, mask=True) for n in range(count)]
        writer.write(request() + b"".join(messages))
        await reader.readuntil(b"\r\n\r\n")
        await RawPeer(reader, writer, mask=True).finish()
        await until(lambda: "close" in calls)
    assert calls == ["open", *map(str, range(count)), "close"]


@transports
async def test_listener_reads_no_more_than_its_peer_takes(transports, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    echoed = 0

    class Echo(Listener):
        def on_message(self, message):
            nonlocal echoed
            echoed += 1
            self.connection.send_nowait(message)

    async with (
        serve(Echo, "127.0.0.1", 0, compression=None, ping_interval=None) as server,
        raw_client(server) as peer,
    ):
        (connection,) = server.connections
        peer.stop_reading()
        size, count = 10_000, 3000
        peer.writer.write(frame(TEXT, b"x" * size, mask=True) * count)
        await until(lambda: connection.hold)
        before = -1
        while before != echoed:
            before = echoed
            await asyncio.sleep(0.1)
        assert echoed < count
        assert connection.buffered_amount < 1_000_000
        # When the peer reads again, so does the listener.
        peer.writer.transport.resume_reading()
        for _ in range(count):
            assert len((await peer.receive())[1]) == size
        await peer.finish()


async def test_listener_gets_what_a_peer_left_behind():
    """Whether it reads again, or the time is up before that."""
    calls = []

    class Pausing(Listener):
        def on_message(self, message):
            calls.append(message)
            if len(calls) == 1:
                self.pause_reading()

        def on_close(self, exc):
            calls.append(exc.rcvd.code)

    async with (
        serve(Pausing, "127.0.0.1", 0, close_timeout=0.1, ping_interval=None) as server,
        raw_client(server) as peer,
    ):
        peer.writer.write(b"".join(frame(TEXT, b"%d" % n, mask=True) for n in range(100)))
        peer.send_close()
        peer.writer.write_eof()
        await until(lambda: len(calls) == 101)
        assert calls == [*map(str, range(100)), 1000]


async def test_listener_that_pauses_reading():
    calls = []

    class Pausing(Listener):
        def on_message(self, message):
            calls.append(message)
            self.pause_reading()

    async with serve(Pausing, "127.0.0.1", 0) as server, connect(address(server)) as client:
        (connection,) = server.connections
        for number in range(100):
            await client.send(str(number))
        for number in range(100):
            await until(lambda: len(calls) > number)  # noqa: B023 - it is called at once
            assert len(calls) == number + 1
            connection.listener.resume_reading()
    assert calls == [str(number) for number in range(100)]


# 5. What send() returned from


@transports
async def test_answer_is_on_its_way_before_the_work(transports, monkeypatch):
    """The client sees it although the server's loop doesn't get its turn."""
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    seen = threading.Event()
    result = []

    async def handler(connection):
        async for _ in connection:
            await connection.send("started")
            # A program that blocks, which it shouldn't.
            result.append(seen.wait(10))

    def client(port):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(request() + frame(TEXT, b"work", mask=True))
            data = b""
            while b"started" not in data:
                data += sock.recv(1000)
            seen.set()

    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        await asyncio.to_thread(client, server.sockets[0].getsockname()[1])
    assert result == [True]


@pytest.mark.parametrize("coalesce", [False, True])
async def test_answers_to_messages_that_came_together(coalesce):
    writes = []

    async with pair(server={"coalesce": coalesce, "compression": None}) as (server, client):
        write = server.transport.write

        class Transport:
            def write(self, data):
                writes.append(data)
                write(data)

            def __getattr__(self, name):
                return getattr(server.real, name)

        server.real, server.transport, server.sink = server.transport, Transport(), None

        async def echo():
            async for message in server:
                await server.send(message)

        task = asyncio.create_task(echo())
        await asyncio.sleep(0)
        # As a transport would do it, outside of any task.
        loop = asyncio.get_running_loop()
        loop.call_soon(server.received_elsewhere, frame(TEXT, b"x", mask=True) * 3)
        assert [await client.recv() for _ in range(3)] == ["x"] * 3
        assert len(writes) == (1 if coalesce else 3)
        server.transport = server.real
        task.cancel()


# 6. Fragmented messages whose first item isn't there


async def test_turn_is_taken_with_the_first_item():
    async with pair() as (server, client):
        first = asyncio.Event()

        async def items():
            await first.wait()
            await client.send("from within")
            yield "first"
            yield "second"

        sending = asyncio.create_task(client.send(items()))
        await asyncio.sleep(0)
        await asyncio.wait_for(client.send("meanwhile"), 10)
        first.set()
        await asyncio.wait_for(sending, 10)
        received = [await server.recv() for _ in range(3)]
        assert received == ["meanwhile", "from within", "firstsecond"]


# 7. Many loops


def test_many_loops_in_threads():
    errors = []

    async def talk():
        async with pair() as (server, client):
            for _ in range(10):
                await client.send("x")
                assert await server.recv() == "x"

    def run():
        try:
            for _ in range(10):
                asyncio.run(talk())
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


# 8. Contexts


@transports
async def test_each_server_has_its_own_context(transports, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    name = contextvars.ContextVar("name", default="nobody")
    seen = []

    class Recorder(Listener):
        def on_open(self):
            seen.append(("open", name.get()))

        def on_message(self, message):
            seen.append(("message", name.get()))
            self.connection.send_nowait("seen")

        def on_close(self, exc):
            seen.append(("close", name.get()))

    async def handler(connection):
        seen.append(("handler", name.get()))
        await connection.send(await connection.recv())

    def process_request(connection, request):
        seen.append(("request", name.get()))

    async def run(which, what, expected):
        name.set(which)
        async with serve(what, "127.0.0.1", 0, process_request=process_request) as server:
            ready[which].set_result(address(server))
            await done.wait()

    loop = asyncio.get_running_loop()
    ready = {which: loop.create_future() for which in ("one", "two")}
    done = asyncio.Event()
    # The first starts the poller that both use.
    tasks = [
        asyncio.create_task(run("one", handler, 1)),
        asyncio.create_task(run("two", Recorder, 2)),
    ]
    for which, kinds in (
        ("one", ["request", "handler"]),
        ("two", ["request", "open", "message", "close"]),
    ):
        seen.clear()
        async with connect(await ready[which]) as client:
            await client.send("x")
            await client.recv()
        await until(lambda: len(seen) == len(kinds))  # noqa: B023 - it is called at once
        assert seen == [(kind, which) for kind in kinds]
    done.set()
    await asyncio.gather(*tasks)


# 9. and 10.


async def test_connect_that_is_entered_twice():
    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
        connecting = connect(address(server))

        async def enter():
            async with connecting:
                await asyncio.sleep(0.05)

        results = await asyncio.gather(enter(), enter(), return_exceptions=True)
        assert sorted(map(type, results), key=str) == [type(None), RuntimeError]
        assert [str(r) for r in results if r] == ["connect() isn't reentrant"]
        # It can be used again.
        async with connecting as client:
            assert client.state.name == "OPEN"


@transports
@pytest.mark.parametrize("end", ["server", "client"])
async def test_close_that_timed_out_says_so(transports, end, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    arguments = {"close_timeout": 0.05, "compression": None}
    if end == "client":
        async with raw_server() as (uri, peers), connect(uri, **arguments) as connection:
            peer = await peers.get()
            await connection.close()
            await peer.close()
    else:
        connections = []

        async def handler(connection):
            connections.append(connection)
            await connection.close()

        async with serve(handler, "127.0.0.1", 0, **arguments) as server, raw_client(server):
            await until(lambda: connections and connections[0].ended)
        (connection,) = connections
    with pytest.raises(ConnectionClosedError) as caught:
        await connection.recv()
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert "close_timeout" in str(caught.value.__cause__)


async def test_refusal_that_a_peer_does_not_read_has_an_end():
    def refuse(connection, request):
        headers = Headers({"Content-Length": "10000000", "Connection": "close"})
        return Response(403, "Forbidden", headers, b"x" * 10_000_000)

    async with serve(
        lambda connection: None, "127.0.0.1", 0, process_request=refuse, close_timeout=0.05
    ) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tidegate.core.acceptance.CLOSE_TIMEOUT", 0.1)
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.transport.pause_reading()
            writer.write(request())
            await until(lambda: server.all_connections)
            await until(lambda: not server.all_connections)
            writer.close()
