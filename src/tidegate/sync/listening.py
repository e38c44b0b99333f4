"""Sockets that servers for threads listen on."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import Any


def listen_tcp(host: str | None, port: int | None, **kwargs: Any) -> socket.socket:
    """Listen on TCP; see `socket.create_server`, whose arguments the others are."""
    if port is None:
        raise ValueError("neither port nor sock is given")
    if host and ":" in host:
        kwargs.setdefault("family", socket.AF_INET6)
    return socket.create_server((host or "", port), **kwargs)


def listen_unix(path: str | bytes, backlog: int = 100) -> socket.socket:
    """Listen on a Unix socket, in place of one that an earlier server left behind."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if not is_abstract(path) and os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
        sock.bind(path)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def is_abstract(path: str | bytes) -> bool:
    """Whether a Unix socket has a name that isn't in the file system."""
    return path[:1] in ("\0", b"\0")


def remove_socket(path: str | bytes, inode: int | None) -> None:
    """Remove the file of a Unix socket, unless another one took its place."""
    # Somebody may be faster.
    with contextlib.suppress(OSError):
        if inode is not None and os.stat(path).st_ino == inode:
            os.unlink(path)


def inode_of(path: str | bytes) -> int | None:
    """Say which file a Unix socket is, None if it is none."""
    return None if is_abstract(path) else os.stat(path).st_ino
