"""Which transports carry connections.

On Linux all are on the poller, unless the library isn't compiled: then those that have TLS, or will
have it, are, because it is ours that keeps all promises, and the others are the event loop's own,
as they are elsewhere. The environment variable ``TIDEGATE_TRANSPORTS`` changes that: ``loop`` is
the event loop's own always, ``poller`` the poller also uncompiled. Servers on Linux always listen
in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import ssl as ssl_module
import sys
from typing import TYPE_CHECKING, Any, cast

from ..core.tls import cut_off
from .sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..core.limits import Limits

    Factory = Callable[[], asyncio.BaseProtocol]

# What the poller knows of the arguments of loop.create_connection() and its kin.
LOOKED_UP = frozenset(("family", "proto", "flags", "local_addr"))
TCP_ARGUMENTS = LOOKED_UP | {"host", "port", "sock", "happy_eyeballs_delay", "interleave"}
UNIX_ARGUMENTS = frozenset(("path", "sock"))
TLS_ARGUMENTS = frozenset(
    ("ssl", "server_hostname", "ssl_handshake_timeout", "ssl_shutdown_timeout")
)


def polls(loop: asyncio.AbstractEventLoop, tls: bool = False) -> bool:
    """Say whether connections on this loop use the poller.

    Args:
        loop: the event loop.
        tls: whether they begin with TLS, or will have it.

    """
    wanted = os.environ.get("TIDEGATE_TRANSPORTS")
    return (
        wanted in (None, "", "poller")
        and hasattr(select, "epoll")
        # Uncompiled, it is slower than the event loop's own.
        and (is_compiled() or wanted == "poller" or tls)
        and has_readers(loop)
    )


def accepts(loop: asyncio.AbstractEventLoop) -> bool:
    """Say whether sockets listen in the poller.

    It is kinder than asyncio to a process without descriptors, and it counts who begins TLS.
    """
    return hasattr(select, "epoll") and has_readers(loop)


def is_compiled() -> bool:
    """Say whether the poller is compiled."""
    from .poller import transport

    return bool(transport.compiled)


def has_readers(loop: asyncio.AbstractEventLoop) -> bool:
    """Say whether the loop has ``add_reader()``, as proactors don't."""
    return sys.platform != "win32" or isinstance(loop, asyncio.SelectorEventLoop)


