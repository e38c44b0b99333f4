"""The trio server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from ..core.arguments import refuse_unknown_arguments
from ..core.credentials import basic_auth
from ..core.limits import Limits
from ..core.serving import Serving
from ..http11 import SERVER
from ..utils import bind_unix_socket, remove_unix_socket
from .accepting import Accepting
from .connection import broadcast
from .running import Server
from .server_connection import ServerConnection

if TYPE_CHECKING:
    import re
    import ssl as ssl_module
    from collections.abc import Awaitable, Callable, Sequence

    from ..core.acceptance import ProcessRequest, ProcessResponse
    from ..extensions.base import ServerExtensionFactory
    from ..proxyprotocol.forwarded import ForwardedPolicy
    from ..proxyprotocol.policy import ProxyPolicy
    from ..typing import LoggerLike, Origin, PathLike, Subprotocol

__all__ = ["Limits", "Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]


async def serve(
    handler: Callable[[ServerConnection], Awaitable[None]],
    port: int | None = None,
    *,
    # TCP/TLS
    host: str | bytes | None = None,
    backlog: int | None = None,
    listeners: Sequence[Any] | None = None,
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
    process_request: ProcessRequest[ServerConnection] | None = None,
    process_response: ProcessResponse[ServerConnection] | None = None,
    server_header: str | None = SERVER,
    # Timeouts
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float | None = 10,
    # Limits
    max_size: int | tuple[int | None, int | None] | None = 2**20,
    max_queue: int | tuple[int | None, int | None] | None = 16,
    write_limit: int | tuple[int, int | None] = 2**15,
    limits: Limits | None = None,
    # Proxies in front of the server
    proxy_protocol: ProxyPolicy | None = None,
    inside_tls: bool = False,
    forwarded: ForwardedPolicy | None = None,
    # Logging
    logger: LoggerLike | None = None,
    # Escape hatches
    create_connection: type[ServerConnection] | None = None,
    # As nursery.start() needs it
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    **kwargs: Any,
) -> None:
    """Run a WebSocket server, until it is closed or this is cancelled.

    ::

        async def handler(websocket):
            async for message in websocket:
                await websocket.send(message)

        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve, handler, 8765)
            async with server:
                ...

    The connection is closed with code 1000 when the handler returns, with 1011 when it raises.

    Args:
        handler: coroutine function that gets each connection, a `ServerConnection`.
        port: the TCP port.
        host: the address to listen on; None for all.
        backlog: how many connections the operating system keeps.
        listeners: `trio.SocketListener` objects, instead of these three.
        ssl: TLS configuration.
        origins: acceptable values of the Origin header, text or compiled patterns that must match
            all of it; None in the list accepts requests without the header. A defence against
            cross-site WebSocket hijacking for servers that trust cookies.
        extensions: extensions to negotiate, in the order in which they are tried.
        subprotocols: supported subprotocols, the preferred first.
        select_subprotocol: called with the connection and the subprotocols that the client offers;
            returns one of them, None to go on without, or raises `NegotiationError`.
        compression: ``"deflate"`` enables permessage-deflate, None disables it.
        process_request: called with the connection and the request before the response is made; a
            response that it returns ends the connection, None goes on. May be a coroutine function.
        process_response: called with the connection, the request and the response; may change the
            response or return another. May be a coroutine function.
        server_header: value of the Server header of responses; None for none.
        open_timeout: how long the opening handshake may take, TLS included, in seconds; None for
            no limit.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.
        max_size: limit on incoming messages in bytes, after decompression; a tuple ``(message,
            fragment)`` also limits frames; None for no limit.
        max_queue: how many frames may wait to be received before reading stops, ``high`` or
            ``(high, low)``; None for no limit.
        write_limit: size of the write buffer in bytes from which on ``send`` waits, ``high`` or
            ``(high, low)``.
        limits: how many connections there may be, and how many may be opened per second.
        proxy_protocol: from whom the connections begin with a PROXY protocol header; then the
            addresses of a connection are those in the header, and so are those that ``limits``
            counts.
        inside_tls: whether that header is the first thing inside TLS, instead of being before it.
        forwarded: from whom ``Forwarded`` and ``X-Forwarded-For`` headers are believed; then the
            remote address of a connection, from the request on, is the one that they say.
        logger: where to log; the default is ``tidegate.server``.
        create_connection: subclass of `ServerConnection` to use.
        task_status: is given the `Server` when it accepts connections, for ``nursery.start()``.
        **kwargs: none are known; those of the older API are told apart.

    Raises:
        TypeError: if an argument of the older API is given, or a function or class can't be called
            as it will be; the message says what to write.
        ValueError: if an argument has a value that can't be used.
        OSError: if it isn't possible to listen there.

    """
    refuse_unknown_arguments("serve", kwargs, (), serve)
    serving = Serving(
        handler,
        ServerConnection,
        {
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "max_queue": max_queue,
            "write_limit": write_limit,
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
    if listeners is None:
        if port is None:
            raise ValueError("serve needs a port, or listeners")
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=backlog)
    else:
        for name, value in (("port", port), ("host", host), ("backlog", backlog)):
            if value is not None:
                raise ValueError(f"{name} is of no use with listeners")
    accepting = Accepting(handler, serving, ssl, proxy_protocol, inside_tls)
    server = Server(list(listeners), accepting.accepted, logger)
    server.limits = limits
    server.tally.policy = proxy_protocol
    accepting.server = server
    await server.serve_forever(task_status)


async def unix_serve(
    handler: Callable[[ServerConnection], Awaitable[None]],
    path: PathLike | None = None,
    *,
    backlog: int | None = None,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    **kwargs: Any,
) -> None:
    """Run a WebSocket server on a Unix socket.

    It is useful behind a reverse proxy on the same machine.

    Args:
        handler: coroutine function that gets each connection.
        path: file system path of the socket.
        backlog: how many connections the operating system keeps.
        task_status: as for `serve`.
        **kwargs: the arguments of `serve`.

    Raises:
        ValueError: if there is no path.
        OSError: if it isn't possible to listen there.

    """
    if path is None:
        raise ValueError("unix_serve needs a path")
    sock, inode = bind_unix_socket(path)
    sock.listen(128 if backlog is None else backlog)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    try:
        await serve(handler, listeners=[listener], task_status=task_status, **kwargs)
    finally:
        sock.close()
        remove_unix_socket(path, inode)
