"""`Server.drain`: an end that is spread over a time, and has a limit."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.listener import Listener
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosed, InvalidStatus, ProtocolError

from .connections import address, raw_client, turns, until


async def keep(connection):
    await connection.wait_closed()


class Quiet(Listener):
    def on_message(self, message):
        pass


@pytest.mark.parametrize("handler", [keep, Quiet])
async def test_all_connections_are_closed_with_1012(handler):
    async with serve(handler, "127.0.0.1", 0) as server:
        clients = [await connect(address(server)) for _ in range(20)]
        assert await server.drain() == 0
        assert not server.all_connections
        assert not server.is_serving()
    for client in clients:
        await client.wait_closed()
        assert client.close_code == 1012


async def test_handlers_do_not_fail_because_of_it(caplog):
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    with caplog.at_level(logging.ERROR):
        async with serve(echo, "127.0.0.1", 0) as server, connect(address(server)) as client:
            await server.drain()
            await client.wait_closed()
    assert not caplog.records


async def test_code_and_reason():
    async with serve(keep, "127.0.0.1", 0) as server, connect(address(server)) as client:
        await server.drain(code=1001, reason="bye")
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1001, "bye")


async def test_what_cannot_be_sent():
    async with serve(keep, "127.0.0.1", 0) as server:
        with pytest.raises(ProtocolError):
            await server.drain(code=1006)
        with pytest.raises(ProtocolError):
            await server.drain(reason="a" * 124)
        with pytest.raises(ValueError, match="spread"):
            await server.drain(1, spread=2)
        with pytest.raises(ValueError, match="spread"):
            await server.drain(spread=-1)
        assert server.is_serving()


async def test_closing_is_spread():
    """While some are closed, others go on, and nobody new comes."""
    async with serve(keep, "127.0.0.1", 0) as server:
        uri = address(server)
        clients = [await connect(uri) for _ in range(10)]
        draining = asyncio.create_task(server.drain(60, spread=0.5))
        await until(lambda: 0 < sum(client.close_code is not None for client in clients) < 10)
        for client in clients:
            if client.close_code is None:
                await (await client.ping())
                break
        with pytest.raises((OSError, InvalidStatus)):
            await connect(uri, open_timeout=1)
        assert await draining == 0
        assert [client.close_code for client in clients] == [1012] * 10


async def test_it_is_over_early_when_clients_leave():
    async with serve(keep, "127.0.0.1", 0) as server:
        clients = [await connect(address(server)) for _ in range(10)]
        draining = asyncio.create_task(server.drain(3600, spread=3600))
        await turns(3)
        for client in clients:
            await client.close()
        assert await draining == 0


async def test_opening_handshakes_are_refused():
    async def process_request(connection, request):
        await asyncio.Event().wait()

    async with serve(keep, "127.0.0.1", 0, process_request=process_request) as server:
        opening = asyncio.create_task(connect(address(server)).__aenter__())
        await until(lambda: server.all_connections)
        await asyncio.sleep(0.05)
        await server.drain()
        with pytest.raises(InvalidStatus) as refused:
            await opening
        assert refused.value.response.status_code == 503


async def test_a_peer_that_does_not_answer_is_aborted():
    async with serve(keep, "127.0.0.1", 0, close_timeout=3600) as server:
        async with raw_client(server):
            await until(lambda: server.connections)
            assert await server.drain(0.1) == 1
        assert not server.all_connections


async def test_a_handler_that_does_not_end_is_cancelled():
    cancelled = []

    async def handler(connection):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    async with serve(handler, "127.0.0.1", 0) as server:
        client = await connect(address(server))
        assert await server.drain(0.1) == 0
        await client.wait_closed()
    assert cancelled == [1]


async def test_a_handler_that_ignores_that_is_left(monkeypatch, caplog):
    monkeypatch.setattr("tidegate.asyncio.draining.HANDLER_TIMEOUT", 0.05)
    goes_on = asyncio.Event()

    async def handler(connection):
        while not goes_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await goes_on.wait()

    with caplog.at_level(logging.ERROR):
        async with serve(handler, "127.0.0.1", 0) as server:
            client = await connect(address(server))
            await server.drain(0.05)
            assert "1 connection handlers don't end" in caplog.text
            goes_on.set()
            await client.wait_closed()


async def test_after_close():
    async with serve(keep, "127.0.0.1", 0) as server:
        client = await connect(address(server))
        server.close(close_connections=False)
        await turns(3)
        assert await server.drain() == 0
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1012
