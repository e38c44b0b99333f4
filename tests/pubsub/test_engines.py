"""Hubs on a server of each engine: one that runs, dies, comes back, stops, and is cut off."""

from __future__ import annotations

import asyncio
import collections
import contextlib

import pytest

from tidegate.pubsub import EngineError, Gap, History, Hub, HubOverloaded, Position

from .audience import all_of, audience, hubs, nothing_more, publish_many, take, until
from .servers import Cable

pytestmark = pytest.mark.asyncio_only


async def test_from_hub_to_hub(Engine):
    async with Engine() as server, hubs(2, server) as (a, b), audience(2) as there:
        one, two = there.accepted
        await a.join(one, "room.1")
        await b.join(two, "room.1", "news.>")
        await b.identify(two, "Zoë")
        await asyncio.gather(*[a.publish("room.1", f"number {n}") for n in range(50)])
        a.publish("room.1", b"\x00\xff")
        a.publish("news.sport", "goal")
        a.publish_to("Zoë", "for you")
        await b.publish("nobody.there", "lost")
        expected = [f"number {n}" for n in range(50)] + [b"\x00\xff"]
        assert await all_of(there.clients[0], 51) == expected
        assert await all_of(there.clients[1], 53) == [*expected, "goal", "for you"]
        for client in there.clients:
            await nothing_more(client)
        assert a.status == b.status == "connected" and a.stats.gaps == b.stats.gaps == 0
    assert a.status == "closed"


async def test_each_message_comes_once_however_many_subscriptions_match(Engine):
    async with Engine() as server, hubs(2, server) as (a, b):
        names = ["a.b", "a.*", "a.>", ">", "*.b", "*.*", "x.b.*"]
        async with b.listen(*names) as messages:
            await messages.ready()
            for round_ in range(len(names)):
                for topic in "a.b", "a.c", "a.b.c", "d":
                    await a.publish(topic, f"{topic} {round_}")
                wanted = [t for t in ("a.b", "a.c", "a.b.c", "d") if b._patterns.match(t)]
                if "a.b" in b._groups and "a.b" not in wanted:
                    wanted.insert(0, "a.b")
                assert await take(messages, len(wanted)) == [f"{t} {round_}" for t in wanted]
                assert not messages._seat.queue
                # One after the other is left, with traffic in between.
                b._leave(messages._seat.subscriptions[names[round_]])
                b._engine.lingering = dict.fromkeys(b._engine.lingering, 0.0)
                b._engine.end_lingering()


async def test_from_one_subscription_for_each_topic_to_one_for_all(Engine, monkeypatch):
    """Nothing is lost or comes twice meanwhile; a new connection begins with what is best then."""
    monkeypatch.setattr("tidegate.pubsub.remote.MANY", 10)
    async with (
        Engine() as server,
        Cable(server) as cable,
        hubs(1, server, history=1000) as [a],
        hubs(1, cable, history=1000) as [b],
        b.listen(*[f"topic.{n}" for n in range(5)], "topic.*") as messages,
    ):
        await messages.ready()
        publishing = asyncio.create_task(publish_many(a, "topic.1", 500))
        others = []
        for number in range(5, 40):
            others.append(b.listen(f"topic.{number}"))
            await asyncio.sleep(0.002)
        assert await take(messages, 500) == [str(n) for n in range(500)]
        await publishing
        await others[-1].ready()
        await until(lambda: b._engine.all_active)
        a.publish("topic.39", "late")
        assert await take(others[-1], 1) == ["late"]
        assert await take(messages, 1) == ["late"]
        await until(lambda: nothing_by_itself(b))
        cable.cut()
        await until(lambda: b.stats.reconnects == 1 and b.status == "connected")
        await publish_many(a, "topic.1", 10)
        assert await take(messages, 10) == [str(n) for n in range(10)]
        assert b._engine.all_active and nothing_by_itself(b)
        for listening in others:
            await listening.close()
        # That of the pattern, and those of no topic.
        assert b.stats.gaps == 1


def nothing_by_itself(hub):
    """Say whether no topic is subscribed to by itself."""
    engine = hub._engine
    if engine.name == "Redis":
        return not engine.active
    return not any("topic" in name for name in engine.wire.subscriptions)


