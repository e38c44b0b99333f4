"""Connections over streams that aren't sockets, or that the program made."""

from __future__ import annotations

import functools
import socket

import pytest

from tidegate.exceptions import ConnectionClosedError, ConnectionClosedOK
from tidegate.protocol import CLIENT, SERVER, Protocol, State
from tidegate.server import ServerProtocol
from tidegate.trio.client import connect, unix_connect
from tidegate.trio.connection import Connection
from tidegate.trio.server import serve

from .running import address_of, connecting, echo, pair, run, serving, trio


class MemoryListener(trio.abc.Listener):
    """Accepts what it is given."""

    def __init__(self):
        self.send, self.receive = trio.open_memory_channel(10)
        # What the server says that it listens on.
        self.socket = trio.socket.socket()

    async def connect(self):
        ours, theirs = trio.testing.memory_stream_pair()
        await self.send.send(theirs)
        return ours

    async def accept(self):
        return await self.receive.receive()

    async def aclose(self):
        self.socket.close()
        await self.receive.aclose()


def masked_close():
    return b"\x88\x82\0\0\0\0\x03\xe8"


def memory_server(nursery, handler=echo, **kwargs):
    listener = MemoryListener()
    return listener, nursery.start(
        functools.partial(serve, handler, listeners=[listener], **kwargs)
    )


@run
async def test_a_stream_in_memory():
    async with trio.open_nursery() as nursery:
        listener, started = memory_server(nursery)
        async with await started:
            async with connect("ws://localhost/", stream=await listener.connect()) as websocket:
                for message in ("hello", "x" * 500_000, b"bytes"):
                    await websocket.send(message)
                    assert await websocket.recv() == message
                await (await websocket.ping()).wait()
                assert websocket.local_address is None
            assert websocket.close_code == 1000


@run
async def test_tls_over_a_stream_in_memory(certificates):
    async with trio.open_nursery() as nursery:
        listener, started = memory_server(nursery, ssl=certificates[0])
        async with await started:
            async with connect(
                "wss://localhost/", stream=await listener.connect(), ssl=certificates[1]
            ) as websocket:
                for message in ("hello", "x" * 500_000):
                    await websocket.send(message)
                    assert await websocket.recv() == message
            assert websocket.close_code == 1000


@run
async def test_a_stream_in_memory_that_breaks():
    done = trio.Event()

    async def handler(websocket):
        with pytest.raises(ConnectionClosedError):
            await websocket.recv()
        done.set()

    async with trio.open_nursery() as nursery:
        listener, started = memory_server(nursery, handler)
        async with await started:
            stream = await listener.connect()
            async with connect("ws://localhost/", stream=stream, close_timeout=0.1):
                await trio.aclose_forcefully(stream)
                await done.wait()


@run
async def test_back_pressure_on_a_stream_in_memory():
    async with trio.open_nursery() as nursery:
        go_on = trio.Event()

        async def handler(websocket):
            await go_on.wait()
            assert [len(message) async for message in websocket] == [100_000] * 50

        listener, started = memory_server(nursery, handler, max_queue=2)
        async with (
            await started as server,
            connect(
                "ws://localhost/", stream=await listener.connect(), compression=None
            ) as websocket,
        ):
            for _ in range(50):
                await websocket.send(b"x" * 100_000)
            await trio.testing.wait_all_tasks_blocked()
            (other,) = server.connections
            # The stream has no limit of its own, but what isn't received stays in it.
            assert other.protocol.frame_reader.held <= 4
            go_on.set()


@run
async def test_a_socket_of_the_program():
    async with serving() as server:
        stream = await trio.open_tcp_stream(*address_of(server))
        async with connect("ws://localhost/", stream=stream) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"


@run
async def test_trios_own_tls(certificates):
    async with serving(ssl=certificates[0]) as server:
        stream = trio.SSLStream(
            await trio.open_tcp_stream(*address_of(server)),
            certificates[1],
            server_hostname="localhost",
            https_compatible=True,
        )
        async with connect("ws://localhost/", stream=stream) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
            assert websocket.remote_address[:2] == address_of(server)


@run
async def test_a_redirect_with_a_stream_of_the_program():
    def process_request(connection, request):
        response = connection.respond(302, "")
        response.headers["Location"] = "/there"
        return response

    async with serving(process_request=process_request) as server:
        stream = await trio.open_tcp_stream(*address_of(server))
        with pytest.raises(ValueError, match="preexisting"):
            async with connect("ws://localhost/", stream=stream):
                pass


def test_unix_connect_takes_a_path_or_a_stream():
    with pytest.raises(ValueError):
        unix_connect()
    with pytest.raises(ValueError):
        unix_connect("path", stream=object())


@run
async def test_listeners_of_the_program():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        server = await nursery.start(functools.partial(serve, echo, listeners=listeners))
        assert server.listeners == listeners
        async with server:
            host, port = address_of(server)
            async with connect(f"ws://{host}:{port}/", proxy=None) as websocket:
                await websocket.send("hello")
                assert await websocket.recv() == "hello"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"port": 0, "listeners": []},
        {"host": "", "listeners": []},
        {"backlog": 1, "listeners": []},
    ],
)
def test_listeners_or_a_port(arguments):
    with pytest.raises(ValueError):
        trio.run(functools.partial(serve, echo, **arguments))


def test_unknown_arguments():
    with pytest.raises(TypeError, match="reuse_port"):
        trio.run(functools.partial(serve, echo, 0, reuse_port=True))
    with pytest.raises(TypeError, match="extra_headers"):
        trio.run(functools.partial(serve, echo, 0, extra_headers={}))


