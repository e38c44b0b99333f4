"""The version that a header is found to have, in the interface of ``proxy-protocol``."""

from __future__ import annotations

from .base import ProxyProtocol, ProxyProtocolIncompleteError, ProxyProtocolWantRead
from .errors import ProxyProtocolSyntaxError
from .result import ProxyResult
from .v1 import ProxyProtocolV1
from .v2 import ProxyProtocolV2

__all__ = ["ProxyProtocolDetect"]

# Enough to tell the versions apart, and no more than the shortest header has.
SIGNATURE_SIZE = 8


class ProxyProtocolDetect(ProxyProtocol):
    """Whichever version the header has.

    Args:
        versions: the versions to choose from; 2 and 1, if there are none.
    """

    __slots__ = ("versions",)

    def __init__(self, *versions: ProxyProtocol) -> None:
        self.versions = versions or (ProxyProtocolV2(), ProxyProtocolV1())

    def is_valid(self, signature: bytes) -> bool:
        return any(version.is_valid(signature) for version in self.versions)

    def choose_version(self, signature: bytes) -> ProxyProtocol:
        """Give the version that a connection with these first 8 bytes, or more, is for.

        Raises:
            ProxyProtocolSyntaxError: if there is none.
        """
        for version in self.versions:
            if version.is_valid(signature):
                return version
        raise ProxyProtocolSyntaxError(f"no PROXY protocol header begins with {signature[:16]!r}")

    def unpack(self, data: bytes) -> ProxyResult:
        if len(data) < SIGNATURE_SIZE:
            raise ProxyProtocolIncompleteError(ProxyProtocolWantRead(SIGNATURE_SIZE - len(data)))
        return self.choose_version(data).unpack(data)

    def pack(self, result: ProxyResult) -> bytes:
        """Give the header in the first of the versions that can say it.

        Raises:
            ValueError: if none can.
        """
        for version in self.versions:
            try:
                return version.pack(result)
            except ValueError as exc:
                reason = exc
        raise reason
