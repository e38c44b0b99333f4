"""Clients on the poller: what `asyncio.loop.create_connection` does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

from .events import get_poller
from .tls import begin_tls, check_timeouts
from .transport import PollTransport

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable, Sequence

__all__ = ["connect_tcp", "connect_unix"]

# How an address is looked up gives: family, type, protocol, canonical name, address.
Found = tuple[int, int, int, str, Any]


async def connect_tcp(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], Any],
    *,
    host: str | None = None,
    port: int | None = None,
    sock: socket.socket | None = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    local_addr: tuple[str, int] | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    **tls: Any,
) -> tuple[Any, Any]:
    """Connect with TCP; see `asyncio.loop.create_connection`."""
    check_tls_arguments(tls, host)
    if sock is not None:
        if host is not None or port is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        sock.setblocking(False)
    else:
        if host is None and port is None:
            raise ValueError("host and port was not specified and no sock specified")
        found = await resolve(loop, host, port, family, proto, flags)
        local = None
        if local_addr is not None:
            local = await resolve(loop, *local_addr, family, proto, flags)
        sock = await open_socket(loop, found, local, happy_eyeballs_delay, interleave)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        # Frames must not wait for the acknowledgement of earlier ones.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    peer = "the server" if host is None else host if port is None else f"{host}:{port}"
    if tls.get("server_hostname") is None and tls.get("ssl") is not None:
        tls["server_hostname"] = host
    return await carry(loop, factory, sock, peer, **tls)


async def connect_unix(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], Any],
    *,
    path: Any = None,
    sock: socket.socket | None = None,
    **tls: Any,
) -> tuple[Any, Any]:
    """Connect to a Unix socket; see `asyncio.loop.create_unix_connection`."""
    check_tls_arguments(tls, None)
    if sock is not None:
        if path is not None:
            raise ValueError("path and sock can not be specified at the same time")
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")
        sock.setblocking(False)
    else:
        if path is None:
            raise ValueError("no path and sock were specified")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, os.fspath(path))
        except BaseException:
            sock.close()
            raise
    return await carry(loop, factory, sock, str(path or "the server"), **tls)


def check_tls_arguments(tls: dict[str, Any], host: str | None) -> None:
    """Refuse arguments about TLS that contradict each other, as asyncio does."""
    if tls.get("ssl") is None:
        for name, value in tls.items():
            if value is not None and name != "ssl":
                raise ValueError(f"{name} is only meaningful with ssl")
        return
    if tls.get("server_hostname") is None and not host:
        raise ValueError("You must set server_hostname when using ssl without a host")
    check_timeouts(tls)


async def resolve(
    loop: asyncio.AbstractEventLoop,
    host: str | None,
    port: int | None,
    family: int,
    proto: int,
    flags: int,
) -> Sequence[Found]:
    """Look up where to connect to, or from."""
    if isinstance(host, str) and isinstance(port, int) and not (family or proto or flags):
        # Addresses are no names, and looking up happens in a thread.
        for known, size in ((socket.AF_INET, 2), (socket.AF_INET6, 4)):
            with contextlib.suppress(OSError, ValueError):
                socket.inet_pton(known, host)
                address = (host, port, 0, 0)[:size]
                return [(known, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]
    found = await loop.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags
    )
    if not found:
        raise OSError("getaddrinfo() returned empty list")
    return found


async def open_socket(
    loop: asyncio.AbstractEventLoop,
    found: Sequence[Found],
    local: Sequence[Found] | None,
    happy_eyeballs_delay: float | None,
    interleave: int | None,
) -> socket.socket:
    """Connect to the first address that answers."""
    if len(found) > 1 or local is not None:
        # Imported here because most programs don't need it.
        import aiohappyeyeballs

        return await aiohappyeyeballs.start_connection(
            found,
            local_addr_infos=local,
            happy_eyeballs_delay=happy_eyeballs_delay,
            interleave=interleave,
            loop=loop,
        )
    family, kind, proto, _, address = found[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def carry(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], Any],
    sock: socket.socket,
    peer: str,
    *,
    ssl: ssl_module.SSLContext | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> tuple[Any, Any]:
    """Put a connected socket into the poller, and begin TLS on it."""
    try:
        protocol = factory()
        try:
            peername = sock.getpeername()
        except OSError:
            peername = None
        below = PollTransport(loop, sock, protocol, peername, get_poller(loop))
    except BaseException:
        sock.close()
        raise
    if ssl is None:
        below.start()
        return below, protocol
    below.update()
    transport = await begin_tls(
        loop,
        below,
        protocol,
        ssl,
        server_hostname=server_hostname,
        peer=peer,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
    )
    return transport, protocol
