"""Runs the program under callgrind, scenario by scenario, and compares with what was stored."""

from __future__ import annotations

import json
import os
import platform
import re
import select
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from ..payloads import write_json_messages
from ..programs import BUILD, HERE
from ..run import ROOT, certificate
from .peer import BINARY, TEXT, Compressor, EchoServer, Peer, frame

RECORD = HERE / "instructions" / "counts.json"
TOLERANCE = 0.03
START_TIMEOUT = 300.0  # seconds; under callgrind, and on a busy machine
HEADER = Path("/usr/include/valgrind/callgrind.h")

Work = Callable[[], None]


class Impossible(Exception):
    """Nothing can be counted on this machine."""


def check_tools() -> None:
    """Raise `Impossible` if something is missing that counting needs."""
    if sys.platform != "linux":
        raise Impossible("needs Linux")
    for tool in ("valgrind", "cc"):
        if shutil.which(tool) is None:
            raise Impossible(f"needs {tool}")
    if not HEADER.exists():
        raise Impossible("needs the headers of valgrind")
    import tidegate.wire.reader

    if not tidegate.wire.reader.__file__.endswith(".so"):
        raise Impossible("counts are those of the compiled package")


class Counted:
    """The program, under callgrind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        library = folder / "counting.so"
        source = HERE / "c" / "counting.c"
        subprocess.run(
            ["cc", "-O1", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, source, "-ldl"],
            check=True,
        )
        self.done, theirs = os.pipe()
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
        command += [f"--callgrind-out-file={folder}/out", sys.executable]
        command += ["-X", "frozen_modules=on", "-m", f"{__package__}.program", *certificate()]
        self.errors = (folder / "errors").open("w+")
        environment = {**os.environ, "PYTHONHASHSEED": "0", "COUNTING_FD": str(theirs)}
        # The sources that this process has are those that are measured.
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**environment, "LD_PRELOAD": str(library)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            pass_fds=[theirs],
            text=True,
        )
        os.close(theirs)
        self.dumps = 0

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_TIMEOUT)
        line = self.process.stdout.readline() if ready else ""
        if not line.startswith("ready "):
            words = self.last_words()
            self.__exit__()
            raise RuntimeError(f"the program doesn't start: {words}")
        self.coroutines, self.listeners, self.secured = map(int, line.split()[1:])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout):
            assert file is not None
            file.close()
        os.close(self.done)
        self.errors.close()

    def last_words(self) -> str:
        return (self.folder / "errors").read_text()[-2000:]

    def idle(self) -> None:
        """Wait until it waits for something, in each of its threads."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        calm = 0
        while calm < 3:
            time.sleep(0.002)
            # The state comes behind the name, which is in brackets.
            calm = calm + 1 if stat.read_text().rpartition(")")[2].split()[0] == "S" else 0

    def acknowledged(self) -> None:
        ready, _, _ = select.select([self.done], [], [], START_TIMEOUT)
        if not ready or not os.read(self.done, 1):
            raise RuntimeError(f"the program doesn't answer: {self.last_words()}")

    def tell(self, number: int) -> None:
        self.idle()
        self.process.send_signal(number)
        self.acknowledged()

    def counted(self) -> int:
        """Give what was counted last."""
        self.dumps += 1
        text = (self.folder / f"out.{self.dumps}").read_text()
        found = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if found is None:
            raise RuntimeError("callgrind has counted nothing")
        return int(found[1])

    def count(self, work: Work, times: int, warm: int = 10) -> float:
        """Give how many instructions doing ``work`` takes, once."""
        for _ in range(warm):
            work()
        self.tell(signal.SIGUSR1)
        for _ in range(times):
            work()
        self.tell(signal.SIGUSR2)
        return self.counted() / times

    def count_client(self, name: str, times: int, warm: int = 20) -> float:
        """Give how many instructions a round trip takes in a client, once."""
        server = EchoServer()
        assert self.process.stdin is not None
        self.process.stdin.write(f"client {name} {server.port} {warm} {times}\n")
        self.process.stdin.flush()
        self.acknowledged()
        self.acknowledged()
        server.thread.join()
        return self.counted() / times

    def at_once(self, send: Work) -> None:
        """Send something while it stands still, so that it finds all of it."""
        self.idle()
        self.process.send_signal(signal.SIGSTOP)
        send()
        self.process.send_signal(signal.SIGCONT)


def opening(counted: Counted, compression: bool) -> float:
    # Connections stay, as they do otherwise while others come.
    peers: list[Peer] = []

    def work() -> None:
        peer = Peer(counted.coroutines, compression=compression)
        peer.open()
        peers.append(peer)

    try:
        return counted.count(work, 100, 50)
    finally:
        for peer in peers:
            peer.close()


def opening_and_closing(counted: Counted) -> float:
    def work() -> None:
        peer = Peer(counted.coroutines)
        peer.open()
        peer.close()

    return counted.count(work, 100, 50)


def echo(
    counted: Counted, port: int, size: int, depth: int = 1, times: int = 200, tls: bool = False
) -> float:
    """Count per message."""
    peer = Peer(port, tls=tls)
    peer.open()
    data = frame(TEXT if size < 1000 else BINARY, b"x" * size) * depth

    def work() -> None:
        if depth > 1 or size > 1000:
            counted.at_once(lambda: peer.sock.sendall(data))
        else:
            peer.sock.sendall(data)
        peer.receive(depth)

    try:
        return counted.count(work, times) / depth
    finally:
        peer.close()


