"""Cancelled at any moment, a connection that stays open stays right."""

from __future__ import annotations

import random
import socket

import pytest

from tidegate.exceptions import ConnectionClosed, ConnectionClosedError
from tidegate.protocol import State

from .running import connecting, pair, run, serving, trio


@run
async def test_a_cancelled_recv_loses_nothing():
    async def count(websocket):
        for number in range(500):
            await websocket.send(str(number))
            if number % 10 == 0:
                await trio.sleep(0.0005)
        await websocket.wait_closed()

    received = []
    async with pair(count) as (client,):
        while len(received) < 500:
            with trio.move_on_after(0.0002):
                received.append(await client.recv())
    assert received == [str(number) for number in range(500)]


@run
async def test_recv_in_a_cancelled_scope_takes_nothing():
    async with pair() as (client, server):
        await server.send("hello")
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.recv()
        assert scope.cancelled_caught
        assert await client.recv() == "hello"


@run
async def test_a_cancelled_recv_streaming_before_the_first_fragment_loses_nothing():
    async with pair() as (client, server):
        with trio.move_on_after(0.01):
            async for _ in client.recv_streaming():
                pass
        await server.send("hello")
        assert await client.recv() == "hello"


@run
async def test_a_cancelled_send_is_whole_or_not_at_all():
    """A peer that doesn't read has half of the frame when it is cancelled."""
    large = b"x" * 20_000_000
    limits = {"max_size": None, "max_queue": 1}
    async with pair(max_size=None, compression=None, server=limits) as (client, server):
        # More than the queue takes, so nothing is read after these.
        for _ in range(5):
            await client.send("first")
        await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.move_on_after(0.3) as scope:
            await client.send(large)
        assert scope.cancelled_caught
        assert client.state is State.OPEN
        # There is no room, so these aren't sent.
        for _ in range(3):
            with trio.move_on_after(0.01) as scope:
                await client.send(large)
            assert scope.cancelled_caught
        assert client.buffered_amount < 21_000_000

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, "after")
            for _ in range(5):
                assert await server.recv() == "first"
            assert await server.recv() == large
            assert await server.recv() == "after"


@run
async def test_send_in_a_cancelled_scope_sends_nothing():
    async with pair() as (client, server):
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.send("never")
        assert scope.cancelled_caught
        await client.send("hello")
        assert await server.recv() == "hello"


@run
async def test_a_cancelled_fragmented_message_closes_the_connection():
    async def fragments():
        yield "one"
        await trio.sleep_forever()

    async with pair() as (client, server):
        with trio.move_on_after(0.05):
            await client.send(fragments())
        with pytest.raises(ConnectionClosedError) as raised:
            await server.recv()
        assert raised.value.rcvd.code == 1011
        with pytest.raises(ConnectionClosed):
            await client.send("after")


@run
async def test_a_cancelled_wait_before_a_fragmented_message_sends_nothing():
    async def slow():
        yield "a"
        await trio.sleep(0.05)
        yield "b"

    async with pair() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.send, slow())
        await trio.sleep(0.01)
        with trio.move_on_after(0.01) as scope:
            await client.send(["c", "d"])
        assert scope.cancelled_caught
        assert await server.recv() == "ab"
        await client.send("e")
        assert await server.recv() == "e"


@run
async def test_cancelling_around_connect_closes_at_once():
    ends = []

    async def handler(websocket):
        with pytest.raises(ConnectionClosedError):
            await websocket.recv()
        ends.append(websocket.close_code)

    async with serving(handler) as server:
        with trio.move_on_after(0.1) as scope:
            async with connecting(server):
                await trio.sleep_forever()
        assert scope.cancelled_caught
        with trio.fail_after(5):
            while not ends:
                await trio.sleep(0.001)
    assert ends[0] in (1006, 1011)


@run
async def test_a_cancelled_aclose_has_closed():
    async with pair() as (client, _server):
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.aclose()
        assert client.state is State.CLOSED
        assert client.sock is None


