"""A connection before there is WebSocket on it: through proxies, and into TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

import trio

from ..core.tls import TLS

__all__ = ["Way"]

READ_SIZE = 65536


class Way:
    """A connection on its way to WebSocket, over a socket or over a stream of trio.

    Whoever is cancelled while it waits here has to close it.

    Args:
        sock: a socket, or one of trio's.
        stream: any other stream, instead.

    Attributes:
        layers: TLS, the outermost first.
        rest: what was received and isn't used yet.

    """

    def __init__(self, sock: Any = None, stream: trio.abc.Stream | None = None) -> None:
        if isinstance(stream, trio.SocketStream):
            sock, stream = stream.socket, None
        if isinstance(sock, trio.socket.SocketType):
            sock = as_plain(sock)
        self.sock = sock
        self.stream = stream
        self.layers: list[TLS] = []
        self.rest = b""
        if sock is not None:
            sock.setblocking(False)

    # Bytes as they are

    async def receive_raw(self, limit: int = READ_SIZE) -> bytes:
        """Wait for bytes; give none at the end of the stream."""
        await trio.lowlevel.checkpoint()
        if self.stream is not None:
            return bytes(await self.stream.receive_some(limit))
        while True:
            try:
                data: bytes = self.sock.recv(limit)
                return data
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.sock)

    async def send_raw(self, data: bytes) -> None:
        """Send bytes, waiting until they are taken."""
        if self.stream is not None:
            await self.stream.send_all(data)
            return
        await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self.sock)

    # Inside TLS, if there is any

    async def receive(self) -> bytes:
        """Wait for data; give none at the end of the stream."""
        if self.rest or not self.layers:
            data, self.rest = self.rest, b""
            return data or await self.receive_raw()
        buffer = bytearray(READ_SIZE)
        while True:
            last = self.layers[-1]
            n = last.decrypt_into(buffer)
            if n or last.ended:
                return bytes(buffer[:n])
            data = await self.receive_raw()
            for layer in self.layers:
                if data:
                    layer.received(data)
                else:
                    layer.received_end()
                if layer is last:
                    break
                data = b""
                while n := layer.decrypt_into(buffer):
                    data += buffer[:n]
                if not data and not layer.ended:
                    break

    async def send(self, data: bytes, inner: TLS | None = None) -> None:
        """Send data, waiting until it is taken.

        Args:
            data: the data.
            inner: TLS that it is of, and which isn't one of the layers yet.

        Raises:
            ssl.SSLError: if the other side has said in TLS why it takes no more.
            OSError: if the connection breaks otherwise.
            trio.BrokenResourceError: if the stream does.

        """
        for layer in reversed(self.layers):
            layer.encrypt(data)
            data = layer.output()
        try:
            await self.send_raw(data)
        except ConnectionError:
            last = b""
            with contextlib.suppress(ConnectionError):
                last = await self.receive()
            if inner is not None:
                inner.last_words(last)
            raise

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        peer: str = "the other side",
    ) -> None:
        """Do the TLS handshake.

        Args:
            context: how to do TLS.
            server_side: whether this is the server.
            server_hostname: the name in the server's certificate, for clients.
            peer: whom errors name.

        Raises:
            ssl.SSLError: if it fails.
            ConnectionResetError: if the other side closed the connection.

        """
        tls = TLS(context, server_side=server_side, server_hostname=server_hostname, peer=peer)
        while True:
            try:
                done = tls.handshake()
            except ssl.SSLError:
                # The other side should learn why. If it is gone, the first error counts.
                with contextlib.suppress(OSError, trio.BrokenResourceError):
                    await self.send(tls.output())
                raise
            output = tls.output()
            if output:
                await self.send(output, tls)
            if done:
                break
            data = await self.receive()
            if data:
                tls.received(data)
            else:
                tls.received_end()
        self.layers.append(tls)

    async def aclose(self) -> None:
        """Close the connection at once, which may be done while being cancelled."""
        sock, self.sock = self.sock, None
        if sock is not None:
            trio.lowlevel.notify_closing(sock)
            sock.close()
        if self.stream is not None:
            await trio.aclose_forcefully(self.stream)


async def open_tcp(host: str, port: int, **kwargs: Any) -> Way:
    """Connect; see ``trio.open_tcp_stream()``."""
    try:
        return Way(stream=await trio.open_tcp_stream(host, port, **kwargs))
    except OSError as exc:
        # Where there was one address, its error says more.
        cause = exc.__cause__
        while isinstance(cause, BaseExceptionGroup) and len(cause.exceptions) == 1:
            cause = cause.exceptions[0]
        if isinstance(cause, OSError):
            raise cause from None
        raise


async def announce(way: Way, header: Any) -> None:
    """Send a PROXY protocol header, or one with the addresses of the socket if it is True."""
    # Imported here because most programs don't need it.
    from ..proxyprotocol.builder import announcement

    source = address_of(way.sock, way.stream, "getsockname")
    destination = address_of(way.sock, way.stream, "getpeername")
    await way.send(announcement(header, source, destination))


def address_of(sock: Any, stream: Any, which: str) -> Any:
    """Give an address of a socket, or of that at the bottom of a stream; None if there is none."""
    while sock is None and stream is not None:
        sock = getattr(stream, "socket", None)
        stream = getattr(stream, "transport_stream", None)
    try:
        return getattr(sock, which)()
    except (AttributeError, OSError):
        return None


def as_plain(sock: trio.socket.SocketType) -> Any:
    """Give the socket inside one of trio's, which is of no use any more then."""
    family, kind, proto = sock.family, sock.type, sock.proto
    return socket.socket(family, kind, proto, sock.detach())
