"""What happens when a receiver joins: the engine confirms, and what was missed is given first."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Self

from .engine import Page
from .messages import Position
from .seats import Replay, Subscription
from .topics import is_pattern

if TYPE_CHECKING:
    from .members import Members

__all__ = ["Joined"]

Since = Position | str | Mapping[str, Position | str] | None


class Joined:
    """What became of a join: await it to know more.

    Attributes:
        recovered: whether everything since the given positions is on its way; None while that isn't
            known, or if nothing was asked for.
        positions: where each topic was when it was joined, with history, as far as it is known.

    """

    def __init__(self) -> None:
        self.recovered: bool | None = None
        self.positions: dict[str, Position] = {}
        self._task: asyncio.Task[None] | None = None

    def __await__(self) -> Generator[Any, None, Self]:
        if self._task is not None:
            yield from asyncio.shield(self._task).__await__()
        return self


class Joining:
    """Receivers on their way in: from a join until everything is known about it.

    Args:
        hub: the hub.
        starts: what `starts_of` gives.

    """

    def __init__(self, hub: Members, starts: dict[str, Position | None]) -> None:
        self.hub = hub
        self.starts = starts
        self.joined = Joined()
        self.subscriptions: list[Subscription] = []

    def add(self, subscription: Subscription) -> None:
        """Add a subscription to what is joined."""
        self.subscriptions.append(subscription)
        if subscription.group.name in self.starts:
            subscription.replay = Replay()

    def go_on(self) -> Joined:
        """Give what was missed, now or when the engine has told it."""
        hub, joined = self.hub, self.joined
        if not hub._engine.immediate:
            if self.is_known():
                return joined
            joined._task = hub._start(self.complete())
            # Nobody has to await it.
            joined._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        elif hub.history is not None:
            for subscription in self.subscriptions:
                name = subscription.group.name
                if not is_pattern(name):
                    self.begin(subscription, hub._engine.page(name, self.starts.get(name)))
        return joined

    def is_known(self) -> bool:
        """Whether the engine needn't be asked; the positions are what it would say, then."""
        groups = [subscription.group for subscription in self.subscriptions]
        if self.starts or any(group.ready is not None for group in groups):
            return False
        if self.hub.history is not None:
            for group in groups:
                if not is_pattern(group.name):
                    if group.position is None or group.held is not None:
                        return False
                    self.joined.positions[group.name] = group.position
        return True

    async def complete(self) -> None:
        """Wait for the engine, then give what was missed."""
        hub = self.hub
        pages: dict[str, Page] = {}
        try:
            await hub._ready(self.subscriptions)
            if hub.history is not None:
                names = [subscription.group.name for subscription in self.subscriptions]
                names = [name for name in names if not is_pattern(name)]
                unread = []
                for name in names:
                    group = hub._groups.get(name)
                    if self.starts.get(name) is not None:
                        continue
                    if group is None or group.position is None or group.held is not None:
                        unread.append(name)
                    else:
                        pages[name] = Page(group.position, [])
                positions = await hub._engine.positions(unread)
                for name, position in zip(unread, positions, strict=True):
                    pages[name] = Page(position, [])
                for name in names:
                    if name not in pages:
                        pages[name] = await hub._engine.read(name, self.starts[name])
        finally:
            for subscription in self.subscriptions:
                self.begin(subscription, pages.get(subscription.group.name))

    def begin(self, subscription: Subscription, page: Page | None) -> None:
        """Give a subscription what it has missed, and then what has come meanwhile.

        Args:
            subscription: the subscription.
            page: the history that it needs; None if that can't be known.

        """
        group, seat = subscription.group, subscription.seat
        replay, subscription.replay = subscription.replay, None
        if page is not None:
            self.joined.positions[group.name] = page.position
            if group.position is None:
                group.position = page.position
        if replay is None or subscription.place < 0:
            return
        start = self.starts[group.name]
        complete = page is not None and start is not None and page.is_complete(start)
        if page is not None and complete:
            # What is in the page may still be on its way, too.
            subscription.after = page.position.offset
            for message in page.messages:
                seat.deliver(message, True)
        self.joined.recovered = complete and not replay.lost and self.joined.recovered is not False
        for message in replay.messages:
            at = message.position
            if not complete or at is None or page is None or not at.is_within(page.position):
                seat.deliver(message)


def starts_of(hub: Members, topics: tuple[str, ...], since: Since) -> dict[str, Position | None]:
    """Give from where on each topic is wanted; None where that is nonsense.

    Raises:
        ValueError: if there is no history, or a topic is a pattern.

    """
    if since is None:
        return {}
    if hub.history is None:
        raise ValueError("since= needs a hub with history")
    given = since if isinstance(since, Mapping) else dict.fromkeys(topics, since)
    starts: dict[str, Position | None] = {}
    for topic in topics:
        if topic not in given:
            continue
        if is_pattern(topic):
            raise ValueError(f"since= is for topics, and {topic!r} is a pattern")
        try:
            starts[topic] = Position.parse(str(given[topic]))
        except ValueError:
            starts[topic] = None
    return starts
