"""Runs programs that others wrote, on websockets itself and on tidegate."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"

ALL_IS_THERE = "tidegate has every name of websockets that was looked for"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run tests that are coroutine functions, for a minute at most."""
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    names = inspect.signature(pyfuncitem.function).parameters
    test = pyfuncitem.function(**{name: pyfuncitem.funcargs[name] for name in names})
    asyncio.run(asyncio.wait_for(test, 60))
    return True


class Library:
    """What programs find as `websockets`.

    Args:
        name: ``"websockets"`` or ``"tidegate"``.
        api: the generation of the API, for tidegate.

    """

    def __init__(self, name, api=17):
        self.name = name
        self.command = [sys.executable]
        if name == "tidegate":
            self.command += ["-m", "tidegate", "run", f"--api={api}", "--report"]

    async def start(self, *arguments):
        """Start a program."""
        # Children are to find what their parent was given, not what this process was.
        environment = {
            name: value
            for name, value in os.environ.items()
            if name != "PYTHONPATH" and not name.lower().endswith("_proxy")
        }
        return await asyncio.create_subprocess_exec(
            *self.command,
            *arguments,
            cwd=PROGRAMS,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, program, *arguments):
        """Run one of the programs to its end; give what it found out."""
        process = await self.start(f"{program}.py", *map(str, arguments))
        try:
            output, errors = await process.communicate()
        finally:
            await end(process, signal.SIGKILL)
        assert process.returncode == 0, errors.decode()
        result = json.loads(output.splitlines()[-1])
        assert result.pop("websockets") == self.name
        if self.name == "tidegate":
            # Nor was a name looked for in vain where the program made do without it.
            assert ALL_IS_THERE in errors.decode()
        return result

    @contextlib.asynccontextmanager
    async def serving(self, *arguments, probe=True):
        """Run a server; give its port, which stands for "PORT" in the arguments.

        It listens then, unless it isn't to be probed.
        """
        port = free_port()
        process = await self.start(*(word.replace("PORT", str(port)) for word in arguments))
        reading = asyncio.create_task(process.communicate())
        try:
            while probe:
                assert not reading.done(), reading.result()[1].decode()
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.transport.abort()
                    break
                await asyncio.sleep(0.05)
            yield port
        finally:
            await end(process, signal.SIGTERM)
            output, errors = await reading
            print(output.decode(), errors.decode(), sep="\n")


def free_port():
    """Give a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def end(process, how):
    """End a process, in 20 seconds at most."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(how)
    try:
        async with asyncio.timeout(20):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise


@pytest.fixture(params=["websockets", "tidegate"])
def library(request):
    """The library itself, which says what is right, and tidegate."""
    return Library(request.param)


@pytest.fixture
def newer_tidegate():
    """Tidegate for programs that need a newer websockets than others let be installed."""
    return Library("tidegate")


@pytest.fixture
def older_tidegate():
    """Tidegate for programs whose version of websockets isn't installed."""
    return Library("tidegate", api=13)
