"""Handlers by path, on TCP and on Unix sockets."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from werkzeug.routing import Map, Rule

from tidegate.asyncio.client import connect, unix_connect
from tidegate.asyncio.router import Router, route, unix_route
from tidegate.exceptions import InvalidStatus

from .connections import address, request


async def channel(connection, **variables):
    await connection.send(" ".join(f"{name}={value!r}" for name, value in variables.items()))


async def index(connection):
    await connection.send("index")


def url_map(**options):
    return Map(
        [
            Rule("/", endpoint=index),
            Rule("/channel/<uuid:channel_id>", endpoint=channel),
            Rule("/number/<int:number>/", endpoint=channel, defaults={"kind": "n"}),
            Rule("/post", endpoint=index, methods=["GET"]),
            Rule("/old", redirect_to="/"),
        ],
        **options,
    )


async def test_routes():
    some = uuid.uuid4()
    async with route(url_map(), "127.0.0.1", 0) as server:
        for path, expected in (
            ("", "index"),
            ("?query=1", "index"),
            (f"channel/{some}", f"channel_id={some!r}"),
            ("number/3/", "number=3 kind='n'"),
            # They redirect, and the client follows.
            ("number/3", "number=3 kind='n'"),
            ("old", "index"),
        ):
            async with connect(address(server) + path) as client:
                assert await client.recv() == expected
        for path in ("nowhere", "number/x/", "channel/1"):
            with pytest.raises(InvalidStatus) as caught:
                await connect(address(server) + path)
            assert caught.value.response.status_code == 404


async def test_unix_route(tmp_path):
    path = tmp_path / "socket"

    class Own(Router):
        def not_found(self, connection):
            return connection.respond(410, "gone\n")

    async with unix_route(url_map(), path, create_router=Own):
        async with unix_connect(path) as client:
            assert await client.recv() == "index"
        async with unix_connect(path, "ws://localhost/number/3/") as client:
            assert await client.recv() == "number=3 kind='n'"
        with pytest.raises(InvalidStatus, match="410"):
            await unix_connect(path, "ws://localhost/nowhere")


async def test_route_with_tls(certificates):
    async with route(url_map(), "127.0.0.1", 0, ssl=certificates[0]) as server:
        # The redirect stays with TLS.
        uri = address(server, secure=True) + "number/3"
        client = await connect(uri, ssl=certificates[1])
        assert await client.recv() == "number=3 kind='n'"
        await client.close()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_process_request_comes_first(asynchronous):
    def refuse(connection, request):
        if request.path == "/old":
            return connection.respond(403, "no\n")
        return None

    async def refuse_later(connection, request):
        await asyncio.sleep(0)
        return refuse(connection, request)

    process_request = refuse_later if asynchronous else refuse
    async with route(url_map(), "127.0.0.1", 0, process_request=process_request) as server:
        async with connect(address(server)) as client:
            assert await client.recv() == "index"
        with pytest.raises(InvalidStatus, match="403"):
            await connect(address(server) + "old")


HOSTILE = {
    "no Host": (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
    "no Host, HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", 505),
    "two Hosts": (request(headers="Host: other\r\n"), 400),
    "Host with an empty label": (request().replace(b"Host: 127.0.0.1", b"Host: a..b"), 400),
    "very long label": (request().replace(b"127.0.0.1", b"x" * 100 + b".example"), 400),
    "path that isn't UTF-8": (request("/%ff%fe"), 404),
    "path without slash": (request("*"), 404),
    "query that isn't UTF-8": (request("/?%ff=%fe"), 101),
    "not a handshake": (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_requests_are_no_mistakes_of_the_server(name, caplog):
    data, expected = HOSTILE[name]
    async with route(url_map(), "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(data)
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert int(line.split(b" ")[1]) == expected
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
