"""One proxy on the way as a negotiation without I/O, which every face drives in its own manner.

A driver connects to the proxy, calls `Hop.start`, and then carries bytes until the state changes::

    hop.start()
    while hop.state is HopState.NEGOTIATING:
        send(hop.data_to_send())
        data = receive()
        hop.receive_data(data) if data else hop.receive_eof()

What comes out is one of three:

* ``OPEN``: the next byte in either direction belongs to whom the tunnel leads to. Bytes of theirs
  that came with the proxy's answer are in `Hop.leftover`.
* ``RECONNECT``: the proxy closes this connection, but there is more to try on a new one: connect
  again and `start` the same hop again.
* ``FAILED``: the reason is in `Hop.error`.
"""

from __future__ import annotations

import enum
from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

from ..exceptions import InvalidProxyMessage, ProxyError
from ..headers import build_host
from ..printable import printable
from .hints import hint_for_silence
from .url import Proxy

if TYPE_CHECKING:
    from ..http11 import Response

__all__ = ["Hop", "HopState", "Target"]


class Target(NamedTuple):
    """Where a tunnel leads to: the server, or the next proxy."""

    host: str
    port: int

    def __str__(self) -> str:
        return build_host(self.host, self.port, False, always_include_port=True)


class HopState(enum.Enum):
    """How far a negotiation is."""

    NEGOTIATING = "negotiating"
    OPEN = "open"
    RECONNECT = "reconnect"
    FAILED = "failed"


class Reconnect(Exception):
    """Raised in `Hop.negotiate` to go on in a new connection."""


class Hop:
    """The negotiation with one proxy.

    Args:
        proxy: whom to negotiate with.
        target: where it shall connect to.

    Attributes:
        state: see the module.
        error: why it failed.
        leftover: the first bytes from the target.
        step: what is being done, ``CONNECT`` or ``authenticate``.
        response: the proxy's last answer, if it speaks HTTP.
        refused: whether it is known that the proxy refused, so that only the rest of its
            explanation is awaited: a driver doesn't wait long for that.
        heard: whether the proxy said anything at all.
        blocking: whether `receive_data` and `start` may take long, because they call programs of
            the user or a security library: a driver gives them a thread.
        needs_addresses: whether the driver has to resolve the target and to set `addresses`.
        addresses: IP addresses of the target, in the order in which to try them.
    """

    needs_addresses = False
    blocking = False

    def __init__(self, proxy: Proxy, target: Target) -> None:
        self.proxy = proxy
        self.target = target
        self.state = HopState.NEGOTIATING
        self.error: ProxyError | None = None
        self.leftover = b""
        self.step = "CONNECT"
        self.response: Response | None = None
        self.refused = False
        self.heard = False
        self.addresses: list[str] = []
        self.steps: Generator[None, None, None] | None = None
        self.reset()

    def reset(self) -> None:
        """Begin without anything received or to send, on a connection that is new."""
        self.output = bytearray()
        self.input = bytearray()
        self.eof = False

    # For drivers

    def start(self) -> None:
        """Begin on a new connection to the proxy."""
        self.reset()
        self.state = HopState.NEGOTIATING
        self.steps = self.negotiate()
        self.advance()

    def data_to_send(self) -> bytes:
        """Give what is to be sent to the proxy now, once."""
        data = bytes(self.output)
        self.output.clear()
        return data

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes that came from the proxy."""
        self.heard = self.heard or len(data) > 0
        self.input += data
        self.advance()

    def receive_eof(self) -> None:
        """Learn that the proxy closed the connection."""
        self.eof = True
        self.advance()

    def give_up(self) -> None:
        """Stop waiting: end with the error that is known, if there is one."""
        if self.steps is not None and self.refused:
            self.eof = True
            self.advance()

    # For negotiations

    def negotiate(self) -> Generator[None, None, None]:
        """Do it: yield for more input, return when the tunnel is open, raise if it cannot be."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Add bytes for the proxy."""
        self.output += data

    def advance(self) -> None:
        """Let the negotiation go on with what has come."""
        if self.steps is None:
            # The tunnel is open or will never be: what still comes is kept for its first reader.
            self.leftover += bytes(self.input)
            self.input.clear()
            return
        try:
            next(self.steps)
        except StopIteration:
            self.state = HopState.OPEN
        except Reconnect:
            self.state = HopState.RECONNECT
        except EOFError:
            self.state = HopState.FAILED
            self.error = self.closed()
        except ProxyError as exc:
            self.state = HopState.FAILED
            self.error = exc
        else:
            return
        self.steps = None
        self.leftover = bytes(self.input)
        self.input.clear()

    def read_exact(self, n: int) -> Generator[None, None, bytes]:
        """Read so many bytes, in steps.

        Raises:
            EOFError: if the proxy closes the connection before.
        """
        while len(self.input) < n:
            if self.eof:
                raise EOFError
            yield
        data = bytes(self.input[:n])
        del self.input[:n]
        return data

    def closed(self) -> ProxyError:
        """Give the error for a connection that the proxy closed before its answer was whole."""
        return InvalidProxyMessage(
            "the proxy closed the connection before its answer was whole",
            hint=hint_for_silence(self.proxy, self.target, self.step, self.heard),
            transient=True,
        )


def quoted(data: bytes) -> str:
    """Give bytes for an error message, on one line and not too many."""
    return printable(data.decode("latin-1"))
