"""What is measured: each scenario puts one kind of load on all programs that can take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .programs import (
    AIOHTTP,
    BLOCKING_CLIENTS,
    C_LIMIT,
    COMPRESSION,
    LISTENER,
    PICOWS_CORE,
    PICOWS_WEBSOCKETS,
    THREADED_SERVERS,
    TIDEGATE,
    TIDEGATE_TRIO,
    TLS,
    UNIX,
    WEBSOCKETS,
    WEBSOCKETS_TRIO,
)

KiB = 1024
MiB = 1024 * KiB

Kind = Literal["echo", "broadcast", "memory", "storm", "quiet", "client", "import"]

ON_THREADS = tuple(program.name for program in THREADED_SERVERS)
BLOCKING = tuple(program.name for program in BLOCKING_CLIENTS)
# With the one of asyncio to compare with.
ON_TRIO = (TIDEGATE_TRIO, WEBSOCKETS_TRIO, TIDEGATE)

# One program per library, on the loop of the standard library.
ONE_EACH = (C_LIMIT, TIDEGATE, LISTENER, PICOWS_CORE, PICOWS_WEBSOCKETS, AIOHTTP, WEBSOCKETS)
# The same, on both loops.
COMPILED = (*ONE_EACH, *(f"{name}, uvloop" for name in ONE_EACH if name != C_LIMIT))
MODULES = (
    "tidegate",
    "tidegate.asyncio.client",
    "websockets",
    "websockets.asyncio.client",
    "picows",
    "picows.websockets",
    "aiohttp",
)

WITH_COMPRESSION = frozenset({COMPRESSION})
WITH_TLS = frozenset({TLS})
ON_UNIX = frozenset({UNIX})


@dataclass(frozen=True)
class Scenario:
    """One kind of load.

    ``connections``, ``depth`` (messages in flight per connection) and ``size`` (bytes per message)
    are told to the load generator. ``programs`` names who takes part (``None``: everybody);
    ``needs`` names the abilities without which a program is left out. ``duration`` is in seconds.
    """

    name: str
    title: str
    kind: Kind = "echo"
    connections: int = 1
    depth: int = 1
    size: int = 32
    binary: bool = False
    json: bool = False  # messages of JSON, near to `size`, instead of random characters
    fragments: int = 1
    resume: bool = False  # TLS sessions
    interval: float = 0.0  # seconds between messages of a connection, instead of `depth`
    programs: tuple[str, ...] | None = None
    needs: frozenset[str] = frozenset()
    rounds: int = 5
    duration: float = 0.6
    quick: bool = False  # part of the quick mode


def _growth(name: str, title: str, connections: int = 1, size: int = 32) -> Scenario:
    """One point of a curve."""
    return Scenario(
        name,
        title,
        connections=connections,
        depth=4,
        size=size,
        binary=True,
        programs=ONE_EACH,
        duration=0.4,
    )


GROWTH_CONNECTIONS = [
    _growth(f"growth-connections-{n}", f"{n:,}", connections=n) for n in (1, 10, 100, 1000)
]
GROWTH_SIZE = [
    _growth(f"growth-size-{n}", f"{n:,}", size=n)
    for n in (32, 256, 2 * KiB, 16 * KiB, 128 * KiB, MiB)
]

SCENARIOS = [
    Scenario(
        "echo-small",
        "1 connection, 64 × 32 B of text in flight",
        depth=64,
        quick=True,
    ),
    Scenario(
        "echo-small-binary",
        "1 connection, 64 × 32 B of binary in flight",
        depth=64,
        binary=True,
    ),
    Scenario(
        "echo-medium",
        "50 connections, 8 × 256 B of text in flight",
        connections=50,
        depth=8,
        size=256,
        quick=True,
    ),
    Scenario(
        "echo-many",
        "50 connections, one 32 B text message each in flight",
        connections=50,
        quick=True,
    ),
    Scenario(
        "echo-large",
        "4 connections, 4 × 64 KiB of binary in flight",
        connections=4,
        depth=4,
        size=64 * KiB,
        binary=True,
        quick=True,
    ),
    Scenario(
        "echo-json",
        "JSON text of 2 KB with permessage-deflate: 1 connection, 16 in flight",
        depth=16,
        size=2000,
        json=True,
        needs=WITH_COMPRESSION,
        quick=True,
    ),
    Scenario(
        "broadcast",
        "Broadcast of 1 KB to 5,000 connections",
        "broadcast",
        connections=5001,
        size=1000,
        programs=ONE_EACH,
        duration=0.8,
    ),
    Scenario(
        "broadcast-compressed",
        "Broadcast of 1 KB of JSON to 5,000 connections with permessage-deflate",
        "broadcast",
        connections=5001,
        size=1000,
        json=True,
        programs=ONE_EACH,
        needs=WITH_COMPRESSION,
        duration=0.8,
    ),
    Scenario(
        "connections",
        "2,000 connections without compression: opening handshakes and memory",
        "memory",
        connections=2000,
        size=1000,
        json=True,
        programs=ONE_EACH,
    ),
    Scenario(
        "connections-compressed",
        "2,000 connections with permessage-deflate negotiated: opening handshakes and memory",
        "memory",
        connections=2000,
        size=1000,
        json=True,
        programs=ONE_EACH,
        needs=WITH_COMPRESSION,
        quick=True,
    ),
    Scenario(
        "storm",
        "Opening and closing handshakes, 64 connections at a time",
        "storm",
        connections=64,
        programs=COMPILED,
    ),
    Scenario(
        "client-roundtrip",
        "Clients: `await send; await recv` of 32 B of text against the C server",
        "client",
        quick=True,
    ),
    Scenario(
        "client-upload",
        "Clients: 64 KiB binary messages, sent to the C server",
        "client",
        size=64 * KiB,
    ),
    *(
        Scenario(
            f"client-roundtrip-{name}",
            f"Clients: send and receive {what} against the C server",
            "client",
            size=size,
            binary=size >= 64 * KiB,
            programs=(*BLOCKING, *ON_TRIO),
            needs=needs,
            quick=name == "blocking",
        )
        for name, what, size, needs in (
            ("blocking", "64 B of text", 64, frozenset[str]()),
            ("64k", "64 KiB of binary", 64 * KiB, frozenset[str]()),
            ("tls", "64 B of text in TLS", 64, WITH_TLS),
        )
    ),
    *(
        Scenario(
            f"client-receive-{name}",
            f"Clients that block: receive binary messages of {what} as fast as they come",
            "client",
            size=size,
            programs=BLOCKING,
        )
        for name, what, size in (("100", "100 B", 100), ("64k", "64 KiB", 64 * KiB))
    ),
    Scenario(
        "threads-200",
        "A thread for each connection: 200, one 64 B text message each in flight",
        connections=200,
        size=64,
        programs=ON_THREADS,
    ),
    Scenario(
        "threads-50",
        "A thread for each connection: 50, 8 × 256 B of text in flight",
        connections=50,
        depth=8,
        size=256,
        programs=ON_THREADS,
    ),
    Scenario(
        "tls-small",
        "TLS: 1 connection, 64 × 32 B of text in flight",
        depth=64,
        programs=COMPILED,
        needs=WITH_TLS,
    ),
    Scenario(
        "tls-one",
        "TLS: 1 connection, one 32 B text message in flight",
        programs=COMPILED,
        needs=WITH_TLS,
    ),
    Scenario(
        "tls-many",
        "TLS: 50 connections, one 32 B text message each in flight",
        connections=50,
        programs=COMPILED,
        needs=WITH_TLS,
    ),
    Scenario(
        "tls-opening",
        "TLS: opening and closing connections, 16 at a time, each with a new session",
        "storm",
        connections=16,
        programs=COMPILED,
        needs=WITH_TLS,
    ),
    Scenario(
        "tls-resumed",
        "TLS: opening and closing connections, 16 at a time, sessions resumed by tickets",
        "storm",
        connections=16,
        resume=True,
        programs=COMPILED,
        needs=WITH_TLS,
    ),
    Scenario(
        "tls-large",
        "TLS: 4 connections, 4 × 64 KiB of binary in flight",
        connections=4,
        depth=4,
        size=64 * KiB,
        binary=True,
        programs=COMPILED,
        needs=WITH_TLS,
    ),
    Scenario(
        "unix",
        "Unix socket: 50 connections, one 32 B text message each in flight",
        connections=50,
        programs=COMPILED,
        needs=ON_UNIX,
    ),
    Scenario(
        "echo-500",
        "500 connections, one 32 B text message each in flight",
        connections=500,
        programs=COMPILED,
    ),
    Scenario(
        "echo-5000",
        "5,000 connections, one 32 B text message each in flight",
        connections=5000,
        programs=ONE_EACH,
    ),
    Scenario(
        "fragments",
        "4 connections, 4 × 64 KiB of binary in 16 fragments each in flight",
        connections=4,
        depth=4,
        size=64 * KiB,
        binary=True,
        fragments=16,
        programs=ONE_EACH,
    ),
    Scenario(
        "echo-1MiB",
        "1 connection, 2 × 1 MiB of binary in flight",
        depth=2,
        size=MiB,
        binary=True,
        programs=ONE_EACH,
    ),
    Scenario(
        "quiet",
        "A quiet connection (32 B of text each millisecond) beside a flooding one",
        "quiet",
        interval=0.001,
        programs=ONE_EACH,
        duration=1.0,
    ),
    *GROWTH_CONNECTIONS,
    *GROWTH_SIZE,
    Scenario(
        "import",
        "Start-up: what an import takes",
        "import",
        programs=MODULES,
        rounds=7,
        quick=True,
    ),
]
