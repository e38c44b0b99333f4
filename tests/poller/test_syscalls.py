"""The system calls in C and in Python: the same outcome, on real descriptors."""

from __future__ import annotations

import errno
import os
import select
import socket

import pytest

from ..wire.exposed import compiled, compiled_kernels

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll on this system")

if hasattr(select, "epoll"):
    from tidegate.asyncio.poller import syscalls as python_syscalls
else:
    python_syscalls = None

both = pytest.mark.parametrize(
    "calls",
    [pytest.param(python_syscalls, id="Python")]
    + ([pytest.param(compiled_kernels, id="C")] if compiled else []),
)


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    with a, b:
        yield a, b


@both
def test_receive(calls, pair):
    a, b = pair
    buffer = bytearray(b"." * 20)
    assert calls.receive(a, a.fileno(), buffer, 5, 10) == -1
    b.send(b"0123456789abc")
    assert calls.receive(a, a.fileno(), buffer, 5, 10) == 10
    assert buffer == b".....0123456789....."
    assert calls.receive(a, a.fileno(), buffer, 0, 20) == 3
    assert buffer[:6] == b"abc..0"
    assert calls.receive(a, a.fileno(), buffer, 0, 20) == -1
    b.shutdown(socket.SHUT_WR)
    assert calls.receive(a, a.fileno(), buffer, 0, 20) == 0


@both
def test_transmit(calls, pair):
    a, b = pair
    assert calls.transmit(a, a.fileno(), b"hello") == 5
    assert b.recv(100) == b"hello"
    sent = 0
    while (n := calls.transmit(a, a.fileno(), b"x" * 100_000)) >= 0:
        sent += n
    assert n == -1
    received = 0
    while received < sent:
        received += len(b.recv(100_000))
    assert calls.transmit(a, a.fileno(), b"y") == 1


@both
def test_errors(calls, pair):
    """They are those of the operating system, with their own classes."""
    a, b = pair
    b.close()
    with pytest.raises(BrokenPipeError):
        calls.transmit(a, a.fileno(), b"x")
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted.close()
        client.setblocking(False)
        select.select([client], [], [], 10)
        with client, pytest.raises(ConnectionResetError) as caught:
            calls.receive(client, client.fileno(), bytearray(10), 0, 10)
        assert caught.value.errno == errno.ECONNRESET


@both
def test_poll_events(calls, pair):
    a, b = pair
    with select.epoll() as epoll:
        events = calls.new_events(64)

        def ready():
            n = calls.poll_events(events, epoll, epoll.fileno(), 64)
            return {calls.event_fd(events, i): calls.event_mask(events, i) for i in range(n)}

        assert ready() == {}
        epoll.register(a.fileno(), select.EPOLLIN)
        assert ready() == {}
        b.send(b"x")
        assert ready() == {a.fileno(): select.EPOLLIN}
        epoll.modify(a.fileno(), select.EPOLLIN | select.EPOLLOUT)
        assert ready() == {a.fileno(): select.EPOLLIN | select.EPOLLOUT}
        epoll.register(b.fileno(), select.EPOLLOUT)
        assert set(ready()) == {a.fileno(), b.fileno()}
        # No more than what there is room for.
        assert calls.poll_events(calls.new_events(1), epoll, epoll.fileno(), 1) == 1
        b.close()
        assert ready()[a.fileno()] & select.EPOLLHUP


@both
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_accept_connection(calls, host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("no IPv6 here")
    with listening:
        listening.setblocking(False)
        assert calls.accept_connection(listening, listening.fileno()) is None
        with socket.create_connection(listening.getsockname()[:2]) as client:
            select.select([listening], [], [], 10)
            fd, address = calls.accept_connection(listening, listening.fileno())
            with socket.socket(fileno=fd) as accepted:
                assert not os.get_blocking(fd)
                assert not os.get_inheritable(fd)
                assert address == client.getsockname() == accepted.getpeername()
        assert calls.accept_connection(listening, listening.fileno()) is None


@both
def test_accept_connection_fails(calls):
    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(OSError, match=r"\[Errno") as raised:
            calls.accept_connection(sock, sock.fileno())
        assert raised.value.errno == errno.EINVAL