async def test_resuming_on_another_machine(Engine):
    async with Engine() as server, hubs(2, server, history=50) as (a, b), audience(2) as there:
        position = await a.publish("room", "0")
        for number in range(1, 10):
            a.publish("room", str(number))
        joined = await b.join(there.accepted[0], "room", since=str(position))
        assert joined.recovered
        assert await all_of(there.clients[0], 9) == [str(n) for n in range(1, 10)]
        await b.publish("room", "10")
        assert await all_of(there.clients[0], 1) == ["10"]
        assert [m.data for m in await a.recent("room")] == [str(n) for n in range(11)]
        for since in "nonsense", "abc-1", position._replace(offset=12), Position("", 0):
            b.leave(there.accepted[1])
            joined = await b.join(there.accepted[1], "room", since=since)
            assert joined.recovered is False
            assert joined.positions["room"].offset == 11
        await nothing_more(there.clients[1])


async def test_resuming_in_the_middle_of_traffic(Engine):
    """Again and again, each time from the last position, there is neither hole nor doubling."""

    def wrap(message):
        return f"{message.position} {message.data}"

    async with (
        Engine() as server,
        hubs(2, server, history=10_000, wrap=wrap) as (a, b),
        audience(1) as there,
    ):
        [connection], [client] = there.accepted, there.clients
        first = await a.publish("room", "first")
        publishing = asyncio.create_task(publish_many(a, "room", 600))
        got, since = [], first
        while len(got) < 600:
            joined = await b.join(connection, "room", since=since)
            assert joined.recovered
            for _ in range(min(20, 600 - len(got))):
                since, number = (await client.recv()).split()
                got.append(number)
            b.leave(connection)
            # What was on its way is forgotten, as it would be with a connection.
            await (await client.ping())
            while client.protocol.frame_reader.held:
                await client.recv()
        assert got == [str(n) for n in range(600)]
        assert await publishing == got


async def test_history_that_does_not_reach_so_far_back(Engine):
    async with Engine() as server, hubs(1, server, history=10) as [hub], audience(1) as there:
        position = await hub.publish("room", "0")
        await asyncio.gather(*[hub.publish("room", "x") for _ in range(300)])
        joined = await hub.join(there.accepted[0], "room", since=position)
        assert joined.recovered is False
        await nothing_more(there.clients[0])
        assert 10 <= len(await hub.recent("room")) < 250
        joined = await hub.join(there.accepted[0], "other", since=position)
        assert joined.recovered is False


async def test_history_that_is_forgotten(Engine):
    history = History(10, seconds=0.05)
    async with (
        Engine() as server,
        hubs(1, server, history=history) as [hub],
        audience(1) as there,
    ):
        position = await hub.publish("room", "0")
        for number in "12":
            while await hub.recent("room"):
                await asyncio.sleep(0.02)
            assert await hub.publish("room", number) != position
        joined = await hub.join(there.accepted[0], "room", since=position)
        assert joined.recovered is False


async def test_connections_that_are_cut_with_history(Engine):
    """All that the engine has taken comes, once and in order, and no gap is told."""
    async with (
        Engine() as server,
        Cable(server) as one,
        Cable(server) as other,
        hubs(1, one, history=10_000) as [a],
        hubs(1, other, history=10_000) as [b],
        b.listen("room", gaps=True) as messages,
    ):
        await messages.ready()
        publishing = asyncio.create_task(publish_many(a, "room", 300, 0.001))
        for number in range(3):
            await asyncio.sleep(0.05)
            one.cut()
            other.cut()
            await until(lambda number=number: b.stats.reconnects > number)
        taken = await publishing
        await until(lambda: a.status == b.status == "connected")
        last = await a.publish("room", "the end")
        got = []
        async with asyncio.timeout(20):
            async for message in messages:
                assert not isinstance(message, Gap), message
                got.append(message)
                if message.data == "the end":
                    break
        assert [m.position.offset for m in got] == list(range(1, last.offset + 1))
        data = [m.data for m in got[:-1]]
        # What nobody knew of may have been taken nevertheless.
        assert set(taken) <= set(data) and len(set(data)) == len(data)
        assert data == sorted(data, key=int)
        assert len(data) <= len(taken) + a.stats.uncertain
        assert b.stats.gaps == 0 and a.stats.refused == 0


async def test_connections_that_are_cut_without_history(Engine):
    """A gap is told, as something may have been published meanwhile."""
    gaps = []
    async with (
        Engine() as server,
        Cable(server) as cable,
        hubs(1, server) as [a],
        Hub(cable.url, on_gap=gaps.append) as b,
        b.listen("room", gaps=True) as messages,
    ):
        await messages.ready()
        await a.publish("room", "before")
        assert await take(messages, 1) == ["before"]
        cable.cut()
        await until(lambda: gaps and b.status == "connected")
        await a.publish("room", "after")
        async with asyncio.timeout(20):
            got = [await anext(messages) for _ in range(2)]
        assert [getattr(m, "data", None) for m in got] == [None, "after"]
        assert got[0] == gaps[0] and got[0].topic is None and len(gaps) == 1


