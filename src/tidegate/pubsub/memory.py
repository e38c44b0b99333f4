"""The engine of one process: everything is known at once."""

from __future__ import annotations

import asyncio
import collections
import secrets
from typing import TYPE_CHECKING

from .engine import Engine, Page
from .messages import Message, Position, Receipt

if TYPE_CHECKING:
    from .hub import Hub

# How often topics are forgotten to which nothing is published any more, as a part of the time for
# which they are kept.
SWEEPS = 4


class Log:
    """The history of a topic."""

    __slots__ = ("epoch", "last", "messages", "used")

    def __init__(self, most: int) -> None:
        self.epoch = secrets.token_hex(8)
        self.last = 0
        self.messages: collections.deque[Message] = collections.deque(maxlen=most)
        self.used = 0.0


class MemoryEngine(Engine):
    """An engine that carries messages nowhere."""

    immediate = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.logs: dict[str, Log] = {}
        self.attendees: dict[str, set[str]] = {}
        self.timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        self.status = "connected"
        self.sweep()

    async def close(self, timeout: float) -> None:
        self.status = "closed"
        if self.timer is not None:
            self.timer.cancel()

    def subscribe(self, name: str) -> None:
        return None

    def publish(
        self, topic: str, payload: bytes, text: bool, receipt: Receipt, history: bool
    ) -> None:
        position = None
        if history and self.hub.history is not None:
            log = self.logs.get(topic)
            if log is None:
                log = self.logs[topic] = Log(self.hub.history.messages)
            log.last += 1
            log.used = self.hub._loop.time()
            position = Position(log.epoch, log.last)
            message = Message(topic, payload, text, position)
            log.messages.append(message)
        else:
            message = Message(topic, payload, text, None)
        receipt.settle(position)
        self.hub._received(message)

    def page(self, topic: str, after: Position | None) -> Page:
        log = self.logs.get(topic)
        if log is None:
            return Page(Position("", 0), [])
        messages = []
        if after is not None:
            for message in log.messages:
                assert message.position is not None
                if message.position.offset > after.offset:
                    messages.append(message)
        return Page(Position(log.epoch, log.last), messages)

    def sweep(self) -> None:
        """Forget topics to which nothing was published for long."""
        history = self.hub.history
        if history is None:
            return
        before = self.hub._loop.time() - history.seconds
        for topic in [topic for topic, log in self.logs.items() if log.used < before]:
            del self.logs[topic]
        self.timer = self.hub._loop.call_later(history.seconds / SWEEPS, self.sweep)

    def attend(self, topic: str, entry: str) -> None:
        self.attendees.setdefault(topic, set()).add(entry)

    def depart(self, topic: str, entry: str) -> None:
        attendees = self.attendees.get(topic)
        if attendees is not None:
            attendees.discard(entry)
            if not attendees:
                del self.attendees[topic]

    async def attending(self, topic: str) -> list[str]:
        return list(self.attendees.get(topic, ()))
