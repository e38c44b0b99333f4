"""Hubs on NATS: what it alone has."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import sys

import pytest

from tidegate.pubsub import EngineError, Hub

from .audience import audience, hubs, take, until
from .servers import NatsServer, low_port

pytest.importorskip("nats")

pytestmark = pytest.mark.asyncio_only


async def test_what_others_publish_on_our_subjects():
    import nats

    async with NatsServer() as server, hubs(1, server) as [hub], hub.listen("room") as messages:
        await messages.ready()
        client = await nats.connect(server.url)
        junk = [b"", b"x", b"1t" + b"0" * 40, b"1t" + b"n" * 16 + b"-000000000000001", b"2t" * 40]
        for payload in junk:
            await client.publish("tidegate.m.room", payload)
        await client.flush()
        await client.close()
        await until(lambda: hub.stats.failed == len(junk))
        hub._engine.wire.arrived(0, b"tidegate.m.\xff", b"", b"", None)
        assert hub.stats.failed == len(junk) + 1
        hub._engine.take("tidegate.m.room", b"1t" + b"n" * 16 + b"%016x\xff" % 1, b"")
        await hub.publish("room", "text")
        # What isn't text isn't sent as text.
        assert await take(messages, 2) == [b"\xff", "text"]


@pytest.mark.parametrize("credentials", ["zoe:s%2Fcret", "s%2Fcret"], ids=["password", "token"])
async def test_credentials(credentials):
    """Those of the URL are used, and shown to nobody."""
    password = ("--user", "zoe", "--pass", "s/cret")
    options = password if ":" in credentials else ("--auth", "s/cret")
    async with NatsServer(options) as server:
        for wrong in "", "zoe:wrong@", "wrong@":
            with pytest.raises(EngineError, match="NATS doesn't let us in") as caught:
                await Hub(server.url.replace("//", f"//{wrong}")).open()
            assert "wrong" not in str(caught.value)
        hub = Hub(server.url.replace("//", f"//{credentials}@"), history=10)
        async with hub:
            await hub.publish("room", "text")
            servers = hub._engine.wire.client.servers
            assert "cret" not in repr(servers) + repr(hub._engine.wire.error)
    with pytest.raises(ValueError, match="the address of NATS") as caught:
        Hub("nats://zoe:s/cret@host:port")
    assert "cret" not in str(caught.value)
    with pytest.raises(ValueError, match="a hub's URL begins with") as caught:
        Hub("nats:zoe:s/cret@host")
    assert "cret" not in str(caught.value)


async def test_tls(certificates):
    """It is TLS, whatever a server says of itself."""
    client_context, files = certificates
    options = ("--tls", "--tlscert", files["chain"], "--tlskey", files["key"])
    async with NatsServer(options) as server:
        address = server.url.replace("nats://", "tls://")
        with pytest.raises(EngineError, match="certificate verify failed"):
            await asyncio.wait_for(open_once(Hub(address)), 20)
        async with Hub({"servers": [address], "tls": client_context}) as hub:
            await hub.publish("room", "text")
    async with NatsServer() as server:
        address = server.url.replace("nats://", "tls://zoe:secret@")
        with pytest.raises(EngineError, match="no connection to NATS"):
            await open_once(Hub(address))
        # No credentials have gone to somebody who may be anybody.
        async with Hub(server.url) as hub:
            assert hub.status == "connected"


async def open_once(hub):
    """Try to open a hub."""
    async with hub:
        raise AssertionError("it could be opened")


@pytest.fixture
def certificates(tmp_path, monkeypatch):
    """The context of a client, and files for a server."""
    trustme = pytest.importorskip("trustme")
    monkeypatch.setattr("tidegate.pubsub.remote.START_TIMEOUT", 0.8)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = {"chain": tmp_path / "chain.pem", "key": tmp_path / "key.pem"}
    files["key"].write_bytes(issued.private_key_pem.bytes())
    for part in issued.cert_chain_pems:
        part.write_to_path(files["chain"], append=True)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return client, files


async def test_cancellation_that_gets_lost(monkeypatch):
    """Closing ends, even if a library swallows that it was cancelled."""
    waiting = asyncio.Event()

    async def connect(self, connection):
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("something else") from None

    async with NatsServer() as server:
        async with asyncio.timeout(20), Hub(server.url) as hub:
            monkeypatch.setattr("tidegate.pubsub.nats_wire.NatsWire.connect", connect)
            hub._engine.wire.end("because of the test")
            await waiting.wait()
        assert hub.status == "closed"


async def test_without_jetstream():
    async with NatsServer(jetstream=False) as server:
        for options in {"history": 10}, {"presence": True}:
            with pytest.raises(EngineError, match="JetStream isn't there"):
                await Hub(server.url, **options).open()
        async with hubs(2, server) as (a, b), b.listen("room") as messages:
            await messages.ready()
            await a.publish("room", "text")
            assert await take(messages, 1) == ["text"]


async def test_no_server_there(monkeypatch):
    monkeypatch.setattr("tidegate.pubsub.remote.START_TIMEOUT", 0.5)
    with pytest.raises(EngineError, match=r"no connection to NATS within 0.5 s: .*onnect"):
        await Hub(f"nats://127.0.0.1:{low_port()}").open()


async def test_several_servers():
    """The address of one that is away is followed by that of one that is there."""
    async with (
        NatsServer() as server,
        Hub(f"nats://127.0.0.1:{low_port()},{server.url}/") as hub,
    ):
        await hub.publish("room", "text")


async def test_messages_that_are_too_long(tmp_path):
    config = tmp_path / "nats.conf"
    config.write_text("max_payload: 2000\n")
    async with NatsServer(("-c", config)) as server:
        for history in None, 10:
            async with Hub(server.url, history=history) as hub:
                receipts = [hub.publish("room", text) for text in ("a", "b" * 2000, "c")]
                await receipts[0]
                with pytest.raises(EngineError, match="2000 bytes at most"):
                    await receipts[1]
                await receipts[2]
                assert hub.stats.refused == 1 and hub.stats.reconnects == 0


async def test_what_is_not_allowed(tmp_path):
    """Who may not publish or subscribe is told so; the rest goes on."""
    config = tmp_path / "nats.conf"
    config.write_text(
        "authorization { users = [ { user: zoe, password: secret, permissions: {"
        ' publish: { deny: "tidegate.m.closed" }, subscribe: { deny: "tidegate.m.Hidden" } } } ] }'
    )
    async with (
        NatsServer(("-c", config)) as server,
        audience(1) as there,
        Hub(server.url.replace("//", "//zoe:secret@")) as hub,
    ):
        receipts = [hub.publish(topic, "text") for topic in ("open", "closed", "open")]
        await receipts[0]
        with pytest.raises(EngineError, match="doesn't allow it"):
            await receipts[1]
        await receipts[2]
        for _ in range(2):
            with pytest.raises(EngineError, match="doesn't allow it"):
                await hub.join(there.accepted[0], "Hidden")
            hub.leave(there.accepted[0])
        await hub.join(there.accepted[0], "open")
        assert hub.stats.refused == 1 and hub.stats.reconnects == 0


async def test_a_stream_that_is_deleted():
    """It is made again, topics count anew, and everybody knows."""
    import nats

    gaps = []
    options = {"history": 10}
    async with (
        NatsServer() as server,
        hubs(1, server, **options) as [a],
        Hub(server.url, on_gap=gaps.append, **options) as b,
        b.listen("room") as messages,
    ):
        await messages.ready()
        first = await a.publish("room", "before")
        await a.publish("room", "before")
        client = await nats.connect(server.url)
        await client.jetstream().delete_stream("tidegate-history")
        await client.close()
        await until(lambda: a.stats.reconnects == b.stats.reconnects == 1)
        await until(lambda: a.status == b.status == "connected" and bool(gaps))
        after = await a.publish("room", "after")
        assert after.epoch != first.epoch and after.offset == 1
        assert await take(messages, 3) == ["before", "before", "after"]
        assert "lost a part" in gaps[0].reason


async def test_a_server_that_has_lost_the_end(tmp_path):
    """As after a power failure: no number stands for two messages."""
    gaps = []
    async with NatsServer() as server:
        async with Hub(server.url, history=10) as hub:
            first = await hub.publish("room", "kept")
        server.kill()
        shutil.copytree(server.folder.name, tmp_path / "copy")
        await server.start()
        async with (
            Hub(server.url, history=10, on_gap=gaps.append) as hub,
            hub.listen("room") as messages,
        ):
            await messages.ready()
            lost = await hub.publish("room", "lost")
            assert lost.epoch == first.epoch
            assert await take(messages, 1) == ["lost"]
            server.kill()
            shutil.rmtree(server.folder.name)
            shutil.copytree(tmp_path / "copy", server.folder.name)
            await server.start()
            await until(lambda: hub.stats.reconnects == 1 and bool(gaps))
            after = await hub.publish("room", "after")
            assert after.offset == lost.offset and after.epoch != lost.epoch
            while (await take(messages, 1)) != ["after"]:
                pass
            async with audience(1) as there:
                assert (await hub.join(there.accepted[0], "room", since=lost)).recovered is False


async def test_settings_of_a_stream_follow_those_of_the_hub():
    """What others have set beside them stays."""
    import nats

    async with NatsServer() as server:
        async with Hub(server.url, history=10) as hub:
            await hub.publish("room", "text")
        client = await nats.connect(server.url)
        manager = client.jsm()
        config = (await manager.stream_info("tidegate-history")).config
        assert config.max_msgs_per_subject == 11
        config.max_bytes = 1_000_000
        await manager.update_stream(config)
        async with Hub(server.url, history=20, prefix="tidegate") as hub:
            assert len(await hub.recent("room")) == 1
        config = (await manager.stream_info("tidegate-history")).config
        assert config.max_msgs_per_subject == 21 and config.max_bytes == 1_000_000
        await client.close()


async def test_prefixes():
    """Hubs with different ones are apart, whatever is in them."""
    async with (
        NatsServer() as server,
        hubs(1, server, prefix="other.[*] >", history=10) as [a],
        hubs(1, server, history=10) as [b],
        a.listen("room.*") as messages,
        b.listen("room.*") as apart,
    ):
        await messages.ready()
        await apart.ready()
        await a.publish("room.1", "here")
        await b.publish("room.1", "there")
        assert await take(messages, 1) == ["here"]
        assert await take(apart, 1) == ["there"]


def test_without_nats_py(monkeypatch):
    monkeypatch.delitem(sys.modules, "tidegate.pubsub.nats", raising=False)
    monkeypatch.setitem(sys.modules, "nats.errors", None)
    with pytest.raises(ImportError, match=r"tidegate\[nats\]"):
        Hub("nats://localhost")
