"""The way out through proxies: which one, how to get through it, and what happened."""

from __future__ import annotations

from ..http11 import USER_AGENT
from .http_connect import prepare_connect_request
from .url import Proxy, parse_proxy

__all__ = ["USER_AGENT", "Proxy", "parse_proxy", "prepare_connect_request"]
