"""Proxies that are installed on this machine, run as processes while a test lasts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Self

__all__ = [
    "PROGRAMS",
    "InstalledProxy",
    "Program",
    "ProxyNotStarted",
    "free_port",
    "installed_programs",
]

# Daemons live in folders that are often not in the PATH of those who are not root.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/sbin")

# How long a proxy may take to begin to listen, and to end, in seconds.
START_TIMEOUT = 15.0
STOP_TIMEOUT = 5.0
POLL_INTERVAL = 0.02

# How often another port is tried, because somebody else may take one that was free.
MAX_ATTEMPTS = 3


class ProxyNotStarted(Exception):
    """A proxy could not be started; the message has the end of its log."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that is a proxy: how to start it for this machine alone, on one port.

    Attributes:
        name: the name of the program.
        scheme: the scheme of the proxy's URL.
        arguments: its arguments, with ``{config}`` and ``{port}`` to fill in. It must stay in the
            foreground.
        config: its configuration, with ``{port}`` to fill in.
    """

    name: str
    scheme: str
    arguments: tuple[str, ...]
    config: str = ""

    @property
    def path(self) -> str | None:
        """Where it is installed, None if it isn't."""
        folders = [*os.get_exec_path(), *SYSTEM_FOLDERS]
        return shutil.which(self.name, path=os.pathsep.join(folders))


PROGRAMS = (
    Program(
        "squid",
        "http",
        ("-N", "-d", "1", "-f", "{config}"),
        # The limit on descriptors keeps it from preparing for a million of them.
        """\
http_port 127.0.0.1:{port}
acl from_here src 127.0.0.1
acl to_here dst 127.0.0.1
http_access allow CONNECT from_here to_here
http_access deny all
visible_hostname localhost
max_filedescriptors 1024
cache deny all
cache_mem 8 MB
access_log none
cache_log /dev/null
netdb_filename none
pid_filename none
pinger_enable off
shutdown_lifetime 0 seconds
""",
    ),
    Program(
        "tinyproxy",
        "http",
        ("-d", "-c", "{config}"),
        "Listen 127.0.0.1\nPort {port}\nAllow 127.0.0.1\nMaxClients 100\nTimeout 60\n",
    ),
    Program(
        "privoxy",
        "http",
        ("--no-daemon", "{config}"),
        "listen-address 127.0.0.1:{port}\npermit-access 127.0.0.1\n",
    ),
    Program("microsocks", "socks5h", ("-i", "127.0.0.1", "-p", "{port}")),
)
"""The programs that are known, the most used first."""


def installed_programs() -> list[Program]:
    """Give those of the known programs that are installed."""
    return [program for program in PROGRAMS if program.path is not None]


class InstalledProxy:
    """A process of a proxy program; it runs, on a free port of 127.0.0.1, inside ``async with``.

    ::

        async with InstalledProxy(installed_programs()[0]) as proxy:
            async with connect("ws://127.0.0.1:8765", proxy=proxy.url) as websocket:
                ...

    Args:
        program: which program.

    Attributes:
        port: where it listens.
        pid: its process.

    Raises:
        ProxyNotStarted: when entered, if the program isn't installed or doesn't run.
    """

    port: int
    pid: int

    def __init__(self, program: Program) -> None:
        self.program = program
        self.exit_stack = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"{self.program.scheme}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            async with contextlib.AsyncExitStack() as stack:
                try:
                    await self.start(stack)
                except ProxyNotStarted:
                    if attempt == MAX_ATTEMPTS or self.program.path is None:
                        raise
                else:
                    self.exit_stack = stack.pop_all()
                    break
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.exit_stack.aclose()

    async def start(self, stack: contextlib.AsyncExitStack) -> None:
        """Start it; ``stack`` gets what is to be done at the end."""
        program, path = self.program, self.program.path
        if path is None:
            raise ProxyNotStarted(f"{program.name} isn't installed")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-proxy-")))
        # The program may give up the rights of root before it reads what is in there.
        folder.chmod(0o755)
        self.port = free_port()
        config = folder / "config"
        config.write_text(program.config.format(port=self.port))
        arguments = [
            argument.format(config=config, port=self.port) for argument in program.arguments
        ]
        log_path = folder / "log"
        with log_path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                path,
                *arguments,
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        stack.push_async_callback(stop, process)
        self.pid = process.pid
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not await self.listens():
                    if process.returncode is not None:
                        why = f"ended with status {process.returncode}"
                        break
                    await asyncio.sleep(POLL_INTERVAL)
                else:
                    return
        except TimeoutError:
            why = f"doesn't listen on port {self.port}"
        last = log_path.read_text(errors="replace").strip()[-1000:]
        raise ProxyNotStarted(f"{program.name} {why}" + (f":\n{last}" if last else ""))

    async def listens(self) -> bool:
        """Say whether it accepts connections."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True


def free_port() -> int:
    """Give a TCP port of 127.0.0.1 that is free just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a process, and wait for its end."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
