"""What carries messages between hubs, and keeps their history."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from .messages import Message, Position, Receipt

if TYPE_CHECKING:
    from .members import Members


# How much is kept in memory, unless a program says otherwise; in bytes.
MOST_KEPT = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class History:
    """How much of a topic is kept for those who come back.

    Args:
        messages: how many messages of a topic are kept, at least.
        seconds: how long a topic to which nothing is published is kept; on NATS, how long each
            message is.
        size: how much the histories of all topics may take with ``memory://``, in bytes; beyond
            that, the topic that was published to longest ago loses its oldest messages first.

    """

    messages: int
    seconds: float = 3600
    size: int = MOST_KEPT

    def __post_init__(self) -> None:
        if self.messages < 1 or self.seconds <= 0 or self.size < 1:
            raise ValueError("a history of nothing: leave it out")


class Page:
    """A part of a topic's history.

    Attributes:
        position: where the topic is.
        messages: those that were asked for, or those of them that are left; in order. The first
            of them names as the one before it what was asked for, if none is missing.

    """

    __slots__ = ("messages", "position")

    def __init__(self, position: Position, messages: list[Message]) -> None:
        self.position = position
        self.messages = messages

    def is_complete(self, since: Position) -> bool:
        """Say whether these are all messages since a position."""
        if since.epoch != self.position.epoch or since.offset > self.position.offset:
            return False
        if since.offset == self.position.offset:
            return True
        return bool(self.messages) and self.messages[0].previous <= since.offset


class Engine:
    """An engine of one hub. What it calls is `Hub._received`, `_interrupted` and `_restored`.

    Attributes:
        immediate: whether everything is known at once, as it is in memory.
        status: ``"connecting"``, ``"connected"`` or ``"closed"``.
        waiting: what waits to be handed over, in bytes.

    """

    immediate = False
    waiting = 0
    status = "connecting"

    def __init__(self, hub: Members) -> None:
        self.hub = hub

    async def start(self) -> None:
        """Connect."""

    async def close(self, timeout: float) -> None:
        """Hand over what waits, for so many seconds at most, and disconnect."""

    def subscribe(self, name: str) -> asyncio.Future[None] | None:
        """Have messages of a topic or a pattern given; None if they are already."""
        raise NotImplementedError

    def unsubscribe(self, name: str) -> None:
        """Have them given no more."""

    def publish(
        self, topic: str, payload: bytes, text: bool, receipt: Receipt, history: bool
    ) -> None:
        """Hand over a message.

        Raises:
            HubOverloaded: if too much waits already.

        """
        raise NotImplementedError

    def page(self, topic: str, after: Position | None) -> Page:
        """Give the history of a topic at once, as an ``immediate`` engine can.

        Args:
            topic: the topic.
            after: what comes later is wanted; None for no messages.

        """
        raise NotImplementedError

    async def read(self, topic: str, after: Position | None) -> Page:
        """Give the history of a topic.

        Raises:
            EngineError: if that isn't possible now.

        """
        return self.page(topic, after)

    async def positions(self, topics: list[str]) -> list[Position]:
        """Give where topics are.

        Raises:
            EngineError: if that isn't possible now.

        """
        return [self.page(topic, None).position for topic in topics]

    # Who is there

    def attend(self, topic: str, entry: str) -> None:
        """Keep somebody as present, until `depart` or the end of this hub."""
        raise NotImplementedError

    def depart(self, topic: str, entry: str) -> None:
        """Keep them no more."""
        raise NotImplementedError

    async def attending(self, topic: str) -> list[str]:
        """Give who is present, on all machines.

        Raises:
            EngineError: if that isn't possible now.

        """
        raise NotImplementedError
