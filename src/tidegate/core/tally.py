"""What connections and servers have done, in numbers.

Each connection counts its own messages and bytes, where frames are read and written. A server's
tally has the sums of those that are gone, and adds up the others when it is asked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .limits import Limits
    from .link import Link

__all__ = ["ConnectionStats", "ServerStats", "SharedTally", "Tally"]

# Codes of Close frames from here on are anybody's (RFC 6455, section 7.4.2). Of these, so many are
# told apart, so that peers can't fill the memory, or the one of what reads the numbers.
FREE_CODES = 3000
MOST_FREE_CODES = 64
OTHER_CODES = 0

# How many refused peers are told of in the log, per second.
MOST_LINES = 5.0

# The code of connections that ended without a Close frame (RFC 6455, section 7.4.1).
NO_CLOSE_FRAME = 1006


@dataclasses.dataclass(frozen=True)
class ConnectionStats:
    """What a connection has done so far.

    Attributes:
        messages_received: messages that came, taken by the program or not.
        messages_sent: messages that were sent, or are in the write buffer.
        bytes_received: bytes of frames that came, as they were on the wire but for TLS.
        bytes_sent: bytes of frames that were sent, or are in the write buffer.
        waiting: messages, or frames of incomplete ones, that the program has not taken yet; large
            ones count for several.

    """

    messages_received: int = 0
    messages_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    waiting: int = 0


@dataclasses.dataclass(frozen=True)
class ServerStats(ConnectionStats):
    """What a server has done so far, and what it does now; for all its connections together.

    Attributes:
        connections: connections that are open now, or being closed.
        opening: opening handshakes that are going on now.
        opened: connections that were opened, in all.
        refused: how many were refused by which limit, a field of `tidegate.Limits`. Of limits that
            servers share, each has the numbers of all.
        responses: how many opening handshakes ended with which HTTP status other than 101.
        closed: how many connections ended with which code, that of the first Close frame whoever
            sent it; 1006 if there was none, 0 for further ones from 3000 on if these are many.
        proxy: what became of connections that may begin with a PROXY protocol header, see
            `tidegate.proxyprotocol.Counters`; empty without ``proxy_protocol``.

    """

    connections: int = 0
    opening: int = 0
    opened: int = 0
    refused: dict[str, int] = dataclasses.field(default_factory=dict)
    responses: dict[int, int] = dataclasses.field(default_factory=dict)
    closed: dict[int, int] = dataclasses.field(default_factory=dict)
    proxy: dict[str, int] = dataclasses.field(default_factory=dict)


class Tally:
    """What a server counts.

    Attributes:
        lock: is held while it counts, where several threads do.
        policy: the `tidegate.proxyprotocol.ProxyPolicy` of the server, if it has one.

    """

    def __init__(self) -> None:
        # Clients count only what is in the classes above.
        from .limits import Bucket

        self.lock: Any = contextlib.nullcontext()
        self.policy: Any = None
        # The connections that were opened and are not gone, and what the others have done.
        self.live: set[Link] = set()
        self.gone = [0, 0, 0, 0]
        self.count = 0
        self.responses: dict[int, int] = {}
        self.closed: dict[int, int] = {}
        self.free_codes = 0
        self.lines = Bucket(MOST_LINES, time.monotonic())
        self.untold = 0

    def opened(self, link: Link) -> None:
        """Count a connection that is open now."""
        self.count += 1
        self.live.add(link)

    def lost(self, link: Link) -> None:
        """Count the end of a connection, if it was open."""
        if link not in self.live:
            return
        self.live.remove(link)
        # Nobody takes what it has not taken yet.
        received, sent, bytes_received, bytes_sent, _ = link.counters()
        gone = self.gone
        gone[0] += received
        gone[1] += sent
        gone[2] += bytes_received
        gone[3] += bytes_sent
        code = first_code(link.protocol)
        if code >= FREE_CODES and code not in self.closed:
            if self.free_codes == MOST_FREE_CODES:
                code = OTHER_CODES
            else:
                self.free_codes += 1
        self.closed[code] = self.closed.get(code, 0) + 1

    def refused(self, protocol: Any, status: int) -> None:
        """Count a response that isn't 101, and see to it that it makes one line in the log at most.

        Args:
            protocol: the peer's connection.
            status: of the response.

        """
        with self.lock:
            self.responses[status] = self.responses.get(status, 0) + 1
        protocol.announces_end = False
        protocol.announces_refusal = self.tells(protocol)

    def tells(self, protocol: Any) -> bool:
        """Say whether one more peer that got no connection may be told of in the log.

        Now and then it tells how many weren't.

        Args:
            protocol: the peer's connection.

        """
        if protocol.debug or not protocol.logger.isEnabledFor(logging.INFO):
            return True
        with self.lock:
            if not self.lines.take(time.monotonic()):
                self.untold += 1
                return False
            untold, self.untold = self.untold, 0
        if untold:
            protocol.logger.info("%d peers that got no connection are left out of the log", untold)
        return True

    def stats(self, connections: Iterable[Any], limits: Limits | None) -> ServerStats:
        """Give the numbers so far.

        Args:
            connections: all that the server has, opening ones included.
            limits: its limits.

        """
        with self.lock:
            # Another thread may ask; a copy of a set is made at once.
            all_counters = [(*self.gone, 0), *(link.counters() for link in list(self.live))]
            received, sent, bytes_received, bytes_sent, waiting = map(
                sum, zip(*all_counters, strict=True)
            )
            return ServerStats(
                messages_received=received,
                messages_sent=sent,
                bytes_received=bytes_received,
                bytes_sent=bytes_sent,
                waiting=waiting,
                connections=len(self.live),
                opening=sum(each.shaking_hands for each in list(connections)),
                opened=self.count,
                refused={} if limits is None else dict(limits.refused),
                responses=dict(self.responses),
                closed=dict(self.closed),
                proxy={} if self.policy is None else dataclasses.asdict(self.policy.counters),
            )


class SharedTally(Tally):
    """What a server counts whose connections have threads of their own.

    Args:
        lock: is held while it counts.

    """

    def __init__(self, lock: Any) -> None:
        super().__init__()
        self.lock = lock

    def opened(self, link: Link) -> None:
        """Count a connection that is open now."""
        with self.lock:
            super().opened(link)

    def lost(self, link: Link) -> None:
        """Count the end of a connection, if it was open."""
        with self.lock:
            super().lost(link)


def first_code(protocol: Any) -> int:
    """Give the code of the first Close frame of a connection, 1006 if there was none."""
    received, sent = protocol.close_rcvd, protocol.close_sent
    if received is not None and (sent is None or protocol.close_rcvd_then_sent):
        return int(received.code)
    return NO_CLOSE_FRAME if sent is None else int(sent.code)
