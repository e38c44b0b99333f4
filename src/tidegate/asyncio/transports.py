"""Which transports carry connections.

Servers listen on the poller (Linux, compiled), and their connections without TLS are on it, too;
all others use aiofastnet's transports where they fit, else the event loop's own. The environment
variable ``TIDEGATE_TRANSPORTS`` restricts that: ``aiofastnet`` is without the poller, ``loop`` is
the event loop's own, ``poller`` is the default, even if the poller isn't compiled.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import ssl
import sys
from typing import TYPE_CHECKING, Any, cast

from ..core.tls import cut_off
from . import poller
from .listening import Securing, listen_tcp, listen_unix

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator

    from ..core.limits import Limits

    Factory = Callable[[], asyncio.BaseProtocol]

# As in asyncio.
DEFAULT_TLS_TIMEOUT = 60.0


@functools.cache
def find_aiofastnet() -> Any:
    """Import aiofastnet, None if it isn't installed: late, because most servers do without."""
    try:
        import aiofastnet
    except ImportError:
        return None
    return aiofastnet


def uses_aiofastnet(loop: asyncio.AbstractEventLoop) -> bool:
    """Say whether aiofastnet's transports are used with this loop."""
    return (
        os.environ.get("TIDEGATE_TRANSPORTS") != "loop"
        and has_readers(loop)
        and find_aiofastnet() is not None
    )


def serves_context(context: Any) -> bool:
    """Say whether aiofastnet keeps what a TLS context promises; None is no TLS.

    It makes its own ``SSL`` from what is inside: subclasses are passed by, and OpenSSL calls the
    callbacks of a context (SNI, key log, messages) with an object that isn't there, which kills
    the process.
    """
    if not isinstance(context, ssl.SSLContext):
        # A default one, for which the environment may say that keys are to be logged.
        return context is None or "SSLKEYLOGFILE" not in os.environ
    return (
        type(context) is ssl.SSLContext
        and context.sni_callback is None
        and getattr(context, "keylog_filename", None) is None
        and context.sslsocket_class is ssl.SSLSocket
        and context.sslobject_class is ssl.SSLObject
        and getattr(context, "_msg_callback", None) is None
    )


def method(loop: asyncio.AbstractEventLoop, name: str, *contexts: Any) -> Any:
    """Give a method of the event loop, or aiofastnet's in its place.

    Args:
        loop: the event loop.
        name: of the method.
        *contexts: for TLS on the connection, now or later; True is a default one, None is no TLS.

    """
    if uses_aiofastnet(loop) and all(map(serves_context, contexts)):
        return functools.partial(getattr(find_aiofastnet(), name), loop)
    return getattr(loop, name)


def polls(loop: asyncio.AbstractEventLoop, tls: bool = False) -> bool:
    """Say whether a server on this loop uses the poller."""
    wanted = os.environ.get("TIDEGATE_TRANSPORTS")
    return (
        wanted in (None, "", "poller")
        and poller.available
        # Uncompiled, it is slow at carrying connections. Those with TLS it only accepts.
        and (poller.compiled or wanted == "poller" or tls)
        and has_readers(loop)
    )


def has_readers(loop: asyncio.AbstractEventLoop) -> bool:
    """Say whether the loop has ``add_reader()``, as proactors don't."""
    return sys.platform != "win32" or isinstance(loop, asyncio.SelectorEventLoop)


async def create_connection(
    loop: asyncio.AbstractEventLoop,
    factory: Factory,
    *,
    tls_later: Iterable[Any] = (),
    **kwargs: Any,
) -> tuple[Any, Any]:
    """Connect; see `asyncio.loop.create_connection`.

    Args:
        loop: the event loop.
        factory: makes the protocol of the connection.
        tls_later: the contexts that are given to `start_tls` later.
        **kwargs: arguments of `asyncio.loop.create_connection`.

    """
    with naming(kwargs), aborting(factory) as make:
        both: tuple[Any, Any] = await method(
            loop, "create_connection", kwargs.get("ssl"), *tls_later
        )(make, **kwargs)
        return both


async def create_unix_connection(
    loop: asyncio.AbstractEventLoop,
    factory: Factory,
    *,
    tls_later: Iterable[Any] = (),
    **kwargs: Any,
) -> tuple[Any, Any]:
    """Connect to a Unix socket; see `asyncio.loop.create_unix_connection` and above."""
    with naming(kwargs), aborting(factory) as make:
        both: tuple[Any, Any] = await method(
            loop, "create_unix_connection", kwargs.get("ssl"), *tls_later
        )(make, **kwargs)
        return both


@contextlib.contextmanager
def naming(kwargs: dict[str, Any]) -> Iterator[None]:
    """Say with whom a TLS handshake was cut off: event loops raise that without a word."""
    try:
        yield
    except ConnectionResetError as exc:
        if exc.args or kwargs.get("ssl") is None:
            raise
        host = kwargs.get("host") or kwargs.get("server_hostname")
        port = kwargs.get("port")
        peer = kwargs.get("path") or (host if port is None else f"{host}:{port}")
        raise cut_off(str(peer or "the server")) from None


