"""What the connections of one event loop share, so that an idle one costs nothing.

That is the buffer that bytes are received into, and the timer for the deadlines of all.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import sys
import threading
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
        # The same object for all of them.
        self.clock = loop.time
        self.buffer = bytearray(HEADROOM + BUFFER_SIZE)
        self.view = memoryview(self.buffer)[HEADROOM:]
        self.in_use = False
        # When it was told last that there are no descriptors left.
        self.exhausted_at = -math.inf
        # The same for bytes that have to be decrypted first.
        self.cipher: bytearray | None = None
        # A proactor holds on to a buffer until data arrives, so there each needs its own.
        self.shared = sys.platform != "win32" or isinstance(loop, asyncio.SelectorEventLoop)
        # Made by the first who uses it, see `poller`.
        self.poller: Any = None
        self.timers: list[Any] = []
        # uvloop gives a handle without a time for what is due already.
        self.timer: asyncio.Handle | None = None
        self.timer_due = 0.0
        self.serial = 0
        self.sweep_at = MANY_TIMERS

    def get_cipher(self) -> bytearray:
        """Give the buffer for bytes that have to be decrypted, as many as in the other."""
        if self.cipher is None:
            self.cipher = bytearray(BUFFER_SIZE)
        return self.cipher

    def schedule(self, channel: Any, when: float) -> None:
        """Call a connection's ``timer_fired`` at a time of the loop's clock, or somewhat later.

        Of several times, the earliest counts; later ones it sets when it is called. The connection
        isn't kept alive.
        """
        if len(self.timers) >= self.sweep_at:
            self.sweep()
        self.serial += 1
        channel.timer_at = when
        heapq.heappush(self.timers, (when, self.serial, weakref.ref(channel)))
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
        last = self.serial
        # What is set meanwhile waits for the next time, even if it is due already.
        while self.timers and self.timers[0][0] <= now and self.timers[0][1] <= last:
            when, _, reference = heapq.heappop(self.timers)
            channel = reference()
            if channel is not None:
                try:
                    channel.timer_fired(when)
                except Exception as exc:
                    self.loop.call_exception_handler(
                        {"message": f"Exception in the timer of {channel!r}", "exception": exc}
                    )
        while self.timers and self.timers[0][2]() is None:
            heapq.heappop(self.timers)
        # What was called may have set the timer, but to a time of its own.
        if self.timers and (self.timer is None or self.timers[0][0] < self.timer_due):
            self.set_timer(self.timers[0][0])


# What belongs to a loop is kept there.
ATTRIBUTE = f"_{__name__.replace('.', '_')}"

# For loops that take no attributes of others.
_hubs: weakref.WeakKeyDictionary[Any, Hub] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def get_hub(loop: Any) -> Hub:
    """Give the hub of an event loop, which is made at the first call."""
    hub: Hub | None = getattr(loop, ATTRIBUTE, None)
    if hub is not None:
        return hub
    hub = Hub(loop)
    try:
        setattr(loop, ATTRIBUTE, hub)
    except AttributeError:
        # Other loops may run in other threads.
        with _lock:
            known = _hubs.get(loop)
            if known is not None:
                return known
            _hubs[loop] = hub
    return hub
