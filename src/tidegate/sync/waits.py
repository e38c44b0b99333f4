"""Sockets that block, and don't where they mustn't: what waits for the network."""

from __future__ import annotations

import select
import socket
import sys
import time
from typing import Any

# Where one call can say that it mustn't wait, sockets block, which saves a call for each message.
DONTWAIT = 0 if sys.platform == "win32" else socket.MSG_DONTWAIT

# How long one wait is at most where signals don't interrupt it, in seconds.
SLICE = 3600.0 if DONTWAIT else 0.25


def prepare(sock: socket.socket) -> None:
    """Have a socket work as the functions below expect it."""
    sock.settimeout(None if DONTWAIT else 0)


def receive(sock: socket.socket, buffer: Any) -> int:
    """Receive without waiting; give the number of bytes, 0 at the end, -1 if there is nothing."""
    try:
        return sock.recv_into(buffer, 0, DONTWAIT)
    except (BlockingIOError, InterruptedError):
        return -1


def transmit(sock: socket.socket, data: Any) -> int:
    """Send without waiting; give the number of bytes that were taken, -1 if there is no room."""
    try:
        return sock.send(data, DONTWAIT)
    except (BlockingIOError, InterruptedError):
        return -1


def receive_waiting(sock: socket.socket, buffer: Any, deadline: float | None) -> int:
    """Wait for bytes; give their number, 0 at the end, -1 when the time is up.

    Args:
        sock: the socket.
        buffer: where to put them.
        deadline: until when to wait, by the monotonic clock; None for ever.

    """
    if deadline is None and DONTWAIT:
        return sock.recv_into(buffer)
    while True:
        n = receive(sock, buffer)
        if n >= 0 or not wait(sock, False, deadline):
            return n


def wait(sock: socket.socket, writing: bool, deadline: float | None) -> bool:
    """Wait until there is something to read, or room to write; False when the time is up."""
    while True:
        seconds = SLICE if deadline is None else min(deadline - time.monotonic(), SLICE)
        if ready(sock, writing, max(seconds, 0)):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False


def ready(sock: socket.socket, writing: bool, seconds: float) -> bool:
    """Wait for so many seconds at most; an end or an error counts, too."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLOUT if writing else select.POLLIN)
        # Rounded up: what is a little early would have to wait once more.
        return bool(poll.poll(int(seconds * 1000) + (seconds > 0)))
    readers, writers = ([], [sock]) if writing else ([sock], [])
    return any(select.select(readers, writers, writers, seconds))
