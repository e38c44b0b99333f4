"""Routing of connections by path, with werkzeug's rules."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal

import trio

from ..core.arguments import refuse_unknown_arguments
from ..core.routing import Routes
from .server import Server, ServerConnection, serve, unix_serve

if TYPE_CHECKING:
    import ssl as ssl_module

    from werkzeug.routing import Map

    from ..http11 import Request, Response
    from ..typing import PathLike

__all__ = ["Router", "route", "unix_route"]


class Router(Routes):
    """Finds the handler of a connection in a `werkzeug.routing.Map`.

    Args:
        url_map: the rules; their endpoints are handlers.
        server_name: host name that the rules are for; the default is the Host header.
        url_scheme: scheme of URLs that are built, ``ws`` or ``wss``.

    """

    async def handler(self, connection: ServerConnection) -> None:
        """Run the handler that was found."""
        await connection.handler(connection, **connection.handler_kwargs)


def routed(
    url_map: Map,
    server_name: str | None,
    ssl: ssl_module.SSLContext | Literal[True] | None,
    create_router: type[Router] | None,
    kwargs: dict[str, Any],
) -> Router:
    """Make a router, and have it asked about requests by way of the arguments of `serve`."""
    refuse_unknown_arguments("serve", kwargs, (), serve, route)
    if ssl is not None and ssl is not True:
        kwargs["ssl"] = ssl
    scheme = "ws" if ssl is None else "wss"
    router = (Router if create_router is None else create_router)(url_map, server_name, scheme)
    first = kwargs.get("process_request")

    async def process_request(connection: ServerConnection, request: Request) -> Response | None:
        response: Any = first(connection, request)  # type: ignore[misc]
        if inspect.isawaitable(response):
            response = await response
        if response is None:
            response = router.route_request(connection, request)
        return response  # type: ignore[no-any-return]

    kwargs["process_request"] = router.route_request if first is None else process_request
    return router


async def route(
    url_map: Map,
    *args: Any,
    server_name: str | None = None,
    ssl: ssl_module.SSLContext | Literal[True] | None = None,
    create_router: type[Router] | None = None,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    **kwargs: Any,
) -> None:
    """Run a WebSocket server that has a handler for each path.

    It needs werkzeug. The endpoints of the rules are handlers, which get the connection and the
    variable parts of the path::

        from werkzeug.routing import Map, Rule

        async def channel_handler(websocket, channel_id):
            ...

        url_map = Map([Rule("/channel/<uuid:channel_id>", endpoint=channel_handler)])
        async with trio.open_nursery() as nursery:
            server = await nursery.start(route, url_map, 8765)

    Args:
        url_map: the rules.
        *args: the port, as for `serve`.
        server_name: host name that the rules are for; the default is the Host header.
        ssl: TLS configuration; True when a reverse proxy does TLS.
        create_router: subclass of `Router` to use.
        task_status: as for `serve`.
        **kwargs: the arguments of `serve`.

    """
    router = routed(url_map, server_name, ssl, create_router, kwargs)
    await serve(router.handler, *args, task_status=task_status, **kwargs)


async def unix_route(
    url_map: Map,
    path: PathLike | None = None,
    *,
    server_name: str | None = None,
    ssl: ssl_module.SSLContext | Literal[True] | None = None,
    create_router: type[Router] | None = None,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    **kwargs: Any,
) -> None:
    """Run a WebSocket server on a Unix socket that has a handler for each path.

    Args:
        url_map: the rules; see `route`.
        path: file system path of the socket.
        server_name: host name that the rules are for; the default is the Host header.
        ssl: TLS configuration; True when a reverse proxy does TLS.
        create_router: subclass of `Router` to use.
        task_status: as for `serve`.
        **kwargs: the arguments of `unix_serve`.

    """
    router = routed(url_map, server_name, ssl, create_router, kwargs)
    await unix_serve(router.handler, path, task_status=task_status, **kwargs)
