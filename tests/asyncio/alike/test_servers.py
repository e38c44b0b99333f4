"""Servers: what they can be told and asked, how they end, how they route."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid

from werkzeug.routing import Map, Rule

from .libraries import address, alike, described, log_records, neutral, outcome, pair


async def handler(connection):
    await connection.wait_closed()


@alike
async def test_life_of_a_server(lib):
    facts = []
    with log_records(f"{lib.name}.server") as records:
        server = await lib.serve(handler, "127.0.0.1", 0)
        facts += [server.is_serving(), len(server.sockets), server.connections]
        facts.append(server.get_loop() is asyncio.get_running_loop())
        client = await lib.connect(address(server))
        await client.ping()
        facts.append([type(connection).__name__ for connection in server.connections])
        server.close()
        facts.append(server.is_serving())
        await server.wait_closed()
        facts += [client.close_code, client.close_reason, server.connections, len(server.sockets)]
        server.close()
        await server.wait_closed()
    facts += [(r.levelname, neutral(r.getMessage()).split(":")[0]) for r in records]
    return facts


@alike
async def test_close_of_a_server(lib):
    facts = []
    for arguments in ({}, {"code": 1012, "reason": "restart"}, {"code": 3000}):
        async with lib.serve(handler, "127.0.0.1", 0) as server:
            client = await lib.connect(address(server))
            server.close(**arguments)
            await server.wait_closed()
            facts.append(await outcome(client.recv()))
    return facts


@alike
async def test_close_of_a_server_that_keeps_connections(lib):
    facts = []
    async with lib.serve(handler, "127.0.0.1", 0) as server:
        client = await lib.connect(address(server))
        server.close(close_connections=False)
        await asyncio.sleep(0.01)
        facts += [client.state.name, server.is_serving()]
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0)
        facts.append(waiting.done())
        await client.close()
        await waiting
    return facts


@alike
async def test_server_that_was_awaited_is_a_context_manager(lib):
    server = await lib.serve(handler, "127.0.0.1", 0)
    before = server.sockets[0].getsockname()
    async with server as same:
        client = await lib.connect(address(server))
        facts = [same is server, server.sockets[0].getsockname() == before, server.is_serving()]
    facts += [server.is_serving(), await outcome(client.recv())]
    return facts


@alike
async def test_server_that_is_started_later(lib):
    facts = []
    server = await lib.serve(handler, "127.0.0.1", 0, start_serving=False)
    facts.append(server.is_serving())
    await server.start_serving()
    facts.append(server.is_serving())
    async with lib.connect(address(server)) as client:
        facts.append(client.state.name)
    server.close()
    await server.wait_closed()
    return facts


@alike
async def test_serve_forever(lib):
    facts = []
    for start_serving in (True, False):
        server = await lib.serve(handler, "127.0.0.1", 0, start_serving=start_serving)
        task = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0.01)
        facts += [server.is_serving(), task.done()]
        async with lib.connect(address(server)) as client:
            task.cancel()
            facts.append(await outcome(client.recv()))
        try:
            await task
        except asyncio.CancelledError:
            facts.append("cancelled")
        await server.wait_closed()
        facts.append(server.is_serving())
    return facts


@alike
async def test_several_ways_to_listen(lib):
    facts = []
    sock = socket.create_server(("127.0.0.1", 0))
    async with lib.serve(handler, sock=sock) as server, lib.connect(address(server)) as client:
        facts.append(client.state.name)
    async with lib.serve(handler, ["127.0.0.1", "::1"], 0) as server:
        facts.append(len(server.sockets))
    return facts


@alike
async def test_what_can_be_known_of_a_connection(lib):
    facts = []
    async with pair(lib) as (server, client):
        facts += [isinstance(one.id, uuid.UUID) for one in (server, client)]
        facts += [server.id != client.id, server.subprotocol, client.subprotocol]
        facts += [server.remote_address == client.local_address, type(server.local_address)]
        facts += [server.local_address == client.remote_address]
        facts += [server.request.path, client.request.path]
        facts += [server.response.status_code, client.response.status_code]
        facts += [server.close_code, server.close_reason, server.latency]
        facts += [neutral(server.logger.name), neutral(client.logger.name)]
        facts += [type(server.server).__name__, isinstance(client, asyncio.BaseProtocol)]
        facts += [isinstance(client, asyncio.Protocol), isinstance(client.protocol.id, uuid.UUID)]
        facts += [type(one.protocol).__name__ for one in (server, client)]
        # Programs keep what they know of a client on its connection.
        server.nickname = "keeper"
        facts.append(server.nickname)
        facts.append({server: 1}[server])
        addresses = server.remote_address, client.remote_address
    # They can still be asked for afterwards.
    facts.append((server.remote_address, client.remote_address) == addresses)
    facts.append(await outcome(close_exc(server)))
    return facts


async def close_exc(connection):
    return described(connection.protocol.close_exc)


@alike
async def test_own_loggers(lib):
    facts = []
    own = logging.getLogger("own")
    with log_records("own") as records:
        async with pair(lib, server={"logger": own}, client={"logger": own}) as (server, client):
            facts += [server.logger.name, client.logger.name]
    facts += [(record.levelname, record.getMessage().split(":")[0]) for record in records]

    class Adapter(logging.LoggerAdapter):
        def process(self, message, keywords):
            return f"[{self.extra['who']}] {message}", keywords

    with log_records("own") as records:
        adapter = Adapter(own, {"who": "me"})
        async with pair(lib, server={"logger": adapter}, client={"logger": adapter}):
            pass
    facts += [record.getMessage().split(":")[0] for record in records]
    return facts


@alike
async def test_create_connection(lib):
    facts = []

    class Greeting(lib.ServerConnection):
        def __init__(self, *args, **kwargs):
            facts.append((len(args), sorted(kwargs)))
            super().__init__(*args, **kwargs)

        async def greet(self):
            await self.send("hello")

    class Asking(lib.ClientConnection):
        def __init__(self, *args, **kwargs):
            facts.append((len(args), sorted(kwargs)))
            super().__init__(*args, **kwargs)

        async def ask(self):
            return await self.recv()

    async def greeting(connection):
        await connection.greet()

    async with (
        lib.serve(greeting, "127.0.0.1", 0, create_connection=Greeting) as server,
        lib.connect(address(server), create_connection=Asking) as client,
    ):
        facts.append(await client.ask())
    # Which end comes first is a question of the event loop.
    return sorted(map(str, facts))


@alike
async def test_overridden_methods_are_used(lib):
    facts = []

    class Loud(lib.ClientConnection):
        async def recv(self, *args, **kwargs):
            message = await super().recv(*args, **kwargs)
            return message.upper() if isinstance(message, str) else message

        async def send(self, message, *args, **kwargs):
            await super().send(f"{message}!", *args, **kwargs)

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with (
        lib.serve(echo, "127.0.0.1", 0) as server,
        lib.connect(address(server), create_connection=Loud) as client,
    ):
        await client.send("message")
        facts.append(await client.recv())
        await client.send("iterated")
        async for message in client:
            facts.append(message)
            break
    return facts


@alike
async def test_broadcast(lib):
    facts = []
    connected = []

    async def collect(connection):
        connected.append(connection)
        await connection.wait_closed()

    async with lib.serve(collect, "127.0.0.1", 0) as server:
        async with lib.connect(address(server)) as one, lib.connect(address(server)) as other:
            await (await other.ping())
            for message in ("text", b"bytes", bytearray(b"array"), memoryview(b"view"), ""):
                for text in (None, True, False):
                    lib.broadcast(connected, message, text=text)
                    facts += [await one.recv(), await other.recv()]
            lib.broadcast(iter(connected), "iterator")
            facts += [await one.recv(), await other.recv()]
            lib.broadcast([], "nobody")
            for wrong in (1, ["a"], None, {"a": 1}):
                try:
                    lib.broadcast(connected, wrong)
                except Exception as exc:
                    facts.append(described(exc))
        # Those that are closed are left out.
        lib.broadcast(connected, "late", raise_exceptions=True)
    return facts


@alike
async def test_broadcast_during_a_fragmented_message(lib):
    facts = []
    async with pair(lib) as (server, client):
        go_on = asyncio.Event()

        async def fragments():
            yield "a"
            await go_on.wait()
            yield "b"

        sending = asyncio.create_task(server.send(fragments()))
        await asyncio.sleep(0.01)
        with log_records(f"{lib.name}.server", logging.WARNING) as records:
            lib.broadcast([server], "between")
        facts += [(record.levelname, neutral(record.getMessage())) for record in records]
        try:
            lib.broadcast([server], "between", raise_exceptions=True)
        except ExceptionGroup as exc:
            facts.append(str(exc))
            facts += [described(one) for one in exc.exceptions]
        go_on.set()
        await sending
        facts.append(await client.recv())
    return facts


async def channel(connection, **variables):
    await connection.send(repr(variables))


def urls():
    return Map(
        [
            Rule("/", endpoint=channel),
            Rule("/number/<int:number>", endpoint=channel),
            Rule("/name/<name>/", endpoint=channel),
            Rule("/old", redirect_to="/"),
            Rule("/", subdomain="sub", endpoint=channel),
        ]
    )


@alike
async def test_routes(lib):
    facts = []
    async with lib.route(urls(), "127.0.0.1", 0) as server:
        for path in (
            "",
            "?query=1",
            "number/1",
            "number/x",
            "name/a",
            "name/a?query=1",
            "old",
            "nowhere",
        ):
            try:
                async with lib.connect(address(server) + path) as client:
                    facts.append(await client.recv())
            except lib.exceptions.InvalidStatus as exc:
                facts += [exc.response.status_code, bytes(exc.response.body)]
                facts.append(exc.response.headers.get("Location"))
        here = address(server)
    return [str(fact).replace(here, "HERE/") for fact in facts]


@alike
async def test_routes_with_more_arguments(lib):
    facts = []

    async def asynchronous(connection, request):
        if "secret" in request.path:
            return connection.respond(403, "No\n")

    def synchronous(connection, request):
        if "secret" in request.path:
            return connection.respond(403, "No\n")

    class Own(lib.Router):
        def not_found(self, connection):
            return connection.respond(410, "Gone\n")

    for keywords in (
        {"process_request": asynchronous},
        {"process_request": synchronous},
        {"create_router": Own},
        {"server_name": "example.com"},
        {"ssl": True},
    ):
        async with lib.route(urls(), "127.0.0.1", 0, **keywords) as server:
            for path in ("", "secret", "name/a"):
                try:
                    async with lib.connect(address(server) + path) as client:
                        facts.append(await client.recv())
                except lib.exceptions.InvalidStatus as exc:
                    facts.append(exc.response.status_code)
                except lib.exceptions.SecurityError as exc:
                    facts.append(described(exc))
                except OSError:
                    facts.append("cannot connect")
            here = address(server).partition("//")[2]
            facts = [str(fact).replace(here, "HERE/") for fact in facts]
    return facts