def with_context(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Give arguments with a TLS context where a client may have something else."""
    value = kwargs.get("ssl")
    if value is None or isinstance(value, ssl_module.SSLContext):
        return kwargs
    from ..proxy.tls import make_context

    return {**kwargs, "ssl": make_context(value)}


async def create_connection(
    loop: asyncio.AbstractEventLoop, factory: Factory, *, tls: bool = False, **kwargs: Any
) -> tuple[Any, Any]:
    """Connect; see `asyncio.loop.create_connection`; ``ssl`` may be a path, too.

    Args:
        loop: the event loop.
        factory: makes the protocol.
        tls: whether TLS is to begin later, with `start_tls`.
        **kwargs: arguments of that.

    """
    kwargs = with_context(kwargs)
    if (
        polls(loop, tls or kwargs.get("ssl") is not None)
        and kwargs.keys() <= TCP_ARGUMENTS | TLS_ARGUMENTS
    ):
        from .poller.connecting import connect_tcp

        return await connect_tcp(loop, factory, **kwargs)
    with naming(kwargs), aborting(factory) as make:
        return await loop.create_connection(make, **kwargs)


async def create_unix_connection(
    loop: asyncio.AbstractEventLoop, factory: Factory, *, tls: bool = False, **kwargs: Any
) -> tuple[Any, Any]:
    """Connect to a Unix socket; see `asyncio.loop.create_unix_connection` and above."""
    kwargs = with_context(kwargs)
    if (
        polls(loop, tls or kwargs.get("ssl") is not None)
        and kwargs.keys() <= UNIX_ARGUMENTS | TLS_ARGUMENTS
    ):
        from .poller.connecting import connect_unix

        return await connect_unix(loop, factory, **kwargs)
    with naming(kwargs), aborting(factory) as make:
        return await loop.create_unix_connection(make, **kwargs)


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
    time.
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
    limits: Limits | None = None,
    **kwargs: Any,
) -> asyncio.Server:
    """Listen; see `asyncio.loop.create_server`.

    Args:
        loop: the event loop.
        factory: makes the protocol of a connection.
        limits: limits on the connections that are about to begin TLS, which aren't in the program's
            hands yet.
        **kwargs: arguments of `asyncio.loop.create_server`.

    """
    if accepts(loop):
        from .poller.server import listen_tcp

        arguments = on_poller(loop, factory, kwargs, limits)
        return cast("asyncio.Server", await listen_tcp(loop, factory, **arguments))
    server = await loop.create_server(factory, **kwargs)
    from .accepting import accept_calmly

    accept_calmly(server)
    return server


async def create_unix_server(
    loop: asyncio.AbstractEventLoop,
    factory: Factory,
    *,
    limits: Limits | None = None,
    **kwargs: Any,
) -> asyncio.Server:
    """Listen on a Unix socket; see `asyncio.loop.create_unix_server` and `create_server`."""
    if accepts(loop):
        from .poller.server import listen_unix

        arguments = on_poller(loop, factory, kwargs, limits)
        return cast("asyncio.Server", await listen_unix(loop, factory, **arguments))
    server = await loop.create_unix_server(factory, **kwargs)
    from .accepting import accept_calmly

    accept_calmly(server)
    return server


def on_poller(
    loop: asyncio.AbstractEventLoop, factory: Factory, kwargs: dict[str, Any], limits: Limits | None
) -> dict[str, Any]:
    """The arguments of a server, as `listen_tcp` and `listen_unix` take them."""
    from .poller.server import HandingOver, Securing
    from .poller.tls import check_timeouts

    tls = {name: value for name, value in kwargs.items() if name.startswith("ssl")}
    rest = {name: value for name, value in kwargs.items() if name not in tls}
    context = tls.get("ssl")
    if context is None:
        for name, value in tls.items():
            if value is not None:
                raise ValueError(f"{name} is only meaningful with ssl")
        if polls(loop):
            return rest
        return {**rest, "taking": HandingOver(loop, factory, {}, limits)}
    if not isinstance(context, ssl_module.SSLContext):
        raise TypeError("ssl argument must be an SSLContext or None")
    check_timeouts(tls)
    if not polls(loop, True):
        return {**rest, "taking": HandingOver(loop, factory, tls, limits)}
    securing = Securing(
        loop,
        context,
        factory,
        tls.get("ssl_handshake_timeout"),
        tls.get("ssl_shutdown_timeout"),
        limits,
    )
    return {**rest, "taking": securing}


def tls_beginner(
    loop: asyncio.AbstractEventLoop, tls: dict[str, Any]
) -> Callable[[Any, Factory, bytes, Callable[[BaseException | None], None]], None] | None:
    """Give what begins TLS on accepted connections from which something was read already.

    Args:
        loop: the event loop.
        tls: the arguments of `asyncio.loop.create_server` that are about TLS.

    Returns:
        A function that takes the transport, what makes the protocol, what was read, and what is to
        be told how the handshake went; None where there is no TLS, or the loop's own.

    """
    if not tls or not polls(loop):
        return None
    from .poller.server import text_of
    from .poller.tls import TLSTransport

    def begin(
        transport: Any, factory: Factory, data: bytes, over: Callable[[BaseException | None], None]
    ) -> None:
        TLSTransport(
            loop,
            transport,
            tls["ssl"],
            factory,
            over,
            server_side=True,
            peer=text_of(transport.get_extra_info("peername")),
            handshake_timeout=tls.get("ssl_handshake_timeout"),
            shutdown_timeout=tls.get("ssl_shutdown_timeout"),
        ).begin(data)

    return begin


async def start_tls(
    loop: asyncio.AbstractEventLoop, transport: Any, protocol: Any, context: Any, **kwargs: Any
) -> Any:
    """Begin TLS on a transport; see `asyncio.loop.start_tls`."""
    if isinstance(transport, Sink):
        from .poller.tls import begin_tls

        return await begin_tls(
            loop,
            cast("Any", transport),
            protocol,
            context,
            introduces=False,
            peer=kwargs.get("server_hostname") or "the server",
            server_hostname=kwargs.get("server_hostname"),
            handshake_timeout=kwargs.get("ssl_handshake_timeout"),
            shutdown_timeout=kwargs.get("ssl_shutdown_timeout"),
        )
    with naming({**kwargs, "ssl": context}):
        return await loop.start_tls(transport, protocol, context, **kwargs)
