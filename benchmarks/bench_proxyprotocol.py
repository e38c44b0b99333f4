"""What PROXY protocol headers cost: reading one, and taking one from each connection.

The parser is compared with that of ``proxy-protocol``, if that is installed, and servers with
``proxy_protocol=`` with the same servers without. What counts is CPU time: the machine may do other
things meanwhile. It is a part of ``make bench``, and runs by itself, too: ``python -m
benchmarks.bench_proxyprotocol``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import multiprocessing
import socket
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import trustme

from tidegate.asyncio.server import serve
from tidegate.proxyprotocol import Header, ProxyPolicy, build, parse
from tidegate.proxyprotocol.tlv import ProxyProtocolSSLTLV, Type

from .report import microseconds, table
from .run import Failure

TITLE = "What PROXY protocol headers cost"

SOURCE, DESTINATION = ("203.0.113.7", 56324), ("198.51.100.9", 443)
IPV6 = Header(source=("2001:db8::1:7", 56324), destination=("2001:db8::9", 443))
PLAIN = Header(source=SOURCE, destination=DESTINATION)
SSL = ProxyProtocolSSLTLV(
    has_ssl=True, version="TLSv1.3", cn="somebody", cipher="TLS_AES_256_GCM_SHA384"
)
FIVE = PLAIN.replace(
    tlvs=[
        (Type.PP2_TYPE_ALPN, b"http/1.1"),
        (Type.PP2_TYPE_AUTHORITY, b"ws.example.com"),
        (Type.PP2_TYPE_CRC32C, bytes(4)),
        (Type.PP2_TYPE_UNIQUE_ID, b"7F000001:86B8_7F000001:4AAD_6AFFFB3B_0008"),
        (Type.PP2_TYPE_SSL, bytes(SSL)),
    ]
)

# What is read, by which version, and how many times less than proxy-protocol it is to take.
PARSED = [
    ("version 1, TCP4", build(PLAIN, version=1), "v1", 10),
    ("version 1, TCP6", build(IPV6, version=1), "v1", 10),
    ("version 2, TCP4", build(PLAIN), "v2", 10),
    ("version 2, TCP6", build(IPV6), "v2", 10),
    ("version 2, five TLVs and checksum", build(FIVE), "v2", 8),
]

# How many percent fewer connections a busy server may take with headers than without.
MAX_COST = 25

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def cpu_time(function: Callable[[], object], rounds: int, number: int) -> float:
    """Give the CPU time that a call takes in the best of the rounds, in seconds."""
    best = float("inf")
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(number):
            function()
        best = min(best, (time.process_time() - begin) / number)
    return best


@dataclasses.dataclass
class Reading:
    """CPU time for reading a header, in seconds; ``theirs`` is None if it wasn't measured."""

    name: str
    ours: float
    theirs: float | None
    factor: int

    @property
    def reached(self) -> bool | None:
        return None if self.theirs is None else self.theirs >= self.factor * self.ours


@dataclasses.dataclass
class Accepting:
    """CPU time of a server per connection with a header and without one, in seconds."""

    name: str
    seconds: float
    without: float
    percent: float
    """How many percent fewer connections a busy server takes."""

    @property
    def reached(self) -> bool:
        return self.percent < MAX_COST


@dataclasses.dataclass
class HeaderCosts:
    """What was measured."""

    reading: list[Reading]
    accepting: list[Accepting]


