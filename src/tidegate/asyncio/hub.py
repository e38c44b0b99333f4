"""What the connections of one event loop share, so that an idle one costs nothing.

That is the buffer that bytes are received into, the flush at the end of a turn of the loop, and
the timer for keepalive and other deadlines.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
import weakref
from typing import Any

# How much is received at once, in bytes. Larger payloads are received where they stay.
BUFFER_SIZE = 256 * 1024
# Room before that for what was left over: at most a header and a control frame's payload.
HEADROOM = 256
# How many timers there are at least when those of connections that are gone are looked for.
MANY_TIMERS = 1000


class Hub:
    """What the connections of one event loop share."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.buffer = bytearray(HEADROOM + BUFFER_SIZE)
        self.view = memoryview(self.buffer)[HEADROOM:]
        self.in_use = False
        # A proactor holds on to a buffer until data arrives, so there each needs its own.
        self.shared = sys.platform != "win32" or isinstance(loop, asyncio.SelectorEventLoop)
        self.to_flush: list[Any] = []
        self.flush_scheduled = False
        self.timers: list[Any] = []
        # uvloop gives a handle without a time for what is due already.
        self.timer: asyncio.Handle | None = None
        self.timer_due = 0.0
        self.serial = 0
        self.sweep_at = MANY_TIMERS

    def flush_later(self, channel: Any) -> None:
        """Flush what a connection writes from now on at the end of this turn of the loop."""
        self.to_flush.append(channel)
        if not self.flush_scheduled:
            self.flush_scheduled = True
            self.loop.call_soon(self.end_turn)

    def end_turn(self) -> None:
        """Flush the connections that wrote in this turn of the loop."""
        self.flush_scheduled = False
        channels, self.to_flush = self.to_flush, []
        for channel in channels:
            channel.end_turn()

    def call_at(self, when: float, owner: Any, method: str) -> None:
        """Call a method of an object at a time of the loop's clock, or somewhat later.

        It can't be cancelled: the method has to look whether there is still something to do. The
        object isn't kept alive.
        """
        if len(self.timers) >= self.sweep_at:
            self.sweep()
        self.serial += 1
        heapq.heappush(self.timers, (when, self.serial, weakref.ref(owner), method))
        if self.timer is None or when < self.timer_due:
            self.set_timer(when)

    def sweep(self) -> None:
        """Forget the timers of objects that are gone, which many short connections leave."""
        # In place, because one of them may be running.
        self.timers[:] = [timer for timer in self.timers if timer[2]() is not None]
        heapq.heapify(self.timers)
        self.sweep_at = max(MANY_TIMERS, 2 * len(self.timers))

    def set_timer(self, when: float) -> None:
        """Have the timers run at a time of the loop's clock, instead of at another."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_at(when, self.run_timers)
        self.timer_due = when

    def run_timers(self) -> None:
        """Call what is due."""
        self.timer = None
        now = self.loop.time()
        while self.timers and self.timers[0][0] <= now:
            _, _, reference, method = heapq.heappop(self.timers)
            owner = reference()
            if owner is not None:
                try:
                    getattr(owner, method)()
                except Exception as exc:
                    self.loop.call_exception_handler(
                        {"message": f"Exception in timer {method} of {owner!r}", "exception": exc}
                    )
        while self.timers and self.timers[0][2]() is None:
            heapq.heappop(self.timers)
        # What was called may have set the timer, but to a time of its own.
        if self.timers and (self.timer is None or self.timers[0][0] < self.timer_due):
            self.set_timer(self.timers[0][0])


_hubs: dict[int, Hub] = {}


def get_hub(loop: asyncio.AbstractEventLoop) -> Hub:
    """Give the hub of an event loop, which is made at the first call."""
    hub = _hubs.get(id(loop))
    if hub is None or hub.loop is not loop:
        for key, other in list(_hubs.items()):
            if other.loop.is_closed():
                del _hubs[key]
        hub = _hubs[id(loop)] = Hub(loop)
    return hub
