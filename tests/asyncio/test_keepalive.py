"""Keepalive: dead peers are found, living ones are left alone, and no peer fills the memory."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosedError

from .connections import PING, PONG, TEXT, frame, pair, raw_client, raw_server, turns, until
from .test_sending import fill

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def impatient(monkeypatch):
    """Give dead peers less time to take note of it."""
    monkeypatch.setattr("tidegate.core.link.DEAD_PEER_TIMEOUT", 0.02)


QUICK = {"ping_interval": 0.02, "ping_timeout": 0.02}


async def test_pings_are_sent_and_their_answers_are_life():
    async with raw_server() as (uri, peers), connect(uri, **QUICK) as client:
        peer = await peers.get()
        payloads = set()
        for _ in range(5):
            opcode, data = await peer.receive()
            assert opcode == PING
            payloads.add(data)
            peer.send(PONG, data)
        assert len(payloads) == 5
        await until(lambda: client.latency > 0)
        assert client.state.name == "OPEN"
        await peer.finish()


async def test_peer_that_answers_nothing_is_dead():
    async with raw_server() as (uri, peers), connect(uri, **QUICK) as client:
        peer = await peers.get()
        with pytest.raises(ConnectionClosedError, match=r"sent 1011 .*keepalive ping timeout"):
            await client.recv()
        assert client.close_code == 1006
        await peer.close()


async def test_any_byte_is_life():
    patient = {"ping_interval": 0.02, "ping_timeout": 0.2}
    async with raw_server() as (uri, peers), connect(uri, **patient) as client:
        peer = await peers.get()
        # A large message that takes long, and no pong at all.
        data = frame(TEXT, b"x" * 100)
        for byte in data:
            peer.writer.write(bytes([byte]))
            await asyncio.sleep(0.005)
        assert await client.recv() == "x" * 100
        assert client.state.name == "OPEN"
        client.transport.abort()
        await peer.close()


async def test_loop_that_is_busy_for_long_does_not_take_its_peer_for_dead():
    async with raw_server() as (uri, peers), connect(uri, **QUICK) as client:
        peer = await peers.get()

        async def answer():
            while True:
                opcode, data = await peer.receive()
                if opcode == PING:
                    peer.send(PONG, data)

        answering = asyncio.create_task(answer())
        for _ in range(3):
            await until(lambda: client.pending_pings)
            # The pong can't be read before the time is up.
            time.sleep(0.1)
            await asyncio.sleep(0.03)
            assert client.state.name == "OPEN"
        answering.cancel()
        client.transport.abort()
        await peer.close()


async def test_slow_consumer_is_not_taken_for_a_dead_peer():
    async with pair(client={**QUICK, "max_queue": 1}) as (server, client):
        # Pongs stand behind messages that this side doesn't take.
        sending = asyncio.create_task(send_many(server, 300))
        await until(lambda: not client.wants_input)
        await asyncio.sleep(0.2)
        assert client.state.name == "OPEN"
        for number in range(300):
            assert await client.recv() == f"{number} " * 1000
        await sending


async def send_many(connection, count):
    for number in range(count):
        await connection.send(f"{number} " * 1000, compress=False)


@pytest.mark.parametrize("kind", ["plain", "tls", "unix"])
async def test_peer_that_stops_reading_does_not_stop_keepalive(kind, certificates, tmp_path):
    async with pair(
        kind,
        certificates=certificates,
        path=tmp_path / "socket",
        # uvloop tells only once of a connection that was reset, and there is more to read before.
        server={"close_timeout": 0.05},
        client={**QUICK, "compression": None},
    ) as (server, client):
        server.transport.pause_reading()
        sending = await fill(client)
        with pytest.raises(ConnectionClosedError):
            await sending
        await client.wait_closed()
        assert client.close_code == 1006
        server.transport.resume_reading()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs signals")
async def test_process_that_is_stopped():
    program = (
        "import asyncio\n"
        "from tidegate.asyncio.server import serve\n"
        "async def handler(connection):\n"
        "    await connection.wait_closed()\n"
        "async def main():\n"
        "    async with serve(handler, '127.0.0.1', 0) as server:\n"
        "        print(server.sockets[0].getsockname()[1], flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    try:
        port = int(await process.stdout.readline())
        async with connect(f"ws://127.0.0.1:{port}/", **QUICK) as client:
            await (await client.ping())
            os.kill(process.pid, signal.SIGSTOP)
            with pytest.raises(ConnectionClosedError, match="keepalive"):
                await client.recv()
    finally:
        process.kill()
        await process.communicate()


async def test_no_keepalive():
    async with raw_server() as (uri, peers), connect(uri, ping_interval=None) as client:
        peer = await peers.get()
        await asyncio.sleep(0.05)
        await client.send("first")
        assert await peer.receive() == (TEXT, b"first")
        await peer.finish()


async def test_pings_without_time_limit_are_not_collected():
    quick = {"ping_interval": 0.002, "ping_timeout": None}
    async with raw_server() as (uri, peers), connect(uri, **quick) as client:
        peer = await peers.get()
        for _ in range(20):
            assert (await peer.receive())[0] == PING
        assert client.state.name == "OPEN"
        assert len(client.pending_pings) <= 2
        await peer.finish()


async def test_own_pings_go_on_besides_keepalive():
    quick = {"ping_interval": 0.01, "ping_timeout": None}
    async with raw_server() as (uri, peers), connect(uri, **quick) as client:
        peer = await peers.get()
        waiter = await client.ping(b"mine")
        for _ in range(5):
            await peer.receive()
        peer.send(PONG, b"mine")
        assert await waiter > 0
        await peer.finish()


@pytest.mark.parametrize("kind", ["server", "client"])
async def test_flood_of_pings_from_a_peer_that_reads_nothing(kind):
    flood = 60_000
    if kind == "server":
        accepted = asyncio.Queue()

        async def handler(connection):
            accepted.put_nowait(connection)
            await connection.wait_closed()

        async with serve(handler, "127.0.0.1", 0) as server, raw_client(server) as peer:
            await drown(await accepted.get(), peer, flood)
    else:
        async with raw_server() as (uri, peers), connect(uri) as client:
            await drown(client, await peers.get(), flood)


async def drown(connection, peer, count):
    """Send pings without reading, and see that the answers don't pile up."""
    peer.stop_reading()
    largest = 0
    data = frame(PING, b"x" * 125, mask=peer.mask) * 1000
    for _ in range(count // 1000):
        peer.writer.write(data)
        await asyncio.wait([asyncio.create_task(peer.writer.drain())], timeout=0.01)
        largest = max(largest, connection.buffered_amount)
    for _ in range(100):
        await turns()
        largest = max(largest, connection.buffered_amount)
    # The limit, and what is written in one turn.
    assert largest < 2**20
    connection.transport.abort()
    await connection.wait_closed()
    peer.writer.transport.abort()


async def test_latest_ping_is_answered_when_the_peer_reads_again():
    async with raw_server() as (uri, peers), connect(uri, compression=None) as client:
        peer = await peers.get()
        peer.stop_reading()
        sending = await fill(client)
        for number in range(100):
            peer.send(PING, str(number).encode())
        await asyncio.sleep(0.02)
        peer.writer.transport.resume_reading()
        pongs = []
        while b"99" not in pongs:
            opcode, data = await peer.receive()
            if opcode == PONG:
                pongs.append(data)
        # Those in between needn't be answered (RFC 6455, section 5.5.3).
        assert len(pongs) < 100
        await sending
        await peer.finish()
