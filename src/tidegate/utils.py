"""Small things that both sides of a connection need."""

from __future__ import annotations

import binascii
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from .typing import BytesLike

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

__all__ = [
    "accept_key",
    "apply_mask",
    "bind_unix_socket",
    "causes",
    "generate_key",
    "get_socket_name",
    "has_left",
    "remove_unix_socket",
    "seconds_of_silence",
    "without_frames",
]

# As select has it, where it has it: the peer has ended its stream.
POLLRDHUP = 0x2000

# RFC 6455, section 1.3
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def generate_key() -> str:
    """Give a new value for the ``Sec-WebSocket-Key`` header (RFC 6455, section 4.1)."""
    return binascii.b2a_base64(os.urandom(16), newline=False).decode()


def accept_key(key: str) -> str:
    """Give the ``Sec-WebSocket-Accept`` header that answers a ``Sec-WebSocket-Key`` header.

    Args:
        key: the value of the ``Sec-WebSocket-Key`` header.

    See RFC 6455, section 4.2.2.
    """
    import hashlib

    digest = hashlib.sha1((key + GUID).encode(), usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode()


def apply_mask(data: BytesLike, mask: bytes | bytearray) -> bytes:
    """Mask the payload of a frame, or undo it (RFC 6455, section 5.3).

    Args:
        data: the payload.
        mask: the masking key, 4 bytes.

    Raises:
        ValueError: if ``mask`` doesn't have 4 bytes.
    """
    if len(mask) != 4:
        raise ValueError("mask must contain 4 bytes")
    length = len(data)
    whole = bytes(mask) * (length // 4) + bytes(mask)[: length % 4]
    masked = int.from_bytes(data, "little") ^ int.from_bytes(whole, "little")
    return masked.to_bytes(length, "little")


def get_socket_name(sock: socket.socket) -> str:
    """Give the address that a socket is bound to, for people to read."""
    import socket as sockets

    name = sock.getsockname()
    if sock.family == sockets.AF_INET:
        return f"{name[0]}:{name[1]}"
    if sock.family == sockets.AF_INET6:
        return f"[{name[0]}]:{name[1]}"
    if isinstance(name, (bytes, str)):
        # An abstract socket's name is bytes that begin with NUL.
        text = os.fsdecode(name) if isinstance(name, bytes) else name
        return f"@{text[1:]}" if text.startswith("\0") else text
    return str(name)


def bind_unix_socket(path: Any) -> tuple[socket.socket, int | None]:
    """Make a Unix socket to listen on, in the place of one that an earlier server left behind.

    Args:
        path: file system path of the socket; one that begins with NUL is abstract.

    Returns:
        The socket, and for `remove_unix_socket` which one it is.

    Raises:
        OSError: if there can be none.
    """
    import socket as sockets
    import stat

    path = os.fspath(path)
    sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    abstract = path[:1] in ("\0", b"\0")
    try:
        if not abstract and os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
        sock.bind(path)
        return sock, None if abstract else os.stat(path).st_ino
    except BaseException:
        sock.close()
        raise


def remove_unix_socket(path: Any, inode: int | None) -> None:
    """Remove the file of a Unix socket, unless another one took its place.

    Args:
        path: file system path of the socket.
        inode: which one it was; None if there is no file.
    """
    try:
        if inode is not None and os.stat(path).st_ino == inode:
            os.unlink(path)
    except OSError:
        # Somebody was faster.
        pass


def has_left(sock: socket.socket | None) -> bool:
    """Say whether the peer has ended its stream, or is gone, behind what is not read yet.

    Args:
        sock: the socket; None is one of which nothing is known.
    """
    import select

    if sock is None or not hasattr(select, "poll") or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), POLLRDHUP if hasattr(select, "POLLRDHUP") else 0)
    return bool(poll.poll(0))


# In struct tcp_info of Linux: how many milliseconds ago there were data, sent and received.
TCP_INFO_SIZE = 104
LAST_DATA_SENT, LAST_DATA_RECEIVED = 44, 52


def seconds_of_silence(sock: Any, received_only: bool = False) -> float | None:
    """Give how long ago data was sent or received on a socket, in seconds.

    Args:
        sock: the socket, or what an event loop has in its place; None for none.
        received_only: whether what was sent doesn't count.

    Returns:
        The time; None where the operating system doesn't tell: Linux does, of TCP.
    """
    import socket as sockets

    if sock is None or not sys.platform.startswith("linux"):
        return None
    try:
        with sockets.socket(fileno=os.dup(sock.fileno())) as own:
            info = own.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, TCP_INFO_SIZE)
    except (OSError, ValueError):
        return None
    if len(info) < LAST_DATA_RECEIVED + 4:
        return None
    received = int.from_bytes(info[LAST_DATA_RECEIVED : LAST_DATA_RECEIVED + 4], sys.byteorder)
    sent = int.from_bytes(info[LAST_DATA_SENT : LAST_DATA_SENT + 4], sys.byteorder)
    return (received if received_only else min(sent, received)) / 1000


# An exception may even be its own cause.
MAX_CAUSES = 32


def causes(exc: BaseException | None) -> Iterator[BaseException]:
    """Give an exception, its cause, the cause of that, and so on.

    Args:
        exc: the exception.
    """
    for _ in range(MAX_CAUSES):
        if exc is None:
            return
        yield exc
        exc = exc.__cause__


E = TypeVar("E", bound=BaseException)


def without_frames(exc: E) -> E:
    """Give an exception, and what led to it, without tracebacks.

    They refer to the frames that it passed, and so to whoever keeps it: both would only be freed
    by the cyclic garbage collector.

    Args:
        exc: the exception.
    """
    each: BaseException | None = exc
    while each is not None and each.__traceback__ is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return exc
