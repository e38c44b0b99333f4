"""Sending: what can be sent, fragments, time limits, several threads."""

from __future__ import annotations

import threading

import pytest

from tidegate.exceptions import ConcurrencyError, ConnectionClosedError

from ..asyncio.connections import BINARY, CONT, TEXT
from .connections import Task, pair, raw_server, until


def test_types():
    with raw_server() as (client, peer):
        for message, expected in (
            ("text", (TEXT, b"text")),
            (b"bytes", (BINARY, b"bytes")),
            (bytearray(b"array"), (BINARY, b"array")),
            (memoryview(b"view"), (BINARY, b"view")),
        ):
            client.send(message)
            assert peer.receive() == expected
        client.send("as bytes", text=False)
        assert peer.receive() == (BINARY, b"as bytes")
        client.send(b"as text", text=True)
        assert peer.receive() == (TEXT, b"as text")
        for wrong in ({"a": 1}, 5, None):
            with pytest.raises(TypeError):
                client.send(wrong)
        client.send("still open")
        assert peer.receive() == (TEXT, b"still open")
        peer.finish()


def test_fragments():
    with raw_server() as (client, peer):
        client.send(["a", "b"])
        assert [peer.receive() for _ in range(3)] == [(TEXT, b"a"), (CONT, b"b"), (CONT, b"")]
        client.send(iter([b"c"]))
        assert [peer.receive() for _ in range(2)] == [(BINARY, b"c"), (CONT, b"")]
        client.send([])
        client.send("next")
        assert peer.receive() == (TEXT, b"next")
        peer.finish()


def breaks():
    yield "a"
    raise ValueError("half-way")


@pytest.mark.parametrize(
    ("message", "error"), [(["a", 1], TypeError), (["a", b"b"], TypeError), (breaks(), ValueError)]
)
def test_a_message_that_cannot_be_completed_closes_the_connection(message, error):
    with raw_server() as (client, peer):
        with pytest.raises(error):
            client.send(message)
        assert peer.close_code() == 1011
        peer.close()
        with pytest.raises(ConnectionClosedError, match="error in fragmented message"):
            client.send("after")


def test_a_first_item_of_a_wrong_type():
    with raw_server() as (client, peer):
        with pytest.raises(TypeError):
            client.send([1])
        assert peer.close_code() == 1011
        peer.close()


def test_send_during_a_fragmented_message_of_another_thread():
    go_on = threading.Event()

    def fragments():
        yield "a"
        go_on.wait()
        yield "b"

    with pair() as (server, client):
        task = Task(client.send, fragments())
        until(lambda: client.fragmenting)
        for message in ("text", b"bytes", ["more"]):
            with pytest.raises(ConcurrencyError):
                client.send(message)
        # Pings may come between.
        assert client.ping().wait(20)
        go_on.set()
        task.result()
        assert server.recv() == "ab"
        client.send("free")
        assert server.recv() == "free"


def test_close_within_a_fragmented_message():
    with raw_server() as (client, peer):
        go_on = threading.Event()

        def fragments():
            yield "a"
            go_on.wait()
            yield "b"

        task = Task(client.send, fragments())
        assert peer.receive() == (TEXT, b"a")
        closing = Task(client.close)
        assert peer.close_code() == 1011
        peer.close()
        closing.result()
        go_on.set()
        with pytest.raises(ConnectionClosedError):
            task.result()


def test_a_time_limit():
    with raw_server() as (client, peer):
        with pytest.raises(TimeoutError):
            client.send(bytes(20_000_000), timeout=0.05)
        # Never half a frame: it goes out when the peer reads, before what follows.
        task = Task(client.send, "after")
        assert len(peer.receive()[1]) == 20_000_000
        assert peer.receive() == (TEXT, b"after")
        task.result()
        peer.finish()


def test_many_threads_send_whole_messages():
    with pair() as (server, client):
        tasks = [
            Task(lambda n=n: [client.send(bytes([n]) * 100_000) for _ in range(20)])
            for n in range(4)
        ]
        for _ in range(80):
            message = server.recv()
            assert len(message) == 100_000
            assert len(set(message)) == 1
        for task in tasks:
            task.result()


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_both_directions_at_once(kind, certificates):
    """More than all buffers hold, so that each side has to receive while it sends."""
    with pair(kind, certificates=certificates) as (server, client):
        ends = (server, client)
        sending = [Task(lambda c=c: [c.send(bytes(10**6)) for _ in range(20)]) for c in ends]
        receiving = [Task(lambda c=c: [len(c.recv()) for _ in range(20)]) for c in ends]
        for task in receiving:
            assert task.result() == [10**6] * 20
        for task in sending:
            task.result()


def test_compression():
    with pair() as (server, client):
        assert [e.name for e in client.protocol.extensions] == ["permessage-deflate"]
        client.send("x" * 10_000)
        client.send("y" * 10_000, compress=False)
        assert server.recv() == "x" * 10_000
        assert server.recv() == "y" * 10_000
