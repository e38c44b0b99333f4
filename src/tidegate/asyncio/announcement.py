"""Connections that begin with a PROXY protocol header."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from ..feeding import feed
from ..proxy.tls import make_context
from ..proxyprotocol.builder import announcement
from ..proxyprotocol.header import Header
from .transports import start_tls

__all__ = ["Create", "announce", "announcement_bytes"]

Create = Callable[..., Awaitable[tuple[Any, Any]]]


def announce(create: Create, header: bool | Header) -> Create:
    """Give what connects like ``create``, and sends a header before everything else, TLS included.

    Args:
        create: `create_connection` or `create_unix_connection` of `transports`.
        header: the header, or True for one with the addresses of the socket.

    """

    async def create_announced(
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.BaseProtocol],
        *,
        ssl: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        context = None if ssl is None else make_context(ssl)
        transport, early = await create(loop, EarlyProtocol, tls=context is not None, **kwargs)
        try:
            transport.write(announcement_bytes(header, transport))
            if context is not None:
                early = EarlyProtocol()
                transport = await start_tls(
                    loop,
                    transport,
                    early,
                    context,
                    server_hostname=server_hostname,
                    ssl_handshake_timeout=ssl_handshake_timeout,
                    ssl_shutdown_timeout=ssl_shutdown_timeout,
                )
            protocol = factory()
            early.hand_over(transport, protocol)
        except BaseException:
            transport.abort()
            raise
        return transport, protocol

    return create_announced


class EarlyProtocol(asyncio.Protocol):
    """Keeps what happens over TLS before ``start_tls`` has returned."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.eof = False
        self.lost: tuple[Exception | None] | None = None

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> None:
        self.eof = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = (exc,)

    def hand_over(self, transport: asyncio.Transport, protocol: asyncio.BaseProtocol) -> None:
        """Have a protocol live through all of it."""
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        feed(transport, protocol, bytes(self.data))
        if self.eof:
            cast(asyncio.Protocol, protocol).eof_received()
        if self.lost is not None:
            protocol.connection_lost(*self.lost)


def announcement_bytes(header: bool | Header, transport: asyncio.BaseTransport) -> bytes:
    """Give the bytes of a header, of one with the addresses of the transport if it is True."""
    source = transport.get_extra_info("sockname")
    return announcement(header, source, transport.get_extra_info("peername"))