@contextlib.contextmanager
def aborting(factory: Factory) -> Iterator[Factory]:
    """Give a factory in place of another; if there is an exception, abort what it made.

    A task may be cancelled just when TLS has begun. The transport is then being closed, which takes
    time, but aiofastnet closes its socket at once: the transport would be mixed up with the next
    one that gets the same descriptor.
    """
    made: list[Any] = []

    def make() -> asyncio.BaseProtocol:
        protocol = factory()
        made.append(protocol)
        return protocol

    try:
        yield make
    except BaseException:
        for protocol in made:
            transport = getattr(protocol, "transport", None)
            if transport is not None:
                transport.abort()
        raise
    finally:
        made.clear()


async def create_server(
    loop: asyncio.AbstractEventLoop,
    factory: Factory,
    *,
    tls_later: bool = False,
    limits: Limits | None = None,
    **kwargs: Any,
) -> asyncio.Server:
    """Listen; see `asyncio.loop.create_server`.

    Args:
        loop: the event loop.
        factory: makes the protocol of a connection.
        tls_later: whether the sockets are given to `connect_accepted_socket` later. Until then,
            they have the loop's own transports, which let go of them.
        limits: limits on the connections that are about to begin TLS, which aren't in the program's
            hands yet; only servers on the poller have them.
        **kwargs: arguments of `asyncio.loop.create_server`.

    """
    if tls_later:
        return await loop.create_server(factory, **kwargs)
    if polls(loop, kwargs.get("ssl") is not None):
        return cast(
            "asyncio.Server",
            await listen_tcp(loop, factory, **on_poller(loop, factory, kwargs, limits)),
        )
    server: asyncio.Server = await method(loop, "create_server", kwargs.get("ssl"))(
        factory, **kwargs
    )
    return server


async def create_unix_server(
    loop: asyncio.AbstractEventLoop,
    factory: Factory,
    *,
    tls_later: bool = False,
    limits: Limits | None = None,
    **kwargs: Any,
) -> asyncio.Server:
    """Listen on a Unix socket; see `asyncio.loop.create_unix_server` and `create_server`."""
    if tls_later:
        return await loop.create_unix_server(factory, **kwargs)
    if polls(loop, kwargs.get("ssl") is not None):
        return cast(
            "asyncio.Server",
            await listen_unix(loop, factory, **on_poller(loop, factory, kwargs, limits)),
        )
    server: asyncio.Server = await method(loop, "create_unix_server", kwargs.get("ssl"))(
        factory, **kwargs
    )
    return server


def on_poller(
    loop: asyncio.AbstractEventLoop, factory: Factory, kwargs: dict[str, Any], limits: Limits | None
) -> dict[str, Any]:
    """The arguments of a server, as `listen_tcp` and `listen_unix` take them."""
    tls = {name: value for name, value in kwargs.items() if name.startswith("ssl")}
    rest = {name: value for name, value in kwargs.items() if name not in tls}
    context = tls.get("ssl")
    timeout = tls.get("ssl_handshake_timeout")
    if context is None:
        for name, value in tls.items():
            if value is not None:
                raise ValueError(f"{name} is only meaningful with ssl")
        return rest
    if isinstance(context, bool):
        raise TypeError("ssl argument must be an SSLContext or None")
    if timeout is not None and timeout <= 0:
        raise ValueError(f"ssl_handshake_timeout should be a positive number, got {timeout}")

    async def begin(sock: socket.socket) -> object:
        return await connect_accepted_socket(loop, factory, sock, **tls)

    if timeout is None:
        timeout = DEFAULT_TLS_TIMEOUT
    securing = Securing(loop, begin, timeout, limits)
    return {**rest, "securing": securing}


async def connect_accepted_socket(
    loop: asyncio.AbstractEventLoop, factory: Factory, sock: socket.socket, **kwargs: Any
) -> tuple[Any, Any]:
    """Serve a socket that was accepted; see `asyncio.loop.connect_accepted_socket`."""
    with aborting(factory) as make:
        both: tuple[Any, Any] = await method(loop, "connect_accepted_socket", kwargs.get("ssl"))(
            make, sock, **kwargs
        )
        return both


async def start_tls(
    loop: asyncio.AbstractEventLoop, transport: Any, protocol: Any, context: Any, **kwargs: Any
) -> Any:
    """Begin TLS on a transport that isn't the poller's; see `asyncio.loop.start_tls`."""
    if not type(transport).__module__.startswith("aiofastnet"):
        return await loop.start_tls(transport, protocol, context, **kwargs)
    return await method(loop, "start_tls")(transport, protocol, context, **kwargs)
