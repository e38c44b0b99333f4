"""The programs that are put to the test, one for each face, and what they must not lose."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import time

from . import raw

ROOT = pathlib.Path(__file__).parents[2]

SERVERS = ["asyncio", "uvloop", "threads", "trio", "legacy", "listener", "uvicorn"]
CLIENTS = ["asyncio", "uvloop", "threads", "trio", "legacy"]

# How much more memory a program may hold after a table of cases: what the allocator keeps.
MEMORY = 24 * 2**20


def available(faces: list[str]) -> list[str]:
    """Give those for which there is what they need here."""
    return [
        face
        for face in faces
        if face not in ("uvloop", "trio", "uvicorn") or importlib.util.find_spec(face)
    ]


class Program:
    """A program that runs one face.

    Args:
        module: of this package.
        face: which face.
        file: of the certificate, or of the authority.
        folder: where its standard error goes.
        **environment: more variables.

    """

    def __init__(self, module: str, face: str, file: str, folder: pathlib.Path, **environment):
        self.face = face
        self.log = folder / f"{module}-{face}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"tests.hostile.{module}", face, file],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.pid = self.process.pid
        self.output = b""
        self.ports: dict[str, int] = {}

    def line(self) -> object:
        """Give what it prints next."""
        while b"\n" not in self.output:
            ready, _, _ = select.select([self.process.stdout], [], [], raw.PATIENCE)
            assert ready, f"{self.face} says nothing"
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, f"{self.face} has ended: {self.log.read_text()[-2000:]}"
            self.output += more
        line, _, self.output = self.output.partition(b"\n")
        return json.loads(line)

    def tell(self, line: str) -> None:
        """Give it a line of input."""
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def descriptors(self) -> int:
        """Count what it has open; 0 where that can't be known."""
        with contextlib.suppress(FileNotFoundError):
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        return 0

    def memory(self) -> int:
        """Say how much memory it holds, in bytes; 0 where that can't be known."""
        with contextlib.suppress(FileNotFoundError):
            pages = pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def settle(self, descriptors: int) -> None:
        """Wait until it has no more open than before."""
        deadline = time.monotonic() + raw.PATIENCE
        while (count := self.descriptors()) > descriptors:
            assert time.monotonic() < deadline, f"{self.face} holds {count - descriptors} more"
            time.sleep(0.002)

    def alive(self) -> bool:
        """Say whether it runs."""
        return self.process.poll() is None

    def end(self) -> None:
        """Have it end, as its input does."""
        with self.process:
            self.process.stdin.close()
            try:
                status = self.process.wait(raw.PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        log = self.log.read_text()
        assert status == 0, f"{self.face}: {log[-2000:]}"
        for sign in ("never retrieved", "was destroyed", "never awaited", "ResourceWarning"):
            assert sign not in log, f"{self.face}: {log[-2000:]}"


class Server(Program):
    """A program that serves; `ports` has those of its servers by name."""

    def __init__(self, face: str, certificate: str, folder: pathlib.Path, **environment):
        super().__init__("serving", face, certificate, folder, **environment)

    def ready(self, context: object) -> None:
        """Wait until it serves, and see what it holds then."""
        self.ports = self.line()
        # What is made for the first connection stays.
        for port, tls in ((self.ports["plain"], None), (self.ports["tls"], context)):
            with raw.connect(port, tls) as sock:
                sock.sendall(raw.request())
                assert raw.status(raw.read_head(sock)) == 101, self.face
                sock.sendall(raw.close().wire(True))
                raw.read_all(sock)
        self.held = self.descriptors()
        self.weight = self.memory()


class Client(Program):
    """A program that connects where it is told."""

    def __init__(self, face: str, authority: str, folder: pathlib.Path):
        super().__init__("connecting", face, authority, folder)

    def go(self, port: int, secure: bool) -> None:
        """Have it connect to a server of the test; the path of its request is the face."""
        self.tell(f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/{self.face}")


def listen() -> socket.socket:
    """Listen where clients are told to connect."""
    sock = socket.create_server(("127.0.0.1", 0))
    sock.settimeout(raw.PATIENCE)
    return sock
