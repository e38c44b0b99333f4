"""A connection of the older API: receiving, sending, keepalive and closing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import logging
import selectors
import sys
import weakref

import pytest

from tidegate.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    PayloadTooBig,
    ProtocolError,
)
from tidegate.legacy.client import connect
from tidegate.legacy.protocol import WebSocketCommonProtocol
from tidegate.legacy.server import WebSocketServerProtocol, serve
from tidegate.protocol import State

from .peers import REQUEST, connected, deprecated, echo, port_of, raw_server
from .test_client import ACCEPTED, respond

# Receiving


async def test_a_receive_that_is_cancelled_loses_nothing():
    async with connected() as (client, _):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.001)
        await client.send("x")
        assert await asyncio.wait_for(client.recv(), 10) == "x"


async def test_two_coroutines_that_receive():
    async with connected() as (client, _):
        first = asyncio.create_task(client.recv())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await client.recv()
        await client.send("x")
        assert await first == "x"


async def test_what_an_iteration_has_of_an_asynchronous_generator():
    async with connected() as (client, _):
        await client.send("x")
        async with contextlib.aclosing(aiter(client)) as messages:
            assert await messages.asend(None) == "x"
        with pytest.raises(LookupError):
            await messages.athrow(LookupError)
        assert client.open


async def test_iteration_ends_when_the_connection_is_closed():
    async def handler(websocket):
        await websocket.send("one")
        await websocket.send(b"two")
        await websocket.close(1001)

    async with (
        serve(handler, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}") as client,
    ):
        assert [message async for message in client] == ["one", b"two"]


async def test_iteration_raises_when_the_connection_is_closed_with_an_error():
    async def handler(websocket):
        await websocket.send("one")
        await websocket.close(4000, "enough")

    received = []
    async with (
        serve(handler, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}") as client,
    ):
        with pytest.raises(ConnectionClosedError) as caught:
            async for message in client:
                received.append(message)
    assert received == ["one"]
    assert caught.value.rcvd.code == 4000
    with pytest.warns(DeprecationWarning):
        assert caught.value.code == 4000
    with pytest.warns(DeprecationWarning):
        assert caught.value.reason == "enough"


async def test_iteration_over_what_a_subclass_receives():
    class Protocol(WebSocketServerProtocol):
        async def recv(self):
            return int(await super().recv())

    received = []

    async def handler(websocket):
        async for message in websocket:
            received.append(message)

    async with (
        serve(handler, "127.0.0.1", 0, create_protocol=Protocol) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}") as client,
    ):
        await client.send("1")
        await client.send("2")
    assert received == [1, 2]


async def test_legacy_recv_returns_none_at_the_end():
    received = []

    async def handler(websocket):
        while (message := await websocket.recv()) is not None:
            received.append(message)
        received.append(None)

    with deprecated() as caught:
        async with (
            serve(handler, "127.0.0.1", 0, legacy_recv=True) as server,
            connect(f"ws://127.0.0.1:{port_of(server)}", legacy_recv=True) as client,
        ):
            await client.send("x")
            await client.close()
            assert await client.recv() is None
    assert received == ["x", None]
    assert {str(w.message) for w in caught} == {
        "the argument legacy_recv of serve() is deprecated: handle ConnectionClosed",
        "the argument legacy_recv of connect() is deprecated: handle ConnectionClosed",
    }


async def test_a_message_that_is_too_large():
    errors = []

    async def handler(websocket):
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.recv()
        errors.append(caught.value)

    async with connected(handler, max_size=100) as (client, server):
        await client.send("x" * 101)
        with pytest.raises(ConnectionClosedError) as caught:
            await client.recv()
        assert client.close_code == 1009
        assert caught.value.rcvd.code == 1009
        await server.handler_task
    assert errors[0].sent.code == 1009
    assert isinstance(errors[0].__cause__, PayloadTooBig)


async def test_a_queue_that_is_full_stops_reading():
    async def handler(websocket):
        await websocket.wait_closed()

    quick = {"close_timeout": 0.01}
    async with connected(handler, max_queue=2, compression=None, client=quick) as (client, server):
        while server.transport.is_reading():
            await client.send(b"x" * 30_000)
            await asyncio.sleep(0)
        for _ in range(3):
            assert len(await server.recv()) == 30_000


# Sending


async def test_fragmented_messages():
    async def fragments():
        yield "one, "
        await asyncio.sleep(0)
        yield "two"

    async with connected() as (client, _):
        await client.send(["one, ", "two"])
        assert await client.recv() == "one, two"
        await client.send(fragments())
        assert await client.recv() == "one, two"
        await client.send([b"three", bytearray(b"four"), memoryview(b"five")])
        assert await client.recv() == b"threefourfive"
        await client.send(iter([]))
        await client.send("x")
        assert await client.recv() == "x"


async def test_fragments_of_two_types_close_the_connection():
    async with connected() as (client, server):
        with pytest.raises(TypeError):
            await client.send(["text", b"bytes"])
        await server.wait_closed()
        assert server.close_code == 1011


@pytest.mark.parametrize("message", [None, 42, {"a": "b"}, object()])
async def test_messages_of_another_type(message):
    async with connected() as (client, _):
        with pytest.raises(TypeError):
            await client.send(message)
        await client.send("x")
        assert await client.recv() == "x"


async def test_sending_waits_for_a_slow_peer():
    go_on = asyncio.Event()

    async def handler(websocket):
        await go_on.wait()
        async for _ in websocket:
            pass

    async with connected(handler, max_queue=1, compression=None) as (client, _):

        async def fill():
            while True:
                await client.send(b"x" * 60_000)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fill(), 0.2)
        assert client.open
        go_on.set()
        await asyncio.wait_for(client.drain(), 10)
        assert client.transport.get_write_buffer_size() <= 2**16


async def test_using_a_connection_that_is_closed():
    async with connected() as (client, server):
        await client.close(1000, "bye")
        await server.wait_closed()
        for end in client, server:
            assert end.closed
            assert not end.open
            assert end.state is State.CLOSED
            for use in (
                end.recv,
                end.ping,
                end.pong,
                end.ensure_open,
                lambda end=end: end.send("x"),
            ):
                with pytest.raises(ConnectionClosedOK):
                    await use()
            await end.close(1011)
            await end.wait_closed()
            assert (end.close_code, end.close_reason) == (1000, "bye")
            assert end.close_rcvd.reason == end.close_sent.reason == "bye"


# Pings


async def test_ping_and_its_future():
    async with connected() as (client, _):
        waiter = await client.ping()
        assert isinstance(waiter, asyncio.Future)
        assert await waiter >= 0
        assert client.latency >= 0
        first = await client.ping("one")
        with pytest.raises(RuntimeError):
            await client.ping(b"one")
        second = await client.ping(b"two")
        await second
        assert first.done()
        await client.pong()
        await client.pong("tick")
        for wrong in 1, ["x"]:
            with pytest.raises(TypeError):
                await client.ping(wrong)
        with pytest.raises(ProtocolError):
            await client.ping(b"x" * 126)


async def test_a_ping_that_is_not_answered_before_the_end():
    async def converse(reader, writer):
        await respond_and_wait(reader, writer)

    async with raw_server(converse) as port:
        client = await connect(f"ws://127.0.0.1:{port}", close_timeout=0.01)
        waiter = await client.ping()
        # Nobody has to wait for the other.
        await client.ping()
        await client.close()
        with pytest.raises(ConnectionClosed):
            await waiter


async def respond_and_wait(reader, writer):
    await respond(reader, writer, ACCEPTED + b"\r\n")


async def test_keepalive_ends_a_connection_without_answers():
    async with raw_server(respond_and_wait) as port:
        client = await connect(
            f"ws://127.0.0.1:{port}", ping_interval=0.01, ping_timeout=0.01, close_timeout=0.01
        )
        with pytest.raises(ConnectionClosedError) as caught:
            await client.recv()
        assert caught.value.sent.code == 1011
        assert client.close_code == 1006


# Closing


class Hasty(selectors.DefaultSelector):
    """Doesn't wait for time to pass: says that it has."""

    offset = 0.0

    def select(self, timeout=None):
        events = super().select(0.001)
        if not events and timeout:
            self.offset += timeout
        return events


