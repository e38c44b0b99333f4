"""Which handler a request is for, by werkzeug's rules."""

from __future__ import annotations

import http
import urllib.parse
from typing import TYPE_CHECKING, Any

from ..http11 import Response

if TYPE_CHECKING:
    from werkzeug.routing import Map

    from ..http11 import Request

__all__ = ["Routes"]


class Routes:
    """Finds the handlers of connections in a `werkzeug.routing.Map`: what a face's router does.

    Args:
        url_map: the rules; their endpoints are handlers.
        server_name: host name that the rules are for; the default is the Host header.
        url_scheme: scheme of URLs that are built, ``ws`` or ``wss``.

    """

    def __init__(
        self, url_map: Map, server_name: str | None = None, url_scheme: str = "ws"
    ) -> None:
        self.url_map = url_map
        self.server_name = server_name
        self.url_scheme = url_scheme
        for rule in self.url_map.iter_rules():
            rule.websocket = True

    def get_server_name(self, connection: Any, request: Request) -> str:
        """Give the host name that the rules are for."""
        return request.headers["Host"] if self.server_name is None else self.server_name

    def redirect(self, connection: Any, url: str) -> Response:
        """Make a redirect."""
        response: Response = connection.respond(http.HTTPStatus.FOUND, f"Found at {url}\n")
        response.headers["Location"] = url
        return response

    def not_found(self, connection: Any) -> Response:
        """Make a response for a path without rule."""
        response: Response = connection.respond(http.HTTPStatus.NOT_FOUND, "Not Found")
        return response

    def route_request(self, connection: Any, request: Request) -> Response | None:
        """Find the handler of a connection; a ``process_request`` function."""
        from werkzeug.exceptions import HTTPException, NotFound
        from werkzeug.routing import RequestRedirect

        path, _, query = request.path.partition("?")
        try:
            server_name = self.get_server_name(connection, request)
        except LookupError:
            # Without one Host header, it can't be the request of a client: it is refused later.
            return None
        try:
            adapter = self.url_map.bind(server_name=server_name, url_scheme=self.url_scheme)
            handler, kwargs = adapter.match(
                path_info=urllib.parse.unquote(path),
                query_args=query,
                websocket=True,
            )
        except RequestRedirect as redirect:
            return self.redirect(connection, redirect.new_url)
        except NotFound:
            return self.not_found(connection)
        except HTTPException as exc:
            # Such as a Host header that can't be a host.
            status = exc.code or http.HTTPStatus.BAD_REQUEST
            response: Response = connection.respond(status, f"{exc.name}\n")
            return response
        connection.handler, connection.handler_kwargs = handler, kwargs
        return None
