"""Hubs on a Redis server that runs, dies, comes back, stops, and is cut off."""

from __future__ import annotations

import asyncio
import collections
import contextlib

import pytest

from tidegate.pubsub import EngineError, Gap, History, Hub, HubOverloaded, Position

from .audience import all_of, audience, nothing_more, until
from .servers import RedisServer

pytest.importorskip("redis")

pytestmark = pytest.mark.asyncio_only


@contextlib.asynccontextmanager
async def hubs(count, server, **kwargs):
    """Give so many hubs on a server."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Hub(server.url, **kwargs)) for _ in range(count)]


async def take(messages, count, timeout=20):
    """Give the data of so many messages."""
    async with asyncio.timeout(timeout):
        return [(await anext(messages)).data for _ in range(count)]


async def test_from_hub_to_hub():
    async with RedisServer() as server, hubs(2, server) as (a, b), audience(2) as there:
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


async def test_each_message_comes_once_however_many_subscriptions_match():
    async with RedisServer() as server, hubs(2, server) as (a, b):
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


async def test_from_one_subscription_for_each_topic_to_one_for_all(monkeypatch):
    monkeypatch.setattr("tidegate.pubsub.remote.MANY", 10)
    async with RedisServer() as server, hubs(2, server, history=1000) as (a, b):
        async with b.listen(*[f"topic.{n}" for n in range(5)], "topic.*") as messages:
            await messages.ready()
            publishing = asyncio.create_task(publish_many(a, "topic.1", 500))
            others = []
            for number in range(5, 40):
                others.append(b.listen(f"topic.{number}"))
                await asyncio.sleep(0.002)
            assert await take(messages, 500) == [str(n) for n in range(500)]
            await publishing
            assert b._engine.all_active
            await others[-1].ready()
            a.publish("topic.39", "late")
            assert await take(others[-1], 1) == ["late"]
            assert await take(messages, 1) == ["late"]
            await until(lambda: not b._engine.active)
            # A new connection begins with what is best then.
            await server.command("CLIENT KILL TYPE pubsub")
            await until(lambda: b.stats.reconnects == 1)
            await publish_many(a, "topic.1", 10)
            assert await take(messages, 10) == [str(n) for n in range(10)]
            assert not b._engine.active
            for listening in others:
                await listening.close()
        assert b.stats.gaps == 1  # that of the pattern


async def publish_many(hub, topic, count, pause=0.0):
    """Publish numbers; give those that the engine has taken."""
    taken = []
    for number in range(count):
        receipt = hub.publish(topic, str(number))
        try:
            await receipt
        except EngineError:
            pass
        else:
            taken.append(str(number))
        await asyncio.sleep(pause)
    return taken


async def test_what_was_missed_of_a_new_count_is_read():
    """A subscription that is lost again while topics count anew misses nothing of that count."""
    gaps = []
    async with (
        RedisServer() as server,
        hubs(1, server, history=100) as [a],
        Hub(server.url, history=100, on_gap=gaps.append) as b,
        b.listen("room") as messages,
    ):
        await messages.ready()
        first = await a.publish("room", "before")
        assert await take(messages, 1) == ["before"]
        server.kill()
        await until(lambda: a.status == b.status == "connecting")
        # This one is held back from the server, until others have published there.
        come_back, greet = asyncio.Event(), b._engine.listening.greet

        async def late(connection):
            await come_back.wait()
            await greet(connection)

        b._engine.listening.greet = late
        await server.start()
        await until(lambda: a.status == "connected")
        last = [await a.publish("room", f"missed {n}") for n in range(3)][-1]
        assert last.epoch != first.epoch and last.offset == 3
        come_back.set()
        await until(lambda: b.status == "connected")
        await a.publish("room", "after")
        assert await take(messages, 4) == ["missed 0", "missed 1", "missed 2", "after"]
        assert "counts anew" in gaps[-1].reason and b.stats.filled >= 3


# Resuming


async def test_resuming_on_another_machine():
    async with RedisServer() as server, hubs(2, server, history=50) as (a, b), audience(2) as there:
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


async def test_resuming_in_the_middle_of_traffic():
    """Again and again, each time from the last position, there is neither hole nor doubling."""

    def wrap(message):
        return f"{message.position} {message.data}"

    async with (
        RedisServer() as server,
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


async def test_history_that_does_not_reach_so_far_back():
    async with RedisServer() as server, hubs(1, server, history=10) as [hub], audience(1) as there:
        position = await hub.publish("room", "0")
        await asyncio.gather(*[hub.publish("room", "x") for _ in range(300)])
        joined = await hub.join(there.accepted[0], "room", since=position)
        assert joined.recovered is False
        await nothing_more(there.clients[0])
        assert 10 <= len(await hub.recent("room")) < 250


async def test_history_that_is_forgotten():
    history = History(10, seconds=0.05)
    async with RedisServer() as server, hubs(1, server, history=history) as [hub]:
        position = await hub.publish("room", "0")
        while await hub.recent("room"):
            await asyncio.sleep(0.02)
        assert (await hub.publish("room", "1")).epoch != position.epoch


# What goes wrong


@pytest.mark.parametrize("kind", ["pubsub", "normal", "both"])
async def test_killed_connections_with_history(kind):
    """All that Redis has taken comes, once and in order."""
    async with RedisServer() as server, hubs(2, server, history=10_000) as (a, b):
        async with b.listen("room", gaps=True) as messages:
            await messages.ready()
            publishing = asyncio.create_task(publish_many(a, "room", 400, 0.001))
            for number in range(4):
                await asyncio.sleep(0.05)
                for one in ("pubsub", "normal") if kind == "both" else (kind,):
                    await server.command(f"CLIENT KILL TYPE {one}")
                await until(lambda number=number: kind == "normal" or b.stats.reconnects > number)
            taken = await publishing
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
        # Of some nobody knew whether Redis had taken them.
        assert [d for d in data if d in set(taken)] == taken
        assert len(set(data)) == len(data) and len(data) - len(taken) <= a.stats.uncertain
        assert a.stats.uncertain == 400 - len(taken)


async def test_killed_connections_without_history():
    """What is missing is told."""
    gaps = []
    async with (
        RedisServer() as server,
        hubs(1, server) as [a],
        Hub(server.url, on_gap=gaps.append) as b,
        b.listen("room", gaps=True) as messages,
    ):
        await messages.ready()
        await a.publish("room", "before")
        await server.command("CLIENT KILL TYPE pubsub")
        await until(lambda: gaps and b.status == "connected")
        await a.publish("room", "after")
        async with asyncio.timeout(20):
            got = [await anext(messages) for _ in range(3)]
        assert [getattr(m, "data", None) for m in got] == ["before", None, "after"]
        assert got[1] == gaps[0] and got[1].topic is None and len(gaps) == 1


@pytest.mark.parametrize("history", [None, 1000])
async def test_server_that_is_killed_and_comes_back(history):
    """What was taken is delivered, what waited is handed over, and the loss is told."""
    gaps = []
    async with (
        RedisServer() as server,
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
        await until(lambda: a.status == b.status == "connected" and bool(gaps))
        await a.publish("room", "after")
        expected = [*([f"meanwhile {n}" for n in range(5)] if history else []), "after"]
        assert await take(here, len(expected)) == expected
        if history:
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
                assert joined.recovered is False


async def test_server_that_comes_back_with_what_it_has_saved(tmp_path):
    """It may have lost the end, so no position counts any more."""
    async with (
        RedisServer(tmp_path) as server,
        hubs(1, server, history=1000) as [hub],
        audience(1) as there,
    ):
        first = await hub.publish("room", "before")
        server.kill()
        await server.start()
        await until(lambda: hub.status == "connected" and hub._engine.commands.up.is_set())
        joined = await hub.join(there.accepted[0], "room", since=first)
        assert joined.recovered is False
        assert (await hub.publish("room", "after")).epoch != first.epoch
        assert [m.data for m in await hub.recent("room")] == ["after"]


@pytest.mark.parametrize("history", [None, 1000])
async def test_server_that_stops(history, monkeypatch):
    """It is noticed though the connections stand; nobody waits; what was told is right."""
    monkeypatch.setattr("tidegate.pubsub.wires.HEARTBEAT", 0.1)
    monkeypatch.setattr("tidegate.pubsub.wires.DEAF_AFTER", 1.0)
    monkeypatch.setattr("tidegate.pubsub.wires.CONNECT_TIMEOUT", 1.0)
    gaps = []
    options = {"history": history, "on_gap": gaps.append}
    async with (
        RedisServer() as server,
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
            # Everything that was taken came, and what Redis read after it went on may have.
            assert len(got) >= 2 + len(outcomes) - len(uncertain)
            assert len(got) <= 2 + len(outcomes)
            assert not told
        else:
            assert told


async def test_scripts_that_are_forgotten():
    async with RedisServer() as server, hubs(1, server, history=10) as [hub]:
        await hub.publish("room", "one")
        await server.command("SCRIPT FLUSH")
        with pytest.raises(EngineError, match="No matching script"):
            await hub.publish("room", "two")
        assert (await hub.publish("room", "three")).offset == 2


async def test_what_others_publish_on_our_channels():
    async with RedisServer() as server, hubs(1, server) as [hub], hub.listen("room") as messages:
        await messages.ready()
        for junk in "x", '""', "2t" + "0" * 60, "2t" + "0" * 20:
            await server.command(f"PUBLISH tidegate:m:room {junk}")
        await until(lambda: hub.stats.failed == 4)
        await hub.publish("room", "text")
        assert await take(messages, 1) == ["text"]


async def test_servers_that_cannot_be_used(monkeypatch):
    async with RedisServer() as server:
        await server.command("CONFIG SET requirepass secret")
        with pytest.raises(EngineError, match="Authentication"):
            await Hub(server.url).open()
        with pytest.raises(EngineError) as caught:
            await Hub(server.url.replace("//", "//:wrong@")).open()
        assert "wrong@" not in str(caught.value)
        async with Hub(server.url.replace("//", "//:secret@")) as hub:
            await hub.publish("room", "text")
    monkeypatch.setattr("tidegate.pubsub.remote.START_TIMEOUT", 0.3)
    with pytest.raises(EngineError, match="no connection"):
        await Hub(server.url).open()


async def test_a_client_in_the_place_of_a_url():
    from redis.asyncio import Redis

    async with RedisServer() as server:
        client = Redis.from_url(server.url, decode_responses=True)
        async with (
            Hub(client, prefix="other[*]") as a,
            hubs(1, server) as [b],
            a.listen("room.*") as messages,
            b.listen("room.*") as apart,
        ):
            await messages.ready()
            await apart.ready()
            await a.publish("room.1", "here")
            await b.publish("room.1", "there")
            assert await take(messages, 1) == ["here"]
            assert await take(apart, 1) == ["there"]
        await client.aclose()


# Who is there


async def test_presence_on_two_machines(monkeypatch):
    async with (
        RedisServer() as server,
        hubs(2, server, presence=True) as (a, b),
        audience(2) as there,
    ):
        events = asyncio.Queue()

        async def watch():
            async for event in b.watch("room"):
                events.put_nowait((event.joined, event.attendee.user, event.attendee.node))

        watching = asyncio.create_task(watch())
        await until(lambda: "$presence.room" in b._engine.active)
        a.identify(there.accepted[0], "Zoë")
        await a.join(there.accepted[0], "room")
        assert await events.get() == (True, "Zoë", a.node)
        b.identify(there.accepted[1], "Yan")
        await b.join(there.accepted[1], "room")
        assert await events.get() == (True, "Yan", b.node)
        for hub in a, b:
            assert {e.user for e in await hub.presence("room")} == {"Zoë", "Yan"}
        # Redis begins anew, and those who are there are told again.
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


async def test_ghosts(monkeypatch):
    """Who was on a machine that died goes when that has expired, and is told of once."""
    monkeypatch.setattr("tidegate.pubsub.remote.EXPIRY", 0.4)
    monkeypatch.setattr("tidegate.pubsub.remote.REFRESH", 0.1)
    async with (
        RedisServer() as server,
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
        await until(lambda: len(left) >= 2)
        assert sorted(left) == sorted([(b.node, ghost), (c.node, ghost)])
        assert {e.node for e in await c.presence("room")} == {b.node, c.node}
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)


def test_without_redis_py(monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "tidegate.pubsub.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ImportError, match=r"tidegate\[redis\]"):
        Hub("redis://localhost")


async def test_cluster(tmp_path):
    options = ("--cluster-enabled", "yes", "--dir", str(tmp_path))
    async with RedisServer(options=options) as server:
        with pytest.raises(EngineError, match="Cluster isn't supported"):
            await Hub(server.url).open()


async def test_failover_by_sentinel(tmp_path):
    """The hub follows to the new master, tells of the loss, and topics count anew."""
    from redis.asyncio.sentinel import Sentinel

    gaps = []
    async with RedisServer() as master, contextlib.AsyncExitStack() as stack:
        replica = await stack.enter_async_context(
            RedisServer(options=("--replicaof", "127.0.0.1", str(master.port)))
        )
        async with asyncio.timeout(30):
            while "master_link_status:up" not in await replica.information():
                await asyncio.sleep(0.05)
        config = tmp_path / "sentinel.conf"
        config.write_text(
            f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds main 1000\n"
        )
        watcher = await stack.enter_async_context(
            RedisServer(options=("--sentinel",), config=config)
        )
        async with asyncio.timeout(30):
            while ",slaves=1," not in (await watcher.information()).replace("\r\n", ","):
                await asyncio.sleep(0.05)
        sentinel = Sentinel([("127.0.0.1", watcher.port)])
        client = sentinel.master_for("main")
        async with (
            Hub(client, history=100, on_gap=gaps.append) as hub,
            hub.listen("room") as messages,
        ):
            await messages.ready()
            first = await hub.publish("room", "before")
            assert await take(messages, 1) == ["before"]
            master.kill()
            await until(lambda: hub.status == "connecting")
            receipt = hub.publish("room", "meanwhile")
            async with asyncio.timeout(40):
                position = await receipt
                while hub.status != "connected":
                    await asyncio.sleep(0.02)
            assert position.epoch != first.epoch and position.offset == 1
            assert "took its place" in gaps[0].reason
            await hub.publish("room", "after")
            got = []
            while got[-1:] != ["after"]:
                got += await take(messages, 1)
            # Even if the new master ends all connections once more.
            assert got == ["meanwhile", "after"]
        await client.aclose()
        for one in sentinel.sentinels:
            await one.aclose()
