"""What `connect` and `serve` take besides their own arguments, and give to the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import socket
    import ssl as ssl_module

    from ..datastructures import HeadersLike
    from ..proxy import Timeouts
    from ..proxy.credentials import AuthLike
    from ..proxy.url import SSLLike
    from ..typing import PathLike

__all__ = ["ClientOptions", "ServerOptions"]


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
