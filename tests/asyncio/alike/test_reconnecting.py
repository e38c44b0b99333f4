"""``async for connection in connect(...)``."""

from __future__ import annotations

import itertools
import socket

from .libraries import address, alike, described, log_records, neutral, outcome


async def handler(connection):
    async for message in connection:
        await connection.send(message)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@alike
async def test_a_new_connection_after_each(lib):
    facts = []
    async with lib.serve(handler, "127.0.0.1", 0) as server:
        count = itertools.count(1)
        async for connection in lib.connect(address(server)):
            number = next(count)
            await connection.send(str(number))
            facts.append(await connection.recv())
            if number == 1:
                await connection.close()
                try:
                    await connection.recv()
                except lib.exceptions.ConnectionClosed as exc:
                    facts.append(described(exc))
            elif number == 2:
                continue
            elif number == 3:
                break
        facts.append(connection.state.name)
        await connection.close()
    return facts


@alike
async def test_delays_and_log(lib):
    facts = []
    port = free_port()
    with log_records(f"{lib.name}.client") as records:
        attempts = itertools.count()

        def twice(exc):
            return None if next(attempts) < 2 else exc

        try:
            async for _ in lib.connect(
                f"ws://127.0.0.1:{port}/",
                reconnect_delays=lambda: iter([0.01, 0.02]),
                process_exception=twice,
            ):
                raise AssertionError("there is no server")
        except OSError as exc:
            facts.append(exc.errno)
    facts += [(r.levelname, neutral(r.getMessage()).split(":")[0]) for r in records]
    return facts


@alike
async def test_what_is_retried(lib):
    facts = []
    for exc in (
        OSError("network"),
        ConnectionRefusedError(),
        TimeoutError("timed out"),
        TimeoutError(),
        lib.exceptions.InvalidStatus(lib.Response(500, "", lib.Headers())),
        lib.exceptions.InvalidStatus(lib.Response(502, "", lib.Headers())),
        lib.exceptions.InvalidStatus(lib.Response(503, "", lib.Headers())),
        lib.exceptions.InvalidStatus(lib.Response(504, "", lib.Headers())),
        lib.exceptions.InvalidStatus(lib.Response(404, "", lib.Headers())),
        lib.exceptions.InvalidStatus(lib.Response(403, "", lib.Headers())),
        lib.exceptions.InvalidMessage("bad"),
        lib.exceptions.InvalidURI("x", "y"),
        lib.exceptions.SecurityError("redirect"),
        ValueError("mistake"),
    ):
        facts.append(lib.process_exception(exc) is exc)
    exc = lib.exceptions.InvalidMessage("lost")
    exc.__cause__ = EOFError("early")
    facts.append(lib.process_exception(exc) is exc)
    return facts


@alike
async def test_failures_that_are_not_retried(lib):
    facts = []

    def refuse(connection, request):
        return connection.respond(404, "Not here\n")

    async def once(connecting):
        async for _ in connecting:
            return "connected"

    async with lib.serve(handler, "127.0.0.1", 0, process_request=refuse) as server:
        facts.append(await outcome(once(lib.connect(address(server)))))

        def replace(exc):
            facts.append(described(exc))
            return RuntimeError("other")

        facts.append(await outcome(once(lib.connect(address(server), process_exception=replace))))
    return facts


@alike
async def test_process_exception_that_retries(lib):
    facts = []
    attempts = itertools.count(1)

    def refuse(connection, request):
        if next(attempts) < 3:
            return connection.respond(404, "Not yet\n")

    def retry(exc):
        facts.append(described(exc))

    async with lib.serve(handler, "127.0.0.1", 0, process_request=refuse) as server:
        async for connection in lib.connect(
            address(server), process_exception=retry, reconnect_delays=lambda: iter([0] * 5)
        ):
            await connection.send("there")
            facts.append(await connection.recv())
            break
        await connection.close()
    return facts


@alike
async def test_exceptions_of_the_program_come_through(lib):
    facts = []
    async with lib.serve(handler, "127.0.0.1", 0) as server:
        try:
            async for connection in lib.connect(address(server)):
                facts.append(connection.state.name)
                raise RuntimeError("mistake of the program")
        except RuntimeError as exc:
            facts.append(described(exc))
        await connection.close()
    return facts


@alike
async def test_backoff(lib):
    first = list(itertools.islice(lib.backoff(), 12))
    return [0 <= first[0] <= 5, first[1:], list(itertools.islice(lib.backoff(0, 1, 8, 2), 7))]
