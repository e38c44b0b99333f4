"""The names of the steps of a way."""

from __future__ import annotations

RESOLVE = "resolve"
CONNECT_TCP = "connect"
PROXY_TLS = "TLS to proxy"
AUTHENTICATE = "authenticate"
CONNECT = "CONNECT"
SERVER_TLS = "TLS to server"
HANDSHAKE = "handshake"
