"""What the versions of the protocol have in common, in the interface of ``proxy-protocol``."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import ProxyResult

__all__ = ["ProxyProtocol", "ProxyProtocolIncompleteError", "ProxyProtocolWantRead"]


class ProxyProtocolWantRead:
    """How to go on reading a header that is incomplete.

    Args:
        want_bytes: how many bytes to read at least, without reading past the end of the header.
        want_line: whether to read up to the end of a line.
    """

    __slots__ = ("want_bytes", "want_line")

    def __init__(self, want_bytes: int | None = None, *, want_line: bool = False) -> None:
        self.want_bytes = want_bytes
        self.want_line = want_line


class ProxyProtocolIncompleteError(Exception):
    """The header isn't complete yet.

    Attributes:
        want_read: how to go on reading.
    """

    def __init__(self, want_read: ProxyProtocolWantRead) -> None:
        super().__init__("the header is incomplete")
        self.want_read = want_read


class ProxyProtocol(metaclass=ABCMeta):
    """A version of the PROXY protocol, or a choice of versions."""

    __slots__ = ()

    @abstractmethod
    def is_valid(self, signature: bytes) -> bool:
        """Say whether a connection that begins with these 8 bytes, or more, is for this version."""

    @abstractmethod
    def unpack(self, data: bytes) -> ProxyResult:
        """Read a header.

        Args:
            data: what there is of the header, and nothing else.

        Raises:
            ProxyProtocolIncompleteError: if more is needed; call again with all of it.
            ProxyProtocolSyntaxError: if this is no header, or more than one.
        """

    @abstractmethod
    def pack(self, result: ProxyResult) -> bytes:
        """Give the bytes of a header."""
