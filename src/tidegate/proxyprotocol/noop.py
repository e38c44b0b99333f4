"""No header at all, in the interface of ``proxy-protocol``."""

from __future__ import annotations

from typing import NoReturn

from .base import ProxyProtocol
from .result import ProxyResult, ProxyResultLocal

__all__ = ["ProxyProtocolNoop"]


class ProxyProtocolNoop(ProxyProtocol):
    """Reads nothing and writes nothing: every connection speaks for itself."""

    __slots__ = ()

    def is_valid(self, signature: bytes) -> NoReturn:
        raise NotImplementedError("nothing tells a connection without a header from others")

    def unpack(self, data: bytes) -> ProxyResultLocal:
        return ProxyResultLocal()

    def pack(self, result: ProxyResult) -> bytes:
        return b""
