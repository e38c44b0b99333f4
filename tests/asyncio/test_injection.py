"""A25, A40: what ends a line ends up neither on the wire nor in a log."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import ConnectionClosedError, InvalidHandshake, InvalidStatus

from .connections import address, pair, raw_client, raw_server, request

ENDINGS = ["\r\nX-Injected: yes", "\n", "\r", "\0", "\r\n\r\nGET / HTTP/1.1"]
ENDING = pytest.mark.parametrize("ending", ENDINGS, ids=repr)

ARGUMENTS = {
    "value of a header": lambda bad: {"additional_headers": {"X-One": f"one{bad}"}},
    "name of a header": lambda bad: {"additional_headers": {f"X-One{bad}": "one"}},
    "one of many headers": lambda bad: {"additional_headers": [("A", "a"), ("B", f"b{bad}")]},
    "user agent": lambda bad: {"user_agent_header": f"agent{bad}"},
    "origin": lambda bad: {"origin": f"https://example.com{bad}"},
    "subprotocol": lambda bad: {"subprotocols": ["chat", f"super{bad}"]},
}


@contextlib.asynccontextmanager
async def recording():
    """Run a server that answers nothing; give its address and what it received."""
    received = bytearray()
    done = asyncio.Event()

    async def record(reader, writer):
        while data := await reader.read(65536):
            received.extend(data)
        writer.close()
        done.set()

    server = await asyncio.start_server(record, "127.0.0.1", 0)
    async with server:
        yield address(server), received, done


@ENDING
@pytest.mark.parametrize("where", ARGUMENTS)
async def test_arguments_of_connect(where, ending):
    """A25: a ValueError, before the first byte."""
    async with recording() as (uri, received, _):
        with pytest.raises(ValueError) as info:
            await connect(uri, **ARGUMENTS[where](ending))
        assert str(info.value).isprintable()
        await asyncio.sleep(0)
        assert received == b""


@ENDING
@pytest.mark.parametrize("place", ["{0}", "path{0}", "?query={0}", "path{0}?query"])
async def test_uri(place, ending):
    """A25: also where the operating system, or a parser of URIs, would drop them."""
    async with recording() as (uri, received, _):
        with pytest.raises(ValueError) as info:
            await connect(uri + place.format(ending))
        assert str(info.value).isprintable()
        assert received == b""


@ENDING
async def test_reason_of_a_close_frame(ending):
    """A25: the connection is as it was before."""
    async with pair() as (server, client):
        for connection, other in ((server, client), (client, server)):
            with pytest.raises(ValueError) as info:
                await connection.close(1000, f"why{ending}")
            assert str(info.value).isprintable()
            await connection.send("still there")
            assert await other.recv() == "still there"


RESPONSES = {
    "value of a header": lambda response, bad: response.headers.__setitem__("X-One", bad),
    "name of a header": lambda response, bad: response.headers.__setitem__(f"X{bad}", "one"),
    "reason phrase": lambda response, bad: setattr(response, "reason_phrase", f"OK{bad}"),
}


@ENDING
@pytest.mark.parametrize("where", RESPONSES)
@pytest.mark.parametrize("refuse", [False, True])
async def test_responses(where, ending, refuse, caplog):
    """A25: the client learns nothing but that something is wrong with the server."""

    def process_response(connection, request, response):
        if refuse:
            response = connection.respond(403, "No\n")
        RESPONSES[where](response, ending)
        return response

    async with serve(
        lambda connection: None, "127.0.0.1", 0, process_response=process_response
    ) as server:
        with pytest.raises(InvalidStatus) as info:
            await connect(address(server))
    assert info.value.response.status_code == 500
    assert "X-Injected" not in info.value.response.headers
    assert b"njected" not in info.value.response.body
    assert [record.levelname for record in caplog.records] == ["ERROR"]


HOSTILE = "\x1b[31mred\x1b[0m\x9b\x7f\u202e\x85 " + "long " * 1000


def check_logs(caplog):
    """Nothing in the logs breaks lines, colours terminals, or fills the disk."""
    assert caplog.records
    for record in caplog.records:
        message = record.getMessage()
        assert message.isprintable(), message
        assert len(message) < 1000
        if record.exc_info:
            exc = record.exc_info[1]
            while exc is not None:
                assert str(exc).isprintable()
                assert len(str(exc)) < 1000
                exc = exc.__cause__


@pytest.mark.parametrize(
    "head",
    [
        request(f"/{HOSTILE}"),
        request(headers=f"X-One: {HOSTILE}\r\n"),
        request(headers=f"{HOSTILE}: one\r\n"),
        request(headers=f"Origin: {HOSTILE}\r\n"),
        request(headers=f"Sec-WebSocket-Protocol: {HOSTILE}\r\n"),
        request(headers=f"Sec-WebSocket-Extensions: {HOSTILE}\r\n"),
        request().replace(b"Upgrade: websocket", f"Upgrade: {HOSTILE}".encode()),
        request().replace(b"GET", f"GET{HOSTILE}".encode()),
        request().replace(b"HTTP/1.1", HOSTILE.encode()),
        request().replace(b"13\r\n", f"13{HOSTILE}\r\n".encode()),
    ],
    ids=lambda head: repr(head[:12]),
)
async def test_text_of_clients_in_logs(head, caplog):
    """A40"""
    caplog.set_level(logging.DEBUG, "tidegate")
    async with serve(
        lambda connection: None, "127.0.0.1", 0, origins=["https://example.com"]
    ) as server:
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(head)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    check_logs(caplog)


@pytest.mark.parametrize(
    "answer",
    [
        f"HTTP/1.1 403 {HOSTILE}\r\nContent-Length: 0\r\n\r\n",
        f"HTTP/1.1 403 No\r\nX: {HOSTILE}\r\nContent-Length: 0\r\n\r\n",
        f"HTTP/1.1 101 Yes\r\nUpgrade: {HOSTILE}\r\nConnection: Upgrade\r\n\r\n",
        f"{HOSTILE}\r\n\r\n",
        f"HTTP/1.1 302 Found\r\nLocation: {HOSTILE}\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=lambda answer: repr(answer[:20]),
)
async def test_text_of_servers_in_exceptions(answer, caplog):
    """A40"""
    caplog.set_level(logging.DEBUG, "tidegate")

    async def respond(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer.encode())
        writer.write_eof()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        with pytest.raises((InvalidHandshake, ValueError)) as info:
            await connect(address(server))
        exc = info.value
        while exc is not None:
            assert str(exc).isprintable()
            assert len(str(exc)) < 1000
            exc = exc.__cause__
    check_logs(caplog)


@pytest.mark.parametrize("peer_is", ["client", "server"])
async def test_reasons_and_messages_in_logs(peer_is, caplog):
    """A40: that of a Close frame is in the exception, too."""
    caplog.set_level(logging.DEBUG, "tidegate")
    reason = HOSTILE.encode()[:123].decode()
    errors = []

    async def handler(connection):
        try:
            async for _ in connection:
                pass
        except ConnectionClosedError as exc:
            errors.append(exc)

    if peer_is == "client":
        async with serve(handler, "127.0.0.1", 0) as server, raw_client(server) as peer:
            peer.send(1, HOSTILE.encode())
            peer.send_close(3000, reason)
            await peer.close_code()
    else:

        async def script(peer):
            peer.send(1, HOSTILE.encode())
            peer.send_close(3000, reason)
            await peer.close_code()

        async with raw_server(script) as (uri, _), connect(uri) as connection:
            await handler(connection)
    while not errors:
        await asyncio.sleep(0)
    assert str(errors[0]).isprintable()
    # Who wants to know it exactly can.
    assert errors[0].rcvd.reason == reason
    check_logs(caplog)
