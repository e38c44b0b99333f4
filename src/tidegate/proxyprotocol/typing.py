"""The types that the functions of this package take and give."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

__all__ = [
    "Address",
    "Cipher",
    "PeerCert",
    "SockAddr",
    "StreamReaderProtocol",
    "TransportProtocol",
]

SockAddr = t.Any
"""An address as a socket gives it: ``(host, port, ...)``, a path, or None."""

Address = tuple[str, int] | str
"""One end of a connection in a header: ``(ip, port)``, or the path of a Unix socket."""

Cipher = tuple[str, str, int | None]
"""Name, protocol version and secret bits, like :meth:`ssl.SSLSocket.cipher`."""

PeerCert = Mapping[str, t.Any]
"""A certificate, decoded like :meth:`ssl.SSLSocket.getpeercert` does."""


class StreamReaderProtocol(t.Protocol):
    """What is needed of an :class:`asyncio.StreamReader`."""

    async def readexactly(self, n: int) -> bytes:
        """Read so many bytes."""
        ...

    async def readline(self) -> bytes:
        """Read up to a line feed."""
        ...


class TransportProtocol(t.Protocol):
    """What is needed of an :class:`asyncio.BaseTransport` or :class:`asyncio.StreamWriter`."""

    def get_extra_info(self, name: str, default: t.Any = None) -> t.Any:
        """Give what is known of the connection, by its name."""
        ...
