"""What docs/performance.md says may surprise: when coroutines go on, and what they see then."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import sys
import time
import traceback

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve

from .connections import TEXT, address, frame, pair, raw_client, turns, until

pytestmark = pytest.mark.parametrize("transports", ["poller", "loop"])


@pytest.fixture(autouse=True)
def choose_transports(transports, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)


async def test_the_task_and_its_context_are_the_ones_that_wait():
    user = contextvars.ContextVar("user", default="nobody")
    seen = {}

    async def handler(connection):
        name = await connection.recv()
        user.set(name)
        seen[name] = []
        task = asyncio.current_task()
        async for _ in connection:
            seen[name].append((asyncio.current_task() is task, user.get()))

    async with serve(handler, "127.0.0.1", 0) as server:
        clients = [await connect(address(server)) for _ in range(3)]
        for number, client in enumerate(clients):
            await client.send(str(number))
        for _ in range(2):
            for client in clients:
                await client.send("")
        for client in clients:
            await client.close()
        await until(lambda: sum(map(len, seen.values())) == 6)
    assert seen == {str(number): [(True, str(number))] * 2 for number in range(3)}
    assert user.get() == "nobody"


async def test_the_stack_shows_the_transport(transports):
    stacks = asyncio.Queue()

    async def handler(connection):
        async for _ in connection:
            stacks.put_nowait([entry.name for entry in traceback.extract_stack()])

    async with serve(handler, "127.0.0.1", 0) as server, connect(address(server)) as client:
        await turns()
        await client.send("")
        stack = await stacks.get()
    assert stack[-1] == "handler"
    if transports == "loop" and isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        # The others are compiled, and show in no stack.
        assert "_read_ready__get_buffer" in stack


async def test_debug_mode_reports_slow_steps(caplog):
    """There is no direct resumption then: what asyncio reports is the handler's own step."""

    async def slow(connection):
        async for _ in connection:
            time.sleep(0.05)

    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.04
    with caplog.at_level(logging.WARNING, "asyncio"):
        async with serve(slow, "127.0.0.1", 0) as server, connect(address(server)) as client:
            await client.send("")
            await client.close()
    reports = [record.getMessage() for record in caplog.records if "took 0." in record.getMessage()]
    if isinstance(loop, asyncio.SelectorEventLoop):
        assert [report for report in reports if "Task" in report and ".slow()" in report]


async def test_a_task_that_runs_is_not_interrupted():
    """What arrives within another task's step waits for the loop's next turn."""
    async with pair() as (_, client):
        order = []

        async def receive():
            order.append(await client.recv())

        receiving = asyncio.create_task(receive())
        await turns()
        # As a transport would do that reads when somebody writes to it.
        data = frame(TEXT, "message")
        view = client.get_buffer(-1)
        view[: len(data)] = data
        client.buffer_updated(len(data))
        order.append("still here")
        assert not receiving.done()
        await receiving
    assert order == ["still here", "message"]


async def test_recv_and_send_are_awaitable_objects():
    async with pair() as (server, client):
        for make, expected in [(lambda: client.send("x"), None), (server.recv, "x")]:
            for wait in [
                lambda awaitable: awaitable,
                asyncio.create_task,
                asyncio.ensure_future,
                asyncio.gather,
                lambda awaitable: asyncio.wait_for(awaitable, 10),
            ]:
                other = server.recv() if expected is None else client.send("x")
                result, _ = await asyncio.gather(in_task(wait, make), other)
                assert result in (expected, [expected])
        awaitable = server.recv()
        assert inspect.isawaitable(awaitable)
        assert asyncio.iscoroutine(awaitable)
        assert not inspect.iscoroutine(awaitable)
        awaitable.close()
        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(server.recv())
            group.create_task(client.send("grouped"))
        assert receiving.result() == "grouped"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await server.recv()


async def in_task(wait, make):
    return await wait(make())


async def test_messages_sent_in_one_step_go_out_together():
    async def answer(connection):
        async for message in connection:
            for part in message.split():
                await connection.send(part)

    async with (
        serve(answer, "127.0.0.1", 0, compression=None) as server,
        raw_client(server) as peer,
    ):
        peer.send(TEXT, "one two three")
        expected = b"".join(frame(TEXT, part) for part in ("one", "two", "three"))
        assert await peer.reader.read(1000) == expected
        await peer.finish()


async def test_a_breakpoint_stops_the_loop_where_it_is(monkeypatch):
    """In a handler that is resumed by the transport, as in any task."""
    looked_at = []

    def look():
        handler = sys._getframe(1)
        looked_at.append(handler.f_locals["message"])

    monkeypatch.setattr(sys, "breakpointhook", look)

    async def handler(connection):
        async for message in connection:
            breakpoint()
            await connection.send(message)

    async with serve(handler, "127.0.0.1", 0) as server, connect(address(server)) as client:
        for message in ("one", "two"):
            await client.send(message)
            assert await client.recv() == message
    assert looked_at == ["one", "two"]


async def test_a_tracer_sees_each_line():
    """Debuggers trace; the lines of a handler come in their order."""
    lines = []

    def trace(frame, event, argument):
        if frame.f_code.co_name == "traced":
            if event == "line":
                lines.append(frame.f_lineno - frame.f_code.co_firstlineno)
            return trace
        return None

    async def traced(connection):
        first = await connection.recv()
        second = await connection.recv()
        await connection.send(first + second)

    async with serve(traced, "127.0.0.1", 0) as server, connect(address(server)) as client:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            await client.send("1")
            await turns(3)
            await client.send("2")
            assert await client.recv() == "12"
        finally:
            sys.settrace(before)
    assert lines == [2, 3]
