"""What is raised for bytes that are not a PROXY protocol header."""

from __future__ import annotations

from typing import Any

__all__ = ["ProxyProtocolChecksumError", "ProxyProtocolSyntaxError"]


class ProxyProtocolSyntaxError(ValueError):
    """The bytes are no PROXY protocol header and don't become one, whatever follows."""


class ProxyProtocolChecksumError(ProxyProtocolSyntaxError):
    """The CRC-32C that a header carries isn't that of its bytes.

    Attributes:
        result: what the header says, all of it doubtful.
    """

    def __init__(self, result: Any = None) -> None:
        super().__init__("the CRC-32C that the header carries isn't that of its bytes")
        self.result = result
