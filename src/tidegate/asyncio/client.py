"""The asyncio client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Unpack

from ..client import ClientProtocol, backoff, process_exception
from ..core.connecting import Connecting, uri_or_local
from ..core.dialling import (
    MAX_REDIRECTS,
    ConnectionEvent,
    raise_opening_error,
    send_request,
    timed_out,
)
from ..core.listener import Listener, attach
from ..datastructures import HeadersLike
from ..exceptions import ProxyError
from ..hints import explained
from ..http11 import USER_AGENT, Response
from ..protocol import CONNECTING, OPEN
from ..proxy.environment import may_have_proxy
from .connection import Connection
from .options import refuse_unknown_client
from .transports import create_connection as create_tcp_connection
from .transports import create_unix_connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

    from ..extensions.base import ClientExtensionFactory
    from ..proxy import Passage, ProxyLike
    from ..proxyprotocol.header import Header
    from ..typing import LoggerLike, Origin, PathLike, Subprotocol
    from .announcement import Create
    from .options import ClientOptions

__all__ = ["MAX_REDIRECTS", "ClientConnection", "ConnectionEvent", "connect", "unix_connect"]


class ClientConnection(Connection):
    """The client's end of a connection on asyncio. See `Connection`.

    Attributes:
        proxy: how the connection went through the proxy, with the route, the proxy's answer and
            the time of each step; None without a proxy.

    """

    protocol: ClientProtocol
    proxy: Passage | None = None
    _response_waiter: asyncio.Future[None] | None = None
    listener_factory: Callable[[], Listener] | None = None

    def __init__(
        self,
        protocol: ClientProtocol,
        *,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int | tuple[int, int | None] = 2**15,
        coalesce: bool = True,
    ) -> None:
        super().__init__(
            protocol,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
            coalesce=coalesce,
        )

    async def handshake(
        self,
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
    ) -> None:
        """Do the opening handshake.

        Args:
            additional_headers: headers to add to the request.
            user_agent_header: value of the User-Agent header; None for none.

        Raises:
            InvalidHandshake: if the server doesn't accept the connection.
            ConnectionError: if the connection is lost meanwhile.

        """
        self._response_waiter = self.loop.create_future()
        send_request(self, additional_headers, user_agent_header)
        # The server may be gone already.
        self._check_opening()
        try:
            await self._response_waiter
        finally:
            self._response_waiter = None
        raise_opening_error(self)

    def opening_received(self, data: bytes) -> None:
        super().opening_received(data)
        self._check_opening()

    def _check_opening(self) -> None:
        """Tell `handshake` when the response is there, or can't come any more."""
        if self.protocol.state is CONNECTING and self.protocol.handshake_exc is None:
            return
        waiter = self._response_waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self.protocol.state is OPEN and self.opening:
            self.opened()
            if self.listener_factory is not None:
                attach(self, self.listener_factory)
            self.received()

    def process_event(self, event: Any) -> None:
        if self.response is None:
            assert isinstance(event, Response)
            self.response = event

    def eof_received(self) -> None:
        super().eof_received()
        self._check_opening()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._check_opening()


