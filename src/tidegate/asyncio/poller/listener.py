"""Listening sockets in the poller."""

from __future__ import annotations

import asyncio
import asyncio.trsock
import contextvars
import select
import socket
from typing import TYPE_CHECKING, Any

from ...core.limits import ACCEPT_DELAY, NO_RESOURCES
from ..hub import get_hub
from .events import get_poller
from .transport import PollTransport

try:
    import cython
except ImportError:
    from ... import _cython as cython

if not cython.compiled:
    from .syscalls import accept_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import Poller


BY_TCP = (int(socket.AF_INET), int(socket.AF_INET6))

# With this type, a socket object knows that its descriptor doesn't block.
NONBLOCKING_STREAM = int(socket.SOCK_STREAM) | getattr(socket, "SOCK_NONBLOCK", 0)


class ListeningSocket:
    """A listening socket: accepts connections.

    Args:
        loop: the event loop.
        sock: bound socket.
        factory: makes the protocol of a connection.
        backlog: how many connections the operating system keeps, and how many are accepted at once.
        accepted: what takes the sockets of connections, and the addresses that they come from,
            instead; they don't use the poller then.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        factory: Callable[[], Any],
        backlog: int,
        accepted: Callable[[socket.socket, Any], object] | None = None,
    ) -> None:
        self.loop = loop
        self.sock = sock
        self.factory = factory
        self.backlog = backlog
        self.accepted = accepted
        self.context = contextvars.copy_context()
        self.fd = sock.fileno()
        # Asked for once, because that takes a while.
        self.family = int(sock.family)
        self.proto = sock.proto
        self.poller: Poller | None = None
        self.watched = 0
        self.resumption: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Listen."""
        if self.sock.family in (socket.AF_INET, socket.AF_INET6):
            # Frames must not wait for the acknowledgement of earlier ones.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.sock.listen(self.backlog)
        self.poller = get_poller(self.loop)
        self.poller.begin_use()
        self.watch(select.EPOLLIN)

    def watch(self, mask: int) -> None:
        """Accept connections, or don't."""
        assert self.poller is not None
        self.poller.watch(self.sock.fileno(), self, self.watched, mask)
        self.watched = mask

    def handle(self, mask: int) -> None:
        """Accept the connections that came."""
        for _ in range(self.backlog):
            try:
                if self.accepts_at_once():
                    found = accept_connection(self.sock, self.fd)
                    if found is None:
                        return
                    fd, address = found
                    sock = socket.socket(self.family, NONBLOCKING_STREAM, self.proto, fd)
                else:
                    sock, address = self.sock.accept()
                    sock.setblocking(False)
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno not in NO_RESOURCES:
                    raise
                self.exhausted(exc)
                return
            context = self.context.copy()
            if self.accepted is not None:
                context.run(self.accepted, sock, address)
            else:
                context.run(self.serve, sock, address, context)
            if self.watched == 0:
                return

    def accepts_at_once(self) -> bool:
        """Whether connections can be accepted without asking the socket object."""
        return type(self.sock) is socket.socket and self.family in BY_TCP

    def exhausted(self, exc: OSError) -> None:
        """Accept nothing for a while, because there are no descriptors left."""
        # One line is enough for all the sockets of the loop.
        hub, now = get_hub(self.loop), self.loop.time()
        if now - hub.exhausted_at >= ACCEPT_DELAY:
            hub.exhausted_at = now
            self.loop.call_exception_handler(
                {
                    "message": "socket.accept() out of system resource",
                    "exception": exc,
                    "socket": asyncio.trsock.TransportSocket(self.sock),
                }
            )
        # Otherwise the socket would be ready, in vain, in each turn of the loop.
        self.watch(0)
        self.resumption = self.loop.call_later(ACCEPT_DELAY, self.resume)

    def serve(self, sock: socket.socket, address: Any, context: contextvars.Context) -> None:
        """Make the protocol and the transport of a connection."""
        try:
            protocol = self.factory()
        except Exception as exc:
            sock.close()
            self.loop.call_exception_handler(
                {
                    "message": "Error on transport creation for incoming connection",
                    "exception": exc,
                }
            )
        else:
            # The protocol may have closed this, and with it the poller.
            poller = get_poller(self.loop)
            PollTransport(self.loop, sock, protocol, address, poller, context).start()

    def resume(self) -> None:
        """Accept connections again."""
        self.resumption = None
        self.watch(select.EPOLLIN)

    def close(self) -> None:
        """Stop listening."""
        if self.resumption is not None:
            self.resumption.cancel()
        if self.poller is not None:
            self.watch(0)
            self.poller.end_use()
            self.poller = None
        self.sock.close()
