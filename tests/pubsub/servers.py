"""Servers of engines, run as processes while a test lasts, and hurt in several ways."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile

import pytest

from tidegate.testing.installed import SYSTEM_FOLDERS, free_port

# The highest port for which a server that takes another one 10,000 above it finds one.
HIGHEST_PORT = 55_535

# How often another port is tried when something else has taken one meanwhile.
ATTEMPTS = 5


def program(name):
    """Give the path of a server, or skip the test; where it must be there, fail it."""
    path = shutil.which(name, path=os.pathsep.join([*os.get_exec_path(), *SYSTEM_FOLDERS]))
    if path is None:
        if os.environ.get("TIDEGATE_REQUIRE_PEERS"):
            pytest.fail(f"{name} isn't installed: .ci/install-peers does that")
        pytest.skip(f"{name} isn't installed: .ci/install-peers does that, as root on Debian")
    return path


class Server:
    """A server on a free port, which it keeps when it is started again.

    Args:
        options: what follows on the command line.

    Attributes:
        library: what is needed to use it.
        keeps: whether a history is still valid when it was killed and started again.

    """

    name = ""
    package = ""
    keeps = False

    def __init__(self, options=()):
        self.options = options
        self.path = program(self.name)
        self.port = None
        self.process = None
        self.log = b""

    def arguments(self):
        """Give what comes first on the command line."""
        raise NotImplementedError

    async def answers(self):
        """Say whether it is ready."""
        raise NotImplementedError

    async def start(self):
        chosen = self.port is None
        for attempt in range(ATTEMPTS):
            if chosen:
                self.port = low_port()
            if await self.try_to_start():
                return
            # Its port, or the one of its cluster bus, was taken; or the killed one still has it.
            await asyncio.sleep(0.1 * attempt)
        raise AssertionError(f"{self.name} ended: {self.log.decode(errors='replace')[-500:]}")

    async def try_to_start(self):
        with tempfile.TemporaryFile() as output:
            self.process = subprocess.Popen(
                [self.path, *map(str, self.arguments()), *map(str, self.options)],
                cwd=tempfile.gettempdir(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            async with asyncio.timeout(20):
                while self.process.poll() is None:
                    with contextlib.suppress(OSError):
                        # Somebody else may answer on the port, and this one end because of that.
                        if await self.answers() and self.process.poll() is None:
                            return True
                    await asyncio.sleep(0.01)
            output.seek(0)
            self.log = output.read()
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *exc_info):
        if self.process.poll() is None:
            self.resume()
            self.kill()


class Cable:
    """The way to a server, which can be cut."""

    def __init__(self, server):
        self.server = server
        self.writers = set()

    @property
    def url(self):
        port = self.listener.sockets[0].getsockname()[1]
        return self.server.url.replace(str(self.server.port), str(port))

    def cut(self):
        """Cut all connections."""
        for writer in self.writers:
            writer.transport.abort()

    async def connected(self, reader, writer):
        with contextlib.suppress(OSError):
            there = await asyncio.open_connection("127.0.0.1", self.server.port)
            self.writers |= {writer, there[1]}
            await asyncio.gather(self.copy(reader, there[1]), self.copy(there[0], writer))
            self.writers -= {writer, there[1]}
        writer.transport.abort()

    async def copy(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def __aenter__(self):
        self.listener = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info):
        self.listener.close()
        while self.writers:
            self.cut()
            await asyncio.sleep(0.01)


def low_port():
    """Give a free port that isn't too high."""
    for _ in range(1000):
        port = free_port()
        if port <= HIGHEST_PORT:
            return port
    raise AssertionError("no port is free")


class RedisServer(Server):
    """A Redis server, without anything on disk unless ``folder`` is given."""

    name = "redis-server"
    package = "redis"
    keeps = False

    def __init__(self, folder=None, options=(), config=None):
        super().__init__(options)
        self.config = config
        self.folder = folder

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def arguments(self):
        arguments = [] if self.config is None else [self.config]
        arguments += ["--port", self.port, "--bind", "127.0.0.1"]
        if self.config is None:
            arguments += ["--save", ""]
        if self.folder is not None:
            arguments += ["--dir", self.folder, "--appendonly", "yes"]
        return arguments

    async def answers(self):
        # Whoever else answers on that port is another process.
        known = await self.information()
        return f"process_id:{self.process.pid}\r\n" in known and "loading:1" not in known

    async def command(self, *words):
        """Give the first line of the answer to a command."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(" ".join(words).encode() + b"\r\n")
            return (await reader.readline()).decode().strip()
        finally:
            writer.close()

    async def information(self):
        """Give what it says of itself."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"INFO\r\n")
            head = await reader.readline()
            if not head.startswith(b"$"):
                return head.decode()
            return (await reader.readexactly(int(head[1:]))).decode()
        finally:
            writer.close()


class NatsServer(Server):
    """A NATS server with JetStream, which keeps what it has in a folder of its own."""

    name = "nats-server"
    package = "nats"
    keeps = True

    def __init__(self, options=(), jetstream=True, scheme="nats"):
        super().__init__(options)
        self.jetstream = jetstream
        self.scheme = scheme
        self.id = secrets.token_hex(8)
        self.folder = tempfile.TemporaryDirectory(
            prefix="tidegate-nats-", ignore_cleanup_errors=True
        )

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def arguments(self):
        kept = ["-js", "-sd", self.folder.name] if self.jetstream else []
        return ["-a", "127.0.0.1", "-p", self.port, "-n", self.id, *kept]

    async def answers(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            # Whoever else answers on that port has another name.
            return self.id.encode() in await reader.readline()
        finally:
            writer.close()

    async def __aexit__(self, *exc_info):
        await super().__aexit__(*exc_info)
        self.folder.cleanup()