class HastyLoop(asyncio.SelectorEventLoop):
    """An event loop in which nothing takes time but what waits for it."""

    def __init__(self):
        super().__init__(Hasty())

    def time(self):
        return self._selector.offset


@pytest.mark.parametrize("close_timeout", [1, 10, 1000])
def test_closing_a_client_takes_no_more_than_the_time_it_has(close_timeout):
    async def main():
        loop = asyncio.get_running_loop()
        async with raw_server(respond_and_wait) as port:
            client = await connect(
                f"ws://127.0.0.1:{port}", close_timeout=close_timeout, ping_interval=None
            )
            begun = loop.time()
            await client.close()
            assert client.closed
            # The older API promised 5 times as much.
            assert close_timeout <= loop.time() - begun <= close_timeout * 1.1
            assert client.close_code == 1006

    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        runner.run(main())


@pytest.mark.parametrize("close_timeout", [1, 10, 1000])
def test_closing_a_server_takes_no_more_than_the_time_it_has(close_timeout):
    times = []
    closed = asyncio.Event()

    async def handler(websocket):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await websocket.close()
        times.append(loop.time() - begun)
        closed.set()

    async def main():
        async with serve(
            handler, "127.0.0.1", 0, close_timeout=close_timeout, ping_interval=None
        ) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            writer.write(REQUEST.format(path="/", more="").encode())
            await closed.wait()
            writer.close()
            await writer.wait_closed()

    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        runner.run(main())
    # The older API promised 4 times as much.
    assert close_timeout <= times[0] <= close_timeout * 1.1


async def test_closing_with_a_code_that_cannot_be_sent():
    async with connected() as (client, _):
        for code in 1005, 1006, 999:
            with pytest.raises(ProtocolError):
                await client.close(code)
        assert client.open


