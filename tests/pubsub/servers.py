"""Servers of engines, run as processes while a test lasts, and hurt in several ways."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

import pytest

from tidegate.testing.installed import SYSTEM_FOLDERS, free_port


def program(name):
    """Give the path of a server, or skip the test; where it must be there, fail it."""
    path = shutil.which(name, path=os.pathsep.join([*os.get_exec_path(), *SYSTEM_FOLDERS]))
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} isn't installed: .ci/install-peers does that")
        pytest.skip(f"{name} isn't installed: .ci/install-peers does that, as root on Debian")
    return path


class RedisServer:
    """A Redis server on a free port, without anything on disk unless ``folder`` is given."""

    def __init__(self, folder=None, options=(), config=None):
        self.options = options
        self.config = config
        self.path = program("redis-server")
        self.folder = folder
        self.port = free_port()
        self.process = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    async def start(self):
        arguments = [] if self.config is None else [str(self.config)]
        arguments += ["--port", str(self.port), "--bind", "127.0.0.1"]
        if self.config is None:
            arguments += ["--save", ""]
        if self.folder is not None:
            arguments += ["--dir", str(self.folder), "--appendonly", "yes"]
        self.process = subprocess.Popen(
            [self.path, *arguments, *self.options],
            cwd=self.folder or tempfile.gettempdir(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.write(b"PING\r\n")
                    answer = await reader.readline()
                    writer.close()
                    if answer == b"+PONG\r\n":
                        return
                assert self.process.poll() is None, "redis-server ended"
                await asyncio.sleep(0.01)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

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
            return (await reader.readexactly(int((await reader.readline())[1:]))).decode()
        finally:
            writer.close()

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *exc_info):
        if self.process.poll() is None:
            self.resume()
            self.kill()
