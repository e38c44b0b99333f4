"""Servers: limits, time limits, what fails, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys

import pytest

from tidegate.asyncio import transports
from tidegate.asyncio.client import ClientConnection, connect, unix_connect
from tidegate.asyncio.listener import Listener
from tidegate.asyncio.server import Server, ServerConnection, serve, unix_serve
from tidegate.core.limits import MOST_ADDRESSES, Limits
from tidegate.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidMessage,
    InvalidStatus,
    ProtocolError,
)
from tidegate.frames import CloseCode
from tidegate.http11 import Response

from .connections import address, pair, raw_client, request, turns, until


async def keep(connection):
    await connection.wait_closed()


async def status_of(server, **keywords):
    """Give the status that a client gets, or the connection."""
    try:
        return await connect(address(server), **keywords)
    except InvalidStatus as exc:
        return exc.response.status_code


async def open_raw(server):
    host, port = server.sockets[0].getsockname()[:2]
    return await asyncio.open_connection(host, port)


# The opening handshake


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("sent", [b"", b"G", request()[:-2]])
async def test_open_timeout_bounds_a_request_that_never_ends(kind, sent, certificates):
    tls = certificates[0] if kind == "tls" else None
    async with serve(keep, "127.0.0.1", 0, open_timeout=0.05, ssl=tls) as server:
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(
            host, port, ssl=certificates[1] if tls else None
        )
        writer.write(sent)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_open_timeout_bounds_a_trickled_request():
    async with serve(keep, "127.0.0.1", 0, open_timeout=0.05) as server:
        reader, writer = await open_raw(server)
        trickled = 0
        # RuntimeError is what uvloop says of a connection that was reset.
        with contextlib.suppress(ConnectionError, RuntimeError):
            # Each byte is in time; the whole is not.
            for byte in request() * 100:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.002)
                trickled += 1
                if reader.at_eof():
                    break
        assert trickled < len(request())
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03"])
async def test_open_timeout_bounds_a_client_hello_that_never_comes(sent, certificates):
    async with serve(keep, "127.0.0.1", 0, open_timeout=0.05, ssl=certificates[0]) as server:
        reader, writer = await open_raw(server)
        writer.write(sent)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_open_timeout_bounds_process_request():
    cancelled = asyncio.Event()

    async def process_request(connection, request):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serve(
        keep, "127.0.0.1", 0, open_timeout=0.02, process_request=process_request
    ) as server:
        with pytest.raises(InvalidMessage):
            await connect(address(server))
        await cancelled.wait()


async def test_process_request_ends_with_the_connection():
    cancelled, begun = asyncio.Event(), asyncio.Event()

    async def process_request(connection, request):
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serve(keep, "127.0.0.1", 0, process_request=process_request) as server:
        _, writer = await open_raw(server)
        writer.write(request())
        await begun.wait()
        writer.transport.abort()
        await cancelled.wait()


@pytest.mark.parametrize("which", ["process_request", "process_response"])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("wrong", ["exception", "text", "reason"])
async def test_mistakes_of_the_program_are_answered_with_500(which, asynchronous, wrong, caplog):
    def function(connection, *args):
        if wrong == "exception":
            raise RuntimeError("mistake of the program")
        if wrong == "text":
            return "not a response"
        return Response(403, "line\r\nend", type(args[0].headers)())

    async def later(*args):
        await asyncio.sleep(0)
        return function(*args)

    caplog.set_level(logging.ERROR, "tidegate.server")
    keywords = {which: later if asynchronous else function}
    async with serve(keep, "127.0.0.1", 0, **keywords) as server:
        assert await status_of(server) == 500
        # Once, and with the reason.
        assert len(caplog.records) == 1
        assert caplog.records[0].exc_info is not None
    assert server.handler_tasks == set()


async def test_handler_that_fails_closes_with_1011(caplog):
    async def handler(connection):
        raise RuntimeError("mistake of the program")

    async with serve(handler, "127.0.0.1", 0) as server, connect(address(server)) as client:
        with pytest.raises(ConnectionClosedError, match="1011"):
            await client.recv()
    assert [record.getMessage() for record in caplog.records] == ["connection handler failed"]


async def test_refused_requests_do_not_hold_a_socket_for_ever():
    def refuse(connection, request):
        return connection.respond(403, "No\n")

    async with serve(keep, "127.0.0.1", 0, process_request=refuse, close_timeout=0.02) as server:
        reader, writer = await open_raw(server)
        writer.write(request())
        # The client gets its answer, and doesn't close.
        assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
        await until(lambda: not server.all_connections)
        writer.close()


@pytest.mark.parametrize("header", ["a\r\nb", "a\nb", "a\0b"])
def test_server_header_that_cannot_be_sent(header):
    with pytest.raises(ValueError, match="Server"):
        serve(keep, "127.0.0.1", 0, server_header=header)


@pytest.mark.parametrize("argument", ["max_queue", "write_limit"])
@pytest.mark.parametrize("value", [-1, (1, 2), (-1, -1)])
def test_limits_that_cannot_be(argument, value):
    with pytest.raises(ValueError, match=argument):
        serve(keep, "127.0.0.1", 0, **{argument: value})
    with pytest.raises(ValueError, match=argument):
        connect("ws://127.0.0.1/", **{argument: value})


# Limits


async def test_limit_on_connections():
    limits = Limits(connections=2)
    async with serve(keep, "127.0.0.1", 0, limits=limits) as server:
        clients = [await status_of(server) for _ in range(2)]
        assert await status_of(server) == 503
        assert await status_of(server) == 503
        await clients.pop().close()
        clients.append(await status_of(server))
        assert await status_of(server) == 503
        for client in clients:
            await client.close()


async def test_limit_on_connections_counts_those_that_are_opening():
    limits = Limits(connections=1)
    async with serve(keep, "127.0.0.1", 0, limits=limits) as server:
        _, writer = await open_raw(server)
        await until(lambda: server.all_connections)
        assert await status_of(server) == 503
        writer.close()
        await writer.wait_closed()
        await until(lambda: not server.all_connections)
        await (await status_of(server)).close()


async def test_limit_per_address():
    limits = Limits(connections_per_address=1)
    async with serve(keep, "127.0.0.1", 0, limits=limits) as server:
        client = await status_of(server)
        assert await status_of(server) == 429
        # Another address of this machine is another address.
        other = await connect(address(server), local_addr=("127.0.0.2", 0))
        await client.close()
        await other.close()


async def test_limit_on_handshakes():
    limits = Limits(handshakes_per_second=3)
    async with serve(keep, "127.0.0.1", 0, limits=limits) as server:
        results = [await status_of(server) for _ in range(4)]
        assert results[3] == 503
        for client in results[:3]:
            await client.close()


async def test_limit_on_handshakes_per_address():
    limits = Limits(handshakes_per_second_per_address=2)
    async with serve(keep, "127.0.0.1", 0, limits=limits) as server:
        results = [await status_of(server) for _ in range(3)]
        assert results[2] == 429
        for client in results[:2]:
            await client.close()


@pytest.mark.parametrize("limits", [Limits(connections=2), Limits(connections_per_address=2)])
async def test_limits_before_tls(limits, certificates):
    if not transports.polls(asyncio.get_running_loop(), True):
        pytest.skip("others begin TLS without telling")
    async with serve(keep, "127.0.0.1", 0, ssl=certificates[0], limits=limits) as server:
        peers = [await open_raw(server) for _ in range(5)]
        # Those that came first may stay; the others are closed at once.
        for reader, _ in peers[2:]:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        assert not any(reader.at_eof() for reader, _ in peers[:2])
        for _, writer in peers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        keywords = {"ssl": certificates[1]}
        uri = address(server, secure=True)
        # One after the other, none of them is in the way of the next.
        clients = [await connect(uri, **keywords) for _ in range(2)]
        # When there can be an answer, there is one.
        with pytest.raises(InvalidStatus, match=r"503|429"):
            await connect(uri, **keywords)
        await clients.pop().close()
        clients.append(await connect(uri, **keywords))
        for client in clients:
            await client.close()


def test_limits_are_refilled_with_time():
    limits = Limits(handshakes_per_second=2)
    peer = ("192.0.2.1", 1)
    assert [limits.admit(peer, 0) is None for _ in range(3)] == [True, True, False]
    assert [limits.admit(peer, 0.5) is None for _ in range(2)] == [True, False]
    assert [limits.admit(peer, 100) is None for _ in range(3)] == [True, True, False]
    slow = Limits(handshakes_per_second=0.1)
    assert [slow.admit(peer, now) is None for now in (0, 5, 11)] == [True, False, True]


def test_limits_take_networks_of_ipv6_for_one_address():
    limits = Limits(connections_per_address=1)
    assert limits.admit(("2001:db8::1", 1, 0, 0), 0) is None
    assert limits.admit(("2001:db8::2", 1, 0, 0), 0) is not None
    assert limits.admit(("2001:db8:0:1::1", 1, 0, 0), 0) is None
    assert limits.admit(("::ffff:192.0.2.1", 1, 0, 0), 0) is None
    assert limits.admit(("::ffff:192.0.2.2", 1, 0, 0), 0) is None
    assert limits.admit(("192.0.2.1", 1), 0) is not None
    assert limits.admit(("fe80::1%eth0", 1, 0, 2), 0) is None
    limits.release(("2001:db8::1", 1, 0, 0))
    assert limits.admit(("2001:db8::3", 1, 0, 0), 0) is None


def test_limits_remember_a_bounded_number_of_addresses():
    limits = Limits(handshakes_per_second_per_address=1, connections_per_address=1)
    for number in range(MOST_ADDRESSES * 2):
        peer = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1)
        assert limits.admit(peer, 0) is None
        limits.release(peer)
    assert len(limits._buckets) <= MOST_ADDRESSES
    assert not limits._counts


# Listening


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on descriptors")
@pytest.mark.parametrize("kind", ["plain", "tls"])
async def test_no_descriptors_left(kind, certificates):
    import resource

    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(context["message"]))
    tls = certificates[0] if kind == "tls" else None
    if not transports.polls(loop, tls is not None):
        pytest.skip("others accept connections")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    async with serve(keep, "127.0.0.1", 0, ssl=tls) as server:
        with socket.socket() as client:
            client.setblocking(False)
            used = max(int(name) for name in os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + 5, hard))
            try:
                with contextlib.suppress(OSError):
                    while True:
                        taken.append(os.open(os.devnull, os.O_RDONLY))
                client.connect_ex(server.sockets[0].getsockname())
                await until(lambda: complaints)
                # It is told once, not in each turn of the loop.
                await turns(200)
                assert complaints == ["socket.accept() out of system resource"]
            finally:
                for fd in taken:
                    os.close(fd)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


NO_DESCRIPTORS = """
import asyncio, os, resource, socket, sys, time
from tidegate.asyncio.server import serve
from tidegate.asyncio.transports import polls

