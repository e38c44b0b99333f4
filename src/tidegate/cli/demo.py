"""`tidegate demo`: a server, a client, a proxy between them, and an account of what they did."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

from ..asyncio.client import ClientConnection, connect
from ..asyncio.server import Server, ServerConnection, serve
from ..testing import HTTPProxyServer
from ..testing.installed import PROGRAMS, InstalledProxy, ProxyNotStarted, installed_programs
from .versions import describe

__all__ = ["add_arguments", "run"]

BUILT_IN = "built-in"

# In seconds. The whole thing takes a few; something is wrong if it takes longer than the limit.
LIMIT = 120
ROUND_TRIPS_TIME = 1.0
RATE_TIME = 1.0

MAX_ROUND_TRIPS = 2000
IN_FLIGHT = 64
SMALL = "x" * 32

# The server answers a text message that begins so in as many fragments as it has lines.
FRAGMENTED = "fragments:\n"


class DemoFailed(Exception):
    """Something that was sent did not come back, or came back wrong."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = (
        "Starts a server on this machine, connects a client to it, directly and through a proxy, "
        "exchanges messages of all kinds, and tells what happened. Nothing leaves the machine. "
        "The exit status is 0 only if everything that was sent came back."
    )
    parser.add_argument(
        "--proxy",
        choices=[*(program.name for program in PROGRAMS), BUILT_IN],
        help="the program to use as the proxy, by default the first of these that is installed; "
        f"{BUILT_IN}, which always is there, runs inside this process",
    )


def run(args: argparse.Namespace) -> int:
    """Show that tidegate works; give the exit status."""
    try:
        asyncio.run(asyncio.wait_for(demonstrate(args.proxy), LIMIT))
    except BrokenPipeError:
        # Nobody reads the account any more.
        raise
    except TimeoutError as exc:
        print(f"\nFAILED: {str(exc) or f'not done after {LIMIT} seconds'}")
        return 1
    except Exception as exc:
        print(f"\nFAILED: {str(exc) or type(exc).__name__}")
        return 1
    print("\nEverything that was sent came back.")
    return 0


async def demonstrate(proxy_name: str | None) -> None:
    """Do everything, and print it."""
    print(describe())
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        uri = f"ws://127.0.0.1:{port}/"
        print(f"\nA server that sends back what it gets listens on {uri}")

        print("\nDirectly")
        await converse(server, uri, None, "")

        async with some_proxy(proxy_name) as (url, name):
            print(f"\nThrough {name}")
            await converse(server, uri, url, f"{url} → ")


def note(label: str, text: str) -> None:
    """Print a line of the account."""
    print(f"  {label:12}{text}", flush=True)


# The server


async def echo(websocket: ServerConnection) -> None:
    """Send back what comes."""
    async for message in websocket:
        if isinstance(message, str) and message.startswith(FRAGMENTED):
            await websocket.send(message.splitlines(keepends=True))
        else:
            await websocket.send(message)


# The proxy


@contextlib.asynccontextmanager
async def some_proxy(name: str | None) -> AsyncIterator[tuple[str, str]]:
    """Run a proxy; give its URL, and what to call it.

    Args:
        name: which; None for the first that is installed and starts, or else the built-in one.
    """
    async with contextlib.AsyncExitStack() as stack:
        programs = installed_programs() if name is None else PROGRAMS
        for program in programs:
            if name not in (None, program.name):
                continue
            try:
                proxy = await stack.enter_async_context(InstalledProxy(program))
            except ProxyNotStarted as exc:
                if name is not None:
                    raise
                print(f"\n{exc}")
                continue
            yield proxy.url, f"{program.name} ({program.path}, process {proxy.pid})"
            return
        built_in = await stack.enter_async_context(HTTPProxyServer())
        why = "" if programs else ": none that this command knows is installed"
        yield built_in.url, f"the CONNECT proxy of tidegate.testing{why}"


# The client


async def converse(server: Server, uri: str, proxy: str | None, via: str) -> None:
    """Connect to the server, exchange messages of all kinds, and tell about it.

    Args:
        server: the server.
        uri: its URI.
        proxy: the URL of the proxy to use.
        via: the part of the route between both ends, in words.

    Raises:
        DemoFailed: if something isn't as it should be.
    """
    started = time.perf_counter()
    connection = await connect(uri, proxy=proxy)
    opening_time = time.perf_counter() - started
    async with connection:
        [peer] = server.connections
        note("route", f"{address(connection.local_address)} → {via}{uri}")
        note("", f"the server sees {address(peer.remote_address)}")
        check((peer.remote_address == connection.local_address) == (proxy is None), "the route")
        assert connection.response is not None
        extensions = connection.response.headers.get("Sec-WebSocket-Extensions", "none")
        note("opening", milliseconds(opening_time) + steps(connection))
        note("extensions", extensions)
        await exchange_messages(connection)
        await measure(connection)
        started = time.perf_counter()
        await connection.close(1000, "that was all")
        closing_time = time.perf_counter() - started
    await peer.wait_closed()
    codes = connection.close_code, peer.close_code
    check(codes == (1000, 1000) and peer.close_reason == "that was all", f"codes {codes}")
    note("closing", f"both sides got code 1000, {milliseconds(closing_time)}")


