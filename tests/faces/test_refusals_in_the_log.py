"""Peers that get no connection make one line in the log at most, and many of them few."""

from __future__ import annotations

import logging
import socket

import pytest

from tidegate import Limits
from tidegate.core import tally
from tidegate.exceptions import InvalidStatus

from .drivers import echo, uri_of


def lines(caplog):
    """Give what the server said of its peers."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "tidegate.server" and not record.getMessage().startswith("server ")
    ]


async def rejected(face, address):
    with pytest.raises(InvalidStatus):
        async with face.connect(uri_of(address), origin="https://example.org"):
            pass


async def malformed(face, address):
    with socket.create_connection(address) as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        await face.blocking(sock.recv, 100)


async def silent(face, address):
    with socket.create_connection(address) as sock:
        sock.sendall(b"GET")


async def settled(face, server):
    """Wait until the server has taken note of all ends."""
    for _ in range(2000):
        if not server.all_connections and not server.stats.opening:
            return
        await face.sleep(0.005)
    raise AssertionError("there still are connections")


async def test_one_line_each(face, caplog):
    caplog.set_level(logging.INFO)
    async with face.serve(echo, origins=["https://example.com"]) as (address, server):
        await rejected(face, address)
        await rejected(face, address)
        await settled(face, server)
    assert lines(caplog) == ["connection rejected (403 Forbidden)"] * 2


@pytest.mark.parametrize("peer", [rejected, malformed, silent])
async def test_few_lines_for_many(face, caplog, monkeypatch, peer):
    caplog.set_level(logging.INFO)
    # One line at first, and then none for a quarter of an hour.
    monkeypatch.setattr(tally, "MOST_LINES", 0.001)
    async with face.serve(echo, origins=["https://example.com"]) as (address, server):
        for _ in range(20):
            await peer(face, address)
        while len(lines(caplog)) + server.tally.untold < 20:
            await face.sleep(0.005)
        assert len(lines(caplog)) == 1
        # A quarter of an hour later.
        server.tally.lines.level = 1.0
        await rejected(face, address)
        await settled(face, server)
    assert lines(caplog)[1:] == [
        "19 peers that got no connection are left out of the log",
        "connection rejected (403 Forbidden)",
    ]


async def test_peers_over_a_limit(face, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(tally, "MOST_LINES", 0.001)
    limits = Limits(connections=1)
    async with face.serve(echo, limits=limits) as (address, server), face.connect(uri_of(address)):
        for _ in range(5):
            await rejected(face, address)
        while server.tally.untold < 4:
            await face.sleep(0.005)
        assert lines(caplog)[1:] == ["HTTP response sent (503 Service Unavailable)"]


async def test_debugging_tells_everything(face, caplog):
    caplog.set_level(logging.DEBUG)
    async with face.serve(echo, origins=["https://example.com"]) as (address, _):
        for _ in range(10):
            await rejected(face, address)
    assert lines(caplog).count("connection rejected (403 Forbidden)") == 10
