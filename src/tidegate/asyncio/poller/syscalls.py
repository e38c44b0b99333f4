"""System calls of the poller, in Python.

``syscalls.pxd`` holds the same functions in C, without a Python call around each system call.
"""

from __future__ import annotations

import select
import socket
from typing import Any


def new_events(limit: int) -> list[tuple[int, int]]:
    """A place for the events of `poll_events`."""
    return []


def poll_events(events: list[tuple[int, int]], epoll: select.epoll, fd: int, limit: int) -> int:
    """Ask which descriptors are ready, without waiting; give their number."""
    events[:] = epoll.poll(0, limit)
    return len(events)


def event_fd(events: list[tuple[int, int]], i: int) -> int:
    """The descriptor of an event."""
    return events[i][0]


def event_mask(events: list[tuple[int, int]], i: int) -> int:
    """What is ready."""
    return events[i][1]


def receive(sock: socket.socket, fd: int, buffer: bytearray, start: int, n: int) -> int:
    """Receive up to ``n`` bytes; give their number, 0 at the end of the stream, -1 for not now."""
    try:
        return sock.recv_into(memoryview(buffer)[start : start + n])
    except BlockingIOError:
        return -1


def transmit(sock: socket.socket, fd: int, data: Any) -> int:
    """Send bytes; give the number of those that were taken, -1 for not now."""
    try:
        return sock.send(data)
    except BlockingIOError:
        return -1


def accept_connection(sock: socket.socket, fd: int) -> tuple[int, Any] | None:
    """Accept a connection by TCP.

    Returns:
        Its descriptor, which doesn't block, and its address; None if there is none now.

    """
    try:
        accepted, address = sock.accept()
    except BlockingIOError:
        return None
    accepted.setblocking(False)
    return accepted.detach(), address
