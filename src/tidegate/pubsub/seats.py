"""Those who receive what is published, and what they have joined."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Any

from ..frames import CloseCode
from .errors import HubClosed, SlowConsumer
from .messages import Attendee, Gap, Message, Position
from .slow import CLOSE, DROP_OLDEST, Slow

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..core.broadcast import Outgoing, give

if TYPE_CHECKING:
    from ..asyncio.connection import Connection
    from .members import Members

# State.OPEN, as a connection's writer has it.
OPEN = 1


class Group:
    """Those who have joined a topic or a pattern.

    Attributes:
        name: the topic or the pattern.
        slots: their subscriptions, in no order.
        lent: whether somebody goes through ``slots``, which then must stay as they are.
        position: where the last message stood that was given to them; None where nobody knows.
        ready: done when the engine has confirmed that it gives what comes; None when it did.
        held: what came while messages before it are read from the history; None otherwise.
        fresh: whether ``position`` is what the engine said, and nothing was given yet.
        suspect: whether the engine was lost since it was known that nothing is missing.

    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.slots: list[Subscription] = []
        self.lent = False
        self.position: Position | None = None
        self.ready: asyncio.Future[None] | None = None
        self.held: list[Message] | None = None
        self.fresh = False
        self.suspect = False

    def add(self, subscription: Subscription) -> None:
        """Add a subscription."""
        self.own_slots()
        subscription.place = len(self.slots)
        self.slots.append(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Remove a subscription, in the same time however many there are."""
        self.own_slots()
        place, subscription.place = subscription.place, -1
        last = self.slots.pop()
        if last is not subscription:
            self.slots[place] = last
            last.place = place

    def own_slots(self) -> None:
        """Have slots that nobody else goes through."""
        if self.lent:
            self.slots = list(self.slots)
            self.lent = False


class Subscription:
    """One receiver in one group.

    Attributes:
        place: where it is in the group's slots; -1 when it has left.
        after: messages up to this offset are not for it, as it has got them from the history.
        replay: what came while the history is read for it; None otherwise.

    """

    def __init__(self, seat: Seat, group: Group) -> None:
        self.seat = seat
        self.group = group
        self.place = -1
        self.after = 0
        self.replay: Replay | None = None


class Replay:
    """What comes while the history is read, up to a limit."""

    __slots__ = ("lost", "messages", "size")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.size = 0
        self.lost = False

    def add(self, message: Message, limit: int) -> None:
        """Keep a message; over the limit, nothing is kept, as it would have a hole."""
        self.size += message.size
        if self.size > limit:
            self.lost = True
            self.messages.clear()
        else:
            self.messages.append(message)


class Seat:
    """A receiver: what it has joined, and what waits for it.

    Attributes:
        stamp: the number of the last delivery that it was part of, so that no message comes twice
            to who has joined several groups that it belongs to.

    """

    def __init__(self, hub: Members, slow: Slow) -> None:
        self.hub = hub
        self.stats = hub._stats
        self.slow = slow
        self.subscriptions: dict[str, Subscription] = {}
        self.stamp = 0
        self.queue: collections.deque[Any] = collections.deque()
        self.queued = 0

    def deliver(self, message: Message, forced: bool = False) -> None:
        """Give it a message, now or when there is room.

        Args:
            message: the message.
            forced: whether it is from the history, which is bounded by itself.

        """
        raise NotImplementedError

    def enqueue(self, item: Any, forced: bool = False) -> None:
        """Have something wait, as the policy for slow consumers has it.

        Args:
            item: what has a ``size``.
            forced: whether it is from the history, which is bounded by itself.

        """
        size: int = item.size
        slow, stats, queue = self.slow, self.stats, self.queue
        if self.queued + size > slow.limit and not forced:
            if slow.policy == CLOSE:
                stats.closed_slow += 1
                self.too_slow()
                return
            if slow.policy != DROP_OLDEST or size > slow.limit:
                stats.dropped_newest += slow.policy != DROP_OLDEST
                stats.dropped_oldest += slow.policy == DROP_OLDEST
                return
            while self.queued + size > slow.limit:
                self.dequeue()
                stats.dropped_oldest += 1
        queue.append(item)
        self.queued += size
        stats.queued_bytes += size

    def dequeue(self) -> Any:
        """Take what has waited longest."""
        item = self.queue.popleft()
        self.queued -= item.size
        self.stats.queued_bytes -= item.size
        return item

    def too_slow(self) -> None:
        """End it, because too much waits for it."""
        raise NotImplementedError

    def tell(self, gap: Gap) -> None:
        """Tell it that messages are missing."""

    def leave(self) -> None:
        """Leave everything, and forget what waits."""
        self.hub._leave_all(self)
        self.stats.queued_bytes -= self.queued
        self.queue.clear()
        self.queued = 0


class ConnectionSeat(Seat):
    """A connection: what is called a follower by `core.link`."""

    def __init__(self, hub: Members, connection: Connection, slow: Slow) -> None:
        super().__init__(hub, slow)
        self.connection = connection
        self.writer = connection.protocol.frame_writer
        self.user: str | None = None
        self.flushing = False

    @property
    def attendee(self) -> Attendee:
        """Who this is to others."""
        return Attendee(str(self.connection.id), self.user, self.hub.node)

    def deliver(self, message: Message, forced: bool = False) -> None:
        writer = self.writer
        if writer.state != OPEN:
            return
        outgoing = message.outgoing(self.hub.wrap)
        if self.queue or self.connection.full or writer.continuing or self.flushing:
            self.enqueue(outgoing, forced)
        else:
            self.write(outgoing)

    def write(self, outgoing: Outgoing) -> None:
        """Give a message to the connection."""
        try:
            give(self.connection, outgoing)
        except Exception as exc:
            self.stats.failed += 1
            self.connection.logger.warning("could not deliver: %s", exc, exc_info=True)
            return
        self.stats.delivered += 1

    def too_slow(self) -> None:
        self.leave()
        self.connection.start_closing(CloseCode.TRY_AGAIN_LATER, "too slow")

    # What the connection calls

    def may_write(self) -> None:
        """Send what waits, as far as there is room."""
        if self.flushing:
            return
        self.flushing = True
        try:
            while self.queue and not self.connection.full and not self.writer.continuing:
                outgoing = self.dequeue()
                if self.writer.state == OPEN:
                    self.write(outgoing)
        finally:
            self.flushing = False

    def gone(self) -> None:
        """Leave everything: the connection is closed."""
        self.leave()


class ListeningSeat(Seat):
    """A program that iterates over messages."""

    def __init__(self, hub: Members, slow: Slow, gaps: bool) -> None:
        super().__init__(hub, slow)
        self.gaps = gaps
        self.waiter: asyncio.Future[None] | None = None
        self.error: Exception | None = None
        self.ended = False

    def deliver(self, message: Message, forced: bool = False) -> None:
        if not self.ended:
            self.stats.delivered += 1
            self.enqueue(message, forced)
            self.wake()

    def tell(self, gap: Gap) -> None:
        if self.gaps and not self.ended:
            self.enqueue(SizedGap(gap), True)
            self.wake()

    def too_slow(self) -> None:
        self.end(SlowConsumer(f"more than {self.slow.limit} bytes wait to be taken"))

    def end(self, error: Exception | None) -> None:
        """Give nothing more; what waits is given nevertheless if there was no error."""
        if self.ended:
            return
        self.ended = True
        self.error = error
        if error is None:
            self.hub._leave_all(self)
        else:
            self.leave()
        self.wake()

    def wake(self) -> None:
        """Let go on who waits for a message."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class SizedGap:
    """A gap among messages."""

    size = 256

    def __init__(self, gap: Gap) -> None:
        self.gap = gap


class Listening:
    """Messages for a program, to iterate over; from the call of `Hub.listen` on.

    Close it, use it as an asynchronous context manager, or let go of it.
    """

    def __init__(self, seat: ListeningSeat) -> None:
        self._seat = seat
        self._loop = asyncio.get_running_loop()

    async def ready(self) -> None:
        """Wait until the engine gives what others publish.

        Raises:
            EngineError: if it doesn't in time.

        """
        await self._seat.hub._ready(list(self._seat.subscriptions.values()))

    async def close(self) -> None:
        """Listen no more; an iteration that waits ends."""
        self._seat.end(None)

    async def __aenter__(self) -> Listening:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __aiter__(self) -> Listening:
        return self

    async def __anext__(self) -> Any:
        seat = self._seat
        while not seat.queue:
            if seat.error is not None:
                raise seat.error
            if seat.ended:
                raise StopAsyncIteration
            if seat.waiter is not None:
                raise HubClosed("another task iterates over these messages")
            seat.waiter = self._loop.create_future()
            try:
                await seat.waiter
            finally:
                seat.waiter = None
        item = seat.dequeue()
        return item.gap if isinstance(item, SizedGap) else item

    def __del__(self) -> None:
        if not self._seat.ended and not self._loop.is_closed():
            # It may be the garbage collector of another thread that calls.
            self._loop.call_soon_threadsafe(self._seat.end, None)
