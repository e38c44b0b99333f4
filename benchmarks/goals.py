"""The goals that tidegate set itself, and whether a run reached them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass

from .programs import (
    AIOHTTP,
    BARE,
    C_LIMIT,
    HERE,
    LEGACY,
    LISTENER,
    PICOWS_CORE,
    TIDEGATE,
    TIDEGATE_RUN,
    TIDEGATE_SYNC,
    TIDEGATE_TRIO,
    UNDER_UVICORN,
    UVICORN,
    WEBSOCKET_CLIENT,
    WEBSOCKETS,
    WEBSOCKETS_SYNC,
    WEBSOCKETS_TRIO,
)
from .results import (
    Results,
    compression_ratio,
    cpu_per_operation,
    resident_idle,
    resident_used,
)
from .run import Figures


@dataclass(frozen=True)
class Goal:
    """``metric`` of ``program`` times ``factor`` is at most that of the peer."""

    scenario: str
    what: str
    peer: str
    factor: float
    metric: Callable[[Figures], float] = cpu_per_operation
    program: str = TIDEGATE

    @property
    def key(self) -> str:
        key = f"{self.scenario}/{self.metric.__name__}/{self.peer}"
        return key if self.program == TIDEGATE else f"{self.program}/{key}"

    def reached(self, results: Results) -> float | None:
        """Give how many times less than the peer it takes; None when it wasn't measured."""
        ours = results.value(self.scenario, self.program, self.metric)
        theirs = results.value(self.scenario, self.peer, self.metric)
        if ours is None or theirs is None:
            return None
        return theirs / ours if ours > 0 else float("inf")


SMALL = "CPU per message, 1 connection, 64 × 32 B"
MEDIUM = "CPU per message, 50 connections, 8 × 256 B"
MANY = "CPU per message, 50 connections, one 32 B message each"
LARGE = "CPU per message, 4 connections, 4 × 64 KiB"
JSON = "CPU per message, 2 KB of JSON, compressed"

# How far the rounds of programs that do the same lie apart.
NOISE = 1.05

GOALS = [
    Goal("echo-small", f"{SMALL} of text", WEBSOCKETS, 20),
    Goal("echo-small", f"{SMALL} of text", PICOWS_CORE, 6),
    Goal("echo-small-binary", f"{SMALL} of binary", WEBSOCKETS, 20),
    Goal("echo-small-binary", f"{SMALL} of binary", PICOWS_CORE, 6),
    Goal("echo-medium", MEDIUM, WEBSOCKETS, 12),
    Goal("echo-medium", MEDIUM, PICOWS_CORE, 4),
    Goal("echo-many", MANY, PICOWS_CORE, 1),
    Goal("echo-many", MANY, WEBSOCKETS, 3),
    Goal("echo-large", LARGE, PICOWS_CORE, 1),
    Goal("echo-json", JSON, WEBSOCKETS, 3),
    Goal("echo-json", "Bytes sent for them", WEBSOCKETS, 1, compression_ratio),
    Goal("broadcast", "CPU per delivery, broadcast of 1 KB to 5,000", WEBSOCKETS, 10),
    Goal("broadcast-compressed", "The same with compression", WEBSOCKETS, 10),
    Goal("client-roundtrip", "Client CPU per round trip", PICOWS_CORE, 1),
    *(
        Goal(scenario, f"CPU per message, TLS, {what}", PICOWS_CORE, 1)
        for scenario, what in (
            ("tls-one", "1 connection, one 32 B message"),
            ("tls-many", "50 connections, one 32 B message each"),
        )
    ),
    Goal("tls-opening", "Server CPU per opening and closing with TLS", WEBSOCKETS, 1),
    Goal("tls-resumed", "The same with sessions that are resumed", WEBSOCKETS, 1),
    Goal(
        "client-roundtrip",
        "Client CPU per round trip, on trio",
        WEBSOCKETS_TRIO,
        4,
        program=TIDEGATE_TRIO,
    ),
    Goal("connections-compressed", "Server CPU per opening handshake", WEBSOCKETS, 4),
    Goal("connections", "The same without compression", WEBSOCKETS, 4),
    Goal("connections", "The same without compression", C_LIMIT, 1 / 3),
    Goal("storm", "Server CPU per opening and closing", WEBSOCKETS, 3),
    Goal("storm", "Server CPU per opening and closing", PICOWS_CORE, 1),
    *(
        Goal(scenario, f"CPU per message, {what}", C_LIMIT, 1 / most, program=program)
        for program, most in ((TIDEGATE, 1.3), (LISTENER, 1.1))
        for scenario, what in (
            ("echo-many", "50 connections, one 32 B message each"),
            ("echo-500", "500 connections, one 32 B message each"),
        )
    ),
    *(
        Goal(scenario, what, peer, factor, program=TIDEGATE_SYNC)
        for scenario, what, peer, factor in (
            ("client-roundtrip-blocking", "Round trip of 64 B, blocking", BARE, 1 / 1.15),
            ("client-roundtrip-64k", "Round trip of 64 KiB, blocking", BARE, 1 / 1.3),
            ("client-roundtrip-tls", "Round trip of 64 B in TLS, blocking", BARE, 1 / 1.3),
            ("client-receive-100", "100 B received, blocking", WEBSOCKETS_SYNC, 20),
            ("client-receive-64k", "64 KiB received, blocking", WEBSOCKETS_SYNC, 2.5),
            ("client-receive-64k", "64 KiB received, blocking", WEBSOCKET_CLIENT, 1),
            ("threads-200", "200 connections, a thread for each", WEBSOCKETS_SYNC, 2),
            ("threads-50", "50 connections × 8 × 256 B, a thread for each", WEBSOCKETS_SYNC, 2),
        )
    ),
    *(
        Goal(scenario, f"{what} on trio", WEBSOCKETS_TRIO, factor, program=TIDEGATE_TRIO)
        for scenario, what, factor in (
            ("client-roundtrip-blocking", "Round trip of 64 B", 4),
            ("client-roundtrip-tls", "Round trip of 64 B in TLS", 3),
        )
    ),
    Goal(
        "connections-compressed",
        "Memory per idle connection, compression negotiated",
        WEBSOCKETS,
        5,
        resident_idle,
    ),
    Goal(
        "connections-compressed",
        "Memory per idle connection, compression negotiated",
        AIOHTTP,
        1,
        resident_idle,
    ),
    Goal(
        "connections-compressed",
        "Memory per connection after use",
        WEBSOCKETS,
        1,
        resident_used,
    ),
    *(
        Goal(scenario, f"{what}, with `{program}`", TIDEGATE, 1 / most, program=program)
        for program, most in ((LEGACY, 1.3), (TIDEGATE_RUN, NOISE))
        for scenario, what in (("echo-small", SMALL), ("echo-many", MANY))
    ),
    *(
        Goal(
            scenario,
            f"{what}, under uvicorn",
            f"{UVICORN}, uvloop",
            factor,
            program=f"{UNDER_UVICORN}, uvloop",
        )
        for scenario, what, factor in (
            ("echo-small", SMALL, 6),
            ("echo-medium", MEDIUM, 6),
            ("echo-many", MANY, 1.82),
            ("echo-large", LARGE, 2),
        )
    ),
]


def read_causes() -> dict[str, str]:
    """Give why a goal isn't reached, as far as it is known, by the key of the goal."""
    with (HERE / "causes.toml").open("rb") as file:
        causes: dict[str, str] = tomllib.load(file)
    return causes
