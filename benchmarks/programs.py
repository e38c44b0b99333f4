"""The servers and clients that are compared, and how each one starts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"

# What a program can take part in, beyond uncompressed messages over TCP.
COMPRESSION = "compression"
TLS = "tls"
UNIX = "unix"

EVERYTHING = frozenset({COMPRESSION, TLS, UNIX})
UNCOMPILED = {"TIDEGATE_NO_EXTENSIONS": "1"}


@dataclass(frozen=True)
class Program:
    """One server or client under test.

    ``name`` is how it is called in tables and on the command line; ``module`` is run by Python, or
    is the path of an executable.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    abilities: frozenset[str] = EVERYTHING
    environment: dict[str, str] = field(default_factory=dict, compare=False)
    # Whether it takes part only where it is named.
    apart: bool = False

    def takes_part(self, programs: tuple[str, ...] | None) -> bool:
        """Say whether it is among these; None is everybody."""
        return not self.apart if programs is None else self.name in programs

    @property
    def command(self) -> list[str]:
        if self.module.startswith("/"):
            return [self.module, *self.arguments]
        return [sys.executable, "-m", self.module, *self.arguments]

    @property
    def family(self) -> str:
        return self.name.split(",")[0]

    @property
    def loop(self) -> str:
        return "uvloop" if "uvloop" in self.arguments else "asyncio"


def both_loops(
    name: str, module: str, *arguments: str, abilities: frozenset[str] = EVERYTHING
) -> list[Program]:
    return [
        Program(name, module, arguments, abilities),
        Program(f"{name}, uvloop", module, (*arguments, "--loop", "uvloop"), abilities),
    ]


C_LIMIT = "C, epoll"
TIDEGATE = "tidegate"
LISTENER = "tidegate Listener"
LEGACY = "tidegate.legacy"
TIDEGATE_RUN = "tidegate run"
UNCOMPILED_TIDEGATE = "tidegate, uncompiled"
WEBSOCKETS = "websockets"
PICOWS_CORE = "picows core"
PICOWS_WEBSOCKETS = "picows.websockets"
AIOHTTP = "aiohttp"
UNDER_UVICORN = "uvicorn on tidegate"
UVICORN = "uvicorn on websockets"
TIDEGATE_TRIO = "tidegate.trio"
WEBSOCKETS_TRIO = "websockets.trio"

TIDEGATE_SYNC = "tidegate.sync"
WEBSOCKETS_SYNC = "websockets.sync"
WEBSOCKET_CLIENT = "websocket-client"
BARE = "bare socket"

_COROUTINE_SERVER = "benchmarks.servers.coroutine"
_UVICORN_SERVER = "benchmarks.servers.under_uvicorn"
_COROUTINE_CLIENT = "benchmarks.clients.coroutine"
_TRIO_CLIENT = "benchmarks.clients.on_trio"

THREADED_SERVERS = [
    Program(name, "benchmarks.servers.on_threads", (library,), frozenset({TLS}), apart=True)
    for name, library in ((TIDEGATE_SYNC, "tidegate"), (WEBSOCKETS_SYNC, "websockets"))
]

BLOCKING_CLIENTS = [
    Program(name, "benchmarks.clients.on_threads", (library,), frozenset({TLS}), apart=True)
    for name, library in (
        (BARE, "socket"),
        (TIDEGATE_SYNC, "tidegate"),
        (WEBSOCKETS_SYNC, "websockets"),
        (WEBSOCKET_CLIENT, "websocket"),
    )
]

SERVERS = [
    Program(C_LIMIT, str(BUILD / "bin" / "echo_server")),
    *both_loops(TIDEGATE, _COROUTINE_SERVER, "tidegate"),
    *both_loops(LISTENER, "benchmarks.servers.tidegate_listener"),
    *both_loops(LEGACY, _COROUTINE_SERVER, "tidegate.legacy"),
    # The program for websockets, unchanged.
    Program(TIDEGATE_RUN, "tidegate", ("run", "-m", _COROUTINE_SERVER, "websockets")),
    Program(UNCOMPILED_TIDEGATE, _COROUTINE_SERVER, ("tidegate",), EVERYTHING, UNCOMPILED),
    # picows' core has frames only, and listens on no Unix socket.
    *both_loops(PICOWS_CORE, "benchmarks.servers.picows_core", abilities=frozenset({TLS})),
    *both_loops(
        PICOWS_WEBSOCKETS,
        _COROUTINE_SERVER,
        "picows.websockets",
        abilities=frozenset({COMPRESSION, TLS}),
    ),
    *both_loops(AIOHTTP, "benchmarks.servers.aiohttp_web"),
    *both_loops(WEBSOCKETS, _COROUTINE_SERVER, "websockets"),
    # An ASGI application, in the scenarios that are about plain messages.
    *both_loops(UNDER_UVICORN, _UVICORN_SERVER, "tidegate", abilities=frozenset()),
    *both_loops(UVICORN, _UVICORN_SERVER, "websockets", abilities=frozenset()),
    *THREADED_SERVERS,
]

CLIENTS = [
    *both_loops(TIDEGATE, _COROUTINE_CLIENT, "tidegate"),
    *both_loops(LISTENER, "benchmarks.clients.tidegate_listener"),
    Program(UNCOMPILED_TIDEGATE, _COROUTINE_CLIENT, ("tidegate",), EVERYTHING, UNCOMPILED),
    *both_loops(PICOWS_CORE, "benchmarks.clients.picows_core"),
    *both_loops(PICOWS_WEBSOCKETS, _COROUTINE_CLIENT, "picows.websockets"),
    *both_loops(AIOHTTP, "benchmarks.clients.aiohttp_client"),
    *both_loops(WEBSOCKETS, _COROUTINE_CLIENT, "websockets"),
    Program(TIDEGATE_TRIO, _TRIO_CLIENT, ("tidegate",)),
    Program(WEBSOCKETS_TRIO, _TRIO_CLIENT, ("websockets",)),
    *BLOCKING_CLIENTS,
]