def spread(counted: Counted, port: int, connections: int) -> float:
    """Count per message where many connections have one each."""
    peers = [Peer(port) for _ in range(connections)]
    for peer in peers:
        peer.open()
    data = frame(TEXT, b"x" * 64)

    def send() -> None:
        for peer in peers:
            peer.sock.sendall(data)

    def work() -> None:
        counted.at_once(send)
        for peer in peers:
            peer.receive(1)

    try:
        return counted.count(work, 20, 3) / connections
    finally:
        for peer in peers:
            peer.close()


def compressed(counted: Counted, size: int) -> float:
    path = counted.folder / "messages"
    write_json_messages(path, size)
    lines = path.read_bytes().splitlines()
    peer = Peer(counted.coroutines, compression=True)
    peer.open()
    compressor = Compressor()
    sent = 0

    def work() -> None:
        nonlocal sent
        peer.sock.sendall(compressor.frame(lines[sent]))
        sent += 1
        peer.receive(1)

    try:
        return counted.count(work, 60)
    finally:
        peer.close()


def sending_to_many(counted: Counted, connections: int) -> float:
    """Count per connection."""
    peers = [Peer(counted.coroutines, "/receive") for _ in range(connections)]
    trigger = Peer(counted.coroutines, "/trigger")
    for peer in (*peers, trigger):
        peer.open()
    data = frame(TEXT, b"x" * 1000)

    def work() -> None:
        trigger.sock.sendall(data)
        for peer in peers:
            peer.receive(1)

    try:
        return counted.count(work, 20, 3) / connections
    finally:
        for peer in (*peers, trigger):
            peer.close()


SCENARIOS: dict[str, tuple[str, Callable[[Counted], float]]] = {
    "opening": ("opening handshake", lambda c: opening(c, False)),
    "opening-compressed": ("opening handshake, compression", lambda c: opening(c, True)),
    "opening-closing": ("opening and closing handshake", opening_and_closing),
    "echo": ("server, 64 B there and back", lambda c: echo(c, c.coroutines, 64)),
    "echo-listener": ("Listener, 64 B there and back", lambda c: echo(c, c.listeners, 64)),
    "pipelined": ("server, 64 × 32 B at once", lambda c: echo(c, c.coroutines, 32, 64, 20)),
    "spread": ("server, 50 connections, 64 B each", lambda c: spread(c, c.coroutines, 50)),
    "spread-listener": (
        "Listener, 50 connections, 64 B each",
        lambda c: spread(c, c.listeners, 50),
    ),
    "large": ("server, 64 KiB there and back", lambda c: echo(c, c.coroutines, 65536, 1, 20)),
    "compressed": ("server, 2 KB of JSON, compressed", lambda c: compressed(c, 2000)),
    "tls": ("server, TLS, 64 B there and back", lambda c: echo(c, c.secured, 64, tls=True)),
    "broadcast": ("broadcast of 1 KB, per connection", lambda c: sending_to_many(c, 50)),
    "client": ("client, 64 B there and back", lambda c: c.count_client("asyncio", 200)),
    "client-sync": ("sync client, 64 B there and back", lambda c: c.count_client("sync", 200)),
}


def measure(names: list[str] | None = None, tell: Callable[[str], object] = str) -> dict[str, int]:
    """Give the instructions of each scenario.

    Args:
        names: of which scenarios; all by default.
        tell: called with each name before it is counted.

    """
    check_tools()
    BUILD.mkdir(exist_ok=True)
    counts = {}
    with tempfile.TemporaryDirectory() as folder, Counted(Path(folder)) as counted:
        for name in names or SCENARIOS:
            tell(name)
            counts[name] = round(SCENARIOS[name][1](counted))
    return counts


def depends_on() -> dict[str, str]:
    """Give what instruction counts depend on, beside tidegate."""
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True)
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    flags = Path("/proc/cpuinfo").read_text().split()
    # Libraries choose their functions by these.
    wanted = ("avx2", "avx512f", "avx512bw", "sha_ni", "vaes")
    return {
        "machine": f"{platform.machine()} {' '.join(flag for flag in wanted if flag in flags)}",
        "Python": sys.version,
        "C library": " ".join(platform.libc_ver()),
        "C compiler": compiler.stdout.splitlines()[0],
        "Cython": metadata.version("cython"),
        "OpenSSL": ssl.OPENSSL_VERSION,
        "zlib-ng": version_of("zlib-ng"),
        "isal": version_of("isal"),
        "valgrind": valgrind.stdout.strip(),
    }


def version_of(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def read_record() -> dict[str, Any]:
    record: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))
    return record


def write_record(counts: dict[str, int]) -> None:
    record = {"depends on": depends_on(), "instructions": counts}
    RECORD.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")


def differences(record: dict[str, Any]) -> list[str]:
    """Say in what this machine differs from that of the record."""
    here = depends_on()
    return [
        f"{name}: {known}, here {here.get(name)}"
        for name, known in record["depends on"].items()
        if known != here.get(name)
    ]


def slower(counts: dict[str, int], known: dict[str, int]) -> list[str]:
    """Say what takes more than it did, by more than the tolerance."""
    return [
        f"{name}: {count:,} instructions, {known[name]:,} before ({count / known[name] - 1:+.1%})"
        for name, count in counts.items()
        if name in known and count > (1 + TOLERANCE) * known[name]
    ]
