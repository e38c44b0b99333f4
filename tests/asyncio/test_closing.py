"""Closing: all orders, all time limits, whatever the peer does or doesn't."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK

from .connections import CLOSE, PING, TEXT, address, pair, raw_client, raw_server, turns, until
from .test_sending import fill

KINDS = pytest.mark.parametrize("kind", ["plain", "tls", "unix"])


@KINDS
async def test_closing_handshake(kind, certificates, tmp_path):
    for by in ("server", "client"):
        async with pair(kind, certificates=certificates, path=tmp_path / by) as (server, client):
            one, other = (server, client) if by == "server" else (client, server)
            await one.close(3001, "why")
            await other.wait_closed()
            for connection in (server, client):
                assert (connection.close_code, connection.close_reason) == (3001, "why")
            with pytest.raises(ConnectionClosedError, match=r"sent 3001 .*; then received 3001"):
                await one.recv()
            with pytest.raises(ConnectionClosedError, match=r"received 3001 .*; then sent 3001"):
                await other.recv()


async def test_three_closes_at_once_send_one_close_frame():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        closing = [asyncio.create_task(client.close(1000 + n)) for n in range(3)]
        assert await peer.receive() == (CLOSE, (1000).to_bytes(2, "big"))
        peer.send_close()
        await peer.close()
        await asyncio.gather(*closing)
        assert await peer.reader.read() == b""


async def test_close_wakes_a_recv_that_waits():
    async with pair() as (_, client):
        receiving = asyncio.create_task(client.recv())
        await turns()
        await client.close()
        with pytest.raises(ConnectionClosedOK):
            await receiving


async def test_close_wakes_those_who_wait_to_send():
    async with raw_server() as (uri, peers), connect(uri, close_timeout=0.01) as client:
        peer = await peers.get()
        peer.stop_reading()
        sending = [await fill(client), asyncio.create_task(client.send("more"))]
        await turns()
        await client.close()
        for task in sending:
            with pytest.raises(ConnectionClosedError):
                await task
        await peer.close()


async def test_close_that_is_cancelled_goes_on():
    async with raw_server() as (uri, peers), connect(uri, close_timeout=0.01) as client:
        peer = await peers.get()
        closing = asyncio.create_task(client.close())
        await turns()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        # The peer doesn't answer, so the time limit has to end it.
        await client.wait_closed()
        assert client.close_code == 1006
        await peer.close()


@pytest.mark.parametrize("side", ["server", "client"])
async def test_close_is_bounded_when_the_peer_does_not_answer(side):
    if side == "client":
        async with raw_server() as (uri, peers), connect(uri, close_timeout=0.01) as client:
            peer = await peers.get()
            await client.close()
            assert client.close_code == 1006
            await peer.close()
        return
    closed = asyncio.get_running_loop().create_future()

    async def handler(connection):
        await connection.close()
        closed.set_result(connection.close_code)

    async with (
        serve(handler, "127.0.0.1", 0, close_timeout=0.01) as server,
        raw_client(server),
    ):
        assert await closed == 1006


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("kind", ["plain", "tls", "unix"])
async def test_close_is_bounded_when_the_peer_does_not_read(side, kind, certificates, tmp_path):
    quick = {"close_timeout": 0.05, "ping_interval": None, "compression": None}
    async with pair(
        kind, certificates=certificates, path=tmp_path / "socket", server=quick, client=quick
    ) as (server, client):
        one, other = (server, client) if side == "server" else (client, server)
        other.transport.pause_reading()
        sending = await fill(one)
        await one.close()
        assert one.close_code == 1006
        with pytest.raises(ConnectionClosedError):
            await sending
        other.transport.resume_reading()


async def test_close_is_bounded_when_our_queue_is_full():
    async with raw_server() as (uri, peers), connect(uri, max_queue=1) as client:
        peer = await peers.get()
        for _ in range(2000):
            peer.send(TEXT, b"x" * 1000)
        await until(lambda: not client.wants_input)
        closing = asyncio.create_task(client.close())
        # The Close frame stands behind messages that nobody takes.
        assert await peer.close_code() == 1000
        peer.send_close()
        await peer.close()
        await closing
        assert client.close_code == 1000


async def test_messages_that_wait_are_kept_when_closed():
    async with raw_server() as (uri, peers), connect(uri, max_queue=4) as client:
        peer = await peers.get()
        for number in range(3):
            peer.send(TEXT, str(number).encode())
        await peer.finish()
        await client.wait_closed()
        assert [message async for message in client] == ["0", "1", "2"]


@pytest.mark.parametrize("code", [1005, 1006, 1015, 999, 1004, 5000, 65535])
async def test_codes_that_must_not_be_sent_are_refused_when_received(code):
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        peer.send_close(code)
        assert await peer.close_code() == 1002
        await peer.close()
        with pytest.raises(ConnectionClosedError, match="sent 1002"):
            await client.recv()
        assert client.close_code == 1006


async def test_close_frame_without_code():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        peer.send(CLOSE, b"")
        assert await peer.receive() == (CLOSE, b"")
        await peer.close()
        await client.wait_closed()
        assert client.close_code == 1005
        with pytest.raises(ConnectionClosedOK):
            await client.recv()


async def test_close_frame_within_a_fragmented_message_is_answered_with_its_code():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        peer.send(TEXT, b"begun", fin=False)
        peer.send_close(1000)
        assert await peer.close_code() == 1000
        await peer.close()
        with pytest.raises(ConnectionClosedOK):
            await client.recv()


async def test_both_send_a_close_frame_at_once():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        peer.send_close(3001)
        closing = asyncio.create_task(client.close(3002))
        assert await peer.close_code() in (3001, 3002)
        await peer.close()
        await closing
        assert client.close_code == 3001


async def test_end_of_the_stream_without_close_frame():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        peer.send(TEXT, b"message")
        await peer.close()
        assert await client.recv() == "message"
        with pytest.raises(ConnectionClosedError, match="no close frame received or sent") as info:
            await client.recv()
        assert isinstance(info.value.__cause__, EOFError)
        assert (client.close_code, client.close_reason) == (1006, "")


async def test_end_of_the_stream_within_a_frame_tells_where():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        peer.writer.write(b"\x82\x7e\x01\x00" + b"x" * 100)
        await peer.close()
        with pytest.raises(ConnectionClosedError) as info:
            await client.recv()
        assert str(info.value.__cause__) == "stream ends after 100 bytes, expected 256 bytes"


async def test_tls_that_ends_without_close_notify_is_not_a_clean_close(certificates):
    async with pair("tls", certificates=certificates) as (server, client):
        # The TCP connection is gone, and TLS wasn't told.
        server.transport.abort()
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        assert client.close_code == 1006


async def test_cancelled_ping_waiter_and_then_the_pong():
    async with pair() as (_, client):
        waiter = await client.ping()
        waiter.cancel()
        await (await client.ping())
        assert client.latency > 0


async def test_pong_answers_earlier_pings_too():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        waiters = [await client.ping() for _ in range(3)]
        payloads = [(await peer.receive())[1] for _ in range(3)]
        peer.send(10, b"unknown")
        peer.send(10, payloads[1])
        await asyncio.gather(*waiters[:2])
        assert not waiters[2].done()
        await peer.finish()
        with pytest.raises(ConnectionClosed):
            await waiters[2]


async def test_pings_are_answered_until_the_peer_has_closed():
    async with raw_server() as (uri, peers), connect(uri) as client:
        peer = await peers.get()
        closing = asyncio.create_task(client.close())
        assert await peer.close_code() == 1000
        peer.send(PING, b"still here")
        assert await peer.receive() == (10, b"still here")
        peer.send_close()
        await peer.close()
        await closing


async def test_abort_in_the_middle_of_everything():
    for steps in range(8):
        async with pair() as (server, client):
            tasks = [
                asyncio.create_task(operation)
                for operation in (
                    client.recv(),
                    client.send(["a", "b"]),
                    client.close(),
                    server.close(),
                    server.recv(),
                )
            ]
            await turns(steps)
            (client if steps % 2 else server).transport.abort()
            for task in tasks:
                with contextlib.suppress(ConnectionClosed):
                    await task


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_loop_that_is_closed_first():
    async def leave():
        server = await serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0)
        connection = await connect(address(server), ping_interval=0.001)
        receiving = connection.recv()
        assert receiving.send(None) is not None
        return server, connection, receiving

    loop = asyncio.new_event_loop()
    left = loop.run_until_complete(leave())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del left

    async def go_on():
        async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0):
            pass

    # What was kept for the closed loop goes when the next loop needs the like.
    asyncio.run(go_on())
    del loop, leave, task
    # Exceptions in finalizers fail the test.
    gc.collect()
