"""The server for threads: one for each connection."""

from __future__ import annotations

import functools
import os
import re
import socket
import time
from typing import TYPE_CHECKING, Any

from ..core.arguments import check_path, refuse_unknown_arguments, take_renamed
from ..core.broadcast import broadcast
from ..core.credentials import basic_auth as basic_auth_anywhere
from ..core.limits import Limits
from ..core.serving import Serving
from ..exceptions import ConnectionClosed
from ..http11 import SERVER
from ..imports import lazy_import
from ..utils import bind_unix_socket, remove_unix_socket
from .accepting import Door, tell
from .running import Server
from .server_connection import ServerConnection
from .way import closing_on_error

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable, Iterable, Sequence

    from ..core.acceptance import PlainProcessRequest, PlainProcessResponse
    from ..extensions.base import ServerExtensionFactory
    from ..http11 import Request, Response
    from ..proxyprotocol.forwarded import ForwardedPolicy
    from ..proxyprotocol.policy import ProxyPolicy
    from ..typing import LoggerLike, Origin, PathLike, Subprotocol

__all__ = ["Limits", "Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]

# How many connections to a Unix socket wait to be accepted, unless the program says it.
BACKLOG = 100

# What `serve` takes besides its own arguments.
OPTIONS = (
    *("family", "backlog", "reuse_port", "dualstack_ipv6"),
    # An older name of ssl.
    "ssl_context",
    # Those of unix_serve().
    *("unix", "path"),
)


def serve(
    handler: Callable[[ServerConnection], None],
    host: str | None = None,
    port: int | None = None,
    *,
    # TCP and TLS
    sock: socket.socket | None = None,
    ssl: ssl_module.SSLContext | None = None,
    # WebSocket
    origins: Sequence[Origin | re.Pattern[str] | None] | None = None,
    extensions: Sequence[ServerExtensionFactory] | None = None,
    subprotocols: Sequence[Subprotocol] | None = None,
    select_subprotocol: (
        Callable[[ServerConnection, Sequence[Subprotocol]], Subprotocol | None] | None
    ) = None,
    compression: str | None = "deflate",
    # HTTP
    process_request: PlainProcessRequest[ServerConnection] | None = None,
    process_response: PlainProcessResponse[ServerConnection] | None = None,
    server_header: str | None = SERVER,
    # Timeouts
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    # Limits
    max_size: int | tuple[int | None, int | None] | None = 2**20,
    max_queue: int | tuple[int | None, int | None] | None = 16,
    limits: Limits | None = None,
    # Proxies in front of the server
    proxy_protocol: ProxyPolicy | None = None,
    inside_tls: bool = False,
    forwarded: ForwardedPolicy | None = None,
    # Logging
    logger: LoggerLike | None = None,
    # Escape hatches
    create_connection: type[ServerConnection] | None = None,
    **kwargs: Any,
) -> Server:
    """Make a WebSocket server for threads, which listens.

    ::

        def handler(websocket):
            for message in websocket:
                websocket.send(message)

        with serve(handler, "localhost", 8765) as server:
            server.serve_forever()

    The connection is closed with code 1000 when the handler returns, with 1011 when it raises.

    Args:
        handler: called with each connection, a `ServerConnection`, in a thread of its own.
        host: the address to listen on; None for all of IPv4.
        port: the TCP port.
        sock: a socket that listens already, in place of ``host`` and ``port``.
        ssl: how to do TLS, None for none.
        origins: acceptable values of the Origin header, text or compiled patterns that must match
            all of it; None in the list accepts requests without the header. A defence against
            cross-site WebSocket hijacking for servers that trust cookies.
        extensions: extensions to negotiate, in the order in which they are tried.
        subprotocols: supported subprotocols, the preferred first.
        select_subprotocol: called with the connection and the subprotocols that the client offers;
            returns one of them, None to go on without, or raises `NegotiationError`.
        compression: ``"deflate"`` enables permessage-deflate, None disables it.
        process_request: called with the connection and the request before the response is made; a
            response that it returns ends the connection, None goes on.
        process_response: called with the connection, the request and the response; may change the
            response or return another.
        server_header: value of the Server header of responses; None for none.
        open_timeout: how long the opening handshake may take, in seconds; None for no limit.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        max_size: limit on incoming messages in bytes, after decompression; a tuple ``(message,
            fragment)`` also limits frames; None for no limit.
        max_queue: how many frames may wait to be received before reading stops, ``high`` or
            ``(high, low)``; None for no limit.
        limits: how many connections there may be, and how many may be opened per second. Without
            it, there are as many threads as clients want.
        proxy_protocol: from whom the connections begin with a PROXY protocol header; then the
            addresses of a connection are those in the header, and so are those that ``limits``
            counts.
        inside_tls: whether that header is the first thing inside TLS, instead of being before it.
        forwarded: from whom ``Forwarded`` and ``X-Forwarded-For`` headers are believed; then the
            remote address of a connection, from the request on, is the one that they say.
        logger: where to log; the default is ``tidegate.server``.
        create_connection: subclass of `ServerConnection` to use.
        **kwargs: given to `socket.create_server`: ``family``, ``backlog``, ``reuse_port``,
            ``dualstack_ipv6``.

    Raises:
        TypeError: if an argument of the older API is given, or a function or class can't be called
            as it will be; the message says what to write.
        ValueError: if an argument has a value that can't be used.

    """
    refuse_unknown_arguments("serve", kwargs, OPTIONS, serve)
    context = take_renamed(kwargs, "ssl_context", "ssl", ssl)
    serving = Serving(
        handler,
        ServerConnection,
        {
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "max_queue": max_queue,
        },
        kwargs,
        origins=origins,
        extensions=extensions,
        subprotocols=subprotocols,
        select_subprotocol=select_subprotocol,
        compression=compression,
        process_request=process_request,
        process_response=process_response,
        server_header=server_header,
        open_timeout=open_timeout,
        max_size=max_size,
        limits=limits,
        forwarded=forwarded,
        logger=logger,
        create_connection=create_connection,
    )
    door = Door(proxy_protocol, inside_tls, context, open_timeout)
    trusted = None if forwarded is None else forwarded.trusted
    if limits is None or not door.takes_time:
        arriving = None
    else:
        arriving = limits.before_header() if proxy_protocol else limits.before_tls(trusted)

    def count(connection: ServerConnection) -> tuple[int, str] | None:
        """Add a connection to those of the server; say with which response it is refused."""
        address = serving.opening.counted(connection.remote_address)
        with server.lock:
            refusal = None if limits is None else limits.admit(address, time.monotonic())
            if refusal is None:
                connection.counted = (address,)
            server.all_connections.add(connection)
            # From now on it is the connection that is told of a shutdown.
            server.arrived(connection.socket)
        return refusal

    def admit(accepted: socket.socket, address: Any) -> Callable[[], None] | None:
        """Say how to serve a socket; refuse it if there is no room, without a thread."""
        if door.takes_time:
            if arriving is not None:
                with server.lock:
                    refused = arriving.admit(address, time.monotonic()) is not None
                if refused:
                    # There can be no answer yet.
                    accepted.close()
                    return None
            return functools.partial(serve_socket, accepted, address)
        connection = serving.make_connection(accepted, server=server)
        refusal = count(connection)
        if refusal is not None:
            connection.open(serving.opening, refusal)
            return None
        return functools.partial(serve_connection, connection)

    def enter(accepted: socket.socket) -> ServerConnection:
        """Give the connection of a socket, whose opening handshake is to begin."""
        endpoints, layers, rest = door.let_in(accepted)
        connection: ServerConnection = serving.make_connection(accepted, server=server)
        connection.endpoints = endpoints
        if endpoints is not None and endpoints.header is not None:
            connection.protocol.announced = True
            connection.protocol.checks_health = endpoints.header.command == "LOCAL"
        connection.begin(layers, rest)
        return connection

    def serve_socket(accepted: socket.socket, address: Any) -> None:
        try:
            connection = enter(accepted)
            refusal = count(connection)
        except OSError as exc:
            accepted.close()
            tell(server.logger, address, exc)
            return
        except BaseException:
            accepted.close()
            raise
        finally:
            if arriving is not None:
                with server.lock:
                    arriving.release(address)
        serve_connection(connection, refusal)

    def serve_connection(
        connection: ServerConnection, refusal: tuple[int, str] | None = None
    ) -> None:
        try:
            connection.open(serving.opening, refusal)
            if connection.response is None or connection.response.status_code != 101:
                connection.wait_closed()
                return
            with connection:
                handler(connection)
        except Exception as exc:
            # The server's own end, whatever the code, is no failure of its handlers.
            if not (server.closing and isinstance(exc, ConnectionClosed)):
                connection.logger.error("connection handler failed", exc_info=True)
        finally:
            connection.break_off()

    clean_up = None
    if sock is None and kwargs.pop("unix", False):
        path = os.fspath(kwargs.pop("path"))
        sock, inode = bind_unix_socket(path)
        with closing_on_error(sock):
            sock.listen(kwargs.get("backlog", BACKLOG))
        clean_up = functools.partial(remove_unix_socket, path, inode)
    elif sock is None:
        if port is None:
            raise ValueError("neither port nor sock is given")
        if host and ":" in host:
            kwargs.setdefault("family", socket.AF_INET6)
        sock = socket.create_server((host or "", port), **kwargs)
    server = Server(sock, serve_socket, logger)
    server.limits = limits
    server.tally.policy = proxy_protocol
    server.admit = admit
    server.clean_up = clean_up
    return server


def unix_serve(
    handler: Callable[[ServerConnection], None],
    path: PathLike | None = None,
    **kwargs: Any,
) -> Server:
    """Make a WebSocket server for threads on a Unix socket.

    It is useful behind a reverse proxy on the same machine.

    Args:
        handler: called with each connection, in a thread of its own.
        path: file system path of the socket.
        **kwargs: the arguments of `serve`.

    """
    check_path(path, kwargs.get("sock"))
    return serve(handler, unix=True, path=path, **kwargs)


def basic_auth(
    realm: str = "",
    credentials: tuple[str, str] | Iterable[tuple[str, str]] | None = None,
    check_credentials: Callable[[str, str], bool] | None = None,
) -> Callable[[ServerConnection, Request], Response | None]:
    """Make a ``process_request`` that asks for user name and password (RFC 7617).

    ::

        serve(handler, process_request=basic_auth("sluices", ("keeper", "secret")))

    Who it is then stands in ``connection.username``. Nobody else must be able to read the
    connection: use TLS.

    Args:
        realm: what the credentials are for, ASCII.
        credentials: a pair of user name and password, or several.
        check_credentials: called with user name and password, says whether they are right.

    Raises:
        ValueError: if not exactly one of ``credentials`` and ``check_credentials`` is given.
        TypeError: if the credentials aren't pairs of text.

    """
    ask = basic_auth_anywhere(realm, credentials, check_credentials)

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        # Nothing in it waits, so it is done at once.
        answer: Any = ask(connection, request)
        try:
            answer.send(None)
        except StopIteration as done:
            response: Response | None = done.value
            return response
        answer.close()
        raise TypeError("check_credentials must be a function that isn't a coroutine function")

    return process_request


# What it was called first.
lazy_import(
    globals(),
    deprecated_aliases={
        "WebSocketServer": (".server:Server", "WebSocketServer was renamed to Server")
    },
)
