"""A server that sends the same message without end, for clients that only receive."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

from tidegate.utils import accept_key

from . import common

AT_ONCE = 256 * 1024


@contextlib.contextmanager
def streaming_server(task: common.Task) -> Iterator[None]:
    """Run such a server, in a process of its own, if the task is to receive; sets its URL."""
    if task.operation != "receive":
        yield
        return
    command = [sys.executable, "-m", __name__, str(task.size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            task.url = f"ws://127.0.0.1:{int(process.stdout.readline())}/"
            yield
        finally:
            process.kill()


def frame(size: int) -> bytes:
    """Give the frame of a binary message."""
    if size < 126:
        length = bytes([size])
    elif size < 65536:
        length = bytes([126]) + size.to_bytes(2, "big")
    else:
        length = bytes([127]) + size.to_bytes(8, "big")
    return b"\x82" + length + bytes(size)


def main() -> None:
    # Beside the client, where there is room.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0))
    one = frame(int(sys.argv[1]))
    many = one * max(AT_ONCE // len(one), 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        sock, _ = listener.accept()
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(65536)
    _, _, rest = head.decode().partition("Sec-WebSocket-Key: ")
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(rest.partition("\r\n")[0]).encode() + b"\r\n\r\n"
    )
    while True:
        sock.sendall(many)


if __name__ == "__main__":
    main()
