"""Stream servers on asyncio, for connections that come through proxies."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from ssl import SSLContext
from typing import Any, cast

from ..core.checks import accepts, signature_of
from .gate import HeaderGate
from .header import Header
from .policy import Endpoints, ProxyPolicy
from .result import ProxyResult, result_of
from .sock import SocketInfo

__all__ = ["HeaderServer", "ProxiedStreamWriter", "start_server", "start_unix_server"]

Callback = (
    Callable[[asyncio.StreamReader, "ProxiedStreamWriter"], Awaitable[None]]
    | Callable[[asyncio.StreamReader, "ProxiedStreamWriter", SocketInfo], Awaitable[None]]
)

Listen = Callable[..., Awaitable[asyncio.Server]]

# What a StreamReader holds before it stops reading, in bytes, as in asyncio.
LIMIT = 2**16


class ProxiedStreamWriter(asyncio.StreamWriter):
    """A stream writer that knows who the client is.

    ``get_extra_info`` gives the client's address as ``"peername"``, the one that it connected to as
    ``"sockname"``, the proxy's as ``"proxy_peername"`` and its header as ``"proxy_header"``.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.StreamReaderProtocol,
        reader: asyncio.StreamReader,
        loop: asyncio.AbstractEventLoop,
        endpoints: Endpoints,
    ) -> None:
        super().__init__(transport, protocol, reader, loop)
        self._endpoints = endpoints

    @property
    def proxy_header(self) -> Header | None:
        """The header that came first, None if there was none."""
        return self._endpoints.header

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Give what is known of the connection, the client and the proxy, by its name."""
        if name == "peername":
            return self._endpoints.remote_address
        if name == "sockname":
            return self._endpoints.local_address
        if name == "proxy_peername":
            return self._endpoints.peer_address if self._endpoints.header else default
        if name == "proxy_header":
            return self._endpoints.header or default
        return super().get_extra_info(name, default)


class StreamProtocol(asyncio.StreamReaderProtocol):
    """Runs the callback of a server for one connection."""

    def __init__(self, server: HeaderServer, endpoints: Endpoints) -> None:
        self.loop = asyncio.get_running_loop()
        self.server = server
        self.endpoints = endpoints
        self.reader = asyncio.StreamReader(limit=server.limit, loop=self.loop)
        super().__init__(self.reader, loop=self.loop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        writer = ProxiedStreamWriter(
            cast(asyncio.Transport, transport), self, self.reader, self.loop, self.endpoints
        )
        task = self.loop.create_task(self.run(writer))
        self.server.tasks.add(task)
        task.add_done_callback(self.server.tasks.discard)

    async def run(self, writer: ProxiedStreamWriter) -> None:
        try:
            result = self.server.callback(self.reader, writer, self.endpoints)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        except Exception as exc:
            self.loop.call_exception_handler(
                {
                    "message": "Unhandled exception in the callback of a connection",
                    "exception": exc,
                    "transport": writer.transport,
                }
            )
            writer.close()


class HeaderServer(asyncio.AbstractServer):
    """A server whose connections come through proxies, as :func:`start_server` gives it.

    It is an asynchronous context manager, and has the methods of :class:`asyncio.Server`.

    Attributes:
        gate: what takes the headers of the connections; its policy counts them.
    """

    def __init__(self, callback: Callback, limit: int) -> None:
        self.callback = with_endpoints(callback)
        self.limit = limit
        self.tasks: set[asyncio.Task[None]] = set()
        self.gate: HeaderGate
        self.server: asyncio.Server

    def close(self) -> None:
        """Stop listening, and close the connections whose header is missing."""
        self.server.close()
        self.gate.close()

    async def wait_closed(self) -> None:
        """Wait as :meth:`asyncio.Server.wait_closed` does."""
        await self.gate.wait_closed()
        await self.server.wait_closed()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Give the event loop of the server."""
        return self.server.get_loop()

    def is_serving(self) -> bool:
        """Say whether the server accepts connections."""
        return self.server.is_serving()

    async def start_serving(self) -> None:
        """Accept connections from now on."""
        await self.server.start_serving()

    async def serve_forever(self) -> None:
        """Accept connections until this is cancelled."""
        try:
            await self.server.serve_forever()
        finally:
            self.gate.close()

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """The sockets that the server listens on."""
        return self.server.sockets

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        await self.wait_closed()


