"""A server on the poller, with the interface of `asyncio.Server`."""

from __future__ import annotations

import asyncio
import asyncio.trsock
import functools
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

from ...utils import bind_unix_socket, remove_unix_socket
from .events import get_poller
from .listener import ListeningSocket
from .tls import TLSTransport
from .transport import PollTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from ...core.limits import Limits

logger = logging.getLogger("tidegate.server")


class PollServer(asyncio.AbstractServer):
    """Accepts connections for the poller; see `asyncio.Server`.

    Args:
        loop: the event loop.
        sockets: bound sockets.
        factory: makes the protocol of a connection.
        backlog: how many connections the operating system keeps per socket.
        taking: takes the connections that don't begin at once in the poller.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        factory: Callable[[], Any],
        backlog: int,
        taking: Taking | None = None,
    ) -> None:
        self.loop = loop
        self.taking = taking
        accepted = None if taking is None else taking.accepted
        self.listeners = [
            ListeningSocket(loop, sock, factory, backlog, accepted) for sock in sockets
        ]
        self.serving = False
        self.closed = False
        # Where a Unix socket was made, and which one it was.
        self.path: tuple[str | bytes, int | None] | None = None

    @property
    def sockets(self) -> tuple[asyncio.trsock.TransportSocket, ...]:
        """The sockets it listens on."""
        if self.closed:
            return ()
        return tuple(asyncio.trsock.TransportSocket(each.sock) for each in self.listeners)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return self.loop

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self.serving

    async def start_serving(self) -> None:
        """Begin to accept connections."""
        if not self.serving and not self.closed:
            self.serving = True
            for listener in self.listeners:
                listener.start()

    async def serve_forever(self) -> None:
        """Accept connections until it is cancelled."""
        await self.start_serving()
        try:
            await self.loop.create_future()
        finally:
            self.close()

    def close(self) -> None:
        """Stop to accept connections; those that were accepted stay."""
        if not self.closed:
            self.closed = True
            self.serving = False
            for listener in self.listeners:
                listener.close()
            if self.taking is not None:
                self.taking.close()
            if self.path is not None:
                remove_unix_socket(*self.path)

    async def wait_closed(self) -> None:
        """Wait for nothing: `close` closes the sockets at once."""


class HandingOver:
    """Gives connections that were accepted to transports of the event loop.

    Args:
        loop: the event loop.
        factory: makes the protocol of a connection.
        tls: the arguments of `asyncio.loop.create_server` that are about TLS.
        limits: how many connections may be about to begin TLS; over it, they are closed.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], Any],
        tls: dict[str, Any],
        limits: Limits | None,
    ) -> None:
        self.loop = loop
        self.factory = factory
        self.tls = tls
        self.limits = limits if tls else None
        self.tasks: set[asyncio.Task[None]] = set()

    def accepted(self, sock: socket.socket, address: Any) -> None:
        """Take a connection."""
        limits = self.limits
        if limits is not None and limits.admit(address, self.loop.time()) is not None:
            sock.close()
            return
        task = self.loop.create_task(self.hand_over(sock))
        self.tasks.add(task)
        task.add_done_callback(functools.partial(self.done, sock, address))

    def done(self, sock: socket.socket, address: Any, task: asyncio.Task[None]) -> None:
        """Forget a connection, which has a transport now or is gone."""
        self.tasks.discard(task)
        if task.cancelled():
            # It may not even have begun.
            sock.close()
        if self.limits is not None:
            self.limits.release(address)

    async def hand_over(self, sock: socket.socket) -> None:
        """Give one connection to a transport."""
        try:
            await self.loop.connect_accepted_socket(self.factory, sock, **self.tls)
        except OSError as exc:
            # A TLS handshake that fails, a client that is gone or takes too long.
            sock.close()
            logger.debug("TLS handshake failed: %s", exc)
        except Exception as exc:
            sock.close()
            self.loop.call_exception_handler(
                {
                    "message": "Error on transport creation for incoming connection",
                    "exception": exc,
                }
            )

    def close(self) -> None:
        """Give up those that are about to begin TLS; the others have a transport at once."""
        if self.tls:
            for task in self.tasks:
                task.cancel()


