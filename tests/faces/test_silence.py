"""Connections that are cut after a silence, on every face."""

from __future__ import annotations

import socket
import struct
import sys
import time

import pytest

from tidegate import protocol
from tidegate.exceptions import ConnectionClosed, ConnectionClosedError
from tidegate.utils import seconds_of_silence

from . import raw
from .drivers import uri_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(protocol, "LONG_SILENCE", 0.1)


def cut(sock):
    """A script that ends a connection after some time."""
    time.sleep(0.3)
    sock.close()


def reset(sock):
    """A script that breaks it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cut(sock)


def at_once(sock):
    sock.sendall(raw.frame(1, b"last words", mask=False))
    sock.close()


def announced(sock):
    time.sleep(0.3)
    sock.sendall(raw.frame(8, struct.pack("!H", 1000), mask=False))


@pytest.mark.parametrize("script", [cut, reset])
async def test_a_connection_that_is_cut(face, script):
    async with (
        raw.server(face, script) as address,
        face.connect(uri_of(address), ping_interval=None) as connection,
    ):
        with pytest.raises(ConnectionClosedError) as raised:
            await connection.recv()
    assert str(raised.value).startswith("no close frame received or sent; the connection was cut ")
    assert "ping_interval" in raised.value.remark


@pytest.mark.parametrize("script", [at_once, announced])
async def test_connections_that_are_not(face, script, monkeypatch):
    if script is at_once:
        monkeypatch.setattr(protocol, "LONG_SILENCE", 5)
    async with (
        raw.server(face, script) as address,
        face.connect(uri_of(address), ping_interval=None) as connection,
    ):
        with pytest.raises(ConnectionClosed) as raised:
            while True:
                await connection.recv()
    assert raised.value.remark is None
    assert "silence" not in str(raised.value)


def test_who_does_not_know():
    one, other = socket.socketpair()
    with one, other:
        assert seconds_of_silence(one) is None
    assert seconds_of_silence(one) is None
    assert seconds_of_silence(None) is None
