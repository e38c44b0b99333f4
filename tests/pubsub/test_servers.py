"""The servers that tests start."""

from __future__ import annotations

import pytest

from . import servers
from .servers import RedisServer

pytestmark = pytest.mark.asyncio_only


async def test_ports_that_are_taken(monkeypatch, tmp_path):
    """A port may be taken, and so may the one of the cluster bus; then another is tried."""
    async with RedisServer() as other:
        ports = [other.port, other.port - 10_000, servers.low_port()]
        if ports[1] < 1024:
            pytest.skip("the port of the cluster bus can't be made to be taken")
        monkeypatch.setattr(servers, "low_port", lambda: ports.pop(0))
        options = ("--cluster-enabled", "yes", "--dir", str(tmp_path))
        async with RedisServer(options=options) as server:
            assert not ports
            assert "redis_mode:cluster" in await server.information()


async def test_servers_that_do_not_start():
    with pytest.raises(AssertionError, match=r"(?s)redis-server ended: .*nonsense"):
        await RedisServer(options=("--nonsense", "yes")).start()
