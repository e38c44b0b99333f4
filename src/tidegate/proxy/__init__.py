"""The way out through proxies: which one, how to get through it, and what happened.

`route` finds the way to a server and explains it. `Proxy` and `parse_proxy` say what a proxy is.
The negotiations themselves, without I/O, are described in `tidegate.proxy.hop`.
"""

from __future__ import annotations

from ..imports import lazy_import

# Type checkers take it for true.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ..http11 import USER_AGENT
    from .auth import Auth, BasicAuth, BearerAuth, ConnectRequest
    from .challenges import Challenge
    from .choice import Failover, ProxyLike, route
    from .digest import DigestAuth
    from .discovery import SystemSettings, get_proxy
    from .http_connect import prepare_connect_request
    from .negotiate import NegotiateAuth
    from .passage import Passage, Step, Timeouts
    from .routes import Candidate, Route
    from .url import Proxy, parse_proxy
else:
    lazy_import(
        globals(),
        aliases={
            "Auth": ".auth",
            "BasicAuth": ".auth",
            "BearerAuth": ".auth",
            "Candidate": ".routes",
            "Challenge": ".challenges",
            "ConnectRequest": ".auth",
            "DigestAuth": ".digest",
            "Failover": ".choice",
            "NegotiateAuth": ".negotiate",
            "Passage": ".passage",
            "Proxy": ".url",
            "ProxyLike": ".choice",
            "Route": ".routes",
            "Step": ".passage",
            "SystemSettings": ".discovery",
            "Timeouts": ".passage",
            "USER_AGENT": "..http11",
            "get_proxy": ".discovery",
            "parse_proxy": ".url",
            "prepare_connect_request": ".http_connect",
            "route": ".choice",
        },
    )

__all__ = [
    "USER_AGENT",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "Candidate",
    "Challenge",
    "ConnectRequest",
    "DigestAuth",
    "Failover",
    "NegotiateAuth",
    "Passage",
    "Proxy",
    "ProxyLike",
    "Route",
    "Step",
    "SystemSettings",
    "Timeouts",
    "get_proxy",
    "parse_proxy",
    "prepare_connect_request",
    "route",
]
