"""What a hub has done."""

from __future__ import annotations

import dataclasses

__all__ = ["Stats"]


@dataclasses.dataclass
class Stats:
    """What a hub has done since it was made; a copy stays as it is.

    Attributes:
        published: messages that programs gave to this hub.
        refused: those that were not taken, because too much waited already or the engine said no.
        uncertain: those of which nobody knows, as the engine was lost before it answered.
        received: messages that came to this hub to be delivered, its own included.
        delivered: deliveries to receivers of this hub.
        failed: deliveries that failed with an error.
        dropped_oldest: what slow receivers didn't get, by policy.
        dropped_newest: the same.
        closed_slow: receivers that were closed for being slow.
        filled: messages that were read from the history because they didn't come.
        gaps: gaps that were told.
        reconnects: how often the engine was connected to again.
        queued_bytes: what waits for slow receivers now, in bytes.
        backlog_bytes: what waits to be delivered, or to be handed to the engine, now; in bytes.
        topics: topics that somebody has joined now.
        patterns: patterns that somebody has joined now.
        connections: connections that have joined something now.

    """

    published: int = 0
    refused: int = 0
    uncertain: int = 0
    received: int = 0
    delivered: int = 0
    failed: int = 0
    dropped_oldest: int = 0
    dropped_newest: int = 0
    closed_slow: int = 0
    filled: int = 0
    gaps: int = 0
    reconnects: int = 0
    queued_bytes: int = 0
    backlog_bytes: int = 0
    topics: int = 0
    patterns: int = 0
    connections: int = 0
