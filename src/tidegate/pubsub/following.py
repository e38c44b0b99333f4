"""Whether messages are missing, which their offsets tell, and where to get them from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .errors import EngineError
from .messages import Gap, Message, Position
from .seats import Group
from .topics import is_pattern

if TYPE_CHECKING:
    from .members import Members

# How many topics are asked about at once after an interruption.
CHUNK = 500

# How often it is asked, with pauses of so many seconds.
ATTEMPTS = 3
PAUSE = 0.5


class Following:
    """Follows the positions of topics, fills gaps from the history, and tells of those that stay.

    Args:
        hub: the hub.

    Attributes:
        held: what messages cost that wait for others before them, in bytes.

    """

    def __init__(self, hub: Members) -> None:
        self.hub = hub
        self.held = 0
        self.checking: asyncio.Task[None] | None = None

    def locate(self, group: Group, confirmed: asyncio.Future[None] | None) -> asyncio.Future[None]:
        """Find out where a topic is; what is published when this is done can't get lost unseen."""
        task = self.hub._start(self.find(group, confirmed))
        # Not everybody awaits a join.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return task

    async def find(self, group: Group, confirmed: asyncio.Future[None] | None) -> None:
        """Wait for the engine's confirmation, and ask for the position."""
        hub = self.hub
        if confirmed is not None:
            await asyncio.wait([confirmed])
            confirmed.result()
        while group.position is None and hub._groups.get(group.name) is group:
            try:
                [position] = await hub._engine.positions([group.name])
            except EngineError:
                # It will be back.
                await asyncio.sleep(PAUSE)
                continue
            if group.position is None:
                group.position = position
                # What was published just before the engine said that may still be on its way.
                group.fresh = True

    def is_next(self, group: Group, message: Message) -> bool:
        """Take note of a message, and say whether it is to be delivered now."""
        position = message.position
        assert position is not None
        if group.held is not None:
            group.held.append(message)
            self.held += message.size
            return False
        known, fresh, group.fresh = group.position, group.fresh, False
        if known is None or (fresh and position.is_within(known)):
            group.position = position
        elif known.epoch != position.epoch:
            if known.epoch:
                self.begin_anew(group, position, message.previous > 0)
            if message.previous > 0:
                self.fill(group, message)
                return False
            group.position = position
        elif position.offset <= known.offset:
            # It was in the history that was read meanwhile.
            return False
        elif message.previous > known.offset:
            self.fill(group, message)
            return False
        else:
            group.position = position
        return True

    def begin_anew(self, group: Group, position: Position, incomplete: bool) -> Position:
        """Take note that a topic counts anew, and give where that begins."""
        known, beginning = group.position, Position(position.epoch, 0)
        group.position = beginning
        for subscription in group.slots:
            subscription.after = 0
        # What came last in the old count, nobody knows any more.
        if incomplete or group.suspect:
            self.hub._tell_gap(Gap(group.name, known, position, "the engine counts anew"))
        group.suspect = False
        return beginning

    def fill(self, group: Group, *messages: Message) -> None:
        """Read what is missing, and hold what comes until it is there."""
        group.held = list(messages)
        self.held += sum(message.size for message in messages)
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
            if not known.epoch:
                # Nothing was published before.
                group.position = known = Position(page.position.epoch, 0)
            if page.position.epoch == known.epoch:
                messages = page.messages
        finally:
            held, group.held = group.held or [], None
            self.held -= sum(message.size for message in held)
        for number, message in enumerate([*messages, *held]):
            position = message.position
            assert position is not None
            known = group.position
            assert known is not None
            if position.epoch != known.epoch:
                known = self.begin_anew(group, position, message.previous > 0)
                if message.previous > 0:
                    # The rest waits for what comes before it in the new count.
                    self.fill(group, *held[number - len(messages) :])
                    return
            if position.offset <= known.offset:
                continue
            if message.previous > known.offset:
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
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            try:
                positions = await self.positions(chunk)
            except EngineError as exc:
                # If it is lost again, all this begins anew when it is back; if it isn't, one knows.
                hub._tell_gap(Gap(None, None, None, f"the history can't be read: {exc}"))
                return
            for name, position in zip(chunk, positions, strict=True):
                group = hub._groups.get(name)
                if group is not None and group.position is not None:
                    self.compare(group, position)

    async def positions(self, names: list[str]) -> list[Position]:
        """Ask where topics are, more than once if need be: the engine is just coming back.

        Raises:
            EngineError: if it doesn't tell.

        """
        for _ in range(ATTEMPTS - 1):
            try:
                return await self.hub._engine.positions(names)
            except EngineError:
                await asyncio.sleep(PAUSE)
        return await self.hub._engine.positions(names)

    def lost(self) -> None:
        """Take note that the engine is lost."""
        for group in self.hub._groups.values():
            group.suspect = True

    def compare(self, group: Group, position: Position) -> None:
        """Get what is missing of a topic that is at a position."""
        known = group.position
        assert known is not None
        if group.held is not None:
            return
        if position.epoch == known.epoch or not known.epoch:
            group.suspect = False
            if position.offset > known.offset:
                self.fill(group)
        elif group.suspect:
            # Else a message of the new count has come while the answer was on its way.
            self.begin_anew(group, position, True)
            if position.offset > 0:
                self.fill(group)