async def test_a_connection_that_is_lost():
    async def handler(websocket):
        websocket.transport.abort()

    async with (
        serve(handler, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}") as client,
    ):
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        assert (client.close_code, client.close_reason) == (1006, "")


async def test_connections_are_freed_at_once():
    async with serve(echo, "127.0.0.1", 0) as server:
        client = await connect(f"ws://127.0.0.1:{port_of(server)}")
        await client.send("x")
        assert await client.recv() == "x"
        (websocket,) = server.websockets
        references = [weakref.ref(client), weakref.ref(websocket), weakref.ref(websocket._coated)]
        gc.disable()
        try:
            await client.close()
            await websocket.handler_task
            del client, websocket
            # Callbacks of what has just ended.
            for _ in range(3):
                await asyncio.sleep(0)
            assert [reference() for reference in references] == [None] * 3
        finally:
            gc.enable()


# Names of the past


async def test_properties_of_the_past():
    with deprecated() as caught:
        async with connected() as (client, server):
            for _ in range(2):
                assert (client.host, client.secure) == ("127.0.0.1", False)
                assert client.port == server.local_address[1]
                assert (server.host, server.port, server.secure) == ("127.0.0.1", 0, False)
    messages = [str(w.message) for w in caught]
    assert messages == [
        "WebSocketCommonProtocol.host is deprecated: use remote_address[0]",
        "WebSocketCommonProtocol.secure is deprecated: "
        "use transport.get_extra_info('ssl_object') is not None",
        "WebSocketCommonProtocol.port is deprecated: use remote_address[1]",
    ]
    assert {w.filename for w in caught} == {__file__}


async def test_arguments_of_the_past():
    class Protocol(WebSocketServerProtocol):
        pass

    loop = asyncio.get_running_loop()
    with deprecated() as caught:
        async with serve(
            echo, "127.0.0.1", 0, klass=Protocol, timeout=3, loop=loop, legacy_recv=False
        ) as server:
            uri = f"ws://127.0.0.1:{port_of(server)}"
            async with connect(uri, timeout=4, loop=loop) as client:
                (websocket,) = server.websockets
                assert type(websocket) is Protocol
                assert (websocket.close_timeout, client.close_timeout) == (3, 4)
    assert [str(w.message) for w in caught] == [
        "the argument klass of serve() is deprecated: use create_protocol=",
        "the argument timeout of serve() is deprecated: use close_timeout=",
        "the argument loop of serve() is deprecated: leave it out",
        "the argument timeout of connect() is deprecated: use close_timeout=",
        "the argument loop of connect() is deprecated: leave it out",
    ]
    assert {w.filename for w in caught} == {__file__}


async def test_another_loop():
    other = asyncio.new_event_loop()
    try:
        with deprecated():
            for start in serve(echo, "127.0.0.1", 0, loop=other), connect("ws://x", loop=other):
                with pytest.raises(RuntimeError, match="another event loop"):
                    await start
    finally:
        other.close()


async def test_a_handshake_of_its_own():
    class Protocol(WebSocketCommonProtocol):
        def __init__(self, is_client):
            self.is_client = is_client
            super().__init__(max_size=1000)

        def connection_made(self, transport):
            super().connection_made(transport)
            made.append(self)
            self.connection_open()

    made = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Protocol(False), "127.0.0.1", 0)
    _, client = await loop.create_connection(lambda: Protocol(True), "127.0.0.1", port_of(server))
    while len(made) < 2:
        await asyncio.sleep(0)
    (other,) = [end for end in made if end is not client]
    assert client.open and other.open
    assert other.max_size == 1000
    await client.send("x")
    assert await other.recv() == "x"
    await asyncio.gather(client.close(), other.wait_closed())
    server.close()
    await server.wait_closed()


async def test_a_handshake_that_never_was():
    protocol = WebSocketCommonProtocol()
    assert protocol.logger.name == "tidegate.protocol"
    assert (protocol.local_address, protocol.remote_address) == (None, None)
    assert protocol.state is State.CONNECTING
    with pytest.raises(InvalidState):
        await protocol.send("x")
    protocol.fail_connection()


async def test_the_logger_of_the_program(caplog):
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("mine")
    async with connected(logger=logger, client={"logger": logger}) as (client, server):
        assert client.logger.logger is server.logger.logger is logger
        assert client.debug
        await client.send("x")
        assert await client.recv() == "x"
    names = {record.name for record in caplog.records if "TEXT" in record.getMessage()}
    assert names == {"mine"}


async def test_receiving_and_sending_are_coroutine_functions_to_those_who_ask():
    async with connected() as (client, server):
        for method in (client.recv, client.send, server.recv, server.send):
            assert inspect.iscoroutinefunction(method)
            if sys.version_info < (3, 14):  # From there on it is deprecated.
                assert asyncio.iscoroutinefunction(method)
            assert inspect.iscoroutinefunction(getattr(type(method.__self__), method.__name__))
        await client.send(message="x")
        assert await client.recv() == "x"
