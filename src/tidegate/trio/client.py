"""The trio client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from ..client import backoff, process_exception
from ..core.arguments import PROXY_ARGUMENTS, refuse_unknown_arguments
from ..core.connecting import Connecting, uri_or_local
from ..core.dialling import (
    MAX_REDIRECTS,
    ConnectionEvent,
    timed_out,
)
from ..hints import explained
from ..http11 import USER_AGENT
from ..protocol import OPEN
from ..proxy.environment import may_have_proxy
from ..proxy.tls import make_context
from ..utils import without_frames
from .client_connection import ClientConnection
from .tunnel import connect_on_route, find_route, opening_handshake, secure
from .way import Way, open_tcp

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Awaitable, Callable, Generator, Sequence

    from ..datastructures import HeadersLike
    from ..extensions.base import ClientExtensionFactory
    from ..proxy import Passage, ProxyLike
    from ..proxyprotocol.header import Header
    from ..typing import LoggerLike, Origin, PathLike, Subprotocol

__all__ = ["MAX_REDIRECTS", "ClientConnection", "ConnectionEvent", "connect", "unix_connect"]

# What it takes besides its own arguments.
OPTIONS = (
    *PROXY_ARGUMENTS,
    *("host", "port", "local_address", "happy_eyeballs_delay"),
    # Those of unix_connect().
    *("unix", "path"),
)


class connect(Connecting[ClientConnection]):
    """Connect to a WebSocket server.

    Use it as a context manager, which closes the connection at its end::

        async with connect("wss://example.com/") as connection:
            ...

    Or let it reconnect: the iterator gives a connection again and again, with growing delays
    between attempts that fail::

        async for connection in connect("wss://example.com/"):
            try:
                ...
            except ConnectionClosed:
                continue

    Args:
        uri: where to connect, ``ws://`` or ``wss://``.
        stream: a connection to the server to use instead of making one, without TLS.
        ssl: how to do TLS, for ``wss://``; None is what the system trusts.
        server_hostname: the name in the server's certificate, by default the host in the URI.
        origin: value of the Origin header, for servers that require one.
        extensions: extensions to offer, the preferred first.
        subprotocols: subprotocols to offer, the preferred first.
        compression: ``"deflate"`` enables permessage-deflate, None disables it.
        additional_headers: headers to add to the opening handshake request.
        user_agent_header: value of the User-Agent header; None for none.
        proxy: the proxy to use, in all the forms that `tidegate.connect` takes; True to find one in
            the environment and the settings of the operating system; None for none.
        send_proxy_header: a PROXY protocol header to send to the server, before TLS; True for one
            of version 2 with the addresses of the socket.
        process_exception: when reconnecting, says whether a failure is worth another attempt: it
            returns None for yes, the exception (or another) to raise for no.
        open_timeout: how long connecting may take, opening handshake included, in seconds; None
            for no limit.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        reconnect_delays: when reconnecting, gives a generator of the delays in seconds. When it
            ends, the last failure is raised.
        reconnect_limit: when reconnecting, how many attempts in a row may fail; then the failure is
            raised. None for no limit.
        on_event: when reconnecting, called with a `ConnectionEvent` when something changes.
        max_size: limit on incoming messages in bytes, after decompression; a tuple ``(message,
            fragment)`` also limits frames; None for no limit.
        max_queue: how many frames may wait to be received before reading stops, ``high`` or
            ``(high, low)``; None for no limit.
        write_limit: size of the write buffer in bytes from which on ``send`` waits, ``high`` or
            ``(high, low)``.
        logger: where to log; the default is ``tidegate.client``.
        create_connection: subclass of `ClientConnection` to use.
        **kwargs: given to ``trio.open_tcp_stream()``: ``host`` and ``port`` to connect to somewhere
            else than the URI says, ``local_address``, ``happy_eyeballs_delay``. With a proxy, there
            are those of `tidegate.connect` that begin with ``proxy_`` as well.

    Raises:
        InvalidURI: if the URI isn't valid.
        InvalidProxy: if the proxy's URL isn't valid.
        ProxyError: if the connection through the proxy fails.
        OSError: if the TCP connection fails.
        InvalidHandshake: if the opening handshake fails.
        TimeoutError: if connecting takes longer than ``open_timeout``.
        TypeError: if an argument of the older API is given, or a function or class can't be called
            as it will be; the message says what to write.

    """

    def __init__(
        self,
        uri: str,
        *,
        # TCP/TLS
        stream: trio.abc.Stream | None = None,
        ssl: ssl_module.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        # WebSocket
        origin: Origin | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        compression: str | None = "deflate",
        # HTTP
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        proxy: ProxyLike = True,
        send_proxy_header: bool | Header = False,
        process_exception: Callable[[Exception], Exception | None] = process_exception,
        # Timeouts
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        reconnect_delays: Callable[[], Generator[float]] = backoff,
        reconnect_limit: int | None = None,
        on_event: Callable[[ConnectionEvent], object] | None = None,
        # Limits
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
        # Logging
        logger: LoggerLike | None = None,
        # Escape hatches
        create_connection: type[ClientConnection] | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_unknown_arguments("connect", kwargs, OPTIONS, connect)
        if ssl is not None:
            kwargs["ssl"] = ssl
        if server_hostname is not None:
            kwargs["server_hostname"] = server_hostname
        if stream is not None:
            # As the other faces call it.
            kwargs["sock"] = stream
        super().__init__(
            uri,
            ClientConnection,
            {
                "ping_interval": ping_interval,
                "ping_timeout": ping_timeout,
                "close_timeout": close_timeout,
                "max_queue": max_queue,
                "write_limit": write_limit,
            },
            kwargs,
            origin=origin,
            extensions=extensions,
            subprotocols=subprotocols,
            compression=compression,
            additional_headers=additional_headers,
            user_agent_header=user_agent_header,
            proxy=proxy,
            send_proxy_header=send_proxy_header,
            process_exception=process_exception,
            open_timeout=open_timeout,
            reconnect_delays=reconnect_delays,
            reconnect_limit=reconnect_limit,
            on_event=on_event,
            max_size=max_size,
            logger=logger,
            create_connection=create_connection,
            listener=None,
        )
        # The server's refusal, of which only the explanation isn't complete.
        self.told: Exception | None = None

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Let some time pass."""
        return trio.sleep(seconds)

    # Connecting once

    async def open_way(self) -> tuple[Way, Passage | None]:
        """Make what the connection goes over, TLS included."""
        kwargs = self.below()
        ws_uri = self.ws_uri
        ssl = kwargs.pop("ssl", None)
        # If it names a file that isn't there, there needs to be no connection.
        context = make_context(ssl) if ws_uri.secure else None
        name = kwargs.pop("server_hostname", None)
        stream = kwargs.pop("sock", None)
        if kwargs.pop("unix", False):
            way = Way(stream=await trio.open_unix_socket(kwargs.pop("path")))
        elif stream is not None:
            way = Way(stream=stream)
        elif self.proxy is not None and (self.proxy is not True or may_have_proxy()):
            return await connect_on_route(
                ws_uri,
                await find_route(self.proxy, self.uri, kwargs, self.proxy_options),
                open_timeout=self.open_timeout,
                options=self.proxy_options,
                user_agent_header=self.user_agent_header,
                logger=self.logger,
                send_proxy_header=self.send_proxy_header,
                ssl=context,
                server_hostname=name,
                **kwargs,
            )
        else:
            kwargs.setdefault("host", ws_uri.host)
            kwargs.setdefault("port", ws_uri.port)
            way = await open_tcp(**kwargs)
        peer = f"{ws_uri.host}:{ws_uri.port}"
        await secure(way, self.send_proxy_header, context, name, peer)
        return way, None

    async def make_connection(self, nursery: trio.Nursery | None) -> ClientConnection:
        """Make a connection, on which the opening handshake comes next."""
        with explained(self.ws_uri):
            way, passage = await self.open_way()
        self.opening = self.make_protocol()
        try:
            connection: ClientConnection = self.create_connection(
                nursery, way, self.opening, **self.connection_options
            )
        except BaseException:
            await way.aclose()
            raise
        connection.proxy = passage
        return connection

    async def dial(self, nursery: trio.Nursery | None) -> ClientConnection:
        """Connect, without a time limit, following redirects."""
        self.start_over()
        while True:
            # What redirected here has nothing more to say.
            self.told = None
            connection = await self.make_connection(nursery)
            try:
                with opening_handshake(connection.proxy):
                    await connection.handshake(self.headers(), self.user_agent_header)
                return connection
            except Exception as exc:
                self.follow_redirect(exc)
            finally:
                if connection.state is not OPEN:
                    self.told = self.refusal()
                    connection.abort()

    async def connect(self, nursery: trio.Nursery | None = None) -> ClientConnection:
        """Connect, following redirects, which are not remembered for the next time.

        Args:
            nursery: where the connection's own tasks run; None is beside the program.

        """
        slow = trio.TooSlowError()
        try:
            with trio.CancelScope() as scope:
                if self.open_timeout is not None:
                    scope.deadline = trio.current_time() + self.open_timeout
                try:
                    return await self.dial(nursery)
                except trio.Cancelled as exc:
                    # If there is a proxy, it says how far it came.
                    slow.__cause__ = without_frames(exc)
                    raise
            raise timed_out(slow, self.ws_uri, self.opening is not None) from slow
        except TimeoutError as exc:
            if self.told is None:
                raise
            raise self.told from exc
        finally:
            self.opening = self.told = None
            # It may refer to this frame.
            del slow


def unix_connect(
    path: PathLike | None = None,
    uri: str | None = None,
    **kwargs: Any,
) -> connect:
    """Connect to a WebSocket server that listens on a Unix socket.

    Args:
        path: file system path of the socket.
        uri: URI of the server; the host is what goes into the Host header. The default is
            ``ws://localhost/``, or ``wss://localhost/`` if ``ssl`` is given.
        **kwargs: the arguments of `connect`.

    Raises:
        ValueError: if there is neither ``path`` nor ``stream``, or both.

    """
    if (path is None) == (kwargs.get("stream") is None):
        raise ValueError("unix_connect takes either path or stream")
    uri = uri_or_local(uri, kwargs)
    if path is None:
        return connect(uri=uri, **kwargs)
    return connect(uri=uri, unix=True, path=path, **kwargs)