@pytest.mark.parametrize("history", [None, 1000])
async def test_server_that_is_killed_and_comes_back(Engine, history):
    """What was taken is delivered, what waited is handed over, and the loss is told."""
    gaps = []
    async with (
        Engine() as server,
        hubs(1, server, history=history) as [a],
        Hub(server.url, history=history, on_gap=gaps.append) as b,
        a.listen("room") as here,
        b.listen("room") as there,
    ):
        await here.ready()
        await there.ready()
        first = await a.publish("room", "before")
        assert await take(here, 1) == await take(there, 1) == ["before"]
        server.kill()
        await until(lambda: a.status == b.status == "connecting")
        receipts = [a.publish("room", f"meanwhile {n}") for n in range(5)]
        if history is None:
            # Local delivery goes on.
            assert await take(here, 5) == [f"meanwhile {n}" for n in range(5)]
        assert a.stats.backlog_bytes > 0
        await server.start()
        positions = await asyncio.gather(*receipts)
        await until(lambda: a.status == b.status == "connected")
        await until(lambda: bool(gaps) or (history and server.keeps))
        await a.publish("room", "after")
        expected = [*([f"meanwhile {n}" for n in range(5)] if history else []), "after"]
        assert await take(here, len(expected)) == expected
        if history and server.keeps:
            assert [p.offset for p in positions] == [2, 3, 4, 5, 6]
            assert positions[0].epoch == first.epoch
        elif history:
            assert [p.offset for p in positions] == [1, 2, 3, 4, 5]
            assert positions[0].epoch != first.epoch
        got = []
        while not got or got[-1] != "after":
            got += await take(there, 1)
        # Without history, who subscribes later than others publish misses that, which was told.
        assert got == expected if history else got[-1] == "after"
        assert a.stats.uncertain == 0 and a.stats.backlog_bytes == 0
        # The old count is over, even if its numbers come again.
        if history:
            async with audience(1) as clients:
                joined = await b.join(clients.accepted[0], "room", since=first)
                assert joined.recovered is server.keeps


@pytest.mark.parametrize("history", [None, 1000])
async def test_server_that_stops(Engine, history, monkeypatch):
    """It is noticed though the connections stand; nobody waits; what was told is right."""
    monkeypatch.setattr("tidegate.pubsub.wires.HEARTBEAT", 0.1)
    monkeypatch.setattr("tidegate.pubsub.wires.DEAF_AFTER", 1.0)
    monkeypatch.setattr("tidegate.pubsub.wires.CONNECT_TIMEOUT", 1.0)
    gaps = []
    options = {"history": history, "on_gap": gaps.append}
    async with (
        Engine() as server,
        hubs(2, server, backlog=100_000, **options) as (a, b),
        b.listen("room", gaps=True) as messages,
    ):
        await messages.ready()
        await a.publish("room", "before")
        server.pause()
        receipts = [a.publish("room", f"written {n}") for n in range(3)]
        await until(lambda: a.status == b.status == "connecting")
        with pytest.raises(HubOverloaded, match="which is connecting"):
            while True:
                receipts.append(a.publish("room", f"{len(receipts):1000}"))
        assert a.stats.backlog_bytes <= 100_000
        server.resume()
        await until(lambda: a.status == b.status == "connected")
        await a.publish("room", "the end")
        outcomes = await asyncio.gather(*receipts, return_exceptions=True)
        uncertain = [o for o in outcomes if isinstance(o, EngineError)]
        assert len(uncertain) == a.stats.uncertain
        got, told = [], []
        async with asyncio.timeout(20):
            async for message in messages:
                if isinstance(message, Gap):
                    told.append(message)
                    continue
                got.append(message.data)
                if message.data == "the end":
                    break
        counts = collections.Counter(got)
        assert max(counts.values()) == 1 and got[0] == "before"
        if history:
            # Everything that was taken came, and what the engine read after it went on may have.
            assert len(got) >= 2 + len(outcomes) - len(uncertain)
            assert len(got) <= 2 + len(outcomes)
            assert not told
        else:
            assert told


