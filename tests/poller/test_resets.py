"""Connections that are reset behind something that says why."""

from __future__ import annotations

import select
import socket

import pytest

from .servers import Buffered, Plain, connected, needs_poller, turns

pytestmark = needs_poller


def write_piece(transport):
    transport.write(b"x")


def write_pieces(transport):
    transport.writelines([b"x", b"y"])


@pytest.mark.parametrize("factory", [Plain, Buffered])
@pytest.mark.parametrize("write", [write_piece, write_pieces])
async def test_what_came_before_a_reset_is_read_although_writing_fails_first(factory, write):
    """It may say why. The transports of asyncio throw it away."""
    data = b"tide" * 25_000
    async with connected("poller", factory) as (client, notes):
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(data))
        assert client.sock.send(data) == len(data)
        client.reset()
        # The event loop hasn't looked yet; what it sees first is that it can't write.
        assert select.select([notes.transport.get_extra_info("socket")], [], [], 10)[0]
        write(notes.transport)
        assert notes.transport.is_closing()
        write(notes.transport)
        assert notes.transport.get_write_buffer_size() == 0
        await notes.until_called("connection_lost")
        assert notes.data == data
        assert isinstance(notes.lost_because(), ConnectionError)


async def test_writing_fails_while_reading_is_paused():
    """Nobody wants what came; the connection is lost at once."""
    async with connected("poller", Plain) as (client, notes):
        notes.transport.pause_reading()
        await client.send(b"unread")
        client.reset()
        notes.transport.write(b"x")
        await notes.until_called("connection_lost")
        assert notes.data == b""
        assert isinstance(notes.lost_because(), ConnectionError)


async def test_closing_after_writing_has_failed():
    async with connected("poller", Plain) as (client, notes):
        await client.send(b"unread")
        client.reset()
        notes.transport.write(b"x")
        notes.transport.close()
        await notes.until_called("connection_lost")
        await turns()
        assert notes.names.count("connection_lost") == 1
