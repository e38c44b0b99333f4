"""How connections end, on every face."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from tidegate.exceptions import ConnectionClosedError, ConnectionClosedOK, ProtocolError
from tidegate.protocol import State

from . import raw
from .drivers import echo, pair, uri_of


@pytest.mark.parametrize("from_client", [True, False])
async def test_close(face, from_client):
    async with pair(face) as ends:
        one, other = ends if from_client else reversed(ends)
        async with face.meanwhile(face.close, one, 1001, "bye"):
            with pytest.raises(ConnectionClosedOK) as raised:
                await other.recv()
        assert raised.value.rcvd.code == 1001
        assert raised.value.rcvd.reason == "bye"
        for connection in ends:
            await connection.wait_closed()
            assert connection.state is State.CLOSED
            assert connection.close_code == 1001
            assert connection.close_reason == "bye"
            for _ in range(2):
                with pytest.raises(ConnectionClosedOK):
                    await connection.recv()
                with pytest.raises(ConnectionClosedOK):
                    await connection.send("no")
                await face.close(connection)


async def test_close_while_nobody_receives(face):
    """The other side answers, although its program does something else."""
    async with pair(face, close_timeout=30) as (client, server):
        await face.close(client)
        assert client.close_code == 1000
        await server.wait_closed()


async def test_close_with_an_error_code(face):
    async with pair(face) as (client, server):
        await face.close(client, 4000, "mine")
        with pytest.raises(ConnectionClosedError) as raised:
            async for _ in server:
                raise AssertionError("there is no message")
        assert raised.value.rcvd.code == 4000


async def test_what_cannot_be_said(face):
    async with pair(face) as (client, _):
        for arguments in [(1006,), (1000, "x" * 124)]:
            with pytest.raises(ProtocolError):
                await face.close(client, *arguments)
        assert client.state is State.OPEN


async def test_close_ends_a_recv(face):
    async with pair(face) as (client, _):

        async def close():
            await face.sleep(0.02)
            await face.close(client)

        async with face.meanwhile(close):
            with pytest.raises(ConnectionClosedOK):
                await client.recv()


async def test_the_handler_returns(face):
    async def handler(connection):
        await connection.send("bye")

    async with (
        face.serve(handler) as (address, _),
        face.connect(uri_of(address)) as connection,
    ):
        assert [message async for message in connection] == ["bye"]
        assert connection.close_code == 1000


async def test_the_handler_raises(face, caplog):
    async def handler(connection):
        raise ZeroDivisionError

    async with (
        face.serve(handler) as (address, _),
        face.connect(uri_of(address)) as connection,
    ):
        with pytest.raises(ConnectionClosedError) as raised:
            await connection.recv()
        assert raised.value.rcvd.code == 1011
    assert "connection handler failed" in caplog.text


async def test_an_exception_in_the_block_of_a_client(face):
    codes = []

    async def handler(connection):
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with face.serve(handler) as (address, _):
        with pytest.raises(ZeroDivisionError):
            async with face.connect(uri_of(address)):
                raise ZeroDivisionError
        while not codes:
            await face.sleep(0.001)
    assert codes == [1011]


async def test_the_server_closes(face):
    async with face.serve(echo) as (address, server):
        async with face.connect(uri_of(address)) as connection:
            await face.close_server(server)
            with pytest.raises(ConnectionClosedOK) as raised:
                await connection.recv()
            assert raised.value.rcvd.code == 1001
        with pytest.raises(OSError):
            async with face.connect(uri_of(address)):
                pass


async def test_the_server_closes_with_a_code(face, caplog):
    """Which ends the handler's iteration by an exception, and is no failure of the handler."""

    async def handler(connection):
        async for _ in connection:
            pass

    async with (
        face.serve(handler) as (address, server),
        face.connect(uri_of(address)) as connection,
    ):
        await face.close_server(server, code=1012, reason="again")
        with pytest.raises(ConnectionClosedError) as raised:
            await connection.recv()
        assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (1012, "again")
    assert "connection handler failed" not in caplog.text


async def test_the_server_closes_during_an_opening(face):
    async with face.serve(echo, open_timeout=30) as (address, server):
        with socket.create_connection(address[:2]) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n")
            while not server.all_connections:
                await face.sleep(0.001)
            sock.settimeout(10)

            def read():
                with sock:
                    return raw.read_all(sock)

            async with face.meanwhile(face.close_server, server):
                assert (await face.blocking(read)).startswith(b"HTTP/1.1 503 ")


async def test_a_peer_that_does_not_answer_the_close(face):
    async with (
        raw.server(face, lambda sock: None) as address,
        face.connect(uri_of(address), close_timeout=0.1) as connection,
    ):
        await face.close(connection)
        assert connection.state is State.CLOSED
        assert connection.close_code == 1006


async def test_a_peer_that_does_not_read(face):
    """What waits to be sent doesn't keep closing from having its end."""

    def script(sock):
        time.sleep(0.5)

    async with (
        raw.server(face, script) as address,
        face.connect(uri_of(address), close_timeout=0.1, compression=None) as connection,
    ):
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                await connection.send(b"x" * 100_000, timeout=0.1)
        await face.close(connection)
        assert connection.state is State.CLOSED


async def test_a_send_that_waits_is_told_of_the_end(face):
    """What was given up doesn't count as sent."""
    outcomes = []
    async with (
        raw.server(face, lambda sock: None) as address,
        face.connect(uri_of(address), close_timeout=0.1, compression=None) as connection,
    ):

        async def send():
            try:
                await connection.send(bytes(20_000_000))
            except Exception as exc:
                outcomes.append(exc)
            else:
                outcomes.append(None)

        async with face.meanwhile(send):
            while not connection.buffered_amount:
                await face.sleep(0.001)
            await face.close(connection)
            assert connection.state is State.CLOSED
    assert isinstance(outcomes[0], ConnectionClosedError)
    assert outcomes[0].sent.code == 1000


async def test_a_peer_that_leaves_without_a_word(face):
    async with (
        raw.server(face, lambda sock: sock.close()) as address,
        face.connect(uri_of(address)) as connection,
    ):
        with pytest.raises(ConnectionClosedError) as raised:
            await connection.recv()
        assert raised.value.rcvd is None
        assert connection.close_code == 1006


async def test_a_peer_that_resets(face):
    def script(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    async with raw.server(face, script) as address, face.connect(uri_of(address)) as connection:
        with pytest.raises(ConnectionClosedError):
            await connection.recv()
        with pytest.raises(ConnectionClosedError):
            await connection.send("no")


async def test_a_peer_that_leaves_is_noticed_by_who_sends(face):
    async with (
        raw.server(face, lambda sock: sock.close()) as address,
        face.connect(uri_of(address)) as connection,
    ):
        with pytest.raises(ConnectionClosedError):
            while True:
                await connection.send("x" * 1000)
                await face.sleep(0.001)


async def test_an_error_behind_messages(face):
    """They can be received before it shows."""

    def script(sock):
        sock.sendall(
            raw.frame(1, b"one", mask=False) + raw.frame(1, b"two", mask=False) + b"\x7f\x00"
        )

    async with (
        raw.server(face, script) as address,
        face.connect(uri_of(address), close_timeout=0.1) as connection,
    ):
        assert await connection.recv() == "one"
        assert await connection.recv() == "two"
        with pytest.raises(ConnectionClosedError) as raised:
            await connection.recv()
        assert raised.value.sent.code == 1002