async def test_presence_on_two_machines(Engine, monkeypatch):
    async with (
        Engine() as server,
        hubs(2, server, presence=True) as (a, b),
        audience(2) as there,
    ):
        events = asyncio.Queue()

        async def watch():
            async for event in b.watch("room"):
                events.put_nowait((event.joined, event.attendee.user, event.attendee.node))

        watching = asyncio.create_task(watch())
        await until(lambda: "$presence.room" in b._engine.topics)
        await until(lambda: not b._engine.confirmations)
        a.identify(there.accepted[0], "Zoë")
        await a.join(there.accepted[0], "room")
        assert await events.get() == (True, "Zoë", a.node)
        b.identify(there.accepted[1], "Yan")
        await b.join(there.accepted[1], "room")
        assert await events.get() == (True, "Yan", b.node)
        for hub in a, b:
            assert {e.user for e in await hub.presence("room")} == {"Zoë", "Yan"}
        # The engine begins anew, and those who are there are told again.
        server.kill()
        await server.start()
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(EngineError):
                    if len(await b.presence("room")) == 2:
                        break
                await asyncio.sleep(0.02)
        await a.close()
        assert await events.get() == (False, "Zoë", a.node)
        assert [e.user for e in await b.presence("room")] == ["Yan"]
        watching.cancel()
        await asyncio.wait([watching])


async def test_ghosts(Engine, monkeypatch):
    """Who was on a machine that died goes when that has expired, and is told of once."""
    monkeypatch.setattr("tidegate.pubsub.remote.EXPIRY", 0.4)
    monkeypatch.setattr("tidegate.pubsub.remote.REFRESH", 0.1)
    async with (
        Engine() as server,
        hubs(3, server, presence=True) as (a, b, c),
        audience(3) as there,
    ):
        left = []

        async def watch(hub):
            async for event in hub.watch("room"):
                if not event.joined:
                    left.append((hub.node, event.attendee.id))

        watching = [asyncio.create_task(watch(hub)) for hub in (b, c)]
        for hub, connection in zip((a, b, c), there.accepted, strict=True):
            await hub.join(connection, "room")
        assert len(await b.presence("room")) == 3
        # As if its process had been killed.
        ghost = str(there.accepted[0].id)
        for task in a._engine.tasks:
            task.cancel()
        await asyncio.wait(a._engine.tasks)
        a._engine.has_written = lambda: True
        await until(lambda: len(left) >= 2)
        assert sorted(left) == sorted([(b.node, ghost), (c.node, ghost)])
        assert {e.node for e in await c.presence("room")} == {b.node, c.node}
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)


@pytest.mark.parametrize("fault", ["cut", "stopped", "killed"])
async def test_everything_is_accounted_for(Engine, fault, monkeypatch):
    """Of a thousand receivers, each gets every message that was taken, or is told of a gap."""
    monkeypatch.setattr("tidegate.pubsub.wires.HEARTBEAT", 0.1)
    monkeypatch.setattr("tidegate.pubsub.wires.DEAF_AFTER", 0.5)
    topics = [f"room.{number}" for number in range(20)]
    async with (
        Engine() as server,
        Cable(server) as cable,
        hubs(1, server, history=1000) as [a],
        hubs(2, cable, history=1000) as there,
    ):
        receivers = [hub.listen(topics[n % 20], gaps=True) for hub in there for n in range(500)]
        for receiver in receivers:
            await receiver.ready()
        publishing = [asyncio.create_task(publish_many(a, topic, 40, 0.005)) for topic in topics]
        await until(lambda: there[0].stats.received > 100)
        if fault == "cut":
            cable.cut()
        elif fault == "stopped":
            server.pause()
            await until(lambda: all(hub.status == "connecting" for hub in (a, *there)))
            server.resume()
        else:
            server.kill()
            await until(lambda: all(hub.status == "connecting" for hub in (a, *there)))
            await server.start()
        taken = dict(zip(topics, await asyncio.gather(*publishing), strict=True))
        await until(lambda: all(hub.status == "connected" for hub in (a, *there)))
        for topic in topics:
            await a.publish(topic, "the end")
        got = 0
        for number, receiver in enumerate(receivers):
            data, told = [], False
            async with asyncio.timeout(20):
                async for message in receiver:
                    if isinstance(message, Gap):
                        told = True
                    else:
                        data.append(message.data)
                        if message.data == "the end":
                            break
            assert len(set(data)) == len(data)
            assert data[:-1] == sorted(data[:-1], key=int)
            missing = set(taken[topics[number % 20]]) - set(data)
            assert told or not missing
            # What was only cut off, or stopped, has a history from which all of it is read.
            assert not missing or (fault == "killed" and not server.keeps)
            got += len(data)
        assert got == sum(hub.stats.delivered for hub in there)
        assert all(hub.stats.reconnects >= 1 for hub in there)
        dropped = [(hub.stats.dropped_oldest, hub.stats.dropped_newest) for hub in there]
        assert dropped == [(0, 0)] * 2
