"""Who has joined what, and what becomes of what the engine gives."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from .. import identity
from ..core.link import Link
from ..typing import DataLike
from .delivery import Delivery
from .engine import Engine, History
from .errors import EngineError, HubOverloaded
from .following import Following
from .joining import Joined, Joining, Since, starts_of
from .messages import Gap, Message, Receipt
from .seats import ConnectionSeat, Group, ListeningSeat, Seat, Subscription
from .slow import Slow
from .stats import Stats
from .topics import OWN, Patterns, is_pattern

if TYPE_CHECKING:
    from ..asyncio.connection import Connection

WATCHED = f"{OWN}presence."

# How long joining may take until the engine has confirmed it, in seconds.
TIMEOUT = 10.0


class Members:
    """What is behind a hub: receivers, what they have joined, and the way of messages to them.

    Args:
        history: as for a `Hub`, and so are the others.

    """

    _engine: Engine
    _loop: asyncio.AbstractEventLoop
    _delivery: Delivery

    def __init__(
        self,
        history: History | None,
        slow: Slow,
        wrap: Callable[[Message], DataLike] | None,
        backlog: int,
        on_gap: Callable[[Gap], object] | None,
        presence: bool,
    ) -> None:
        self.history = history
        self.slow = slow
        self.wrap = wrap
        self.backlog = backlog
        self.on_gap = on_gap
        self.node = secrets.token_hex(8)
        self.logger = logging.getLogger(f"{identity.loggers}.pubsub")
        self._stats = Stats()
        self._presence = presence
        self._groups: dict[str, Group] = {}
        self._patterns: Patterns[Group] = Patterns()
        self._seats: dict[Any, ConnectionSeat] = {}
        self._listening: set[ListeningSeat] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._following = Following(self)

    @property
    def stats(self) -> Stats:
        """What the hub has done, and what waits now."""
        return self._stats

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _seat(self, connection: Any) -> ConnectionSeat:
        link = link_of(connection)
        seat = self._seats.get(link)
        if seat is None:
            if not isinstance(link, Link) or getattr(link, "loop", None) is not self._loop:
                raise TypeError(
                    f"{connection!r} isn't a connection of the event loop that the hub is open in"
                )
            seat = self._seats[link] = ConnectionSeat(self, cast("Connection", link), self.slow)
            link.add_follower(seat)
            self._stats.connections += 1
        return seat

    def _join(
        self,
        seat: Seat,
        topics: tuple[str, ...],
        since: Since,
    ) -> Joined:
        joining = Joining(self, starts_of(self, topics, since))
        if isinstance(seat, ConnectionSeat) and seat.connection.ended:
            # It is too late for it to leave by itself.
            seat.leave()
            return joining.joined
        for topic in topics:
            if topic in seat.subscriptions:
                continue
            group = self._group(topic)
            subscription = seat.subscriptions[topic] = Subscription(seat, group)
            group.add(subscription)
            joining.add(subscription)
            if self._is_attended(topic) and isinstance(seat, ConnectionSeat):
                self._attend(topic, seat, True)
        return joining.go_on()

    async def _ready(self, subscriptions: list[Subscription]) -> None:
        """Wait until the engine has confirmed that it gives what these are for.

        Raises:
            EngineError: if it doesn't in time, or doesn't allow it.

        """
        waits = [s.group.ready for s in subscriptions if s.group.ready is not None]
        if waits:
            _, pending = await asyncio.wait(waits, timeout=TIMEOUT)
            if pending:
                raise EngineError(f"the engine hasn't confirmed within {TIMEOUT:g} s")
            for wait in waits:
                wait.result()
        for subscription in subscriptions:
            subscription.group.ready = None

    def _group(self, name: str) -> Group:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name)
            if is_pattern(name):
                self._patterns.add(name, group)
                self._stats.patterns += 1
            else:
                self._stats.topics += 1
            group.ready = self._engine.subscribe(name)
            if self.history and not (self._engine.immediate or is_pattern(name)):
                group.ready = self._following.locate(group, group.ready)
        return group

    def _leave(self, subscription: Subscription) -> None:
        group, seat = subscription.group, subscription.seat
        if subscription.place < 0:
            return
        group.remove(subscription)
        del seat.subscriptions[group.name]
        if isinstance(seat, ConnectionSeat) and self._is_attended(group.name):
            self._attend(group.name, seat, False)
        if not group.slots:
            del self._groups[group.name]
            if is_pattern(group.name):
                self._patterns.remove(group.name)
                self._stats.patterns -= 1
            else:
                self._stats.topics -= 1
            self._engine.unsubscribe(group.name)

    def _leave_all(self, seat: Seat) -> None:
        for subscription in list(seat.subscriptions.values()):
            self._leave(subscription)
        if isinstance(seat, ConnectionSeat):
            if self._seats.pop(seat.connection, None) is not None:
                seat.connection.remove_follower(seat)
                self._stats.connections -= 1
        elif isinstance(seat, ListeningSeat):
            self._listening.discard(seat)

    def _is_attended(self, name: str) -> bool:
        return self._presence and not name.startswith(OWN) and not is_pattern(name)

    def _attend(self, topic: str, seat: ConnectionSeat, here: bool) -> None:
        """Keep a connection as present or don't, and tell those who watch."""
        attendee = seat.attendee
        entry = [attendee.id, attendee.user, attendee.node]
        if here:
            self._engine.attend(topic, json.dumps(entry))
        else:
            self._engine.depart(topic, json.dumps(entry))
        self._tell_presence(topic, here, entry)

    def _tell_presence(self, topic: str, here: bool, entry: list[str | None]) -> None:
        try:
            self._engine.publish(
                WATCHED + topic, json.dumps([here, *entry]).encode(), True, Receipt(), False
            )
        except HubOverloaded:
            self._stats.refused += 1

    # What the engine calls

    def _received(self, message: Message) -> None:
        """Take in a message to deliver, unless others come first or it was there already."""
        group = self._groups.get(message.topic)
        if message.position is None or group is None or self._following.is_next(group, message):
            self._deliver(message, group)

    def _deliver(self, message: Message, group: Group | None) -> None:
        self._stats.received += 1
        groups = self._patterns.match(message.topic)
        if group is not None:
            groups.append(group)
        if groups:
            self._delivery.add(message, groups)

    def _interrupted(self) -> None:
        """Take note that messages may be missing, the engine having been connected to again."""
        self._stats.reconnects += 1
        self._following.interrupted()

    def _tell_gap(self, gap: Gap) -> None:
        """Tell of a gap."""
        self._stats.gaps += 1
        groups = [self._groups.get(gap.topic)] if gap.topic is not None else self._groups.values()
        for seat in list(self._listening):
            if any(group is not None and group.name in seat.subscriptions for group in groups):
                seat.tell(gap)
        if self.on_gap is not None:
            try:
                self.on_gap(gap)
            except Exception:
                self.logger.exception("on_gap failed")


def link_of(connection: Any) -> Any:
    """Give the connection of what stands for one: a listener, or the coat of the older API."""
    if isinstance(connection, Link):
        return connection
    if not hasattr(connection, "_coated"):
        connection = getattr(connection, "connection", connection)
    return getattr(connection, "_coated", connection)
