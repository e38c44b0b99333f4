"""Runs one round of one scenario on one program, and gives its figures."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from .payloads import write_json_messages
from .programs import BUILD, COMPRESSION, TLS, UNIX, Program
from .scenarios import Scenario

START_TIMEOUT = 30.0  # seconds
RUN_TIMEOUT = 120.0
ROOT = BUILD.parent.parent
FLOOD = ["--connections", "1", "--depth", "16384", "--size", "32", "--warmup", "0"]

Figures = dict[str, Any]


class Failure(Exception):
    """A program didn't start, or didn't do what the scenario asks."""


def cpus() -> tuple[set[int], set[int]] | None:
    """Give the CPUs for what is tested and for the load, or None when there is only one."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return None
    return {available[0]}, {available[1]}


@dataclass
class Child:
    """A process of ours, and the file that its standard error goes to."""

    process: subprocess.Popen[str]
    errors: IO[str]

    @classmethod
    def start(cls, command: list[str], *, tested: bool, **environment: str) -> Self:
        """Start a process on the CPU that is meant for it."""
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by stop)
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        pair = cpus()
        if pair is not None:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, pair[0] if tested else pair[1])
        return cls(process, errors)

    def stop(self) -> None:
        """End the process if it runs, and let go of what belongs to it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.close()

    def last_words(self) -> str:
        """Give the last line that the process wrote to its standard error."""
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"

    def figures(self) -> Figures:
        """Wait for a process that prints JSON and ends."""
        try:
            output, _ = self.process.communicate(timeout=RUN_TIMEOUT)
            if self.process.returncode != 0:
                raise Failure(self.last_words())
        except subprocess.TimeoutExpired:
            raise Failure(f"no end after {RUN_TIMEOUT:.0f} s") from None
        finally:
            self.stop()
        figures: Figures = json.loads(output)
        return figures

    def port(self) -> int:
        """Wait for a server that tells its port on standard output."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            ready = selector.select(START_TIMEOUT)
            line = self.process.stdout.readline() if ready else ""
        if not line.startswith("ready "):
            if not ready:
                raise Failure(f"the server isn't ready after {START_TIMEOUT:.0f} s")
            self.process.wait(timeout=5)
            raise Failure(f"the server doesn't start: {self.last_words()}")
        return int(line.split()[1])


@dataclass(frozen=True)
class Server:
    """A server that runs: its process id, and how it is reached."""

    pid: int
    address: str


@contextlib.contextmanager
def running(program: Program, scenario: Scenario) -> Iterator[Server]:
    """Run a server, and stop it at the end."""
    options: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        if UNIX in scenario.needs:
            options += ["--unix", f"{folder}/socket"]
        if TLS in scenario.needs:
            options += ["--tls", *certificate()]
        child = Child.start([*program.command, *options], tested=True, **program.environment)
        try:
            port = child.port()
            address = f"unix:{folder}/socket" if UNIX in scenario.needs else f"127.0.0.1:{port}"
            yield Server(child.process.pid, address)
            if child.process.poll() is not None:
                raise Failure(f"the server ended: {child.last_words()}")
        finally:
            child.stop()


def certificate() -> tuple[str, str]:
    """Give the paths of a certificate and its key, made when they aren't there."""
    paths = BUILD / "certificate.pem", BUILD / "key.pem"
    if not all(path.exists() for path in paths):
        import trustme

        issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
        with paths[0].open("wb") as file:
            for blob in issued.cert_chain_pems:
                file.write(blob.bytes())
        issued.private_key_pem.write_to_path(str(paths[1]))
    return str(paths[0]), str(paths[1])


def messages_file(size: int) -> Path:
    path = BUILD / f"messages-{size}.jsonl"
    if not path.exists():
        write_json_messages(path, size)
    return path


def load_command(scenario: Scenario, server: Server, warmup: float = 0.25) -> list[str]:
    """Give the command that puts the scenario's load on a server."""
    modes = {"broadcast": "broadcast", "memory": "memory", "storm": "storm"}
    command = [str(BUILD / "bin" / "load"), "--mode", modes.get(scenario.kind, "echo")]
    command += ["--pid", str(server.pid), "--connections", str(scenario.connections)]
    command += ["--depth", str(scenario.depth), "--fragments", str(scenario.fragments)]
    command += ["--warmup", str(warmup), "--duration", str(scenario.duration)]
    if scenario.json:
        command += ["--messages", str(messages_file(scenario.size))]
    else:
        command += ["--size", str(scenario.size)]
    if scenario.binary:
        command.append("--binary")
    if scenario.interval:
        command += ["--interval", str(scenario.interval)]
    if COMPRESSION in scenario.needs:
        command.append("--compression")
    if TLS in scenario.needs:
        command.append("--tls")
    if scenario.resume:
        command.append("--resume")
    return [*command, server.address]


def run_load(scenario: Scenario, server: Server) -> Figures:
    """Put load on a server once."""
    if scenario.kind != "quiet":
        return Child.start(load_command(scenario, server), tested=False).figures()
    # Both processes share the CPU of the load; what the quiet one waits for is the server.
    load = str(BUILD / "bin" / "load")
    seconds = str(scenario.duration + 1.0)
    command = [load, *FLOOD, "--duration", seconds, server.address]
    flood = Child.start(command, tested=False)
    time.sleep(0.3)
    try:
        return Child.start(load_command(scenario, server), tested=False).figures()
    finally:
        flood.figures()


def run_client(program: Program, scenario: Scenario, server: Server) -> Figures:
    """Let a client talk to a server once."""
    operation = scenario.name.split("-")[1]
    scheme = "wss" if TLS in scenario.needs else "ws"
    command = [*program.command, "--operation", operation, "--size", str(scenario.size)]
    if scenario.binary:
        command.append("--binary")
    command += ["--duration", str(scenario.duration), f"{scheme}://{server.address}/"]
    return Child.start(command, tested=True, **program.environment).figures()


def run_import(module: str) -> Figures:
    """Import a module in a new interpreter."""
    code = (
        "import json, time; start = time.perf_counter(), time.process_time(); "
        f"import {module}; "
        "print(json.dumps({'seconds': time.perf_counter() - start[0], "
        "'cpu': time.process_time() - start[1]}))"
    )
    return Child.start([sys.executable, "-c", code], tested=True).figures()
