"""Listening sockets of asyncio's own transports, where there are no descriptors left."""

from __future__ import annotations

import errno
import socket
import time
import weakref
from typing import Any

from ..core.limits import ACCEPT_DELAY, NO_RESOURCES

__all__ = ["accept_calmly"]


class CalmSocket(socket.socket):
    """A listening socket that tells asyncio once that there are no descriptors left.

    asyncio waits a second then, but before that it asks for as many connections as the backlog may
    have, and writes to the log for each.
    """

    # Those of sockets, so that one can become this.
    __slots__ = ()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; see `socket.socket.accept`."""
        try:
            return super().accept()
        except OSError as exc:
            if exc.errno in NO_RESOURCES:
                now = time.monotonic()
                since = TOLD.get(self)
                if since is not None and now - since < ACCEPT_DELAY / 2:
                    raise BlockingIOError(errno.EAGAIN, "no descriptors left") from exc
                TOLD[self] = now
            raise


# When it was told.
TOLD: weakref.WeakKeyDictionary[CalmSocket, float] = weakref.WeakKeyDictionary()


def accept_calmly(server: Any) -> None:
    """Have the sockets of a server of asyncio tell less.

    Args:
        server: what `asyncio.loop.create_server` made; those of other event loops stay as they are.

    """
    for sock in getattr(server, "_sockets", None) or ():
        if type(sock) is socket.socket:
            sock.__class__ = CalmSocket
