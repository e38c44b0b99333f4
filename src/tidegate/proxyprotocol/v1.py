"""Version 1, the line of text, in the interface of ``proxy-protocol``."""

from __future__ import annotations

from .base import ProxyProtocol, ProxyProtocolIncompleteError, ProxyProtocolWantRead
from .builder import build
from .errors import ProxyProtocolSyntaxError
from .parser import parse
from .result import ProxyResult, header_of, result_of

__all__ = ["ProxyProtocolV1"]


class ProxyProtocolV1(ProxyProtocol):
    """Version 1 of the PROXY protocol (section 2.1 of its specification)."""

    __slots__ = ()

    def is_valid(self, signature: bytes) -> bool:
        return signature[:6] == b"PROXY "

    def unpack(self, data: bytes) -> ProxyResult:
        parsed = parse(data, versions=(1,))
        if parsed is None:
            raise ProxyProtocolIncompleteError(ProxyProtocolWantRead(want_line=True))
        header, consumed = parsed
        if consumed < len(data):
            raise ProxyProtocolSyntaxError(f"{len(data) - consumed} bytes after the header")
        return result_of(header)

    def unpack_line(self, data: bytes) -> ProxyResult:
        """Read a header, CRLF included.

        Raises:
            ProxyProtocolSyntaxError: if this is no header.
        """
        try:
            return self.unpack(data)
        except ProxyProtocolIncompleteError:
            raise ProxyProtocolSyntaxError(f"the line isn't complete: {data!r}") from None

    def pack(self, result: ProxyResult) -> bytes:
        """Give the line.

        Raises:
            ValueError: if the proxy speaks for itself, which version 1 can't say.
        """
        if not result.proxied:
            raise ValueError("version 1 has no LOCAL")
        return build(header_of(result, 1))
