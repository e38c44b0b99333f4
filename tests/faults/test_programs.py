"""What programs do to connections: handlers that raise, hang, or never read."""

from __future__ import annotations

import logging
import socket
import ssl

import pytest
import trustme

from tidegate.exceptions import ConnectionClosedError, ConnectionClosedOK

from ..faces.drivers import echo, uri_of


async def until(face, condition):
    """Wait until something holds."""
    while not condition():
        await face.sleep(0.005)


async def test_handlers_that_raise(face, caplog):
    """The peer learns 1011 and nothing else, the log all of it; the server goes on."""
    caplog.set_level(logging.ERROR, "tidegate")

    async def handler(connection):
        async for message in connection:
            await connection.send(message)
            if message == "fail":
                raise RuntimeError("secret of the server")

    async with face.serve(handler) as (address, running):
        async with face.connect(uri_of(address)) as connection:
            for message in ("one", "fail"):
                await connection.send(message)
            # What was answered before comes before the end.
            assert await face.recv(connection, 20) == "one"
            assert await face.recv(connection, 20) == "fail"
            with pytest.raises(ConnectionClosedError) as info:
                await face.recv(connection, 20)
        assert info.value.rcvd.code == 1011
        assert "secret" not in info.value.rcvd.reason
        async with face.connect(uri_of(address)) as connection:
            await connection.send("still there")
            assert await face.recv(connection, 20) == "still there"
        await until(face, lambda: not running.connections)
    (record,) = [each for each in caplog.records if each.exc_info]
    assert str(record.exc_info[1]) == "secret of the server"


async def test_handlers_that_never_read(face):
    """What came is bounded, so the Close frame behind it isn't seen; both are free in time."""
    done = []

    async def handler(connection):
        while not done:
            await face.sleep(0.005)

    async with face.serve(
        handler, close_timeout=0.3, max_queue=4, ping_interval=0.3, ping_timeout=0.3
    ) as (
        address,
        running,
    ):
        try:
            async with face.connect(uri_of(address), close_timeout=0.3) as connection:
                for number in range(20):
                    await connection.send(str(number))
                await face.close(connection)
                assert connection.close_code == 1006
            # Although the handler goes on.
            await until(face, lambda: not running.connections)
        finally:
            done.append(True)


async def test_handlers_that_hang_when_the_server_closes(face):
    """The peers are told 1001, and the server doesn't wait for what they say."""
    begun = []
    over = []

    async def handler(connection):
        begun.append(True)
        while not over and connection.close_code is None:
            await face.sleep(0.005)

    async with face.serve(handler, close_timeout=0.5) as (address, running):
        async with face.connect(uri_of(address)) as connection:
            await until(face, lambda: begun)
            async with face.meanwhile(face.close_server, running):
                with pytest.raises(ConnectionClosedOK) as info:
                    await face.recv(connection, 20)
                assert info.value.rcvd.code == 1001
                over.append(True)
        assert not running.connections


async def test_messages_that_come_while_a_server_closes(face):
    """What was answered before the closing handshake was delivered before, in order."""
    async with (
        face.serve(echo, close_timeout=5) as (address, running),
        face.connect(uri_of(address), max_queue=None) as connection,
    ):
        for number in range(100):
            await connection.send(str(number))
        await face.ping(connection)
        received = []
        async with face.meanwhile(face.close_server, running):
            with pytest.raises(ConnectionClosedOK):
                while True:
                    received.append(await face.recv(connection, 20))
        assert received == [str(number) for number in range(len(received))]


def certificate(authority, context, serial):
    """Have a context use a certificate, whose name says which one it is."""
    authority.issue_cert("localhost", common_name=f"number {serial}").configure_cert(context)


def name_of(address, context):
    """Give the name in the certificate of a server."""
    with (
        socket.create_connection(address[:2], 20) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secure,
    ):
        subject = dict(pair for pairs in secure.getpeercert()["subject"] for pair in pairs)
    return subject["commonName"]


async def test_certificates_that_are_renewed(face):
    """Connections go on with the old one, those that begin have the new one; none fails."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    certificate(authority, server, 0)

    tls = {"ssl": client, "server_hostname": "localhost"}
    async with face.serve(echo, ssl=server) as (address, _):
        uri = uri_of(address, scheme="wss")
        async with face.connect(uri, **tls) as old:
            for serial in range(1, 6):
                certificate(authority, server, serial)
                assert await face.blocking(name_of, address, client) == f"number {serial}"
                for _ in range(3):
                    async with face.connect(uri, **tls) as new:
                        for connection in (new, old):
                            await connection.send(str(serial))
                            assert await face.recv(connection, 20) == str(serial)
