"""Which engine it is that a hub was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .engine import Engine

if TYPE_CHECKING:
    from .members import Members


def make_engine(hub: Members, source: Any, prefix: str) -> Engine:
    """Give the engine for a URL, on a client of redis-py's, or with arguments of nats-py's."""
    scheme, separator, rest = source.partition("://") if isinstance(source, str) else ("", "", "")
    if isinstance(source, Mapping) or (scheme in ("nats", "tls") and rest):
        from .nats import NatsEngine

        return NatsEngine(hub, source, prefix)
    if not isinstance(source, str) or (scheme in ("redis", "rediss", "unix") and rest):
        from .redis import RedisEngine

        return RedisEngine(hub, source, prefix)
    if scheme == "memory" and separator and not rest:
        from .memory import MemoryEngine

        return MemoryEngine(hub)
    # What isn't a URL may be anything, a password among it.
    found = f", not with {scheme[:20]!r}" if separator else ""
    raise ValueError(
        "a hub's URL begins with memory://, redis://, rediss://, nats:// or tls://" + found
    )