async def keep(connection):
    await connection.wait_closed()

async def main():
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with serve(keep, ["127.0.0.1", "127.0.0.2"], 0) as server:
        clients = [socket.socket() for _ in range(4)]
        taken = []
        used = max(map(int, os.listdir("/proc/self/fd")))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 3, hard))
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        for i, client in enumerate(clients):
            client.setblocking(False)
            client.connect_ex(server.sockets[i % 2].getsockname())
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(1.5)
        lasted, cpu = time.monotonic() - began, time.process_time() - cpu
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for client in clients:
            client.close()
    # A share of the time and a number for each second, so that slow machines don't matter.
    sockets = 1 if polls(asyncio.get_running_loop()) else 2
    print(len(told) / (int(lasted) + 1) / sockets, cpu / lasted)

if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("carried_by", ["poller", "loop"])
def test_what_is_told_when_there_are_no_descriptors_left(loop, carried_by):
    """One line per second, on asyncio's own transports for each socket; and nothing spins."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    environ = {**os.environ, "TIDEGATE_TRANSPORTS": carried_by} if carried_by == "loop" else None
    done = subprocess.run(
        [sys.executable, "-c", NO_DESCRIPTORS, loop],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=True,
    )
    told, share = map(float, done.stdout.split())
    assert told <= 1
    assert share < 0.5


async def test_probes_of_a_tls_port_make_no_noise(certificates):
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    async with serve(keep, "127.0.0.1", 0, ssl=certificates[0]) as server:
        for data in (b"", request()):
            for abort in (False, True):
                _, writer = await open_raw(server)
                writer.write(data)
                await turns()
                if abort:
                    writer.transport.abort()
                else:
                    writer.close()
        async with connect(address(server, secure=True), ssl=certificates[1]) as client:
            await (await client.ping())
    assert complaints == []


async def test_wrong_arguments_of_a_tls_server(certificates):
    with pytest.raises(TypeError):
        await serve(keep, "127.0.0.1", 0, ssl=True)
    with pytest.raises(ValueError, match="only meaningful with ssl"):
        await serve(keep, "127.0.0.1", 0, ssl_handshake_timeout=1)
    with pytest.raises(ValueError, match="positive"):
        await serve(keep, "127.0.0.1", 0, ssl=certificates[0], ssl_handshake_timeout=0)


async def test_unix_socket_with_tls(certificates, tmp_path):
    path = tmp_path / "socket"
    async with (
        unix_serve(keep, path, ssl=certificates[0]),
        unix_connect(path, ssl=certificates[1]) as client,
    ):
        await (await client.ping())


# The end


@pytest.mark.parametrize("kind", ["plain", "tls", "unix"])
async def test_close_of_a_server_closes_its_connections_with_1001(kind, certificates, tmp_path):
    async with pair(kind, certificates=certificates, path=tmp_path / "socket") as (server, client):
        server.server.close()
        await server.server.wait_closed()
        await client.wait_closed()
        assert client.close_code == CloseCode.GOING_AWAY


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (1001, "")),
        ({"code": 1012, "reason": "restart"}, (1012, "restart")),
        ({"code": CloseCode.TRY_AGAIN_LATER}, (1013, "")),
        ({"code": 4000, "reason": "é" * 61}, (4000, "é" * 61)),
    ],
)
async def test_close_with_code_and_reason(arguments, expected):
    async with pair() as (server, client):
        server.server.close(**arguments)
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == expected


class Silent(Listener):
    pass


@pytest.mark.parametrize("handler", [keep, Silent])
async def test_close_that_leaves_connections_open(handler):
    async with serve(handler, "127.0.0.1", 0) as server, connect(address(server)) as client:
        await until(lambda: server.connections)
        uri = address(server)
        server.close(close_connections=False)
        waiting = asyncio.create_task(server.wait_closed())
        with pytest.raises(OSError):
            while True:
                # It takes a turn until nobody listens; who comes meanwhile is sent away, or gets
                # no answer if the kernel accepted it and nobody else did.
                with contextlib.suppress(InvalidMessage, InvalidStatus):
                    await (await connect(uri)).close()
        await (await client.ping())
        assert not server.is_serving()
        assert not waiting.done()
        await client.close()
        await waiting


@pytest.mark.parametrize("handler", [keep, Silent])
async def test_second_close_closes_what_the_first_left_open(handler):
    async with serve(handler, "127.0.0.1", 0) as server, connect(address(server)) as client:
        await until(lambda: server.connections)
        server.close(close_connections=False)
        await (await client.ping())
        server.close(code=1012, reason="enough")
        await server.wait_closed()
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1012, "enough")
        server.close()


@pytest.mark.parametrize("way", ["context manager", "serve_forever"])
async def test_the_end_of_a_program_leaves_open_what_it_wants_to(way):
    async with contextlib.AsyncExitStack() as stack:
        server = await serve(keep, "127.0.0.1", 0)
        if way == "context manager":
            await stack.enter_async_context(server)
            ending = stack.aclose
        else:
            forever = asyncio.create_task(server.serve_forever())
            await turns()

            async def ending():
                forever.cancel()
                await asyncio.wait([forever])

        client = await connect(address(server))
        server.close(close_connections=False)
        task = asyncio.create_task(ending())
        await (await client.ping())
        assert not task.done()
        await client.close()
        await task
        assert client.close_code == 1000


# Hooks


@pytest.mark.parametrize("argument", ["start_server", "start_serving"])
async def test_server_that_is_started_later(argument):
    server = await serve(keep, "127.0.0.1", 0, **{argument: False})
    assert not server.is_serving()
    # The address is known already, but nobody listens there.
    with pytest.raises(OSError):
        await connect(address(server), open_timeout=0.2)
    await server.start_serving()
    assert server.is_serving()
    async with connect(address(server)) as client:
        await (await client.ping())
    server.close()
    await server.wait_closed()


async def test_create_connection():
    class Greeting(ServerConnection):
        async def greet(self):
            await self.send("hello")

    class Asking(ClientConnection):
        async def ask(self):
            return await self.recv()

    async def handler(connection):
        assert type(connection) is Greeting
        assert isinstance(connection.server, Server)
        await connection.greet()

    async with (
        serve(handler, "127.0.0.1", 0, create_connection=Greeting) as server,
        connect(address(server), create_connection=Asking) as client,
    ):
        assert type(client) is Asking
        assert await client.ask() == "hello"


async def test_close_during_opening_handshakes_answers_503():
    async def process_request(connection, request):
        await asyncio.sleep(3600)

    server = await serve(keep, "127.0.0.1", 0, process_request=process_request)
    # One that has asked, one that is asking, one that is silent.
    peers = [await open_raw(server) for _ in range(3)]
    peers[0][1].write(request())
    peers[1][1].write(request()[:20])
    await until(lambda: len(server.all_connections) == 3)
    server.close()
    for reader, writer in peers:
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()
    await server.wait_closed()
    assert not server.all_connections


async def test_close_during_tls_handshakes(certificates):
    server = await serve(keep, "127.0.0.1", 0, ssl=certificates[0])
    silent = await open_raw(server)
    begun = await open_raw(server)
    begun[1].write(b"\x16\x03\x01")
    await asyncio.sleep(0.02)
    server.close()
    # It doesn't wait for their time limit.
    await server.wait_closed()
    for reader, writer in (silent, begun):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_close_is_bounded_by_the_time_limit_of_connections():
    async with (
        serve(keep, "127.0.0.1", 0, close_timeout=0.02) as server,
        raw_client(server) as peer,
    ):
        peer.stop_reading()
        server.close()
        await server.wait_closed()


async def test_close_waits_for_handlers():
    done = []

    async def handler(connection):
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()
        await asyncio.sleep(0.01)
        done.append(True)

    async with serve(handler, "127.0.0.1", 0) as server:
        await connect(address(server))
        await until(lambda: server.handler_tasks)
    assert done == [True]


@pytest.mark.parametrize("arguments", [(1005,), (999,), (1000, "x" * 124)])
async def test_close_with_what_cannot_be_sent(arguments):
    async with serve(keep, "127.0.0.1", 0) as server:
        with pytest.raises(ProtocolError):
            server.close(True, *arguments)
        assert server.is_serving()


async def test_wait_closed_before_close():
    async with serve(keep, "127.0.0.1", 0) as server:
        waiting = [asyncio.create_task(server.wait_closed()) for _ in range(2)]
        await turns()
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()
        server.close()
        await waiting[1]


@pytest.mark.parametrize("steps", range(8))
async def test_tls_connections_that_are_accepted_while_the_server_closes(steps, certificates):
    server = await serve(keep, "127.0.0.1", 0, ssl=certificates[0])
    peers = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(5)]
    await turns(steps)
    server.close()
    await server.wait_closed()
    for peer in peers:
        # Nothing is left of them, accepted or not.
        with contextlib.suppress(ConnectionError):
            assert peer.recv(1) == b""
        peer.close()


async def test_connections_that_are_accepted_while_the_server_closes():
    server = await serve(keep, "127.0.0.1", 0)
    clients = [asyncio.create_task(status_of(server)) for _ in range(20)]
    for _ in range(4):
        await asyncio.sleep(0)
    server.close()
    await server.wait_closed()
    for result in await asyncio.gather(*clients, return_exceptions=True):
        # Refused, lost, reset, or closed, but not left alone.
        if isinstance(result, Exception):
            assert isinstance(result, (OSError, InvalidMessage))
        elif result != 503:
            await result.wait_closed()
            assert result.close_code in (1001, 1006)


async def test_handler_that_is_cancelled_closes_the_connection():
    async def handler(connection):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    async with serve(handler, "127.0.0.1", 0) as server, connect(address(server)) as client:
        with pytest.raises(ConnectionClosedError, match="1011"):
            await client.recv()


@pytest.mark.parametrize("kind", ["plain", "tls"])
async def test_create_connection_that_fails_is_told_and_does_no_harm(kind, certificates):
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(context["exception"]))

    class Broken(ServerConnection):
        broken = True

        def __init__(self, *args, **kwargs):
            if Broken.broken:
                raise RuntimeError("mistake of the program")
            super().__init__(*args, **kwargs)

    secure = kind == "tls"
    tls = certificates if secure else (None, None)
    if not transports.polls(loop, secure):
        pytest.skip("asyncio's own transports tell it in debug mode only")
    async with serve(keep, "127.0.0.1", 0, create_connection=Broken, ssl=tls[0]) as server:
        with pytest.raises((InvalidMessage, OSError)):
            await connect(address(server, secure), ssl=tls[1])
        await until(lambda: complaints)
        assert [str(exc) for exc in complaints] == ["mistake of the program"]
        Broken.broken = False
        async with connect(address(server, secure), ssl=tls[1]) as client:
            await (await client.ping())