def with_endpoints(
    callback: Callback,
) -> Callable[[asyncio.StreamReader, ProxiedStreamWriter, Endpoints], Any]:
    """Give a callback of either form as one that takes endpoints."""
    signature = signature_of(callback)
    if signature is None or not accepts(signature, "reader", "writer", "endpoints"):
        plain = cast(Any, callback)
        return lambda reader, writer, endpoints: plain(reader, writer)
    informed = cast(Any, callback)

    def call(
        reader: asyncio.StreamReader, writer: ProxiedStreamWriter, endpoints: Endpoints
    ) -> Any:
        header = endpoints.header
        # Where the header doesn't say who the client is, the socket does.
        known = header is not None and header.source is not None
        result: ProxyResult | None = result_of(header) if header is not None and known else None
        info = SocketInfo.get(writer.transport, result, unique_id=os.urandom(16))
        return informed(reader, writer, info)

    return call


async def start_server(
    callback: Callback,
    host: str | Sequence[str] | None = None,
    port: int | str | None = None,
    *,
    policy: ProxyPolicy,
    ssl: SSLContext | None = None,
    inside_tls: bool = False,
    limit: int = LIMIT,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    **kwargs: Any,
) -> HeaderServer:
    """Start a server whose connections come through proxies.

    ::

        async def echo(reader, writer):
            print("from", writer.get_extra_info("peername"))
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

        policy = ProxyPolicy(trusted=["10.0.0.0/8"])
        async with await start_server(echo, port=10007, policy=policy) as server:
            await server.serve_forever()

    Args:
        callback: coroutine function that is called with the reader and the writer of each
            connection, and with a :class:`SocketInfo` if it takes three arguments.
        host: the address, or addresses, to listen on; None for all.
        port: the TCP port.
        policy: from whom headers are taken.
        ssl: the TLS context; TLS begins after the header.
        inside_tls: have TLS begin before the header instead.
        limit: how much the reader holds before it stops reading, in bytes.
        ssl_handshake_timeout: how long the TLS handshake may take, in seconds.
        ssl_shutdown_timeout: how long ending TLS may take, in seconds.
        kwargs: for :meth:`asyncio.loop.create_server`.

    Raises:
        OSError: if it isn't possible to listen there.
        NotImplementedError: if the header comes before TLS and this is Windows' proactor.
    """
    loop = asyncio.get_running_loop()
    listen: Listen = functools.partial(loop.create_server, host=host, port=port, **kwargs)
    if "path" in kwargs:
        listen = functools.partial(loop.create_unix_server, **kwargs)
    server = HeaderServer(callback, limit)
    server.gate = HeaderGate(
        policy,
        functools.partial(StreamProtocol, server),
        ssl=None if inside_tls else ssl,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
    )
    if ssl is not None and inside_tls:
        listen = functools.partial(
            listen,
            ssl=ssl,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
    server.server = await listen(server.gate)
    return server


async def start_unix_server(
    callback: Callback,
    path: str | os.PathLike[str] | None = None,
    *,
    policy: ProxyPolicy,
    **kwargs: Any,
) -> HeaderServer:
    """Start a server on a Unix socket whose connections come through proxies.

    Args:
        callback: as for :func:`start_server`.
        path: the path of the socket.
        policy: from whom headers are taken: ``trusted=["unix"]`` from all who connect.
        kwargs: the other arguments of :func:`start_server`; what is left of them is for
            :meth:`asyncio.loop.create_unix_server`.

    Raises:
        OSError: if it isn't possible to listen there.
        NotImplementedError: if the header comes before TLS and this is Windows' proactor.
    """
    return await start_server(callback, policy=policy, path=path, **kwargs)
