"""Routing of connections by path, with werkzeug's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..core.routing import Routes
from ..http11 import Request, Response
from .options import refuse_unknown_server
from .server import Server, ServerConnection, serve

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Awaitable, Callable, Sequence

    from werkzeug.routing import Map

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


def route(
    url_map: Map,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    server_name: str | None = None,
    ssl: ssl_module.SSLContext | Literal[True] | None = None,
    create_router: type[Router] | None = None,
    **kwargs: Any,
) -> Server:
    """Start a WebSocket server that has a handler for each path.

    It needs werkzeug. The endpoints of the rules are handlers, which get the connection and the
    variable parts of the path::

        from werkzeug.routing import Map, Rule

        async def channel_handler(websocket, channel_id):
            ...

        url_map = Map([Rule("/channel/<uuid:channel_id>", endpoint=channel_handler)])
        async with route(url_map, "localhost", 8765) as server:
            await server.serve_forever()

    Args:
        url_map: the rules.
        host: the address, or addresses, to listen on; None for all.
        port: the TCP port.
        server_name: host name that the rules are for; the default is the Host header.
        ssl: TLS configuration; True when a reverse proxy does TLS.
        create_router: subclass of `Router` to use.
        **kwargs: the arguments of `serve`.

    """
    refuse_unknown_server(kwargs, serve, route)
    url_scheme = "ws" if ssl is None else "wss"
    if ssl is not None and ssl is not True:
        kwargs["ssl"] = ssl
    router = (Router if create_router is None else create_router)(url_map, server_name, url_scheme)

    first: Callable[..., Awaitable[Response | None] | Response | None] | None
    first = kwargs.pop("process_request", None)
    if first is None:
        process_request: Any = router.route_request
    else:
        their_process_request = first

        async def process_request(
            connection: ServerConnection, request: Request
        ) -> Response | None:
            response = their_process_request(connection, request)
            if response is not None and not isinstance(response, Response):
                response = await response
            if response is not None:
                return response
            return router.route_request(connection, request)

    return serve(router.handler, host, port, process_request=process_request, **kwargs)


def unix_route(url_map: Map, path: PathLike | None = None, **kwargs: Any) -> Server:
    """Start a WebSocket server on a Unix socket that has a handler for each path.

    Args:
        url_map: the rules; see `route`.
        path: file system path of the socket.
        **kwargs: the arguments of `serve` and `route`.

    """
    return route(url_map, unix=True, path=path, **kwargs)
