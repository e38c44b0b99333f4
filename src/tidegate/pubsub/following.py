"""Whether messages are missing, which their offsets tell, and where to get them from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .errors import EngineError
from .messages import Gap, Message, Position
from .seats import Group
from .topics import is_pattern

if TYPE_CHECKING:
    from .hub import Hub

# How many topics are asked about at once after an interruption.
CHUNK = 500


class Following:
    """Follows the positions of topics, fills gaps from the history, and tells of those that stay.

    Args:
        hub: the hub.

    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.checking: asyncio.Task[None] | None = None

    def is_next(self, group: Group, message: Message) -> bool:
        """Take note of a message, and say whether it is to be delivered now."""
        position = message.position
        assert position is not None
        if group.held is not None:
            group.held.append(message)
            return False
        known = group.position
        if known is None or known.epoch != position.epoch:
            group.position = position
            if known is not None:
                for subscription in group.slots:
                    subscription.after = 0
                if position.offset > 1:
                    self.changed(group, known, position)
        elif position.offset <= known.offset:
            # It was in the history that was read meanwhile.
            return False
        elif position.offset > known.offset + 1:
            self.fill(group, message)
            return False
        else:
            group.position = position
        return True

    def changed(self, group: Group, known: Position, position: Position) -> None:
        """Tell that the count has begun anew."""
        if known.epoch:
            self.hub._tell_gap(Gap(group.name, known, position, "the engine counts anew"))

    def fill(self, group: Group, message: Message | None) -> None:
        """Read what is missing, and hold what comes until it is there."""
        group.held = [] if message is None else [message]
        self.hub._start(self.read(group))

    async def read(self, group: Group) -> None:
        """Read what is missing of a topic, and give it before what has come meanwhile."""
        hub = self.hub
        known = group.position
        assert known is not None
        messages: list[Message] = []
        reason = "the history doesn't reach so far back"
        try:
            page = await hub._engine.read(group.name, known)
        except EngineError as exc:
            reason = str(exc)
        else:
            if page.position.epoch == known.epoch:
                messages = page.messages
        finally:
            held, group.held = group.held or [], None
        for number, message in enumerate([*messages, *held]):
            position = message.position
            assert position is not None
            known = group.position
            assert known is not None
            if position.epoch != known.epoch:
                # is_next() sees to that.
                if self.is_next(group, message):
                    hub._deliver(message, group)
                continue
            if position.offset <= known.offset:
                continue
            if position.offset > known.offset + 1:
                hub._tell_gap(Gap(group.name, known, position, reason))
            if number < len(messages):
                hub.stats.filled += 1
            group.position = position
            hub._deliver(message, group)

    def interrupted(self) -> None:
        """Look at all topics, because messages may be missing."""
        hub = self.hub
        if hub.history is None:
            hub._tell_gap(Gap(None, None, None, "the engine was connected to again"))
            return
        for name in list(hub._groups):
            if is_pattern(name):
                hub._tell_gap(Gap(name, None, None, "the engine was connected to again"))
        if self.checking is not None:
            self.checking.cancel()
        self.checking = hub._start(self.check())

    async def check(self) -> None:
        """Compare where topics are with what has come of them."""
        hub = self.hub
        names = [name for name in hub._groups if not is_pattern(name)]
        try:
            for start in range(0, len(names), CHUNK):
                chunk = names[start : start + CHUNK]
                positions = await hub._engine.positions(chunk)
                for name, position in zip(chunk, positions, strict=True):
                    group = hub._groups.get(name)
                    if group is not None and group.position is not None:
                        self.compare(group, position)
        except EngineError as exc:
            # It is lost again, and looked at again when it is back; if it is back, nobody knows.
            hub._tell_gap(Gap(None, None, None, f"the history can't be read: {exc}"))

    def compare(self, group: Group, position: Position) -> None:
        """Get what is missing of a topic that is at a position."""
        known = group.position
        assert known is not None
        if group.held is not None:
            return
        if position.epoch == known.epoch:
            if position.offset > known.offset:
                self.fill(group, None)
        elif position.offset or known.offset:
            group.position = position
            for subscription in group.slots:
                subscription.after = 0
            self.changed(group, known, position)
