"""The way to a server for threads: sockets, TLS, proxies."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from ..exceptions import ProxyError
from ..proxy.attempts import Attempts, check_proxy_tls, tunnel_options, where_to
from ..proxy.choice import choose
from ..proxy.environment import may_have_proxy
from ..proxy.steps import HANDSHAKE
from ..proxy.tls import make_context
from .layers import Layers, flatten
from .tls import SocketLike, TLSStream
from .tunnel import connect_through

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.dialling import Dialling
    from ..proxy import Passage
    from ..proxyprotocol.header import Header

Way = tuple[socket.socket, Layers | None, bytes, "Passage | None"]
"""The socket, TLS on it, what was received over it already, and how it went through a proxy."""


def open_way(dialling: Dialling, deadline: float | None) -> Way:
    """Open a way to a server.

    Args:
        dialling: where to.
        deadline: until when it must be open, by the monotonic clock; None for no limit.

    Raises:
        OSError: if that fails.
        ProxyError: if there is a proxy, and it fails.

    """
    kwargs = dialling.below()
    sock: socket.socket | None = kwargs.pop("sock", None)
    unix = kwargs.pop("unix", False)
    path = kwargs.pop("path", None)
    if sock is not None:
        return begin(sock, dialling, deadline, kwargs)
    if kwargs.get("ssl"):
        # If it names a file that isn't there, there needs to be no connection.
        kwargs["ssl"] = make_context(kwargs["ssl"])
    if not unix:
        proxy = dialling.proxy
        if proxy is not None and (proxy is not True or may_have_proxy()):
            return open_on_route(dialling, deadline, kwargs)
        return open_directly(dialling, deadline, kwargs)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with closing_on_error(sock):
        sock.settimeout(time_left(deadline))
        sock.connect(os.fspath(path))
    return begin(sock, dialling, deadline, kwargs)


def open_directly(dialling: Dialling, deadline: float | None, kwargs: dict[str, Any]) -> Way:
    """Connect to a server over TCP."""
    tls = {name: kwargs.pop(name, None) for name in ("ssl", "server_hostname")}
    host = kwargs.pop("host", None) or dialling.ws_uri.host
    port = kwargs.pop("port", None) or dialling.ws_uri.port
    left = time_left(deadline)
    kwargs["timeout"] = min((each for each in (kwargs.get("timeout"), left) if each), default=None)
    sock = socket.create_connection((host, port), **kwargs)
    with closing_on_error(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    return begin(sock, dialling, deadline, tls)


def begin(
    sock: socket.socket, dialling: Dialling, deadline: float | None, tls: dict[str, Any]
) -> Way:
    """Begin with a PROXY protocol header, and TLS, if there are to be any."""
    with closing_on_error(sock):
        sock.settimeout(time_left(deadline))
        announce(dialling.send_proxy_header, sock)
        stream: SocketLike = sock
        if tls.get("ssl"):
            context = make_context(tls["ssl"])
            peer = f"{dialling.ws_uri.host}:{dialling.ws_uri.port}"
            stream = TLSStream(sock, context, tls["server_hostname"], peer)
            stream.do_handshake(deadline)
        return *flatten(stream), b"", None


def open_on_route(dialling: Dialling, deadline: float | None, kwargs: dict[str, Any]) -> Way:
    """Connect on the way that leads to a server, through a proxy if there is one."""
    options = dialling.proxy_options
    target, choice = where_to(dialling.uri, kwargs, options)
    route = choose(dialling.proxy, dialling.uri, target, choice)
    check_proxy_tls(dialling.proxy, options, route)
    attempts = Attempts(route, time_left(deadline), options, dialling.logger)
    for attempt in attempts:
        try:
            if attempt.passage is None:
                until = deadline
                if attempt.limit is not None:
                    until = time.monotonic() + attempt.limit
                way = open_directly(dialling, until, kwargs.copy())
            else:
                sock, received = connect_through(
                    dialling.ws_uri,
                    attempt.passage,
                    streams=True,
                    announce=functools.partial(announce, dialling.send_proxy_header),
                    user_agent_header=dialling.user_agent_header,
                    **tunnel_options(options),
                    **kwargs,
                )
                way = *flatten(sock), received, attempt.passage
        except (ProxyError, OSError) as exc:
            if not attempts.goes_on_after(exc):
                raise
        else:
            attempts.succeeded()
            return way
    raise AssertionError("there is at least one route")


def announce(header: bool | Header, sock: SocketLike) -> None:
    """Send a PROXY protocol header, with the addresses of the socket if it is True."""
    if header:
        # Imported here because most programs don't need it.
        from ..proxyprotocol.builder import announcement

        sock.sendall(announcement(header, sock.getsockname(), sock.getpeername()))


def time_left(deadline: float | None) -> float | None:
    """How long there is until a deadline, in seconds.

    Raises:
        TimeoutError: if there is no time left.

    """
    if deadline is None:
        return None
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


@contextlib.contextmanager
def closing_on_error(sock: socket.socket) -> Iterator[None]:
    """Close a socket when something goes wrong."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


@contextlib.contextmanager
def opening_handshake(passage: Passage | None) -> Iterator[float | None]:
    """Do the opening handshake inside, which is a step of a passage if there is one.

    Gives until when, by the monotonic clock, where the passage says so.
    """
    if passage is None:
        yield None
        return
    with passage.step(HANDSHAKE, None, passage.route.destination):
        yield time.monotonic() + passage.limit(HANDSHAKE)
