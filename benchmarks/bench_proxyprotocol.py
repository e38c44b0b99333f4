"""What PROXY protocol headers cost: reading one, and taking one from each connection.

``python -m benchmarks.bench_proxyprotocol`` compares the parser with that of ``proxy-protocol``, if
that is installed, and servers with ``proxy_protocol=`` with the same servers without. What counts
is CPU time: the machine may do other things meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
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

# How much longer a connection may take with a header than without one, in percent.
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


def compare_parsers(quick: bool) -> bool:
    """Print what reading headers takes; say whether the goals are reached."""
    try:
        from proxyprotocol.version import ProxyProtocolVersion
    except ImportError:
        ProxyProtocolVersion = None
    rounds, number = (3, 2000) if quick else (9, 10_000)
    reached = True
    print(
        f"{'reading a header':40} {'tidegate':>10} {'proxy-protocol':>15} {'less':>7} {'goal':>5}"
    )
    for name, data, version, factor in PARSED:
        ours = cpu_time(lambda data=data: parse(data), rounds, number)
        if ProxyProtocolVersion is None:
            print(f"{name:40} {ours * 1e6:7.2f} us {'not installed':>15}")
            continue
        unpack = ProxyProtocolVersion.get(version).unpack
        theirs = cpu_time(lambda data=data, unpack=unpack: unpack(data), rounds, number // 5)
        reached &= theirs >= factor * ours
        less = f"{theirs / ours:6.1f}x {factor:5}x"
        print(f"{name:40} {ours * 1e6:7.2f} us {theirs * 1e6:12.2f} us {less}")
    return reached


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
        self.port = self.pipe.recv()

    def cpu_time(self) -> float:
        self.pipe.send(True)
        return float(self.pipe.recv())

    def stop(self) -> None:
        self.pipe.send(False)
        self.process.join(10)

    def connect(self) -> None:
        """Open a WebSocket, and close its connection."""
        sock = socket.create_connection(("127.0.0.1", self.port))
        try:
            if self.header and self.client_context is not None:
                sock.sendall(self.header)
            if self.client_context is not None:
                sock = self.client_context.wrap_socket(sock, server_hostname="localhost")
                sock.sendall(REQUEST)
            else:
                sock.sendall(self.header + REQUEST)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += sock.recv(4096)
            assert answer.startswith(b"HTTP/1.1 101"), answer
        finally:
            sock.close()

    def cost(self, connections: int) -> float:
        """Give the CPU time that the server takes per connection, in seconds."""
        begin = self.cpu_time()
        for _ in range(connections):
            self.connect()
        return (self.cpu_time() - begin) / connections


def compare_servers(quick: bool) -> bool:
    """Print what connections take with and without headers; say whether the goal is reached."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    rounds, connections = (3, 150) if quick else (9, 500)
    reached = True
    print(f"\n{'accepting a connection':40} {'CPU time':>10} {'cost':>9} {'goal':>6}")
    for kind, contexts in (("TCP", None), ("TLS", (server_context, client_context))):
        headers = {"": b"", "version 1": build(PLAIN, version=1), "version 2": build(FIVE)}
        servers = {name: Server(header, contexts) for name, header in headers.items()}
        try:
            for server in servers.values():
                server.cost(connections // 5)
            # Each round takes every server in turn.
            costs: dict[str, list[float]] = {name: [] for name in servers}
            for _ in range(rounds):
                for name, server in servers.items():
                    costs[name].append(server.cost(connections))
        finally:
            for server in servers.values():
                server.stop()
        without = statistics.median(costs[""])
        print(f"{kind + ', without a header':40} {without * 1e6:7.1f} us")
        for name in ("version 1", "version 2"):
            each = statistics.median(costs[name])
            # As a share of the connections per second that a busy server takes.
            percent = (1 - without / each) * 100
            reached &= percent < MAX_COST
            print(f"{kind + ', ' + name:40} {each * 1e6:7.1f} us {percent:7.1f} % {MAX_COST:4} %")
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a rough picture in seconds")
    args = parser.parse_args()
    reached = compare_parsers(args.quick)
    reached &= compare_servers(args.quick)
    print("\nall goals reached" if reached else "\nnot all goals reached")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
