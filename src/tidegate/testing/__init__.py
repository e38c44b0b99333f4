"""Proxies to start inside a test, well-behaved or not.

::

    async with HTTPProxyServer(username="me", password="secret") as proxy:
        async with connect("ws://localhost:8765", proxy=proxy.url) as websocket:
            ...
"""

from __future__ import annotations

from .http_proxy import HTTPProxyServer
from .proxies import Faults, ProxyRequest, ProxyServer
from .socks_proxy import SOCKSProxyServer

__all__ = ["Faults", "HTTPProxyServer", "ProxyRequest", "ProxyServer", "SOCKSProxyServer"]
