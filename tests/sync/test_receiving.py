"""Receiving: time-outs, who else receives, fragments, interruptions."""

from __future__ import annotations

import os
import select
import signal
import threading
import time

import pytest

from tidegate.exceptions import ConcurrencyError, ConnectionClosedError, ConnectionClosedOK
from tidegate.sync.client import connect

from ..asyncio.connections import BINARY, CONT, PING, PONG, TEXT
from .connections import Task, pair, raw_server, serving, until

KINDS = pytest.mark.parametrize("kind", ["plain", "tls", "unix"])


def echo(connection):
    for message in connection:
        connection.send(message)


@KINDS
def test_messages_of_all_sizes(kind, certificates, tmp_path):
    messages = [
        "",
        "text",
        b"",
        b"bytes",
        "é" * 70_000,
        os.urandom(900_000),
        b"x" * 125,
        b"x" * 126,
    ]
    with pair(kind, certificates=certificates, path=tmp_path / "socket") as (server, client):
        task = Task(echo, server)
        for message in messages:
            client.send(message)
            assert client.recv() == message
        client.close()
        task.result()


def test_a_time_limit():
    with pair() as (server, client):
        with pytest.raises(TimeoutError, match=r"^timed out in 0\.1s$"):
            client.recv(timeout=0.1)
        server.send("late")
        assert client.recv(timeout=20) == "late"


@pytest.mark.parametrize("timeout", [0, -1])
def test_without_waiting(timeout):
    with raw_server() as (client, peer):
        with pytest.raises(TimeoutError):
            client.recv(timeout)
        peer.send(TEXT, "one")
        peer.send(TEXT, "two")
        assert client.recv() == "one"
        until(lambda: os_has_input(client) or has_message(client))
        assert client.recv(timeout) == "two"
        with pytest.raises(TimeoutError):
            client.recv(timeout)
        peer.finish()


def has_message(connection):
    reader = connection.protocol.frame_reader
    return reader.unread() or reader.held


def os_has_input(connection):
    return bool(select.select([connection.socket], [], [], 0)[0])


def test_a_time_limit_within_a_message_loses_nothing():
    with raw_server() as (client, peer):
        peer.send(TEXT, "fir", fin=False)
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.05)
        peer.send(CONT, "st")
        peer.send(TEXT, "second")
        assert client.recv() == "first"
        assert client.recv() == "second"
        # Within a frame, as well.
        peer.sock.sendall(b"\x81\x05ab")
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.05)
        peer.sock.sendall(b"cde")
        assert client.recv() == "abcde"
        peer.finish()


def test_a_second_receiver_is_refused():
    with pair() as (server, client):
        task = Task(client.recv)
        until(lambda: client.reception)
        with pytest.raises(ConcurrencyError, match="another thread is already running recv"):
            client.recv()
        with pytest.raises(ConcurrencyError, match="another thread is already running recv"):
            next(client.recv_streaming())
        server.send("for the first")
        assert task.result() == "for the first"
        server.send("for the second")
        assert client.recv() == "for the second"


def test_streaming():
    with raw_server() as (client, peer):
        peer.send(TEXT, "a", fin=False)
        pieces = client.recv_streaming()
        assert next(pieces) == "a"
        peer.send(PING, b"between")
        peer.send(CONT, "é".encode()[:1], fin=False)
        peer.send(CONT, "é".encode()[1:])
        assert list(pieces) == ["", "é"]
        assert peer.receive() == (PONG, b"between")
        peer.send(BINARY, b"whole")
        assert list(client.recv_streaming()) == [b"whole"]
        peer.finish()


def test_nothing_can_be_received_after_half_a_message():
    with raw_server() as (client, peer):
        peer.send(TEXT, "a", fin=False)
        pieces = client.recv_streaming()
        assert next(pieces) == "a"
        pieces.close()
        peer.send(CONT, "b")
        peer.send(TEXT, "c")
        for _ in range(2):
            with pytest.raises(ConcurrencyError):
                client.recv(timeout=1)
        peer.finish()


def test_decoding():
    with pair() as (server, client):
        server.send("text")
        assert client.recv(decode=False) == b"text"
        server.send(b"bytes")
        assert client.recv(decode=True) == "bytes"
        server.send(b"\xff")
        with pytest.raises(ConnectionClosedError, match="1007"):
            client.recv(decode=True)


def test_iterating():
    def handler(connection):
        for n in range(5):
            connection.send(str(n))

    with serving(handler) as uri, connect(uri) as client:
        for message in client:
            if message == "1":
                break
        assert client.recv() == "2"
        assert list(client) == ["3", "4"]
        with pytest.raises(ConnectionClosedOK):
            client.recv()


def test_iterating_raises_on_other_ends():
    with raw_server() as (client, peer):
        peer.send(TEXT, "message")
        peer.send_close(1011)
        messages = iter(client)
        assert next(messages) == "message"
        peer.close_code()
        peer.close()
        with pytest.raises(ConnectionClosedError, match="1011"):
            next(messages)


def test_messages_before_a_close_can_be_received_after_it():
    with raw_server() as (client, peer):
        peer.send(TEXT, "one")
        peer.send(TEXT, "two")
        peer.finish(1001)
        assert client.wait_closed(20)
        assert client.close_code == 1001
        assert [client.recv(), client.recv()] == ["one", "two"]
        with pytest.raises(ConnectionClosedOK):
            client.recv()
        with pytest.raises(ConnectionClosedOK):
            client.send("late")


@pytest.mark.parametrize("timeout", [None, 20])
@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_an_interruption_leaves_the_connection_usable(timeout):
    def interrupt():
        until(lambda: client.owned)
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    with pair() as (server, client):
        for n in range(3):
            task = Task(interrupt)
            with pytest.raises(KeyboardInterrupt):
                client.recv(timeout)
            task.result()
            assert client.state.name == "OPEN"
            server.send(str(n))
            assert client.recv() == str(n)


def test_a_queue_that_is_full_stops_the_peer():
    with pair(client={"max_queue": 2}) as (server, client):
        task = Task(lambda: [server.send(bytes(10**6)) for _ in range(20)])
        until(lambda: client.hold)
        # The attendant has taken what there is room for, and no more.
        assert client.protocol.frame_reader.held <= 4
        assert [len(client.recv()) for _ in range(20)] == [10**6] * 20
        task.result()


def test_many_small_messages_in_order():
    with pair() as (server, client):
        task = Task(lambda: [server.send(str(n)) for n in range(5000)])
        for n in range(5000):
            if n % 100 == 0:
                # Time-outs in between lose none.
                while True:
                    try:
                        message = client.recv(timeout=0)
                    except TimeoutError:
                        continue
                    break
            else:
                message = client.recv()
            assert message == str(n)
        task.result()


def test_threads_take_turns_receiving():
    with pair() as (server, client):
        lock = threading.Lock()
        got = []

        def receive():
            for _ in range(100):
                with lock:
                    got.append(client.recv())

        tasks = [Task(receive) for _ in range(4)]
        for n in range(400):
            server.send(str(n))
        for task in tasks:
            task.result()
        assert got == [str(n) for n in range(400)]