@run
async def test_cancelling_the_nursery_of_a_server_leaves_nothing():
    sockets = []

    async def handler(websocket):
        sockets.append(websocket.sock)
        await websocket.recv()

    async with trio.open_nursery() as nursery:

        async def body():
            async with serving(handler) as server, connecting(server) as client:
                sockets.append(client.sock)
                await trio.sleep_forever()

        nursery.start_soon(body)
        while len(sockets) < 2:
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert [sock.fileno() for sock in sockets] == [-1, -1]


@run
async def test_cancelling_while_connecting_leaves_no_socket():
    """The server accepts, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        from tidegate.trio.client import connect

        port = silent.getsockname()[1]
        with trio.move_on_after(0.1) as scope:
            async with connect(f"ws://127.0.0.1:{port}/", proxy=None):
                raise AssertionError("there is no server")
        assert scope.cancelled_caught
        peer, _ = silent.accept()
        with peer:
            peer.settimeout(5)
            while peer.recv(4096):
                pass


def test_the_end_of_the_run_closes_what_was_forgotten():
    kept = []

    async def main():
        server = None
        async with trio.open_nursery() as nursery:
            import functools

            from tidegate.trio.server import serve

            server = await nursery.start(
                functools.partial(serve, lambda ws: trio.sleep_forever(), 0, host="127.0.0.1")
            )
            client = await connecting(server).connect()
            kept.append(client.sock)
            kept.append(client)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert kept[0].fileno() == -1
    assert kept[1].state is State.CLOSED


@run
async def test_two_tasks_receive():
    from tidegate.exceptions import ConcurrencyError

    async with pair() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.recv)
        await trio.testing.wait_all_tasks_blocked(0.01)
        with pytest.raises(ConcurrencyError):
            await client.recv()
        await server.send("hello")


@run
async def test_many_tasks_send():
    async with pair() as (client, server):
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(client.send, str(number) * 10_000)
            received = {await server.recv() for _ in range(50)}
        assert received == {str(number) * 10_000 for number in range(50)}


@run
async def test_others_have_their_turn():
    """One that always finds a message never has to wait."""
    async with pair(server={"max_queue": None}, max_queue=None) as (client, server):
        turns = 0
        stop = False

        async def other():
            nonlocal turns
            while not stop:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            for _ in range(20):
                for _ in range(500):
                    await client.send(b"x" * 100)
                for _ in range(500):
                    await server.recv()
            before = turns
            # Only at its own checkpoints the other can have had its turn.
            assert before > 3
            stop = True


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("seed", range(4))
def test_cancelled_at_random(seed, secure, certificates):
    """What was sent arrives, once and in its order; nothing arrives in part."""
    chance = random.Random(seed)

    async def cancelled(function, *args):
        """Say whether a call came to its end."""
        with trio.move_on_after(chance.choice([0, 0.0001, 0.001, 0.01])):
            await function(*args)
            return True
        return False

    @run
    async def play():
        received = []
        done = trio.Event()

        async def handler(websocket):
            async for message in websocket:
                if chance.random() < 0.3:
                    await trio.sleep(0.001)
                received.append(message)
            done.set()

        options = {"max_size": None, "max_queue": chance.choice([1, 2, 16])}
        if secure:
            options["ssl"] = certificates[0]
        sent = {}
        async with serving(handler, **options) as server:
            arguments = {"ssl": certificates[1]} if secure else {}
            async with connecting(server, compression=None, **arguments) as client:
                for number in range(60):
                    message = f"{number} " + "x" * chance.choice([0, 10, 100_000, 500_000])
                    sent[message] = await cancelled(client.send, message)
                    if chance.random() < 0.3:
                        await cancelled(client.recv)
                    if chance.random() < 0.1:
                        await cancelled(client.ping)
            await done.wait()
        order = list(sent)
        places = [order.index(message) for message in received]
        assert places == sorted(set(places))
        assert {message for message, whole in sent.items() if whole} <= set(received)

    play()
