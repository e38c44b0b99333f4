"""Headers from asyncio streams, in the interface of ``proxy-protocol``."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

from .base import ProxyProtocol, ProxyProtocolIncompleteError
from .line import MAX_LINE, shortest_line
from .noop import ProxyProtocolNoop
from .result import ProxyResult, ProxyResultUnknown
from .sock import SocketInfo
from .typing import StreamReaderProtocol

__all__ = ["ProxyProtocolReader"]

logger = logging.getLogger("tidegate.proxyprotocol")

Callback = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WrappedCallback = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter, SocketInfo], Awaitable[None]
]


class ProxyProtocolReader:
    """Reads the headers of connections.

    It believes whoever connects: use :func:`tidegate.proxyprotocol.start_server` unless only
    trusted proxies can.

    Args:
        pp: the version of the protocol to expect.
    """

    __slots__ = ("pp",)

    def __init__(self, pp: ProxyProtocol) -> None:
        self.pp = pp
        if isinstance(pp, ProxyProtocolNoop):
            logger.info("the no-op version is chosen: no PROXY protocol headers will be read")

    async def read(self, reader: StreamReaderProtocol) -> ProxyResult:
        """Read a header, and nothing after it.

        Raises:
            ProxyProtocolSyntaxError: if there is none.
            asyncio.IncompleteReadError: if the connection ends before it does.
        """
        data = b""
        while True:
            try:
                return self.pp.unpack(data)
            except ProxyProtocolIncompleteError as exc:
                size = exc.want_read.want_bytes
            if size is None:
                size = len(shortest_line(data, MAX_LINE)) - len(data)
            data += await reader.readexactly(size)

    def get_callback(self, callback: WrappedCallback, timeout: float | None = 3) -> Callback:
        """Give the callback for :func:`asyncio.start_server` that reads a header first.

        Where there is no right header in time, the connection is closed. ``callback`` is called
        all the same, with a reader that is at its end and the reason in ``info``.

        Args:
            callback: the coroutine function to call with the reader, the writer and what is known
                about the client.
            timeout: how long to wait for the header, in seconds; None for no limit.
        """

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                try:
                    async with asyncio.timeout(timeout):
                        result = await self.read(reader)
                except Exception as exc:
                    writer.close()
                    result = ProxyResultUnknown(exc)
                    # What came instead of a header is nobody's.
                    reader = asyncio.StreamReader()
                    reader.feed_eof()
                info = SocketInfo.get(writer, result, unique_id=os.urandom(16))
                await callback(reader, writer, info)
            except Exception as exc:
                asyncio.get_running_loop().call_exception_handler(
                    {
                        "message": "Unhandled exception in the callback of a connection",
                        "exception": exc,
                        "transport": writer.transport,
                    }
                )
                writer.close()

        return connected
