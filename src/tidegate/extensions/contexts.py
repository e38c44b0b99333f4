"""How many contexts of zlib a process keeps from message to message."""

from __future__ import annotations

import heapq
import threading
import weakref
from typing import Protocol

__all__ = ["KEPT", "ContextHolder", "KeptContexts"]


class ContextHolder(Protocol):
    """What has a compressor or a decompressor, and could make another one from its window."""

    used: bool
    """Whether it had something to do since this was last set to False."""

    def drop_context(self) -> None:
        """Let go of the compressor or decompressor."""


class KeptContexts:
    """The holders whose contexts are kept: at most so many, those in use rather than idle ones.

    Who comes when all places are taken gets the place of a holder that did nothing since the last
    round (the second-chance algorithm, as for pages of memory). Holders may die at any time.

    Args:
        size: how many places there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._holders: list[weakref.ref[ContextHolder] | None] = []
        # Places that were given back. The lowest is given first.
        self._free: list[int] = []
        self._hand = 0
        # Reentrant because the garbage collector may close connections at any allocation.
        self._lock = threading.RLock()

    def take(self, holder: ContextHolder) -> int:
        """Give a place to a holder which is about to make a context; another may lose its own."""
        with self._lock:
            if self._free:
                place = heapq.heappop(self._free)
            elif len(self._holders) < self.size:
                place = len(self._holders)
                self._holders.append(None)
            else:
                place = self._evict()
            self._holders[place] = weakref.ref(holder)
            return place

    def give_back(self, place: int, holder: ContextHolder) -> None:
        """Take note that a holder let go of its context."""
        with self._lock:
            reference = self._holders[place]
            if reference is not None and reference() is holder:
                self._holders[place] = None
                heapq.heappush(self._free, place)

    def _evict(self) -> int:
        while True:
            place = self._hand
            self._hand = (place + 1) % self.size
            reference = self._holders[place]
            holder = None if reference is None else reference()
            if holder is None:
                return place
            if not holder.used:
                holder.drop_context()
                return place
            holder.used = False


KEPT = KeptContexts(128)
"""The contexts of this process: with zlib and small windows some 6 MiB."""
