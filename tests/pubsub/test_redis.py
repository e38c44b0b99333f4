"""Hubs on Redis: what it alone has."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tidegate.pubsub import EngineError, Gap, Hub

from .audience import audience, hubs, publish_many, take, until
from .servers import RedisServer

pytest.importorskip("redis")

pytestmark = pytest.mark.asyncio_only


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
        assert any("counts anew" in gap.reason for gap in gaps) and b.stats.filled >= 3


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


def test_without_redis_py(monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "tidegate.pubsub.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ImportError, match=r"tidegate\[redis\]"):
        Hub("redis://localhost")


def test_commands_as_redis_reads_them():
    from tidegate.pubsub import redis_wire

    words = ("SET", "ключ", b"\x00\r\n\xff", 0, -17, "", b"", "x" * 70_000)
    expected = (
        b"*8\r\n$3\r\nSET\r\n$8\r\n\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87\r\n$4\r\n\x00\r\n\xff\r\n"
        b"$1\r\n0\r\n$3\r\n-17\r\n$0\r\n\r\n$0\r\n\r\n$70000\r\n%b\r\n" % (b"x" * 70_000)
    )
    assert redis_wire.pack(words) == redis_wire.pack_words(words) == expected


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
