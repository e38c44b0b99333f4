"""The client for threads."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from ..client import backoff, process_exception
from ..core.arguments import (
    PROXY_ARGUMENTS,
    check_path,
    refuse_unknown_arguments,
    take_renamed,
)
from ..core.connecting import uri_or_local
from ..core.dialling import (
    MAX_REDIRECTS,
    ConnectionEvent,
    timed_out,
)
from ..exceptions import ProxyError
from ..hints import explained
from ..http11 import USER_AGENT
from .client_connection import ClientConnection
from .reconnecting import Reconnecting
from .way import open_way, opening_handshake

if TYPE_CHECKING:
    import socket
    import ssl as ssl_module
    from collections.abc import Callable, Generator, Sequence

    from ..datastructures import HeadersLike
    from ..extensions.base import ClientExtensionFactory
    from ..proxy import ProxyLike
    from ..proxy.url import SSLLike
    from ..proxyprotocol.header import Header
    from ..typing import LoggerLike, Origin, PathLike, Subprotocol

__all__ = [
    "MAX_REDIRECTS",
    "ClientConnection",
    "ConnectionEvent",
    "connect",
    "reconnect",
    "unix_connect",
    "unix_reconnect",
]

# What it takes besides its own arguments.
OPTIONS = (
    *PROXY_ARGUMENTS,
    *("host", "port", "address", "timeout", "source_address", "all_errors"),
    # An older name of ssl.
    "ssl_context",
    # Those of unix_connect().
    *("unix", "path"),
)


class reconnect(Reconnecting):
    """Connect to a WebSocket server, again and again.

    The iterator gives a connection again and again, with growing delays between attempts that
    fail::

        for connection in reconnect("wss://example.com/"):
            try:
                ...
            except ConnectionClosed:
                continue

    As a context manager, it connects once, and closes the connection at its end::

        with reconnect("wss://example.com/") as connection:
            ...

    Args:
        uri: where to connect, ``ws://`` or ``wss://``.
        sock: a socket that is connected already; then there is no proxy.
        ssl: how to do TLS; True is the default for ``wss://``.
        server_hostname: the name in the server's certificate, by default the host in the URI.
        origin: value of the Origin header, for servers that require one.
        extensions: extensions to offer, the preferred first.
        subprotocols: subprotocols to offer, the preferred first.
        compression: ``"deflate"`` enables permessage-deflate, None disables it.
        additional_headers: headers to add to the opening handshake request.
        user_agent_header: value of the User-Agent header; None for none.
        proxy: the proxy to use, in each of the forms of `tidegate.asyncio.client.connect`.
        proxy_ssl: a context for TLS with the proxy, or the path of a bundle of certificates.
        proxy_server_hostname: the name in the proxy's certificate.
        send_proxy_header: a PROXY protocol header to send to the server, before TLS; True for one
            of version 2 with the addresses of the socket.
        process_exception: says whether a failure is worth another attempt: it returns None for
            yes, the exception (or another) to raise for no. The default tries again after network
            errors, time-outs and HTTP 500, 502, 503 and 504, but not after certificate errors.
        open_timeout: how long connecting may take, opening handshake included, in seconds; None
            for no limit.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        reconnect_delays: gives a generator of the delays in seconds. When it ends, the last failure
            is raised.
        reconnect_limit: how many attempts in a row may fail; then the failure is raised. None for
            no limit.
        on_event: called with a `ConnectionEvent` when something changes.
        max_size: limit on incoming messages in bytes, after decompression; a tuple ``(message,
            fragment)`` also limits frames; None for no limit.
        max_queue: how many frames may wait to be received before reading stops, ``high`` or
            ``(high, low)``; None for no limit.
        logger: where to log; the default is ``tidegate.client``.
        create_connection: subclass of `ClientConnection` to use.
        **kwargs: given to `socket.create_connection`: ``source_address``, ``all_errors``; and
            ``host`` and ``port``, or ``address``, to connect to somewhere else than the URI says.
            ``proxy_headers``, ``proxy_auth``, ``proxy_timeouts`` and ``proxy_loopback`` are those
            of `tidegate.asyncio.client.connect`.

    Raises:
        InvalidURI: if the URI isn't valid.
        InvalidProxy: if the proxy's URL isn't valid.
        TypeError: if an argument of the older API is given, or a function or class can't be called
            as it will be; the message says what to write.

    """

    def __init__(
        self,
        uri: str,
        *,
        # TCP and TLS
        sock: socket.socket | None = None,
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
        proxy_ssl: SSLLike | None = None,
        proxy_server_hostname: str | None = None,
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
        # Logging
        logger: LoggerLike | None = None,
        # Escape hatches
        create_connection: type[ClientConnection] | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_unknown_arguments("connect", kwargs, OPTIONS, reconnect)
        given = {
            "sock": sock,
            "ssl": take_renamed(kwargs, "ssl_context", "ssl", ssl),
            "server_hostname": server_hostname,
            "proxy_ssl": proxy_ssl,
            "proxy_server_hostname": proxy_server_hostname,
        }
        kwargs.update((name, value) for name, value in given.items() if value is not None)
        if "address" in kwargs:
            kwargs["host"], kwargs["port"] = kwargs.pop("address")
        super().__init__(
            uri,
            ClientConnection,
            {
                "ping_interval": ping_interval,
                "ping_timeout": ping_timeout,
                "close_timeout": close_timeout,
                "max_queue": max_queue,
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

    def connect(self) -> ClientConnection:
        """Connect once, following redirects, which are not remembered for the next time.

        Raises:
            ProxyError: if the connection through the proxy fails.
            OSError: if the TCP connection fails.
            InvalidHandshake: if the opening handshake fails.
            TimeoutError: if connecting takes longer than ``open_timeout``.

        """
        self.start_over()
        limit = self.open_timeout
        deadline = None if limit is None else time.monotonic() + limit
        try:
            while True:
                connection = self.open_connection(deadline)
                if connection is not None:
                    return connection
        except TimeoutError as exc:
            if refusal := self.refusal():
                raise refusal from exc
            if isinstance(exc, ProxyError) or deadline is None or time.monotonic() < deadline:
                raise
            raise timed_out(exc, self.ws_uri, self.opening is not None) from exc

    def open_connection(self, deadline: float | None) -> ClientConnection | None:
        """Connect to where the URI leads now; None if there is a redirect from there."""
        with explained(self.ws_uri):
            sock, layers, early, passage = open_way(self, deadline)
        self.opening = self.make_protocol()
        try:
            connection: ClientConnection = self.create_connection(
                sock, self.opening, **self.connection_options
            )
        except BaseException:
            sock.close()
            raise
        try:
            connection.proxy = passage
            connection.begin(layers, early)
            with opening_handshake(passage) as until:
                if until is None or (deadline is not None and deadline < until):
                    until = deadline
                connection.handshake(
                    self.headers(),
                    self.user_agent_header,
                    None if until is None else max(until - time.monotonic(), 0),
                )
        except Exception as exc:
            connection.break_off()
            self.follow_redirect(exc)
            return None
        except BaseException:
            connection.break_off()
            raise
        self.opening = None
        return connection


def connect(uri: str, *, legacy: bool | None = None, **kwargs: Any) -> Any:
    """Connect to a WebSocket server.

    ::

        with connect("wss://example.com/") as connection:
            ...

    Args:
        uri: where to connect, ``ws://`` or ``wss://``.
        legacy: False gives a `reconnect` instead of a connection: it connects in its ``with``.
        **kwargs: the arguments of `reconnect`.

    Returns:
        A `ClientConnection`, which is to be closed, or used with ``with``.

    Raises:
        InvalidURI: if the URI isn't valid.
        InvalidProxy: if the proxy's URL isn't valid.
        ProxyError: if the connection through the proxy fails.
        OSError: if the TCP connection fails.
        InvalidHandshake: if the opening handshake fails.
        TimeoutError: if connecting takes longer than ``open_timeout``.
        TypeError: if an argument of the older API is given, or a class can't be called as it will
            be; the message says what to write.

    """
    dialling = reconnect(uri, **kwargs)
    return dialling if legacy is False else dialling.connect()


# Those of both, for people and programs that ask.
_own, _others = (list(inspect.signature(each).parameters.values()) for each in (connect, reconnect))
connect.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [*_others[:-1], _own[1], _others[-1]], return_annotation=Any
)


def unix_connect(
    path: PathLike | None = None,
    uri: str | None = None,
    *,
    legacy: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Connect to a WebSocket server that listens on a Unix socket.

    Args:
        path: file system path of the socket.
        uri: URI of the server; the host is what goes into the Host header. The default is
            ``ws://localhost/``, or ``wss://localhost/`` if ``ssl`` is given.
        legacy: False gives a `reconnect` instead of a connection: it connects in its ``with``.
        **kwargs: the arguments of `connect`.

    """
    dialling = unix_reconnect(path, uri, **kwargs)
    return dialling if legacy is False else dialling.connect()


def unix_reconnect(
    path: PathLike | None = None, uri: str | None = None, **kwargs: Any
) -> reconnect:
    """Connect, again and again, to a WebSocket server that listens on a Unix socket.

    Args:
        path: file system path of the socket.
        uri: URI of the server; the host is what goes into the Host header. The default is
            ``ws://localhost/``, or ``wss://localhost/`` if ``ssl`` is given.
        **kwargs: the arguments of `reconnect`.

    """
    check_path(path, kwargs.get("sock"))
    return reconnect(uri_or_local(uri, kwargs), unix=True, path=path, **kwargs)
