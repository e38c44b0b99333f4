"""Accepting connections, and what is left when all is over."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import warnings
import weakref

import pytest

from tidegate.asyncio import transports
from tidegate.asyncio.client import connect
from tidegate.asyncio.hub import get_hub
from tidegate.asyncio.poller import listener as poll_listener
from tidegate.asyncio.poller import transport
from tidegate.asyncio.poller.server import PollServer, listen_tcp
from tidegate.asyncio.server import serve

from .servers import Echo, Plain, dial, exceptions_told, kinds, listening, needs_poller, turns

pytestmark = needs_poller


class Sockets:
    """A listening socket whose accept() fails first, with these errors."""

    def __init__(self, sock, *errors):
        self.sock = sock
        self.errors = list(errors)
        self.calls = 0

    def accept(self):
        self.calls += 1
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return self.sock.accept()

    def __getattr__(self, name):
        return getattr(self.sock, name)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_no_resources(number, monkeypatch):
    """It is told once, and tried again later rather than in each turn of the loop."""
    monkeypatch.setattr(poll_listener, "ACCEPT_DELAY", 0.05)
    loop = asyncio.get_running_loop()
    made = []
    server = await listen_tcp(
        loop,
        lambda: made.append(Echo()) or made[-1],
        host="127.0.0.1",
        port=0,
        start_serving=False,
    )
    listener = server.listeners[0]
    listener.sock = failing = Sockets(listener.sock, number)
    with exceptions_told() as told:
        await server.start_serving()
        async with dial(server.sockets[0].getsockname()) as client:
            await client.send(b"x")
            while not failing.calls:
                await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.sleep(0)
            assert failing.calls == 1
            assert await client.receive(1) == b"x"
        assert [context["message"] for context in told] == [
            "socket.accept() out of system resource"
        ]
        await made[0].until_called("connection_lost")
    server.close()


async def test_close_while_accepting_waits(monkeypatch):
    """The timer goes with the server."""
    loop = asyncio.get_running_loop()
    server = await listen_tcp(loop, Echo, host="127.0.0.1", port=0, start_serving=False)
    listener = server.listeners[0]
    listener.sock = failing = Sockets(listener.sock, *[errno.EMFILE] * 5)
    with exceptions_told():
        await server.start_serving()
        async with dial(server.sockets[0].getsockname()):
            while not failing.calls:
                await asyncio.sleep(0)
    server.close()
    assert listener.resumption.cancelled()
    await turns()


async def test_a_connection_that_is_gone_before_it_is_accepted():
    loop = asyncio.get_running_loop()
    made = []
    server = await listen_tcp(
        loop,
        lambda: made.append(Echo()) or made[-1],
        host="127.0.0.1",
        port=0,
        start_serving=False,
    )
    listener = server.listeners[0]
    listener.sock = Sockets(listener.sock, errno.ECONNABORTED)
    await server.start_serving()
    with exceptions_told() as told:
        async with dial(server.sockets[0].getsockname()) as client:
            await client.send(b"x")
            assert await client.receive(1) == b"x"
        await made[0].until_called("connection_lost")
    assert told == []
    server.close()


async def test_a_factory_that_raises():
    """That connection is closed, which asyncio leaves to the collector; later ones are served."""
    attempts = []

    def factory():
        attempts.append(None)
        if len(attempts) == 1:
            raise KeyError("bug")
        return Echo()

    with exceptions_told() as told:
        async with listening("poller", factory) as (address, made):
            async with dial(address) as client:
                try:
                    assert await client.receive_to_end() == b""
                except ConnectionResetError:
                    pass
            async with dial(address) as client:
                await client.send(b"x")
                assert await client.receive(1) == b"x"
            await made[0].until_called("connection_lost")
    assert [type(context["exception"]) for context in told] == [KeyError]


async def test_connection_made_that_raises():
    """The connection ends, since nobody would take care of it."""

    class Buggy(Plain):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise KeyError("bug")

    with exceptions_told() as told:
        async with listening("poller", Buggy) as (address, made), dial(address) as client:
            assert await client.receive_to_end() == b""
            await made[0].until_called("connection_lost")
    assert [type(context["exception"]) for context in told] == [KeyError]


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_close_in_connection_made(end):
    class Closing(Plain):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"bye")
            getattr(transport, end)()

    async with listening("poller", Closing) as (address, made), dial(address) as client:
        assert await client.receive_to_end() == b"bye"
        await made[0].until_called("connection_lost")
        assert made[0].lost_because() is None


@kinds
async def test_connections_outlive_the_server(kind):
    async with listening(kind, Echo) as (address, made):
        client = dial(address)
        opened = await client.__aenter__()
        while not made or made[0].transport is None:
            await asyncio.sleep(0)
    await opened.send(b"x")
    assert await opened.receive(1) == b"x"
    with pytest.raises(ConnectionRefusedError):
        async with dial(address):
            pass
    await client.__aexit__(None, None, None)
    await made[0].until_called("connection_lost")


async def test_server_closed_while_it_accepts():
    """By the protocol that it makes, with more connections waiting."""
    loop = asyncio.get_running_loop()
    made = []

    def factory():
        server.close()
        made.append(Echo())
        return made[-1]

    server = await listen_tcp(loop, factory, host="127.0.0.1", port=0, start_serving=False)
    address = server.sockets[0].getsockname()
    server.listeners[0].sock.listen(10)
    async with dial(address) as first, dial(address) as second:
        await server.start_serving()
        await first.send(b"x")
        assert await first.receive(1) == b"x"
        try:
            assert await second.receive_to_end() == b""
        except ConnectionResetError:
            pass
        assert len(made) == 1
    await made[0].until_called("connection_lost")


async def test_the_poller_exists_as_long_as_it_is_used():
    loop = asyncio.get_running_loop()
    assert get_hub(loop).poller is None
    async with listening("poller", Echo) as (address, made):
        first = get_hub(loop).poller
        async with dial(address) as client:
            await client.send(b"x")
            assert await client.receive(1) == b"x"
    # The connection is open still.
    assert get_hub(loop).poller is first
    await made[0].until_called("connection_lost")
    await turns(1)
    assert get_hub(loop).poller is None
    async with listening("poller", Echo):
        assert get_hub(loop).poller is not first


@pytest.mark.parametrize("with_connection", [False, True])
def test_a_loop_that_is_closed_takes_everything_with_it(with_connection):
    """Also a server that nobody has closed: its port is free again."""

    async def main():
        loop = asyncio.get_running_loop()
        server = await listen_tcp(loop, Echo, host="127.0.0.1", port=0)
        loops.append(weakref.ref(get_hub(loop).poller))
        address = server.sockets[0].getsockname()
        client = None
        if with_connection:
            client = socket.create_connection(address)
            await turns()
        return address, client

    loops = []
    with warnings.catch_warnings():
        # As asyncio does about what was not closed.
        warnings.simplefilter("ignore", ResourceWarning)
        address, client = asyncio.run(main())
        gc.collect()
    assert [reference() for reference in loops] == [None]
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(address)
    if client is not None:
        client.close()


# Which transports are used


def kind_of_server(monkeypatch, value, loop):
    if value is None:
        monkeypatch.delenv("TIDEGATE_TRANSPORTS", raising=False)
    else:
        monkeypatch.setenv("TIDEGATE_TRANSPORTS", value)
    return transports.polls(loop)


async def test_environment(monkeypatch):
    loop = asyncio.get_running_loop()
    assert kind_of_server(monkeypatch, None, loop) is transport.compiled
    assert kind_of_server(monkeypatch, "", loop) is transport.compiled
    assert kind_of_server(monkeypatch, "poller", loop)
    assert not kind_of_server(monkeypatch, "loop", loop)


@pytest.mark.parametrize("value", ["poller", "loop"])
@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
async def test_messages_on_all_transports(monkeypatch, value, size):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", value)

    async def handler(websocket):
        async for message in websocket:
            await websocket.send(message)

    async with serve(handler, "127.0.0.1", 0, max_size=None, compression=None) as server:
        assert isinstance(server.server, PollServer)
        host, port = server.sockets[0].getsockname()
        uri = f"ws://{host}:{port}/"
        async with connect(uri, max_size=None, compression=None) as websocket:
            for message in (b"x" * size, "é" * (size // 2), b""):
                sending = asyncio.create_task(websocket.send(message))
                assert await websocket.recv() == message
                await sending
