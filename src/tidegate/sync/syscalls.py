"""System calls of connections, in Python.

``syscalls.pxd`` holds the same functions in C: the interpreter is free for other threads while they
wait, and there is no Python call around each system call.
"""

from __future__ import annotations

from typing import Any

from .waits import receive, receive_waiting, transmit


def is_fast() -> bool:
    """Whether these functions are those in C, and work on this system."""
    return False


def receive_into(sock: Any, fd: int, buffer: Any, start: int, n: int) -> int:
    """Receive without waiting; give the number of bytes, 0 at the end, -1 if there is nothing."""
    return receive(sock, memoryview(buffer)[start : start + n])


def wait_and_receive(
    sock: Any, fd: int, buffer: Any, start: int, n: int, deadline: float | None
) -> int:
    """Wait for bytes; give their number, 0 at the end, -1 when the time is up."""
    return receive_waiting(sock, memoryview(buffer)[start : start + n], deadline)


def send_from(sock: Any, fd: int, data: bytes) -> int:
    """Send without waiting; give the number of bytes that were taken, -1 if there is no room."""
    return transmit(sock, data)
