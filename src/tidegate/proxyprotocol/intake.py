"""Takes the header from the beginning of one connection: bytes in, header out."""

from __future__ import annotations

from .errors import ProxyProtocolSyntaxError
from .header import SIGNATURE, Header
from .parser import bytes_needed, check_tlvs, parse
from .policy import ProxyPolicy

__all__ = ["Intake"]


class Intake:
    """What was received of a connection that has to begin with a header.

    Args:
        policy: which headers are taken; its counters are told what came.
    """

    def __init__(self, policy: ProxyPolicy) -> None:
        self.policy = policy
        self.data = b""
        # Of a version 2 header: its size, once it is known, and where it isn't checked yet.
        self.size = 0
        self.checked = 0

    def wanted(self, there: bytes) -> int:
        """Give how many of the bytes that the socket has belong to the header, 1 at least.

        Args:
            there: what it has, read without being taken.
        """
        if self.size:
            return self.size - len(self.data)
        policy = self.policy
        try:
            parsed = parse(self.data + there, versions=policy.versions, max_size=policy.max_size)
        except ProxyProtocolSyntaxError:
            # It is read, and then refused.
            parsed = None
        size = len(there) if parsed is None else parsed[1] - len(self.data)
        return size or bytes_needed(self.data, versions=policy.versions, max_size=policy.max_size)

    def received(self, data: bytes | bytearray | memoryview) -> tuple[Header, bytes] | None:
        """Take what was received.

        Returns:
            the header and what came behind it; None if there has to be more.

        Raises:
            ProxyProtocolSyntaxError: if there is no valid header.
        """
        self.data += data
        policy = self.policy
        try:
            if len(self.data) < self.size:
                # Reading all TLVs again for each byte that comes would be quadratic work.
                self.checked = check_tlvs(self.data, self.checked)
                return None
            parsed = parse(self.data, versions=policy.versions, max_size=policy.max_size)
        except ProxyProtocolSyntaxError:
            policy.counters.malformed += 1
            raise
        if parsed is None:
            if self.data.startswith(SIGNATURE) and len(self.data) >= 16:
                self.size = 16 + int.from_bytes(self.data[14:16])
            return None
        header, consumed = parsed
        if header.command == "LOCAL":
            policy.counters.local += 1
        else:
            policy.counters.proxied += 1
        return header, self.data[consumed:]

    def ended(self) -> str | None:
        """Take note that the connection has ended before the header; say so, unless it was idle."""
        if not self.data:
            self.policy.counters.empty += 1
            return None
        self.policy.counters.malformed += 1
        return "closed the connection in the middle of a PROXY protocol header"