def steps(connection: ClientConnection) -> str:
    """Say how long each step of the way through a proxy took."""
    if connection.proxy is None:
        return ""
    timings = connection.proxy.timings.items()
    return ": " + ", ".join(f"{step} {milliseconds(seconds)}" for step, seconds in timings)


async def exchange_messages(connection: ClientConnection) -> None:
    """Send messages of all kinds, and check that they come back."""
    texts = ["", "hello", "Grüße, 世界, 🌊", "x" * 125, "x" * 126, "é" * 40_000]
    note("text", f"{await send_each(connection, texts)} characters came back")
    binaries = [b"", b"\x00\xff", os.urandom(65_535), os.urandom(65_536), os.urandom(1_000_000)]
    note("binary", f"{await send_each(connection, binaries)} bytes came back")

    lines = [FRAGMENTED, *(f"fragment number {i}\n" for i in range(1, 8))]
    await connection.send(lines)
    received = [str(fragment) async for fragment in connection.recv_streaming()]
    check("".join(received) == "".join(lines), "a fragmented message")
    # The last fragment may have nothing but the mark of the end.
    count = len([*filter(None, received)])
    check(count == len(lines), "fragments")
    note("fragmented", f"1 message in {len(lines)} fragments came back in {count}")

    table = json.dumps([{"id": i, "name": f"gate {i}", "open": i % 3 == 0} for i in range(5000)])
    with counted(connection) as counter:
        await connection.send(table, compress=True)
        check(await connection.recv() == table, "a compressed message")
    check(counter.size < len(table), "the compressed message, which was not compressed,")
    note("compressed", f"1 message of {len(table):,} bytes, sent in {counter.size:,}, came back")

    latency = await (await connection.ping())
    note("ping", f"answered in {milliseconds(latency)}")


async def send_each(connection: ClientConnection, messages: list[Any]) -> str:
    """Send messages one by one; say how many, and from how long to how long."""
    for message in messages:
        await connection.send(message)
        check(await connection.recv() == message, f"a message of {len(message)}")
    return f"{len(messages)} messages of 0 to {max(map(len, messages)):,}"


async def measure(connection: ClientConnection) -> None:
    """Measure how long small messages take, and how many there are in a second."""
    times: list[float] = []
    end = time.perf_counter() + ROUND_TRIPS_TIME
    while len(times) < MAX_ROUND_TRIPS and time.perf_counter() < end:
        started = time.perf_counter()
        await connection.send(SMALL)
        check(await connection.recv() == SMALL, "a small message")
        times.append(time.perf_counter() - started)
    times.sort()
    note(
        "round trips",
        f"{len(times):,} of {len(SMALL)} bytes: median {milliseconds(statistics.median(times))}, "
        f"99 % within {milliseconds(times[len(times) * 99 // 100])}",
    )

    count = 0
    started = time.perf_counter()
    for _ in range(IN_FLIGHT):
        await connection.send(SMALL)
    while time.perf_counter() < started + RATE_TIME:
        check(await connection.recv() == SMALL, "a small message")
        await connection.send(SMALL)
        count += 1
    for _ in range(IN_FLIGHT):
        check(await connection.recv() == SMALL, "a small message")
    count += IN_FLIGHT
    elapsed = time.perf_counter() - started
    note(
        "rate",
        f"{count / elapsed:,.0f} messages/s there and back, {IN_FLIGHT} in flight, both ends in "
        "this process",
    )


class CountingTransport:
    """A transport that counts the bytes that are written to it."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self.transport.write(data)

    def writelines(self, writes: list[bytes]) -> None:
        self.size += sum(map(len, writes))
        self.transport.writelines(writes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


@contextlib.contextmanager
def counted(connection: ClientConnection) -> Iterator[CountingTransport]:
    """Count the bytes that a connection writes."""
    transport = connection.transport
    counter = CountingTransport(transport)
    connection.transport = cast("asyncio.Transport", counter)
    try:
        yield counter
    finally:
        connection.transport = transport


def check(right: bool, what: str) -> None:
    """Stop if something isn't right."""
    if not right:
        raise DemoFailed(f"{what} did not come back as it should")


def address(name: Any) -> str:
    """Give the address of a socket in one word."""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def milliseconds(seconds: float) -> str:
    """Give a time in words."""
    return f"{seconds * 1000:.3g} ms"