@run
async def test_ping_gives_an_event():
    async with pair() as (client, _):
        pong = await client.ping()
        await pong.wait()
        assert isinstance(pong, trio.Event)


@run
async def test_pings_without_an_answer():
    """The one is set when the connection is closed, the other never."""
    ours, theirs = trio.testing.memory_stream_pair()

    async def accept():
        protocol = ServerProtocol()
        protocol.receive_data(await theirs.receive_some())
        (request,) = protocol.events_received()
        protocol.send_response(protocol.accept(request))
        await theirs.send_all(b"".join(protocol.data_to_send()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        async with connect("ws://localhost/", stream=ours, close_timeout=0.1) as websocket:
            one = await websocket.ping()
            other = await websocket.ping(ack_on_close=True)
            await websocket.aclose()
            assert other.is_set() and not one.is_set()


@pytest.mark.parametrize("side", [SERVER, CLIENT])
@run
async def test_the_end_of_a_stream_is_sent_behind_a_close_frame_that_is_out(side):
    """A server ends its stream when the answer to its Close frame has come, a client waits."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        connection = Connection(nursery, ours, Protocol(side), close_timeout=30)
        connection.start()
        nursery.start_soon(connection.aclose)
        frame = await theirs.receive_some()
        await theirs.send_all(b"\x88\x02\x03\xe8" if side is CLIENT else masked_close())
        if side is SERVER:
            assert await theirs.receive_some() == b""
        await theirs.send_eof()
        await connection.wait_closed()
        assert frame[0] == 0x88
        with pytest.raises(ConnectionClosedOK) as raised:
            await connection.recv()
        assert raised.value.__cause__ is None


@run
async def test_who_sends_is_told_that_nothing_can_be_sent():
    async with pair() as (client, _):
        client.sock.shutdown(socket.SHUT_WR)
        for send in (functools.partial(client.send, "hello"), client.pong, client.ping):
            with pytest.raises(ConnectionClosedError) as raised:
                await send()
            assert isinstance(raised.value.__cause__, BrokenPipeError)


@run
async def test_reentry():
    async with serving() as server:
        connecting = connect(f"ws://127.0.0.1:{address_of(server)[1]}/", proxy=None)
        async with connecting:
            with pytest.raises(RuntimeError):
                await connecting.__aenter__()
        async with connecting as again:
            assert again.state is State.OPEN


@run
async def test_an_exception_in_the_block_arrives_bare():
    async with serving() as server:
        with pytest.raises(ZeroDivisionError):
            async with connect(f"ws://127.0.0.1:{address_of(server)[1]}/", proxy=None):
                raise ZeroDivisionError


@run
async def test_a_server_closed_twice_and_by_hand():
    async with trio.open_nursery() as nursery:
        server = await nursery.start(functools.partial(serve, echo, 0, host="127.0.0.1"))
        uri = f"ws://127.0.0.1:{address_of(server)[1]}/"
        async with connect(uri, proxy=None) as websocket:
            async with trio.open_nursery() as others:
                others.start_soon(server.aclose, False)
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert websocket.state is State.OPEN
                with pytest.raises(OSError):
                    async with connect(uri, proxy=None):
                        pass
                await server.aclose()
            with pytest.raises(ConnectionClosedOK):
                await websocket.recv()
        await server.aclose()


@run
async def test_a_cancelled_aclose_of_a_server_cancels_its_handlers():
    cancelled = []

    async def handler(websocket):
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(True)
            raise

    async with trio.open_nursery() as nursery:
        server = await nursery.start(functools.partial(serve, handler, 0, host="127.0.0.1"))
        async with connect(f"ws://127.0.0.1:{address_of(server)[1]}/", proxy=None):
            while not server.connections:
                await trio.sleep(0.001)
            with trio.move_on_after(0.05) as scope:
                await server.aclose()
            assert scope.cancelled_caught
    assert cancelled == [True]


@run
async def test_functions_of_the_program_that_wait():
    async def process_request(connection, request):
        await trio.sleep(0.01)
        if request.path == "/no":
            return connection.respond(403, "no\n")

    async def process_response(connection, request, response):
        await trio.sleep(0.01)
        response.headers["X-Theirs"] = "1"

    async with serving(
        process_request=process_request, process_response=process_response
    ) as server:
        uri = f"ws://127.0.0.1:{address_of(server)[1]}"
        async with connect(f"{uri}/", proxy=None) as websocket:
            assert websocket.response.headers["X-Theirs"] == "1"
        with pytest.raises(Exception, match="403"):
            async with connect(f"{uri}/no", proxy=None):
                pass


@run
async def test_a_function_of_the_program_that_never_answers():
    async def process_request(connection, request):
        await trio.sleep_forever()

    async with serving(process_request=process_request, open_timeout=0.1) as server:
        with pytest.raises(Exception, match="HTTP"):
            async with connect(f"ws://127.0.0.1:{address_of(server)[1]}/", proxy=None):
                pass


@run
async def test_who_receives_is_not_disturbed():
    """The connection's own task doesn't wake up between one message and the next."""
    async with serving() as server, connecting(server) as websocket:
        woken = 0

        class Counting(type(websocket)):
            def attendant_reads(self):
                nonlocal woken
                woken += trio.lowlevel.current_task() is not task
                return super().attendant_reads()

        task = trio.lowlevel.current_task()
        websocket.__class__ = Counting
        for _ in range(200):
            await websocket.send("hello")
            await websocket.recv()
        assert woken < 20
