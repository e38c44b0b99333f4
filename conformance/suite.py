"""Installs Autobahn|Testsuite and runs it on 127.0.0.1."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WORK = HERE / "work"
ENVIRONMENT = WORK / "autobahn"
REQUIREMENTS = HERE / "requirements-python2.7.txt"

# The last release of virtualenv that still makes environments for Python 2.7.
VIRTUALENV = "virtualenv==20.15.1"

START_TIMEOUT = 30.0  # seconds
RUN_TIMEOUT = 900.0  # for one group of cases


class Unavailable(Exception):
    """The test suite can't be installed here, or doesn't do its work."""


def find_python27() -> str:
    """Give a Python 2.7 that runs, from PYTHON27, pyenv or PATH."""
    candidates = [os.environ.get("PYTHON27", "")]
    candidates += sorted(map(str, Path.home().glob(".pyenv/versions/2.7.*/bin/python2.7")))
    candidates.append("python2.7")
    for candidate in filter(None, candidates):
        try:
            check = [candidate, "-c", "import sys, zlib; sys.exit(sys.version_info[:2] != (2, 7))"]
            if subprocess.run(check, capture_output=True, timeout=30).returncode == 0:
                return candidate
        except OSError:
            continue
    raise Unavailable(
        "Autobahn|Testsuite needs Python 2.7, and none was found. Install one "
        "(`pyenv install 2.7.18`), or name one: make conformance PYTHON27=/path/to/python2.7"
    )


def install() -> None:
    """Install the test suite into an environment of its own, once."""
    done = ENVIRONMENT / "installed"
    if done.exists() and done.read_text() == REQUIREMENTS.read_text():
        return
    python27 = find_python27()
    tools = WORK / "tools"
    print("installing Autobahn|Testsuite", flush=True)
    run(sys.executable, "-m", "venv", "--clear", str(tools))
    run(str(tools / "bin" / "pip"), "install", "--quiet", VIRTUALENV)
    run(str(tools / "bin" / "virtualenv"), "--clear", "-p", python27, str(ENVIRONMENT))
    run(str(ENVIRONMENT / "bin" / "pip"), "install", "--quiet", "-r", str(REQUIREMENTS))
    done.write_text(REQUIREMENTS.read_text())


def run(*command: str) -> None:
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise Unavailable(f"{' '.join(command)} failed:\n{result.stdout[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def process(*command: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process with its output in a file; kill it when it still runs at the end."""
    with log.open("wb") as file:
        child = await asyncio.create_subprocess_exec(
            *command, stdout=file, stderr=asyncio.subprocess.STDOUT, cwd=HERE.parent
        )
        try:
            yield child
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


async def wait_for_port(port: int, child: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until something listens on a port."""
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while child.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return
    except TimeoutError:
        pass
    raise Unavailable(f"nothing listens on port {port}:\n{log.read_text()[-2000:]}")


async def wait_for_end(child: asyncio.subprocess.Process, log: Path) -> None:
    try:
        async with asyncio.timeout(RUN_TIMEOUT):
            status = await child.wait()
    except TimeoutError:
        raise Unavailable(f"no end after {RUN_TIMEOUT:.0f} s: see {log}") from None
    if status != 0:
        raise Unavailable(f"exit status {status}:\n{log.read_text()[-2000:]}")


def write_specification(folder: Path, cases: list[str], **more: Any) -> Path:
    path = folder / "specification.json"
    specification = {
        "outdir": str(folder),
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
        **more,
    }
    path.write_text(json.dumps(specification))
    return path


def wstest(mode: str, specification: Path) -> list[str]:
    python = str(ENVIRONMENT / "bin" / "python")
    script = str(HERE / "wstest_on_loopback.py")
    return [python, script, "--mode", mode, "--spec", str(specification), "--webport", "0"]


async def test_server(testee: list[str], cases: list[str], folder: Path) -> None:
    """Let the fuzzing client loose on an echo server.

    ``testee`` is the server's command, to which ``--port N`` is added.
    """
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    specification = write_specification(folder, cases, servers=[{"agent": "testee", "url": url}])
    server_log, client_log = folder / "testee.log", folder / "wstest.log"
    async with process(*testee, "--port", str(port), log=server_log) as server:
        await wait_for_port(port, server, server_log)
        async with process(*wstest("fuzzingclient", specification), log=client_log) as client:
            await wait_for_end(client, client_log)


async def test_client(testee: list[str], cases: list[str], folder: Path) -> None:
    """Let a client answer the fuzzing server.

    ``testee`` is the client's command, to which ``--url URL`` is added.
    """
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    specification = write_specification(folder, cases, url=url)
    client_log, server_log = folder / "testee.log", folder / "wstest.log"
    async with process(*wstest("fuzzingserver", specification), log=server_log) as server:
        await wait_for_port(port, server, server_log)
        async with process(*testee, "--url", url, log=client_log) as client:
            await wait_for_end(client, client_log)
