"""The versions by name, for configuration, in the interface of ``proxy-protocol``."""

from __future__ import annotations

import enum

from .base import ProxyProtocol
from .detect import ProxyProtocolDetect
from .noop import ProxyProtocolNoop
from .v1 import ProxyProtocolV1
from .v2 import ProxyProtocolV2

__all__ = ["ProxyProtocolVersion"]


class ProxyProtocolVersion(enum.Enum):
    """The versions of the protocol."""

    NOOP = ProxyProtocolNoop()
    DETECT = ProxyProtocolDetect()
    V1 = ProxyProtocolV1()
    V2 = ProxyProtocolV2()

    @classmethod
    def get(cls, name: str | None = None) -> ProxyProtocol:
        """Give a version by its name, in any case; without a name, no header is read.

        Raises:
            KeyError: if there is no such version.
        """
        return cls[name.upper()].value if name else cls.NOOP.value
