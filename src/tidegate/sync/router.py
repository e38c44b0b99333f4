"""Routing of connections by path for threads, with werkzeug's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..core.arguments import refuse_unknown_arguments
from ..core.routing import Routes
from .server import OPTIONS, Server, ServerConnection, serve

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

    def handler(self, connection: ServerConnection) -> None:
        """Run the handler that was found."""
        connection.handler(connection, **connection.handler_kwargs)


def route(
    url_map: Map,
    *args: Any,
    server_name: str | None = None,
    ssl: ssl_module.SSLContext | Literal[True] | None = None,
    create_router: type[Router] | None = None,
    **kwargs: Any,
) -> Server:
    """Make a WebSocket server for threads that has a handler for each path.

    It needs werkzeug. The endpoints of the rules are handlers, which get the connection and the
    variable parts of the path::

        from werkzeug.routing import Map, Rule

        def channel_handler(websocket, channel_id):
            ...

        url_map = Map([Rule("/channel/<uuid:channel_id>", endpoint=channel_handler)])
        with route(url_map, "localhost", 8765) as server:
            server.serve_forever()

    Args:
        url_map: the rules.
        *args: host and port, as for `serve`.
        server_name: host name that the rules are for; the default is the Host header.
        ssl: TLS configuration; True when a reverse proxy does TLS.
        create_router: subclass of `Router` to use.
        **kwargs: the arguments of `serve`.

    """
    refuse_unknown_arguments("serve", kwargs, OPTIONS, serve, route)
    url_scheme = "ws" if ssl is None else "wss"
    if ssl is not None and ssl is not True:
        kwargs["ssl"] = ssl
    router = (Router if create_router is None else create_router)(url_map, server_name, url_scheme)
    first = kwargs.pop("process_request", None)
    if first is None:
        process_request: Any = router.route_request
    else:

        def process_request(connection: ServerConnection, request: Request) -> Response | None:
            response: Response | None = first(connection, request)
            return router.route_request(connection, request) if response is None else response

    return serve(router.handler, *args, process_request=process_request, **kwargs)


def unix_route(url_map: Map, path: PathLike | None = None, **kwargs: Any) -> Server:
    """Make a WebSocket server for threads on a Unix socket that has a handler for each path.

    Args:
        url_map: the rules; see `route`.
        path: file system path of the socket.
        **kwargs: the arguments of `serve` and `route`.

    """
    return route(url_map, unix=True, path=path, **kwargs)