class Securing:
    """Begins TLS in the poller with connections that were accepted.

    Args:
        loop: the event loop.
        context: how to do TLS.
        factory: makes the protocol of a connection, when the handshake is done.
        handshake_timeout: how long a client may take, in seconds.
        shutdown_timeout: how long a client may take to end TLS, in seconds.
        limits: how many connections may be about to begin TLS; over it, they are closed, because
            there can be no answer yet.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext,
        factory: Callable[[], Any],
        handshake_timeout: float | None,
        shutdown_timeout: float | None,
        limits: Limits | None,
    ) -> None:
        self.loop = loop
        self.context = context
        self.factory = factory
        self.handshake_timeout = handshake_timeout
        self.shutdown_timeout = shutdown_timeout
        self.limits = limits
        self.shaking: set[TLSTransport] = set()

    def accepted(self, sock: socket.socket, address: Any) -> None:
        """Take a connection."""
        limits = self.limits
        if limits is not None and limits.admit(address, self.loop.time()) is not None:
            sock.close()
            return
        below = PollTransport(self.loop, sock, None, address, get_poller(self.loop))
        self.begin(below, self.factory, address, b"")
        below.update()

    def begin(
        self, below: PollTransport, factory: Callable[[], Any], address: Any, data: bytes
    ) -> None:
        """Begin TLS with one client that was admitted.

        Args:
            below: its transport.
            factory: makes its protocol.
            address: by which it was admitted.
            data: what it has sent already.

        """

        def over(exc: BaseException | None) -> None:
            self.shaking.discard(transport)
            if self.limits is not None:
                self.limits.release(address)
            if exc is not None and logger.isEnabledFor(logging.DEBUG):
                logger.debug("TLS handshake failed: %s", exc)

        transport = TLSTransport(
            self.loop,
            below,
            self.context,
            factory,
            over,
            server_side=True,
            peer="the client" if address is None else text_of(address),
            handshake_timeout=self.handshake_timeout,
            shutdown_timeout=self.shutdown_timeout,
        )
        self.shaking.add(transport)
        transport.begin(data)

    def close(self) -> None:
        """Give up those that are not through."""
        for transport in tuple(self.shaking):
            transport.abort()


Taking = Securing | HandingOver


def text_of(address: Any) -> str:
    """Give the address of a client as it is read by people."""
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return "the client"


async def listen_tcp(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], Any],
    *,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    sock: socket.socket | None = None,
    backlog: int = 100,
    start_serving: bool = True,
    taking: Taking | None = None,
    **options: Any,
) -> PollServer:
    """Listen on TCP; see `asyncio.loop.create_server`, whose other arguments are ``options``."""
    if sock is not None:
        if host is not None or port is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        sockets = [sock]
    else:
        if host is None and port is None:
            raise ValueError("Neither host/port nor sock were specified")
        # The loop knows how to bind, in all its variants; its own server is never started.
        binder = await loop.create_server(
            asyncio.Protocol, host, port, start_serving=False, **options
        )
        sockets = [
            socket.socket(each.family, each.type, each.proto, os.dup(each.fileno()))
            for each in binder.sockets
        ]
        binder.close()
    return await begin(PollServer(loop, sockets, factory, backlog, taking), start_serving)


async def listen_unix(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], Any],
    *,
    path: Any = None,
    sock: socket.socket | None = None,
    backlog: int = 100,
    start_serving: bool = True,
    taking: Taking | None = None,
) -> PollServer:
    """Listen on a Unix socket; see `asyncio.loop.create_unix_server`."""
    if sock is None and path is None:
        raise ValueError("path was not specified, and no sock specified")
    if sock is not None and path is not None:
        raise ValueError("path and sock can not be specified at the same time")
    if sock is not None:
        return await begin(PollServer(loop, [sock], factory, backlog, taking), start_serving)
    sock, inode = bind_unix_socket(path)
    server = PollServer(loop, [sock], factory, backlog, taking)
    server.path = os.fspath(path), inode
    return await begin(server, start_serving)


async def begin(server: PollServer, start_serving: bool) -> PollServer:
    """Make a new server ready."""
    for listener in server.listeners:
        listener.sock.setblocking(False)
    if start_serving:
        await server.start_serving()
    return server
