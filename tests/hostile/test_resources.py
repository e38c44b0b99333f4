"""Peers that cost more than they should: floods, and those who are slow, or stop, on purpose."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from . import raw
from .driver import opened, settled, targets
from .raw import BINARY, CONT, PING, PONG, TEXT, Frame, close, text

# What a program may hold for one peer, or for the few of one test, besides what it held before.
BOUND = 40 * 2**20

# uvicorn reads requests itself, and has neither limit of size nor of time for them.
OURS = {"asyncio", "uvloop", "threads", "trio", "legacy", "listener"}

FLOODS = {
    # What is sent again and again -> the rule.
    "pings": ("RFC 6455, section 5.5.2; tyrus#954", Frame(PING, b"x" * 125)),
    "empty pings": ("RFC 6455, section 5.5.2", Frame(PING)),
    "pongs": ("RFC 6455, section 5.5.3", Frame(PONG, b"x" * 125)),
    "empty messages": ("GHSA-96hv-2xvq-fx4p", Frame(TEXT)),
    "messages of a byte": ("ws#2329", Frame(BINARY, b"x")),
    "messages of 1,000 bytes": ("RFC 6455, section 10.4", Frame(BINARY, b"x" * 1000)),
}
SIZE = 3 * 2**20


def push(socks, data) -> None:
    """Send to all at once as much as they take; what they don't take for a while isn't sent."""
    rest = {name: memoryview(data) for name in socks}
    until = time.monotonic() + raw.PATIENCE
    for sock in socks.values():
        sock.settimeout(0)
    idle = 0
    while rest and idle < 20 and time.monotonic() < until:
        idle += 1
        for name, view in list(rest.items()):
            with contextlib.suppress(BlockingIOError):
                try:
                    sent = socks[name].send(view)
                except ConnectionError:
                    sent = len(view)
                idle = 0
                rest[name] = view[sent:]
                if not rest[name]:
                    del rest[name]
        time.sleep(0.005 if idle else 0)


@contextlib.contextmanager
def bounded(servers):
    """See to it that no program holds much more within than before."""
    before = {program.face: program.memory() for program in servers}
    yield
    for program in servers:
        grown = program.memory() - before[program.face]
        assert grown < BOUND, f"{program.face} holds {grown // 2**20} MiB more"


@pytest.mark.parametrize("what", FLOODS)
def test_floods_of_who_does_not_read(what, servers, house):
    """What isn't read stays with the sender: reading stops, or only the last is answered."""
    _, frame = FLOODS[what]
    one = frame.wire(True)
    data = one * (SIZE // len(one))
    with opened(servers, None, ["plain"]) as socks, bounded(servers):
        push(socks, data)
        # Nobody else has to wait for it.
        settled(servers, descriptors=False)
    settled(servers)


@pytest.mark.parametrize("data", [b"", b"x"], ids=["empty", "of a byte"])
def test_floods_of_fragments(data, servers, house):
    """GHSA-96hv-2xvq-fx4p, ws#2331, actix-extras#651: a message is bounded, its fragments too."""
    fragments = (
        Frame(BINARY, fin=False).wire(True) + Frame(CONT, data, fin=False).wire(True) * 300_000
    )
    with opened(servers, None, ["plain"]) as socks, bounded(servers):
        push(socks, fragments)
        for name, sock in socks.items():
            sock.settimeout(raw.PATIENCE)
            raw.send(sock, raw.wire([Frame(CONT), close()], True))
            answer = raw.received(raw.read_all(sock), False)
            assert answer.code == 1000, (name, answer.code)
    settled(servers)


def test_promises_of_many_bytes(servers, house):
    """RFC 6455, section 10.4: memory is taken when bytes come, not when they are promised."""
    with contextlib.ExitStack() as stack, bounded(servers):
        for _ in range(10):
            socks = stack.enter_context(opened(servers, None, ["plain"]))
            for sock in socks.values():
                raw.send(sock, Frame(BINARY, b"x" * 100, length=2**20).wire(True))
        settled(servers, descriptors=False)
    settled(servers)


def test_headers_of_ten_megabytes(servers, house):
    """RFC 6585, section 5: what is too large is refused before it is there."""
    ours = [program for program in servers if program.face in OURS]
    for program, name in targets(ours, ["plain", "tls"]):
        with bounded([program]):
            sock = raw.connect(program.ports[name], house.contexts[1] if name == "tls" else None)
            with sock:
                sock.settimeout(raw.PATIENCE)
                start = raw.request()[:-2] + b"X-One: "
                with contextlib.suppress(OSError):
                    for piece in [start, *[b"x" * 10_000] * 1000]:
                        sock.sendall(piece)
                try:
                    head = raw.read_head(sock)
                except TimeoutError:
                    pytest.fail(f"{program.face} {name} neither answers nor leaves")
                # A reset may come before the answer, and drop it.
                assert raw.status(head) in (400, 431, 0), (program.face, head)
    settled(servers)


def gone_in_time(socks) -> None:
    """Wait until the other side has left, whatever it says before."""
    for name, sock in socks.items():
        sock.settimeout(raw.PATIENCE)
        try:
            raw.read_all(sock)
        except TimeoutError:
            pytest.fail(f"{name} is still there")


@pytest.mark.parametrize(
    "start",
    [b"", raw.request()[:40], raw.request()[:-2]],
    ids=["nothing", "half a header", "all but the end"],
)
@pytest.mark.parametrize("way", ["brief", "brief tls"])
def test_handshakes_that_stop(start, way, servers, house):
    """CVE-2026-44545, A38: `open_timeout` is for all of it."""
    ours = [program for program in servers if program.face in OURS]
    with contextlib.ExitStack() as stack:
        socks = {}
        for program, name in targets(ours, [way]):
            sock = raw.connect(program.ports[name], house.contexts[1] if "tls" in name else None)
            socks[program.face] = stack.enter_context(sock)
            raw.send(sock, start)
        gone_in_time(socks)
    settled(servers)


@pytest.mark.parametrize(
    "start",
    [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ids=["nothing", "half a ClientHello"],
)
def test_tls_that_does_not_begin(start, servers, house):
    """A38"""
    with contextlib.ExitStack() as stack:
        socks = {}
        for program, name in targets(servers, ["brief tls"]):
            socks[program.face] = stack.enter_context(raw.connect(program.ports[name]))
            raw.send(socks[program.face], start)
        gone_in_time(socks)
    settled(servers)


def test_handshakes_that_trickle(servers, house):
    """CVE-2026-44545: a byte now and then is no progress."""
    ours = [program for program in servers if program.face in OURS]
    with contextlib.ExitStack() as stack:
        socks = {}
        for program, name in targets(ours, ["brief"]):
            sock = stack.enter_context(raw.connect(program.ports[name]))
            sock.settimeout(0)
            socks[program.face] = sock
        left = set(socks)
        until = time.monotonic() + raw.PATIENCE
        request = iter(raw.request() * 100)
        while left:
            assert time.monotonic() < until, left
            byte = bytes([next(request)])
            if byte == b"\n":
                # The request never ends.
                byte = b"x"
            for face in sorted(left):
                try:
                    socks[face].send(byte)
                    if not socks[face].recv(4096):
                        left.remove(face)
                except BlockingIOError:
                    pass
                except OSError:
                    left.remove(face)
            time.sleep(0.02)
    settled(servers)


def test_peers_that_answer_no_ping(servers, house):
    """#1527, A16: who shows no sign of life is told so, and left."""
    with opened(servers, house.contexts[1], ["brief", "brief tls"]) as socks:
        for name, sock in socks.items():
            answer = raw.received(raw.read_all(sock), False)
            assert answer.code == 1011, (name, answer)
    settled(servers)


def test_peers_that_do_not_leave(servers, house):
    """RFC 6455, section 7.1.1: who is failed and doesn't go is left."""
    with opened(servers, house.contexts[1], ["brief", "brief tls"]) as socks:
        for sock in socks.values():
            raw.send(sock, Frame(3).wire(True))
        # They don't go, nor read.
        settled([program for program in servers if program.face in OURS])
    settled(servers)


@pytest.mark.parametrize("then", ["close", "end", "reset", "nothing"])
def test_answers_that_nobody_reads(then, servers, house):
    """A19, #1555: `send()` is blocked when the peer closes, ends its stream, is lost, or stops."""
    one = Frame(BINARY, b"x" * 100_000).wire(True)
    with opened(servers, house.contexts[1], ["brief", "brief tls"]) as socks, bounded(servers):
        for sock in socks.values():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain = {name: sock for name, sock in socks.items() if "tls" not in name}
        push(plain, one * 40)
        for name, sock in socks.items():
            if name not in plain:
                sock.settimeout(1)
                with contextlib.suppress(OSError):
                    sock.sendall(one)
            if then == "close":
                sock.settimeout(0.1)
                with contextlib.suppress(OSError):
                    sock.sendall(close().wire(True))
            elif then == "end":
                raw.cut_off(sock)
            elif then == "reset":
                sock.close()
        settled([program for program in servers if program.face in OURS])
    settled(servers)


def test_connections_that_come_and_go(servers, house):
    """A flood of connections that do nothing, or leave at once."""
    for program, name in targets(servers, ["plain", "tls"]):
        for number in range(60):
            with contextlib.suppress(OSError), raw.connect(program.ports[name]) as sock:
                if number % 3:
                    sock.sendall(raw.request()[: number * 3])
    settled(servers)


def test_text_is_not_looked_at_again_and_again(servers, house):
    """CVE-2021-32640's kind: a long message in one byte after the other is linear work."""
    message = "é" * 20_000
    data = text(message).wire(True)
    with opened(servers, None, ["plain"]) as socks:
        for name, sock in socks.items():
            raw.send(sock, data, 3)
            raw.send(sock, close().wire(True))
            raw.read_all(sock)
            assert name
    settled(servers)
