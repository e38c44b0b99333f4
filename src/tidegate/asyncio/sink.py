"""What takes bytes to the network at once: transports that compiled connections call directly."""

from __future__ import annotations


class Sink:
    """A transport that can be written to without a Python call."""

    def write_now(self, data: bytes) -> None:
        """Write bytes, now or when there is room."""
