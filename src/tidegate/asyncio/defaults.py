"""Defaults that many connections share."""

from __future__ import annotations

from typing import Any

from ..datastructures import Headers
from ..headers import override
from ..proxy.choice import ProxyLike
from ..proxy.url import Proxy, parse_proxy, parse_proxy_url
from .client import connect
from .options import refuse_unknown_client

__all__ = ["Client"]


class CurrentProxy:
    """The proxy that a client has at the moment when it is asked for."""

    source = "the proxy of the client"

    def __init__(self, client: Client) -> None:
        self.client = client

    def __call__(self, uri: str) -> ProxyLike:
        return self.client.proxy


class Client:
    """Connects to WebSocket servers with arguments that are given once.

    ::

        client = Client(proxy="http://proxy.example:3128", proxy_ssl="/etc/ssl/corp.pem")
        async with client.connect("wss://example.com/") as websocket:
            ...

    Args:
        proxy: as the argument of `connect`.
        http_proxy: the same, for an HTTP or HTTPS proxy, in the strict form of `set_http_proxy`.
        proxy_url: another name for ``http_proxy``.
        **defaults: arguments of `connect` for all connections: TLS, headers, limits, time-outs.

    Attributes:
        proxy: the proxy for connections that are made from now on, see `set_proxy`.
        defaults: the other arguments; they count from the next call of `connect` on.

    Raises:
        InvalidProxy: if the proxy cannot be used; it is a ValueError.
    """

    proxy: ProxyLike

    def __init__(
        self,
        *,
        proxy: ProxyLike = True,
        http_proxy: str | None = None,
        proxy_url: str | None = None,
        **defaults: Any,
    ) -> None:
        refuse_unknown_client(defaults, connect)
        self.defaults = defaults
        self.set_proxy(proxy)
        url = http_proxy if http_proxy is not None else proxy_url
        if url is not None:
            if proxy is not True or (http_proxy is not None and proxy_url is not None):
                raise TypeError("proxy, http_proxy and proxy_url exclude each other")
            self.set_http_proxy(url)

    def set_proxy(self, proxy: ProxyLike) -> None:
        """Use another proxy, from the next connection or reconnection on.

        Connections that are open stay as they are.

        Args:
            proxy: as the argument of `connect`.

        Raises:
            InvalidProxy: if it is a URL that isn't valid.
        """
        self.proxy = parse_proxy(proxy, default_scheme="http") if isinstance(proxy, str) else proxy

    def set_http_proxy(self, proxy_url: str) -> None:
        """Use an HTTP or HTTPS proxy, from the next connection or reconnection on.

        Args:
            proxy_url: ``<scheme>://<host>:<port>`` or ``<scheme>://<user>:<password>@<host>:<port>``
                with everything but the credentials required, and these without percent-escapes.

        Raises:
            ValueError: if it has another form.
        """
        self.proxy = Proxy(*parse_proxy_url(proxy_url))

    def connect(self, uri: str, **arguments: Any) -> connect:
        """Connect to a server, in each of the ways that `connect` knows.

        Args:
            uri: the server.
            **arguments: those of `connect`; they replace the client's, except that headers are
                added to the client's.
        """
        merged = {"proxy": CurrentProxy(self), **self.defaults, **arguments}
        defaults, own = [d.get("additional_headers") for d in (self.defaults, arguments)]
        if defaults is not None and own is not None:
            merged["additional_headers"] = Headers(defaults)
            override(merged["additional_headers"], own)
        return connect(uri, **merged)
