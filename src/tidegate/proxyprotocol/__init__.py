"""The PROXY protocol: who is really calling, behind a load balancer.

It needs nothing of the rest of the package, and works for any TCP server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import ProxyProtocol, ProxyProtocolIncompleteError, ProxyProtocolWantRead
from .errors import ProxyProtocolChecksumError, ProxyProtocolSyntaxError
from .forwarded import ForwardedPolicy
from .header import Header
from .parser import bytes_needed, parse, parse_datagram
from .policy import ProxyPolicy
from .streams import start_server, start_unix_server

if TYPE_CHECKING:
    from .builder import build
else:
    from . import build

__all__ = [
    "ForwardedPolicy",
    "Header",
    "ProxyPolicy",
    "ProxyProtocol",
    "ProxyProtocolChecksumError",
    "ProxyProtocolIncompleteError",
    "ProxyProtocolSyntaxError",
    "ProxyProtocolWantRead",
    "build",
    "bytes_needed",
    "parse",
    "parse_datagram",
    "start_server",
    "start_unix_server",
]
