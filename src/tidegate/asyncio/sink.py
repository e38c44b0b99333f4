"""What takes bytes to the network at once: transports that compiled connections call directly."""

from __future__ import annotations

from typing import Any


class Sink:
    """A transport that can be written to without a Python call."""

    def write_now(self, data: bytes) -> None:
        """Write bytes, now or when there is room."""


class Layer(Sink):
    """A transport that stands on another, and is its protocol: TLS.

    Of the methods of a protocol it has all but those that receive data.
    """

    def take_in(self, n: int) -> None:
        """Take what was received below into the hub's buffer for encrypted bytes."""

    def peer_ended(self) -> None:
        """Take note that the peer has ended its stream, behind what is not read yet."""

    def eof_received(self) -> Any:
        """Take in the end of the stream."""
