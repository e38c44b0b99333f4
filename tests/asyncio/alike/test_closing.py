"""The closing handshake, and what can be known and done afterwards."""

from __future__ import annotations

import asyncio

from .libraries import alike, described, log_records, neutral, outcome, pair


def state_of(connection):
    return connection.state.name, connection.close_code, connection.close_reason


async def afterwards(lib, connection):
    """Try everything on a connection that is closed."""
    facts = [state_of(connection)]
    for operation in (
        connection.recv(),
        connection.recv(),
        connection.send("text"),
        connection.send(b"bytes"),
        connection.send(["a", "b"]),
        connection.ping(),
        connection.pong(),
        connection.close(),
        connection.wait_closed(),
    ):
        facts.append(await outcome(operation))
    try:
        async for _ in connection:
            facts.append("a message")
        facts.append("end of iteration")
    except lib.exceptions.ConnectionClosed as exc:
        facts.append(described(exc))
    try:
        await connection.recv()
    except lib.exceptions.ConnectionClosed as exc:
        facts += [neutral(str(exc.rcvd)), neutral(str(exc.sent)), exc.rcvd_then_sent]
    return facts


@alike
async def test_close_by_client(lib):
    facts = []
    for arguments in ((), (1000,), (1001, "bye"), (1011, "broken"), (3000,), (4999, "é" * 61)):
        async with pair(lib) as (server, client):
            facts.append((state_of(client), state_of(server)))
            await client.close(*arguments)
            await server.wait_closed()
            facts.append(await afterwards(lib, client))
            facts.append(await afterwards(lib, server))
    return facts


@alike
async def test_close_by_server(lib):
    facts = []
    for arguments in ((), (1000, "why"), (1012,), (1013, "later")):
        async with pair(lib) as (server, client):
            await server.close(*arguments)
            await client.wait_closed()
            facts.append(await afterwards(lib, client))
            facts.append(await afterwards(lib, server))
    return facts


@alike
async def test_what_cannot_be_sent_in_a_close_frame(lib):
    facts = []
    async with pair(lib) as (server, client):
        for arguments in (
            (1005,),
            (1006,),
            (1015,),
            (999,),
            (1004,),
            (5000,),
            (0,),
            (1000, "x" * 124),
        ):
            facts.append(await outcome(client.close(*arguments)))
            facts.append(state_of(client))
        await client.send("usable")
        facts.append(await server.recv())
    return facts


@alike
async def test_connection_lost(lib):
    facts = []
    for _ in range(2):
        async with pair(lib) as (server, client):
            client.transport.abort()
            await client.wait_closed()
            await server.wait_closed()
            facts.append(await afterwards(lib, client))
            facts.append(await afterwards(lib, server))
    return facts


@alike
async def test_both_close_at_once(lib):
    facts = []
    async with pair(lib) as (server, client):
        await asyncio.gather(server.close(3001, "server"), client.close(3002, "client"))
        facts.append(await afterwards(lib, client))
        facts.append(await afterwards(lib, server))
    return facts


@alike
async def test_close_wakes_those_who_wait(lib):
    facts = []
    async with pair(lib) as (server, client):
        receiving = asyncio.create_task(client.recv())
        pong = await client.ping()
        pong.cancel()
        await asyncio.sleep(0)
        await client.close()
        facts.append(await outcome(receiving))
        facts.append(await outcome(asyncio.create_task(server.recv())))
    return facts


@alike
async def test_handler_that_returns(lib):
    facts = []

    async def handler(connection):
        facts.append(await connection.recv())

    async with (
        lib.serve(handler, "127.0.0.1", 0) as server,
        lib.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client,
    ):
        await client.send("message")
        facts.append(await outcome(client.recv()))
    return facts


@alike
async def test_handler_that_raises(lib):
    facts = []

    async def handler(connection):
        raise RuntimeError("mistake of the program")

    with log_records(f"{lib.name}.server") as records:
        async with (
            lib.serve(handler, "127.0.0.1", 0) as server,
            lib.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client,
        ):
            facts.append(await outcome(client.recv()))
    facts += [(record.levelname, neutral(record.getMessage())) for record in records[1:]]
    facts += [described(record.exc_info[1]) for record in records if record.exc_info]
    return facts


@alike
async def test_handler_that_doesnt_catch_connection_closed(lib):
    facts = []

    async def handler(connection):
        await connection.recv()

    for code in (1000, 1001, 3000):
        with log_records(f"{lib.name}.server") as records:
            async with lib.serve(handler, "127.0.0.1", 0) as server:
                uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                async with lib.connect(uri) as client:
                    await client.close(code)
        facts += [(record.levelname, neutral(record.getMessage())) for record in records[1:]]
        facts += [described(record.exc_info[1]) for record in records if record.exc_info]
    return facts


@alike
async def test_context_manager_of_the_client(lib):
    facts = []
    for exception in (ValueError("oops"), asyncio.CancelledError(), KeyboardInterrupt()):
        async with pair(lib) as (server, _):
            try:
                async with _:
                    raise exception
            except BaseException as exc:
                facts.append(type(exc).__name__)
            await server.wait_closed()
            facts.append(state_of(server))
    async with pair(lib) as (server, client):
        try:
            async with client:
                await server.close(1001)
                await client.recv()
        except lib.exceptions.ConnectionClosed as exc:
            facts.append(described(exc))
        facts.append(state_of(client))
    return facts


@alike
async def test_pings(lib):
    facts = []
    async with pair(lib) as (server, client):
        facts.append(client.latency)
        latency = await (await client.ping())
        facts += [type(latency), client.latency == latency]
        for data in (
            None,
            "text",
            b"bytes",
            bytearray(b"array"),
            memoryview(b"view"),
            b"x" * 125,
            "",
        ):
            facts.append(type(await (await client.ping(data))))
        for data in (b"x" * 126, 1, ["a"], {"a": 1}):
            facts.append(await outcome(client.ping(data)))
        for data in (b"x" * 126, 1, ["a"]):
            facts.append(await outcome(client.pong(data)))
        await client.pong()
        await client.pong("heartbeat")
        await client.send("usable")
        facts.append(await server.recv())

        waiter = await client.ping(b"same")
        facts.append(await outcome(client.ping(b"same")))
        await waiter
        await (await client.ping(b"same"))
    return facts


@alike
async def test_pong_that_never_comes(lib):
    facts = []
    async with pair(lib) as (server, client):
        server.transport.pause_reading()
        first, second = await client.ping(), await client.ping()
        client.transport.abort()
        facts += [await outcome(first), await outcome(second)]
        server.transport.resume_reading()
    return facts
