"""Whatever is cancelled, wherever it waits: nothing is lost, doubled or left half-done."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosed

from .connections import BINARY, PING, PONG, TEXT, address, pair, raw_server, turns, until
from .test_sending import LARGE, fill

# After so many turns of the loop at the latest, all that a test begins is done.
STEPS = 12


async def take(receiving):
    """Give what a cancelled task received, None if it received nothing."""
    try:
        return await receiving
    except asyncio.CancelledError:
        return None


async def cancelled_after(steps, operation):
    """Cancel an operation after some turns of the loop; say whether it was still going on."""
    task = asyncio.create_task(operation)
    await turns(steps)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def usable(one, other):
    """See that both ends of a connection are as they should be."""
    for sender, receiver in ((one, other), (other, one)):
        await sender.send("usable")
        assert await receiver.recv() == "usable"
        await (await sender.ping())


MESSAGES = {
    "small": "message",
    "large": "message " * 50_000,
    "fragments": ["mess", "age"],
    "binary": b"message",
}


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("side", ["server", "client"])
async def test_recv(kind, side):
    message = MESSAGES[kind]
    whole = "".join(message) if isinstance(message, list) else message
    async with pair() as (server, client):
        sender, receiver = (client, server) if side == "server" else (server, client)
        for steps in range(STEPS):
            for before in (False, True):
                if before:
                    # It may have come already when somebody begins to receive.
                    sending = asyncio.create_task(sender.send(message))
                    await turns(steps)
                    receiving = asyncio.create_task(receiver.recv())
                    await asyncio.sleep(0)
                else:
                    receiving = asyncio.create_task(receiver.recv())
                    await asyncio.sleep(0)
                    sending = asyncio.create_task(sender.send(message))
                    await turns(steps)
                receiving.cancel()
                received = await take(receiving)
                if received is None:
                    received = await receiver.recv()
                assert received == whole
                await sending
        await usable(server, client)


@pytest.mark.parametrize("steps", range(STEPS))
async def test_iteration(steps):
    async with pair() as (server, client):
        received = []

        async def iterate():
            async for message in server:
                received.append(message)

        sending = asyncio.create_task(client.send(["a", "b"]))
        await cancelled_after(steps, iterate())
        await sending
        await client.send("next")
        if not received:
            received.append(await server.recv())
        assert received == ["ab"]
        assert await server.recv() == "next"


@pytest.mark.parametrize("steps", range(STEPS))
async def test_recv_streaming(steps):
    async with pair() as (server, client):
        pieces = []

        async def stream():
            async with contextlib.aclosing(server.recv_streaming()) as fragments:
                async for fragment in fragments:
                    pieces.append(fragment)

        sending = asyncio.create_task(client.send(["a", "b", "c"]))
        cancelled = await cancelled_after(steps, stream())
        await sending
        if not cancelled:
            assert "".join(pieces) == "abc"
            await usable(server, client)
        elif not pieces:
            # Before the first fragment, nothing is lost.
            assert await server.recv() == "abc"
            await usable(server, client)
        else:
            # Half a message was taken; the rest is for nobody, and that is said.
            with pytest.raises(Exception, match="recv_streaming"):
                await server.recv()


@pytest.mark.parametrize("message", ["message", b"message", bytearray(b"message"), "x" * 300_000])
async def test_send(message):
    async with pair(server={"max_queue": None}) as (server, client):
        sent = 0
        for steps in range(STEPS):
            # One that got as far as to send something has sent all of it.
            task = asyncio.create_task(client.send(message))
            await turns(steps)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            sent += steps > 0
        await client.send("end")
        received = []
        while (last := await server.recv()) != "end":
            received.append(last)
        assert received == [message] * sent
        await usable(server, client)


@pytest.mark.parametrize("message", ["waits", b"waits", ["wa", "its"]])
@pytest.mark.parametrize("side", ["server", "client"])
async def test_send_behind_a_full_buffer(message, side):
    async with pair(
        server={"compression": None, "max_queue": None}, client={"max_queue": None}
    ) as (server, client):
        one, other = (server, client) if side == "server" else (client, server)
        for steps in range(4):
            other.transport.pause_reading()
            filling = await fill(one)
            cancelled = await cancelled_after(steps, one.send(message))
            assert cancelled
            other.transport.resume_reading()
            await filling
            if one.state.name != "OPEN":
                # A message in fragments that was begun can't be finished.
                assert isinstance(message, list)
                with pytest.raises(ConnectionClosed, match="1011"):
                    while await other.recv() == LARGE:
                        pass
                return
            await one.send("end")
            received = []
            while (last := await other.recv()) != "end":
                received.append(last)
            whole = "waits" if isinstance(message, list) else message
            assert received in ([LARGE] * (len(received)), [LARGE] * (len(received) - 1) + [whole])
        await usable(server, client)


async def test_send_behind_a_message_in_fragments():
    async with pair() as (server, client):
        for steps in range(4):
            go_on = asyncio.Event()

            async def fragments(go_on=go_on):
                yield "a"
                await go_on.wait()
                yield "b"

            sending = asyncio.create_task(client.send(fragments()))
            await turns()
            for waiting in ("never", ["ne", "ver"]):
                assert await cancelled_after(steps, client.send(waiting))
            go_on.set()
            await sending
            assert await server.recv() == "ab"
        await usable(server, client)


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("operation", ["ping", "pong"])
async def test_pings_behind_a_full_buffer(steps, operation):
    async with raw_server() as (uri, peers), connect(uri, compression=None) as client:
        peer = await peers.get()
        peer.stop_reading()
        filling = await fill(client)
        assert await cancelled_after(steps, getattr(client, operation)())
        peer.writer.transport.resume_reading()
        sending = asyncio.create_task(client.send("usable"))
        while (received := await peer.receive()) != (TEXT, b"usable"):
            assert received == (BINARY, LARGE) or received[0] in (PING, PONG)
        await filling
        await sending
        await peer.finish()


async def test_waiting_for_a_pong():
    async with pair() as (server, client):
        for steps in range(STEPS):

            async def ping():
                await (await client.ping(b"same"))

            await cancelled_after(steps, ping())
            await until(lambda: not client.pending_pings)
        await usable(server, client)


@pytest.mark.parametrize("steps", range(STEPS))
@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("operation", ["close", "wait_closed"])
async def test_closing(steps, side, operation):
    """Who waits for the end can go, and the end comes nevertheless."""
    async with pair() as (server, client):
        one, other = (server, client) if side == "server" else (client, server)
        if operation == "wait_closed":
            closing = asyncio.create_task(one.close())
            await asyncio.sleep(0)
        begun = steps > 0 or operation == "wait_closed"
        await cancelled_after(steps, getattr(one, operation)())
        if begun:
            await other.wait_closed()
            await one.wait_closed()
            assert one.close_code == other.close_code == 1000
        else:
            await usable(server, client)
        if operation == "wait_closed":
            await closing


@pytest.mark.parametrize("kind", ["plain", "tls"])
async def test_connecting(kind, certificates):
    """No connection is left behind, however far it came."""
    tls = certificates if kind == "tls" else (None, None)

    async def handler(connection):
        await connection.wait_closed()

    async def connecting(uri):
        connection = await connect(uri, ssl=tls[1])
        try:
            await asyncio.sleep(3600)
        finally:
            connection.transport.abort()

    async with serve(handler, "127.0.0.1", 0, ssl=tls[0]) as server:
        for steps in range(30):
            assert await cancelled_after(steps, connecting(address(server, kind == "tls")))
        # Those that were accepted late are noticed late.
        async with connect(address(server, kind == "tls"), ssl=tls[1]):
            await until(lambda: len(server.all_connections) == 1)


@pytest.mark.parametrize("steps", range(8))
async def test_handler(steps):
    """A handler that is cancelled closes its connection."""
    async with pair() as (server, client):
        (task,) = server.server.handler_tasks
        await turns(steps)
        task.cancel()
        with pytest.raises(ConnectionClosed, match="1011"):
            await client.recv()
