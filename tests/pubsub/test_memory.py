"""A hub in one process."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from tidegate import connect
from tidegate.asyncio.listener import Listener
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosedError
from tidegate.pubsub import (
    History,
    Hub,
    HubClosed,
    HubError,
    HubOverloaded,
    Position,
    Slow,
    SlowConsumer,
)
from tidegate.pubsub.delivery import MOST_AT_ONCE

from ..asyncio.connections import address
from .audience import all_of, audience, nothing_more, until


async def test_topics_patterns_and_users():
    async with Hub() as hub, audience(3) as there:
        one, two, three = there.accepted
        hub.join(one, "room.1", "news.>")
        hub.join(two, "room.2", "room.*")
        hub.identify(three, "Zoë / ops")
        assert (hub.stats.topics, hub.stats.patterns, hub.stats.connections) == (3, 2, 3)
        hub.publish("room.1", "first")
        hub.publish("room.2", b"second")
        hub.publish("news.sport.tennis", "third")
        hub.publish_to("Zoë / ops", "for you")
        hub.publish("nobody.there", "lost")
        first, second, third = there.clients
        assert await all_of(first, 2) == ["first", "third"]
        # Joined twice, by topic and by pattern, and given once.
        assert await all_of(second, 2) == ["first", b"second"]
        assert await all_of(third, 1) == ["for you"]
        for client in there.clients:
            await nothing_more(client)
        assert hub.stats.delivered == 5


@pytest.mark.parametrize("how", ["plain", "tls", "deflate", "no deflate", "loop"])
async def test_kinds_of_connections(how, certificates, monkeypatch):
    if how == "loop":
        monkeypatch.setenv("TIDEGATE_TRANSPORTS", "loop")
    options = {"compression": None} if how == "no deflate" else {}
    secured = certificates if how == "tls" else None
    messages = [f"number {n} " * 20 for n in range(20)]
    async with Hub() as hub, audience(3, certificates=secured, **options) as there:
        for connection in there.accepted:
            hub.join(connection, "all")
        for message in messages:
            hub.publish("all", message)
        for client in there.clients:
            assert await all_of(client, 20) == messages


@pytest.mark.filterwarnings("ignore:tidegate.legacy:DeprecationWarning")
async def test_listeners_and_older_api():
    from tidegate.legacy import client as legacy_client
    from tidegate.legacy import server as legacy_server

    async with Hub() as hub:

        class Room(Listener):
            def on_open(self):
                hub.join(self, "room")

            def on_message(self, message):
                hub.publish("room", message)

        async def handler(websocket):
            hub.join(websocket, "room")
            async for message in websocket:
                hub.publish("room", message)

        async with (
            serve(Room, "127.0.0.1", 0) as server,
            connect(address(server)) as one,
            legacy_server.serve(handler, "127.0.0.1", 0) as older,
            legacy_client.connect(address(older)) as other,
        ):
            await until(lambda: hub.stats.connections == 2)
            await one.send("from a listener")
            assert await one.recv() == await other.recv() == "from a listener"
            await other.send("from the older API")
            assert await one.recv() == await other.recv() == "from the older API"
        await until(lambda: hub.stats.connections == 0)


async def test_leaving():
    async with Hub() as hub, audience(2) as there:
        one, two = there.accepted
        for connection in there.accepted:
            hub.join(connection, "a", "b", "c.*")
        hub.leave(one, "a", "never joined")
        hub.leave(two)
        hub.leave(two)
        for topic in "a", "b", "c.d":
            hub.publish(topic, topic)
        assert await all_of(there.clients[0], 2) == ["b", "c.d"]
        await nothing_more(there.clients[1])
        hub.leave(one, "b", "c.*")
        assert (hub.stats.topics, hub.stats.patterns, hub.stats.connections) == (0, 0, 0)


async def test_closed_connections_leave():
    async with Hub() as hub, audience(2) as there:
        for connection in there.accepted:
            hub.join(connection, "all")
        there.accepted[0].transport.abort()
        await there.clients[1].close()
        await until(lambda: hub.stats.connections == 0)
        assert hub.stats.topics == 0
        hub.join(there.accepted[0], "all")
        assert hub.stats.connections == 0


async def test_joining_and_leaving_while_a_message_is_on_its_way():
    """Who was there when it was published gets it, once, unless they leave; nobody else does."""
    count = 2 * MOST_AT_ONCE + 10
    async with Hub() as hub, audience(2) as there:
        lists = [hub.listen("all") for _ in range(count)]
        hub.join(there.accepted[0], "all")
        hub.publish("all", "first")
        assert hub.stats.delivered < count
        # The last place, filled by another when somebody before it leaves.
        await lists[0].close()
        hub.leave(there.accepted[0])
        hub.join(there.accepted[1], "all")
        late = hub.listen("all")
        hub.publish("all", "second")
        for listening in lists[1:]:
            assert (await anext(listening)).data == "first"
            assert (await anext(listening)).data == "second"
        assert (await anext(late)).data == "second"
        await nothing_more(there.clients[0])
        assert await all_of(there.clients[1], 1) == ["second"]
        await nothing_more(there.clients[1])
        for listening in [*lists, late]:
            await listening.close()


async def test_the_event_loop_gets_its_turn():
    async with Hub() as hub:
        lists = [hub.listen("all") for _ in range(MOST_AT_ONCE + 1)]
        for number in range(3):
            hub.publish("all", f"{number}")
        turns = 0
        while hub.stats.delivered < 3 * len(lists):
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 3
        assert hub.stats.backlog_bytes == 0
        for listening in lists:
            assert [(await anext(listening)).data for _ in range(3)] == ["0", "1", "2"]


async def test_publishing_more_than_can_be_delivered():
    async with Hub(backlog=10_000) as hub:
        lists = [hub.listen("all") for _ in range(MOST_AT_ONCE + 1)]
        with pytest.raises(HubOverloaded, match="10000 bytes"):
            for _ in range(100):
                hub.publish("all", b"x" * 1000)
        assert hub.stats.refused == 1
        hub.overflow = "count"
        with pytest.raises(HubOverloaded):
            await hub.publish("all", b"x" * 1000)
        assert hub.stats.refused == 2
        await until(lambda: hub.stats.backlog_bytes == 0)
        await hub.publish("all", "again")
        del lists
        gc.collect()
        await until(lambda: hub.stats.topics == 0)


# Slow consumers


async def stalled(there):
    """Give the server's end of a connection whose client doesn't read."""
    connection, client = await there.come(compression=None, max_queue=1)
    client.pause_reading()
    return connection, client


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "close"])
async def test_slow_consumers(policy):
    limit, size, count = 100_000, 10_000, 1000
    async with (
        Hub(slow=Slow(policy, limit)) as hub,
        audience(1, compression=None, ping_interval=None) as there,
    ):
        slow, client = await stalled(there)
        for connection in there.accepted:
            hub.join(connection, "all")
        most = 0
        for number in range(count):
            hub.publish("all", f"{number:{size}}")
            # Who reads is not held up.
            assert int(await there.clients[0].recv()) == number
            assert hub.stats.queued_bytes <= limit
            most = max(most, slow.buffered_amount)
        # The write buffer's limit, and the message that went over it.
        assert most < 2**15 + 2 * size
        stats = hub.stats
        dropped = stats.dropped_oldest + stats.dropped_newest
        if policy == "close":
            assert (stats.closed_slow, dropped) == (1, 0)
            assert hub.stats.connections == 1 and slow.state.name == "CLOSING"
        else:
            assert dropped > 100 and stats.closed_slow == 0
            assert getattr(stats, f"dropped_{policy[5:]}") == dropped
        client.resume_reading()
        got = []
        if policy == "close":
            with pytest.raises(ConnectionClosedError) as caught:
                while True:
                    got.append(int(await client.recv()))
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1013, "too slow")
            assert got == list(range(len(got)))
            return
        while len(got) < count - dropped:
            got.append(int(await client.recv()))
        assert got == sorted(set(got)) and got[0] == 0
        assert (got[-1] == count - 1) == (policy == "drop_oldest")
        assert stats.queued_bytes == 0
        hub.publish("all", "live again")
        assert await client.recv() == "live again"


async def test_a_message_larger_than_the_limit():
    async with Hub(slow=Slow.drop_oldest(1000)) as hub:
        async with hub.listen("all") as messages:
            hub.publish("all", "small")
            hub.publish("all", b"x" * 2000)
            assert (await anext(messages)).data == "small"
        assert hub.stats.dropped_oldest == 1


async def test_slow_programs():
    async with Hub() as hub:
        async with hub.listen("all", slow=Slow.close(1000)) as messages:
            for _ in range(20):
                hub.publish("all", b"x" * 100)
            with pytest.raises(SlowConsumer, match="1000 bytes"):
                await anext(messages)
        assert hub.stats.queued_bytes == 0 and hub.stats.topics == 0


async def test_behind_a_fragmented_message():
    async with Hub() as hub, audience(1) as there:
        [connection], [client] = there.accepted, there.clients
        hub.join(connection, "all")
        go_on = asyncio.Event()

        async def pieces():
            yield "one "
            hub.publish("all", "in between")
            await go_on.wait()
            yield "message"

        sending = asyncio.create_task(connection.send(pieces()))
        await until(lambda: hub.stats.queued_bytes > 0)
        go_on.set()
        await sending
        assert await all_of(client, 2) == ["one message", "in between"]


# Positions and history


async def test_resuming_without_hole_or_doubling():
    async with Hub(history=100) as hub, audience(2) as there:
        joined = await hub.join(there.accepted[0], "room")
        assert joined.recovered is None
        receipts = [hub.publish("room", str(n)) for n in range(10)]
        positions = [await receipt for receipt in receipts]
        assert [position.offset for position in positions] == list(range(1, 11))
        hub.leave(there.accepted[0])
        again = await hub.join(there.accepted[1], "room", since=str(positions[3]))
        assert again.recovered is True and again.positions["room"] == positions[-1]
        hub.publish("room", "live")
        assert await all_of(there.clients[1], 7) == ["4", "5", "6", "7", "8", "9", "live"]
        await nothing_more(there.clients[1])


async def test_resuming_while_messages_are_on_their_way():
    async with Hub(history=100) as hub, audience(1) as there:
        lists = [hub.listen("room") for _ in range(MOST_AT_ONCE + 1)]
        position = await hub.publish("room", "0")
        for number in range(1, 5):
            hub.publish("room", str(number))
        assert hub.stats.backlog_bytes > 0
        assert hub.join(there.accepted[0], "room", since=position).recovered
        hub.publish("room", "5")
        assert await all_of(there.clients[0], 5) == ["1", "2", "3", "4", "5"]
        await nothing_more(there.clients[0])
        assert len(await hub.recent("room")) == 6
        for listening in lists:
            await listening.close()


async def test_what_cannot_be_recovered():
    async with Hub(history=5) as hub, audience(1) as there:
        position = await hub.publish("room", "0")
        for number in range(1, 7):
            hub.publish("room", str(number))
        [connection] = there.accepted
        for since, recovered in [
            (position._replace(offset=2), True),
            (position, False),
            (position._replace(offset=7), True),
            (position._replace(offset=8), False),
            (position._replace(epoch="other"), False),
            (Position("", 0), False),
            ("nonsense", False),
            ("-", False),
            (f"{position.epoch}-²", False),
            ("x" * 10_000, False),
            ({"room": position._replace(offset=6)}, True),
            ({"another": position}, None),
        ]:
            joined = await hub.join(connection, "room", since=since)
            assert joined.recovered is recovered, since
            assert joined.positions["room"].offset == 7
            hub.leave(connection)
        assert await all_of(there.clients[0], 6) == ["2", "3", "4", "5", "6", "6"]
        with pytest.raises(ValueError, match="pattern"):
            hub.join(connection, "room.*", since=position)
        assert hub.stats.connections == 0 or not hub._seats[connection].subscriptions


async def test_history_is_forgotten_after_a_time():
    async with Hub(history=History(5, seconds=0.02)) as hub, audience(1) as there:
        position = await hub.publish("room", "0")
        await until(lambda: not hub._engine.logs)
        hub.join(there.accepted[0], "room")
        assert hub.publish("room", "1").position.epoch != position.epoch
        assert await all_of(there.clients[0], 1) == ["1"]
        assert hub.stats.gaps == 0


async def test_history_is_bounded_in_bytes(monkeypatch):
    """However many topics there are, and however long their messages; the oldest go first."""
    monkeypatch.setattr("tidegate.pubsub.memory.SHARED", 0.05)
    size = 1_000_000
    async with (
        Hub(history=History(50, size=size), wrap=lambda m: m.data * 3) as hub,
        audience(1) as there,
    ):
        engine, [connection] = hub._engine, there.accepted
        hub.join(connection, "busy")
        first = hub.publish("busy", "first").position
        assert len(engine.logs["busy"].messages) == 1
        for number in range(3000):
            hub.publish(f"topic.{number}", "x" * (number % 3000))
            assert engine.kept <= size
        assert 100 < len(engine.logs) < 1000 and "topic.2999" in engine.logs
        assert "busy" not in engine.logs
        # Who comes back is told, and topics that count anew go on.
        again = hub.publish("busy", "again").position
        assert again.epoch != first.epoch and again.offset == 1
        hub.leave(connection)
        assert hub.join(connection, "busy", since=first).recovered is False
        for number in range(200):
            last = hub.publish("busy", str(number) * 10_000).position
        assert engine.kept <= size and last.offset == 201
        # One message that is longer than all may be isn't kept, but counts.
        hub.publish("busy", "x" * size)
        assert engine.kept <= size and not engine.logs["busy"].messages
        assert hub.join(connection, "other", "busy", since=last).recovered is False
        assert hub.stats.gaps == 0
        # What is made of messages to be sent isn't kept with them.
        hub.publish("kept", "text")
        hub.join(connection, "kept")
        hub.leave(connection, "kept")
        joined = hub.join(connection, "kept", since=hub._engine.page("kept", None).position)
        assert joined.recovered
        message = engine.logs["kept"].messages[0]
        hub.leave(connection, "kept")
        hub.join(connection, "kept", since=Position(joined.positions["kept"].epoch, 0))
        assert message._outgoing is not None
        await until(lambda: message._outgoing is None)


async def test_positions_in_messages():
    def wrap(message):
        return f"{message.topic} {message.position.offset} {message.data}"

    async with Hub(history=5, wrap=wrap) as hub, audience(2) as there:
        for connection in there.accepted:
            hub.join(connection, "room")
        hub.publish("room", b"binary", text=True)
        for client in there.clients:
            assert await client.recv() == "room 1 binary"


async def test_what_wraps_fails(caplog):
    def wrap(message):
        raise LookupError(message.topic)

    async with Hub(wrap=wrap) as hub, audience(1) as there, hub.listen("all") as messages:
        hub.join(there.accepted[0], "all")
        hub.publish("all", "text")
        assert (await anext(messages)).data == "text"
    assert "could not deliver" in caplog.text


# For code of the server


async def test_listening():
    async with Hub(history=5) as hub:
        async with hub.listen("room.*", "news") as messages:
            await messages.ready()
            hub.publish("room.1", "text")
            hub.publish("news", b"bytes")
            got = [await anext(messages) for _ in range(2)]
            assert [(m.topic, m.data, m.position.offset) for m in got] == [
                ("room.1", "text", 1),
                ("news", b"bytes", 1),
            ]
            waiting = asyncio.create_task(anext(messages))
            await asyncio.sleep(0)
            with pytest.raises(HubClosed, match="another task"):
                await anext(messages)
            waiting.cancel()
            await asyncio.wait([waiting])
            hub.publish("news", "after a cancellation")
            assert (await anext(messages)).data == "after a cancellation"
        assert [message async for message in messages] == []


async def test_listening_ends_with_the_hub():
    async with Hub() as hub:
        messages = hub.listen("news")
        task = asyncio.create_task(anext(messages, None))
        await asyncio.sleep(0)
    assert await task is None
    with pytest.raises(HubClosed):
        hub.listen("news")
    with pytest.raises(HubClosed):
        hub.publish("news", "late")
    with pytest.raises(HubClosed):
        await hub.open()
    assert hub.status == "closed"


async def test_from_threads():
    async with Hub(history=5) as hub, hub.listen("all") as messages:
        outcomes = []

        def work():
            with pytest.raises(HubError, match="publish_from_thread"):
                hub.publish("all", "wrong")
            outcomes.append(hub.publish_from_thread("all", "text").result(10))
            outcomes.append(hub.publish_from_thread("all", b"bytes").result(10))

        await asyncio.to_thread(work)
        assert [(await anext(messages)).data for _ in range(2)] == ["text", b"bytes"]
        assert [position.offset for position in outcomes] == [1, 2]
        with pytest.raises(ValueError):
            hub.publish_from_thread("no topic", "text")
        hub.backlog = 1000
        with pytest.raises(HubOverloaded):
            for _ in range(11):
                hub.publish_from_thread("all", b"x" * 100)
        assert len([await anext(messages) for _ in range(10)]) == 10
    with pytest.raises(HubClosed):
        hub.publish_from_thread("all", "late")


# Who is there


async def test_presence():
    async with Hub(presence=True) as hub, audience(2) as there:
        one, two = there.accepted
        events = []

        async def watch():
            async for event in hub.watch("room"):
                events.append((event.joined, event.attendee.user))

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        hub.join(one, "room", "room.*")
        hub.identify(two, "Zoë")
        hub.join(two, "room")
        assert {(a.id, a.user, a.node) for a in await hub.presence("room")} == {
            (str(one.id), None, hub.node),
            (str(two.id), "Zoë", hub.node),
        }
        hub.identify(two, "Zora")
        one.transport.abort()
        await until(lambda: hub.stats.connections == 1)
        assert [a.user for a in await hub.presence("room")] == ["Zora"]
        hub.leave(two)
        assert await hub.presence("room") == []
        await until(lambda: len(events) == 6)
        assert events == [
            (True, None),
            (True, "Zoë"),
            (False, "Zoë"),
            (True, "Zora"),
            (False, None),
            (False, "Zora"),
        ]
        hub.publish_to("Zoë", "nobody")
        watching.cancel()
        await asyncio.wait([watching])
    async with Hub() as hub:
        with pytest.raises(HubError, match="presence=True"):
            await hub.presence("room")


# What makes no sense


async def test_arguments():
    for kwargs in {"overflow": "wait"}, {"history": 0}:
        with pytest.raises((ValueError, TypeError)):
            Hub(**kwargs)
    with pytest.raises(ValueError, match="memory://"):
        Hub("http://secret@example.com")
    with pytest.raises(ValueError):
        Slow.close(-1)
    with pytest.raises(ValueError):
        Slow("sometimes", 1)
    hub = Hub()
    with pytest.raises(HubClosed):
        hub.publish("a", "b")
    async with hub, audience(1) as there:
        with pytest.raises(TypeError, match="isn't a connection"):
            hub.join("me", "room")
        with pytest.raises(TypeError, match="str or bytes"):
            hub.publish("room", 5)
        with pytest.raises(ValueError, match="history"):
            hub.join(there.accepted[0], "room", since="a-1")
        with pytest.raises(UnicodeDecodeError):
            hub.publish("room", b"\xff", text=True)
        with pytest.raises(ValueError, match="without history"):
            await hub.recent("room")


def test_a_connection_of_another_event_loop():
    connections = []

    async def inner():
        async with audience(1) as there:
            connections.append(there.accepted[0])
            made.set()
            await asyncio.to_thread(done.wait, 10)

    made, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(inner(),))
    thread.start()

    async def outer():
        await asyncio.to_thread(made.wait, 10)
        async with Hub() as hub:
            with pytest.raises(TypeError, match="event loop"):
                hub.join(connections[0], "room")

    try:
        asyncio.run(outer())
    finally:
        done.set()
        thread.join()
