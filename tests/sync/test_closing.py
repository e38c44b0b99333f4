"""Closing: all orders, all time limits, whatever the peer does or doesn't."""

from __future__ import annotations

import gc
import selectors
import socket
import ssl
import threading
import weakref

import pytest

from tidegate.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from tidegate.protocol import CLIENT, Protocol
from tidegate.sync.attendant import Attendant
from tidegate.sync.client import connect
from tidegate.sync.connection import Connection
from tidegate.sync.server import broadcast

from ..asyncio.connections import CLOSE, PING, PONG, TEXT
from .connections import LONG, Task, pair, raw_client, raw_server, serving, until

KINDS = pytest.mark.parametrize("kind", ["plain", "tls", "unix"])


@KINDS
@pytest.mark.parametrize("by", ["server", "client"])
def test_closing_handshake(kind, by, certificates, tmp_path):
    with pair(kind, certificates=certificates, path=tmp_path / "s") as (server, client):
        one, other = (server, client) if by == "server" else (client, server)
        one.close(3001, "why")
        assert other.wait_closed(LONG)
        for connection in (server, client):
            assert (connection.close_code, connection.close_reason) == (3001, "why")
        with pytest.raises(ConnectionClosedError, match=r"sent 3001 .*; then received 3001"):
            one.recv()
        with pytest.raises(ConnectionClosedError, match=r"received 3001 .*; then sent 3001"):
            other.recv()
        one.close()
        one.close(1011)


@KINDS
def test_close_ends_a_recv_in_another_thread(kind, certificates, tmp_path):
    with pair(kind, certificates=certificates, path=tmp_path / "s") as (_, client):
        for _ in range(2):
            task = Task(client.recv)
            until(lambda: client.owned or client.ended)
            client.close()
            with pytest.raises(ConnectionClosedOK):
                task.result()


def test_after_close_send_and_recv_raise_the_same():
    with pair() as (_, client):
        client.close(4000, "bye")
        for call in (client.recv, lambda: client.send("x"), client.ping, client.pong):
            with pytest.raises(ConnectionClosedError, match="4000") as caught:
                call()
            assert caught.value.rcvd.code == caught.value.sent.code == 4000


@pytest.mark.parametrize("exception", [None, KeyError, ConnectionClosedOK(None, None)])
def test_how_with_ends(exception):
    with raw_server() as (client, peer):
        task = Task(peer.close_code)
        try:
            with client:
                threading.Timer(0.05, lambda: (peer.send_close(), peer.close())).start()
                if exception is not None:
                    raise exception
        except (KeyError, ConnectionClosedOK):
            pass
        assert task.result() == (1011 if exception is KeyError else 1000)


def test_a_peer_that_does_not_answer_a_close():
    with raw_server(close_timeout=0.1) as (client, peer):
        client.close()
        assert client.close_code == 1006
        with pytest.raises(
            ConnectionClosedError, match=r"sent 1000 .*no close frame received"
        ) as c:
            client.recv()
        assert "within 0.1 s (close_timeout)" in str(c.value.__cause__)
        assert peer.receive()[0] == CLOSE


def test_a_peer_that_does_not_end_the_connection():
    with raw_server(close_timeout=0.1) as (client, peer):
        task = Task(client.close)
        assert peer.close_code() == 1000
        peer.send_close()
        task.result()
        assert client.close_code == 1000


def fill(connection):
    """Send in another thread until the peer, which doesn't read, has taken all that fits."""
    task = Task(connection.send, bytes(50_000_000))
    until(lambda: connection.waiting)
    return task


@pytest.mark.parametrize("method", ["pong", "ping", "send"])
def test_who_sends_is_told_that_nothing_can_be_sent(method):
    # The peer, which notices the end, does nothing about it.
    with raw_server(close_timeout=0.2) as (client, peer):
        client.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionClosedError) as raised:
            getattr(client, method)(b"bytes")
        assert isinstance(raised.value.__cause__, BrokenPipeError)
        peer.close()


def test_connections_that_were_dropped_do_not_disturb_the_attendant():
    """One may be gone when it is looked at, while a thread is busy with another."""
    attendant = Attendant()
    with selectors.DefaultSelector() as attendant.selector, pair() as (server, _):
        attendant.note_busy(server.ref, server)
        ours, theirs = socket.socketpair()
        dropped = Connection(ours, Protocol(CLIENT))
        reference = dropped.ref
        del dropped
        gc.collect()
        assert reference() is None
        attendant.serve(reference, theirs.fileno(), 0, -1)
        assert list(attendant.busy) == [server.ref]
        theirs.close()


def test_a_peer_that_does_not_read_holds_up_close_no_longer_than_its_limit():
    with raw_server(close_timeout=0.2) as (client, peer):
        task = fill(client)
        client.close()
        assert client.ended
        with pytest.raises(ConnectionClosedError, match="sent 1000"):
            task.result()
        peer.close()


def test_a_peer_that_does_not_read_is_found_dead_by_keepalive():
    with raw_server(ping_interval=0.1, ping_timeout=0.1, close_timeout=0.2) as (client, peer):
        task = fill(client)
        assert client.wait_closed(LONG)
        with pytest.raises(ConnectionClosedError, match="keepalive ping timeout"):
            task.result()
        peer.close()


