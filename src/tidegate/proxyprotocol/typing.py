"""The types that the functions of this package take and give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

__all__ = [
    "Address",
    "Cipher",
    "PeerCert",
    "SockAddr",
    "StreamReaderProtocol",
    "TransportProtocol",
]

SockAddr = Any
"""An address as a socket gives it: ``(host, port, ...)``, a path, or None."""

Address = tuple[str, int] | str
"""One end of a connection in a header: ``(ip, port)``, or the path of a Unix socket."""

Cipher = tuple[str, str, int | None]
"""Name, protocol version and secret bits, like :meth:`ssl.SSLSocket.cipher`."""

PeerCert = Mapping[str, Any]
"""A certificate, decoded like :meth:`ssl.SSLSocket.getpeercert` does."""


class StreamReaderProtocol(Protocol):
    """What is needed of an :class:`asyncio.StreamReader`."""

    async def readexactly(self, n: int) -> bytes:
        """Read so many bytes."""
        ...

    async def readline(self) -> bytes:
        """Read up to a line feed."""
        ...


class TransportProtocol(Protocol):
    """What is needed of an :class:`asyncio.BaseTransport` or :class:`asyncio.StreamWriter`."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Give what is known of the connection, by its name."""
        ...
