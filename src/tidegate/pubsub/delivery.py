"""Messages on their way to many receivers, a few at a time."""

from __future__ import annotations

import asyncio
import collections
import logging
from typing import TYPE_CHECKING

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..wire.kernels import monotonic
    from .seats import Group, Subscription

if TYPE_CHECKING:
    from .messages import Message

# After so many deliveries, or so much time in seconds, the event loop gets its turn. The clock is
# read every few deliveries.
MOST_AT_ONCE = 500
BUDGET = 0.005
CLOCK_EVERY = 32


class Job:
    """One message on its way to those who were there when it was published."""

    def __init__(self, message: Message, groups: list[list[Subscription]]) -> None:
        self.message = message
        self.groups = groups
        self.next_group = 0
        self.next_slot = 0
        self.stamp = 0


class Delivery:
    """Gives messages to receivers, in order, and the event loop its turn in between.

    Args:
        loop: the event loop.
        logger: where to tell of what should not happen.

    Attributes:
        waiting: what the messages cost that wait for their turn, in bytes.

    """

    def __init__(self, loop: asyncio.AbstractEventLoop, logger: logging.Logger) -> None:
        self.loop = loop
        self.logger = logger
        self.jobs: collections.deque[Job] = collections.deque()
        self.waiting = 0
        self.running = False
        self.scheduled = False
        self.serial = 0
        self.caught_up: asyncio.Event = asyncio.Event()
        self.caught_up.set()

    def add(self, message: Message, groups: list[Group]) -> None:
        """Give a message to all who are in these groups now."""
        slots = []
        for group in groups:
            if group.slots:
                group.lent = True
                slots.append(group.slots)
        if not slots:
            return
        self.jobs.append(Job(message, slots))
        self.waiting += message.size
        if not self.running and not self.scheduled:
            self.run()

    def run(self) -> None:
        """Deliver, for as long as it may take at once."""
        self.scheduled = False
        self.running = True
        until = monotonic() + BUDGET
        left = MOST_AT_ONCE
        try:
            while self.jobs and left > 0:
                job = self.jobs[0]
                left = self.go_on(job, left, until)
                if left >= 0:
                    self.jobs.popleft()
                    self.waiting -= job.message.size
                    # It may be kept in a history, which doesn't count what was made of it.
                    job.message.forget_outgoing()
        finally:
            self.running = False
            if self.jobs:
                self.scheduled = True
                self.caught_up.clear()
                self.loop.call_soon(self.run)
            else:
                self.caught_up.set()

    def go_on(self, job: Job, left: int, until: float) -> int:
        """Deliver one message further; give how many deliveries are left, -1 if it isn't done."""
        message = job.message
        offset = 0 if message.position is None else message.position.offset
        if not job.stamp:
            self.serial += 1
            job.stamp = self.serial
        stamp = job.stamp
        while job.next_group < len(job.groups):
            slots = job.groups[job.next_group]
            place = job.next_slot
            while place < len(slots):
                if left <= 0 or (not left % CLOCK_EVERY and monotonic() > until):
                    job.next_slot = place
                    return -1
                left -= 1
                subscription = slots[place]
                place += 1
                seat = subscription.seat
                if subscription.place < 0 or seat.stamp == stamp:
                    continue
                if subscription.after and offset <= subscription.after:
                    continue
                seat.stamp = stamp
                if subscription.replay is not None:
                    subscription.replay.add(message, seat.slow.limit)
                    continue
                try:
                    seat.deliver(message)
                except Exception:
                    # One receiver, or what wraps messages for it, doesn't keep the rest from it.
                    self.logger.exception("could not deliver %r", message)
            job.next_group += 1
            job.next_slot = 0
        return left