def test_a_peer_that_answers_no_ping_while_nobody_receives():
    with raw_server(ping_interval=0.05, ping_timeout=0.05) as (client, peer):
        assert peer.receive()[0] == PING
        assert client.wait_closed(LONG)
        assert peer.close_code() == 1011
        with pytest.raises(ConnectionClosedError, match="keepalive ping timeout"):
            client.recv()


def test_keepalive_measures_latency_while_nobody_receives():
    with pair(client={"ping_interval": 0.02}) as (_, client):
        until(lambda: client.latency > 0)
        assert client.state.name == "OPEN"


def test_a_record_of_tls_that_stalls_hangs_nothing(certificates):
    with pair("tls", certificates=certificates, client={"close_timeout": 0.2}) as (_, client):
        # A record whose end never comes.
        client.layers.tls[0].incoming.write(b"\x17\x03\x03\x40\x00half")
        task = Task(client.recv)
        until(lambda: client.owned)
        assert client.wait_closed(0.05) is False
        client.send("goes out")
        client.close()
        with pytest.raises(ConnectionClosed):
            task.result()


def test_what_is_wrong_in_tls_comes_behind_what_was_right(certificates):
    with pair("tls", certificates=certificates) as (server, client):
        server.send("right")
        server.socket.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert client.recv() == "right"
        with pytest.raises(ConnectionClosedError) as caught:
            client.recv()
        assert isinstance(caught.value.__cause__, ssl.SSLError)


def test_pings_of_the_peer_are_answered_while_nobody_receives():
    with raw_server() as (client, peer):
        for n in range(3):
            peer.send(PING, b"%d" % n)
            assert peer.receive() == (PONG, b"%d" % n)
        peer.send(TEXT, "message")
        assert client.recv() == "message"
        # And behind messages that nobody takes.
        peer.send(TEXT, "other")
        peer.send(PING, b"behind")
        assert peer.receive() == (PONG, b"behind")
        assert client.recv() == "other"
        peer.send(PING, b"after")
        assert peer.receive() == (PONG, b"after")
        peer.finish()


def test_pings_are_answered_behind_messages_of_which_one_was_taken():
    with raw_server() as (client, peer):
        peer.sock.sendall(b"\x81\x01a\x81\x01b\x89\x01p")
        assert client.recv() == "a"
        assert peer.receive() == (PONG, b"p")
        assert client.recv() == "b"
        peer.finish()


def test_a_close_of_the_peer_is_noticed_while_nobody_receives():
    with raw_server() as (client, peer):
        peer.finish(1001)
        until(lambda: client.state.name == "CLOSED")
        assert client.close_code == 1001


def test_a_ping_is_answered_while_nobody_receives():
    with pair() as (server, client):
        for connection in (server, client):
            assert connection.ping().wait(LONG)
            assert connection.latency > 0
            assert connection.ping(b"data", ack_on_close=True).wait(LONG)


def test_an_event_of_a_ping_that_is_not_answered():
    with raw_server(close_timeout=0.1) as (client, _):
        plain = client.ping()
        acknowledged = client.ping(ack_on_close=True)
        client.close()
        assert acknowledged.wait(LONG)
        assert not plain.is_set()


def test_wait_closed():
    with pair() as (server, client):
        assert client.wait_closed(0) is False
        assert client.wait_closed(0.05) is False
        server.close()
        assert client.wait_closed() is True


def test_the_end_of_the_stream_without_a_close():
    with raw_server() as (client, peer):
        task = Task(client.recv)
        until(lambda: client.owned)
        peer.close()
        with pytest.raises(ConnectionClosedError, match="no close frame"):
            task.result()
        assert client.close_code == 1006


def test_a_reset_connection_gives_what_came_before():
    with raw_server() as (client, peer):
        peer.send(TEXT, "last words")
        until(lambda: client.protocol.frame_reader.held)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        assert client.recv() == "last words"
        with pytest.raises(ConnectionClosedError):
            client.recv()


def test_no_descriptor_is_freed_under_a_thread_that_waits():
    with raw_server(close_timeout=0.1) as (client, _):
        task = Task(client.recv)
        until(lambda: client.owned)
        fd = client.socket.fileno()
        client.break_off()
        with pytest.raises(ConnectionClosed):
            task.result()
        assert fd >= 0
        assert client.socket.fileno() == -1


def test_a_connection_that_is_dropped_is_closed():
    with serving(lambda connection: connection.wait_closed()) as uri:
        client = connect(uri)
        reference = weakref.ref(client)
        sock = client.socket
        # The attendant may be busy with it just now.
        del client
        until(lambda: gc.collect() is not None and reference() is None)
        assert sock.fileno() == -1


def test_broadcast():
    with pair() as (server, client), raw_server(close_timeout=0.1) as (stuck, _):
        task = fill(stuck)
        broadcast([server, stuck], "to all")
        assert client.recv() == "to all"
        assert stuck.buffered_amount > 0
        stuck.break_off()
        with pytest.raises(ConnectionClosed):
            task.result()


def test_what_broadcast_leaves_goes_out_without_the_program():
    with raw_server() as (client, peer):
        broadcast([client], bytes(20_000_000))
        assert client.buffered_amount > 0
        assert len(peer.receive()[1]) == 20_000_000
        until(lambda: client.buffered_amount == 0)
        peer.finish()


def test_the_server_closes_with_other_code_on_exceptions(caplog):
    def handler(connection):
        raise ValueError("mistake")

    with serving(handler) as uri, raw_client(uri) as peer:
        assert peer.close_code() == 1011
    assert "connection handler failed" in caplog.text
