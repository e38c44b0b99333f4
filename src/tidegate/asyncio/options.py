"""What `connect` and `serve` take besides their own arguments, and give to the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypedDict

from ..core.arguments import refuse_unknown_arguments

if TYPE_CHECKING:
    import socket
    import ssl as ssl_module
    from collections.abc import Callable, Iterable

    from ..datastructures import HeadersLike
    from ..proxy import Timeouts
    from ..proxy.credentials import AuthLike
    from ..proxy.url import SSLLike
    from ..typing import PathLike

__all__ = ["ClientOptions", "ServerOptions", "refuse_unknown_client", "refuse_unknown_server"]


class CommonOptions(TypedDict, total=False):
    ssl_handshake_timeout: float | None
    ssl_shutdown_timeout: float | None
    sock: socket.socket | None
    family: int
    flags: int
    # Those of unix_connect() and unix_serve().
    unix: bool
    path: PathLike | None


class ServerOptions(CommonOptions, total=False):
    """Arguments of ``loop.create_server()`` and ``loop.create_unix_server()``."""

    ssl: ssl_module.SSLContext | None
    backlog: int
    reuse_address: bool | None
    reuse_port: bool | None
    keep_alive: bool | None
    start_serving: bool
    start_server: bool
    cleanup_socket: bool


class ClientOptions(CommonOptions, total=False):
    """Arguments of ``loop.create_connection()``, and those about the way through proxies."""

    ssl: ssl_module.SSLContext | bool | None
    server_hostname: str | None
    host: str | None
    port: int | None
    proto: int
    local_addr: tuple[str, int] | None
    happy_eyeballs_delay: float | None
    interleave: int | None
    all_errors: bool
    proxy_auth: AuthLike | None
    proxy_headers: HeadersLike | None
    proxy_loopback: bool | None
    proxy_server_hostname: str | None
    proxy_ssl: SSLLike | None
    proxy_timeouts: Timeouts | None


# What there is in the type comes first, as most programs need no more.
SERVER_OPTIONS = ServerOptions.__optional_keys__
CLIENT_OPTIONS = ClientOptions.__optional_keys__


def refuse_unknown_server(arguments: Iterable[str], *functions: Callable[..., Any]) -> None:
    """Refuse arguments that neither ``functions`` know, nor the event loop for a server."""
    loop = asyncio.AbstractEventLoop
    below = (loop.create_server, loop.create_unix_server)
    refuse_unknown_arguments("serve", arguments, SERVER_OPTIONS, *functions, *below)


def refuse_unknown_client(arguments: Iterable[str], *functions: Callable[..., Any]) -> None:
    """Refuse arguments that neither ``functions`` know, nor the event loop for a client."""
    loop = asyncio.AbstractEventLoop
    below = (loop.create_connection, loop.create_unix_connection)
    refuse_unknown_arguments("connect", arguments, CLIENT_OPTIONS, *functions, *below)