class connect(Connecting[ClientConnection]):
    """Connect to a WebSocket server.

    There are three ways to use it. Await it::

        connection = await connect("wss://example.com/")
        ...
        await connection.close()

    Or use it as a context manager, which closes the connection at its end::

        async with connect("wss://example.com/") as connection:
            ...

    Or let it reconnect: the iterator gives a connection again and again, with growing delays
    between attempts that fail, also if the server closes its connections at once::

        async for connection in connect("wss://example.com/"):
            try:
                ...
            except ConnectionClosed:
                continue

    Args:
        uri: where to connect, ``ws://`` or ``wss://``.
        origin: value of the Origin header, for servers that require one.
        extensions: extensions to offer, the preferred first.
        subprotocols: subprotocols to offer, the preferred first.
        compression: ``"deflate"`` enables permessage-deflate, None disables it.
        additional_headers: headers to add to the opening handshake request; ``Host``, ``Origin``
            and ``Authorization`` replace what would be sent otherwise.
        user_agent_header: value of the User-Agent header; None for none.
        proxy: URL of the proxy to use, or several joined by ``->``; True to find one in the
            environment and the settings of the operating system; None for none. It can also be a
            `tidegate.proxy.Proxy`; a list of proxies, to be tried in order, in which one that
            fails rests for a while; a mapping from ``ws``, ``wss``, ``example.com``,
            ``example.com:8443``, ``*.example.com`` or ``*`` to proxies; or a function that gets the
            URI and gives any of these, or an awaitable of it.
        send_proxy_header: a PROXY protocol header to send to the server, before TLS; True for one
            of version 2 with the addresses of the socket.
        process_exception: when reconnecting, says whether a failure is worth another attempt: it
            returns None for yes, the exception (or another) to raise for no. The default tries
            again after network errors, time-outs and HTTP 500, 502, 503 and 504, but not after
            certificate errors.
        open_timeout: how long connecting may take, opening handshake included, in seconds; None
            for no limit.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        reconnect_delays: when reconnecting, gives a generator of the delays in seconds. When it
            ends, the last failure is raised. It begins anew after a connection that this side
            closed, or that lasted for five seconds.
        reconnect_limit: when reconnecting, how many attempts in a row may fail; then the failure is
            raised. None for no limit.
        on_event: when reconnecting, called with a `ConnectionEvent` when something changes.
        max_size: limit on incoming messages in bytes, after decompression; a tuple ``(message,
            fragment)`` also limits frames; None for no limit.
        max_queue: how many frames may wait to be received before reading stops, ``high`` or
            ``(high, low)``; None for no limit.
        write_limit: size of the write buffer in bytes from which on ``send`` waits, ``high`` or
            ``(high, low)``.
        coalesce: whether the answers to messages that came together go out together, when the last
            of them was taken; False has each `send` write at once.
        logger: where to log; the default is ``tidegate.client``.
        create_connection: subclass of `ClientConnection` to use.
        listener: makes a `Listener`, whose methods are called instead of receiving messages.
        **kwargs: given to `asyncio.loop.create_connection`: ``ssl``, ``server_hostname``,
            ``host`` and ``port`` to connect to somewhere else than the URI says, ``sock``,
            ``local_addr``, and so on. With a proxy, what is about the TCP connection is about that
            to the proxy, and there are these as well: ``proxy_ssl``, a context for TLS with the
            proxy, or the path of a bundle of certificates to trust; ``proxy_server_hostname``, the
            name in its certificate; ``proxy_headers``, headers for it; ``proxy_auth``, how to
            authenticate to it, such as ``(user, password)`` or an object of `tidegate.proxy`;
            ``proxy_timeouts``, a `tidegate.proxy.Timeouts` with limits for each step;
            ``proxy_loopback``, whether this machine, too, is reached through a proxy that was
            found.

    Raises:
        InvalidURI: if the URI isn't valid.
        InvalidProxy: if the proxy's URL isn't valid.
        ProxyError: if the connection through the proxy fails.
        OSError: if the TCP connection fails.
        InvalidHandshake: if the opening handshake fails.
        TimeoutError: if connecting takes longer than ``open_timeout``; but `InvalidStatus` if the
            server has refused by then, and only the body of its response hasn't ended.
        ValueError: if arguments contradict each other, or additional headers are those that the
            opening handshake consists of.
        TypeError: if an argument of the older API is given, or a function or class can't be called
            as it will be; the message says what to write.

    """

    def __init__(
        self,
        uri: str,
        *,
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
        coalesce: bool = True,
        # Logging
        logger: LoggerLike | None = None,
        # Escape hatches
        create_connection: type[ClientConnection] | None = None,
        # Callbacks
        listener: Callable[[], Listener] | None = None,
        **kwargs: Unpack[ClientOptions],
    ) -> None:
        refuse_unknown_client(kwargs, connect)
        options: dict[str, Any] = {
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "max_queue": max_queue,
            "write_limit": write_limit,
        }
        if not coalesce:
            # Subclasses needn't know this argument unless it is used.
            options["coalesce"] = False
        super().__init__(
            uri,
            ClientConnection,
            options,
            {**kwargs},
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
            listener=listener,
        )
        self.connection: ClientConnection | None = None

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Let some time pass."""
        return asyncio.sleep(seconds)

    # Connecting once

    def factory(self) -> ClientConnection:
        """Make a connection without transport."""
        connection: ClientConnection = self.create_connection(
            self.make_protocol(), **self.connection_options
        )
        connection.listener_factory = self.listener
        return connection

    async def open_tcp_connection(self) -> ClientConnection:
        """Make a connection with a transport, TLS included."""
        loop = asyncio.get_running_loop()
        kwargs = self.below()
        ws_uri = self.ws_uri
        connection: ClientConnection
        connect_unix: Create = create_unix_connection
        connect_tcp: Create = create_tcp_connection
        if self.send_proxy_header:
            # Imported here because most programs don't need it.
            from .announcement import announce

            connect_unix = announce(connect_unix, self.send_proxy_header)
            connect_tcp = announce(connect_tcp, self.send_proxy_header)
        if kwargs.pop("unix", False):
            _, connection = await connect_unix(loop, self.factory, **kwargs)
        else:
            if kwargs.get("sock") is None:
                if self.proxy is not None and (self.proxy is not True or may_have_proxy()):
                    return await self.open_on_route(loop, kwargs)
                kwargs.setdefault("host", ws_uri.host)
                kwargs.setdefault("port", ws_uri.port)
            _, connection = await connect_tcp(loop, self.factory, **kwargs)
        return connection

    async def open_on_route(
        self, loop: asyncio.AbstractEventLoop, kwargs: dict[str, Any]
    ) -> ClientConnection:
        """Make a connection with a transport that leads through a proxy, if there is one."""
        # Imported here because most programs don't need it.
        from .tunnel import connect_on_route, find_route

        connection: ClientConnection
        _, connection, passage = await connect_on_route(
            loop,
            self.factory,
            self.ws_uri,
            await find_route(self.proxy, self.uri, kwargs, self.proxy_options),
            open_timeout=self.open_timeout,
            options=self.proxy_options,
            user_agent_header=self.user_agent_header,
            logger=self.logger,
            send_proxy_header=self.send_proxy_header,
            **kwargs,
        )
        connection.proxy = passage
        return connection

    async def shake_hands(self, connection: ClientConnection) -> None:
        """Do the opening handshake, which is one more step of the way if there is a proxy."""
        if connection.proxy is None:
            await connection.handshake(self.headers(), self.user_agent_header)
            return
        from .tunnel import opening_handshake

        async with opening_handshake(connection.proxy):
            await connection.handshake(self.headers(), self.user_agent_header)

    async def connect(self) -> ClientConnection:
        """Connect, following redirects, which are not remembered for the next time."""
        self.start_over()
        timeout = asyncio.timeout(self.open_timeout)
        try:
            async with timeout:
                while True:
                    with explained(self.ws_uri):
                        connection = await self.open_tcp_connection()
                    self.opening = connection.protocol
                    try:
                        await self.shake_hands(connection)
                    except Exception as exc:
                        connection.transport.abort()
                        self.follow_redirect(exc)
                    except BaseException:
                        connection.transport.abort()
                        raise
                    else:
                        self.opening = None
                        return connection
        except TimeoutError as exc:
            if refusal := self.refusal():
                raise refusal from exc
            if isinstance(exc, ProxyError) or not timeout.expired():
                raise
            raise timed_out(exc, self.ws_uri, self.opening is not None) from exc
        finally:
            # It refers to the task, which refers to the exception that this frame may raise.
            del timeout

    # ... = await connect(...)

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        return self.connect().__await__()


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

    """
    return connect(uri=uri_or_local(uri, kwargs), unix=True, path=path, **kwargs)