def measure_reading(quick: bool) -> list[Reading]:
    """Measure what reading headers takes."""
    try:
        from proxyprotocol.version import ProxyProtocolVersion
    except ImportError:
        ProxyProtocolVersion = None
    rounds, number = (3, 2000) if quick else (9, 10_000)
    found = []
    for name, data, version, factor in PARSED:
        ours = cpu_time(lambda data=data: parse(data), rounds, number)
        theirs = None
        if ProxyProtocolVersion is not None:
            unpack = ProxyProtocolVersion.get(version).unpack
            theirs = cpu_time(lambda data=data, unpack=unpack: unpack(data), rounds, number // 5)
        found.append(Reading(name, ours, theirs, factor))
    return found


def run_server(pipe: Connection, with_header: bool, context: ssl.SSLContext | None) -> None:
    """Serve in a process of its own; give its CPU time whenever the pipe asks for it."""

    async def main() -> None:
        async def handler(websocket: Any) -> None:
            await websocket.wait_closed()

        policy = ProxyPolicy(trusted=["127.0.0.1"]) if with_header else None
        async with serve(handler, "127.0.0.1", 0, ssl=context, proxy_protocol=policy) as server:
            pipe.send(server.sockets[0].getsockname()[1])
            ended = asyncio.get_running_loop().create_future()

            def asked() -> None:
                if pipe.recv():
                    pipe.send(time.process_time())
                elif not ended.done():
                    ended.set_result(None)

            asyncio.get_running_loop().add_reader(pipe.fileno(), asked)
            await ended

    asyncio.run(main())


class Server:
    """A server in a process of its own."""

    def __init__(self, header: bytes, contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None):
        self.header = header
        self.client_context = None if contexts is None else contexts[1]
        self.pipe, theirs = multiprocessing.Pipe()
        # TLS contexts can't be sent to another process, so it has to be a copy of this one.
        self.process = multiprocessing.get_context("fork").Process(
            target=run_server, args=(theirs, bool(header), contexts and contexts[0]), daemon=True
        )
        self.process.start()
        # So that the pipe is at its end when the server is.
        theirs.close()
        self.port = int(self.answer())

    def answer(self) -> float:
        """Give what the server says.

        Raises:
            Failure: if it has ended, or says nothing.
        """
        try:
            if self.pipe.poll(30):
                return float(self.pipe.recv())
        except (EOFError, OSError):
            self.process.join(1)
            raise Failure(f"the server ended with exit code {self.process.exitcode}") from None
        raise Failure("the server doesn't answer")

    def cpu_time(self) -> float:
        # Whether it has ended shows when it should answer.
        with contextlib.suppress(OSError):
            self.pipe.send(True)
        return self.answer()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send(False)
        self.process.join(10)
        self.process.kill()

    def connect(self) -> None:
        """Open a WebSocket, and close its connection."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        try:
            if self.header and self.client_context is not None:
                sock.sendall(self.header)
            if self.client_context is not None:
                sock = self.client_context.wrap_socket(sock, server_hostname="localhost")
                sock.sendall(REQUEST)
            else:
                sock.sendall(self.header + REQUEST)
            answer = received = sock.recv(4096)
            while received and b"\r\n\r\n" not in answer:
                received = sock.recv(4096)
                answer += received
            if not answer.startswith(b"HTTP/1.1 101"):
                raise Failure(f"the server answers {answer!r}")
        finally:
            sock.close()

    def cost(self, connections: int) -> float:
        """Give the CPU time that the server takes per connection, in seconds."""
        begin = self.cpu_time()
        try:
            for _ in range(connections):
                self.connect()
        except OSError as exc:
            raise Failure(f"connecting to the server: {exc!r}") from exc
        return (self.cpu_time() - begin) / connections


def measure_accepting(quick: bool) -> list[Accepting]:
    """Measure what connections take with and without headers."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    # Many short rounds, as the CPU has slow and fast times.
    rounds, connections = (15, 30) if quick else (90, 40)
    headers = {"": b"", "version 1": build(PLAIN, version=1), "version 2, five TLVs": build(FIVE)}
    found = []
    for kind, contexts in (("TCP", None), ("TLS", (server_context, client_context))):
        with contextlib.ExitStack() as stack:
            servers = {}
            for name, header in headers.items():
                servers[name] = Server(header, contexts)
                stack.callback(servers[name].stop)
            for server in servers.values():
                server.cost(connections)
            # Each round takes every server in turn.
            costs: dict[str, list[float]] = {name: [] for name in servers}
            for _ in range(rounds):
                for name, server in servers.items():
                    costs[name].append(server.cost(connections))
        without = costs.pop("")
        for name, each in costs.items():
            percents = [(1 - w / e) * 100 for w, e in zip(without, each, strict=True)]
            found.append(
                Accepting(
                    f"{kind}, {name}",
                    statistics.median(each),
                    statistics.median(without),
                    statistics.median(percents),
                )
            )
    return found


def measure_headers(quick: bool) -> HeaderCosts:
    """Measure everything.

    Raises:
        Failure: if a server doesn't do what it should.
    """
    return HeaderCosts(measure_reading(quick), measure_accepting(quick))


def headers_section(costs: HeaderCosts) -> str:
    """Give what was measured as a section of Markdown."""
    reading = [
        [
            r.name,
            microseconds(r.ours),
            "not installed" if r.theirs is None else microseconds(r.theirs),
            "" if r.theirs is None else f"{r.theirs / r.ours:.1f} × less",
            f"{r.factor} × less",
            verdict(r.reached),
        ]
        for r in costs.reading
    ]
    accepting = [
        [
            a.name,
            microseconds(a.seconds),
            microseconds(a.without),
            f"{a.percent:.1f} %",
            f"under {MAX_COST} %",
            verdict(a.reached),
        ]
        for a in costs.accepting
    ]
    return "\n".join(
        (
            f"## {TITLE}\n",
            "Reading one, against proxy-protocol; a call in one process, the best of its rounds.\n",
            table(
                ["CPU µs/header", "tidegate", "proxy-protocol", "measured", "goal", "reached"],
                reading,
            ),
            "Taking one from each connection, up to the end of the opening handshake, with"
            " `proxy_protocol=`\nand without: medians of many short rounds. The cost is that of"
            " connections per second on a busy\nserver.\n",
            table(
                ["CPU µs/connection", "with", "without", "cost", "goal", "reached"],
                accepting,
            ),
        )
    )


def verdict(reached: bool | None) -> str:
    return "" if reached is None else "yes" if reached else "**no**"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a rough picture in seconds")
    print(headers_section(measure_headers(parser.parse_args().quick)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
