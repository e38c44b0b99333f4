"""The engine of one process: everything is known at once."""

from __future__ import annotations

import asyncio
import collections
import secrets
from typing import TYPE_CHECKING

from .engine import Engine, Page
from .messages import Message, Position, Receipt

if TYPE_CHECKING:
    from .members import Members

# How often topics are forgotten to which nothing is published any more, as a part of the time for
# which they are kept.
SWEEPS = 4


# How long those who come back share what is made of the history for them, in seconds.
SHARED = 5.0

# What a topic with a history costs besides its messages, in bytes.
LOG_OVERHEAD = 512


# And a message besides its payload.
MESSAGE_OVERHEAD = 256


class Log:
    """The history of a topic."""

    __slots__ = ("epoch", "last", "messages", "used")

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(8)
        self.last = 0
        self.messages: collections.deque[Message] = collections.deque()
        self.used = 0.0


def cost(message: Message) -> int:
    """Give what a message takes in a history, in bytes."""
    return len(message.payload) + MESSAGE_OVERHEAD


class MemoryEngine(Engine):
    """An engine that carries messages nowhere.

    Attributes:
        kept: what the histories of all topics take, in bytes.

    """

    immediate = True

    def __init__(self, hub: Members) -> None:
        super().__init__(hub)
        # What was published to last comes last.
        self.logs: dict[str, Log] = {}
        self.kept = 0
        # What was given to those who came back: many may come at once, and share what is sent.
        self.given: dict[int, Message] = {}
        self.cleaner: asyncio.TimerHandle | None = None
        self.attendees: dict[str, set[str]] = {}
        self.timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        self.status = "connected"
        self.sweep()

    async def close(self, timeout: float) -> None:
        self.status = "closed"
        for timer in (self.timer, self.cleaner):
            if timer is not None:
                timer.cancel()

    def subscribe(self, name: str) -> None:
        return None

    def publish(
        self, topic: str, payload: bytes, text: bool, receipt: Receipt, history: bool
    ) -> None:
        position = None
        kept = self.hub.history if history else None
        if kept is not None:
            log = self.logs.pop(topic, None)
            if log is None:
                log = Log()
                self.kept += LOG_OVERHEAD
            self.logs[topic] = log
            log.last += 1
            log.used = self.hub._loop.time()
            position = Position(log.epoch, log.last)
            message = Message(topic, payload, text, position)
            log.messages.append(message)
            self.kept += cost(message)
            if len(log.messages) > kept.messages:
                self.kept -= cost(log.messages.popleft())
            if self.kept > kept.size:
                self.trim(kept.size)
        else:
            message = Message(topic, payload, text, None)
        receipt.settle(position)
        self.hub._received(message)

    def trim(self, size: int) -> None:
        """Forget what is oldest in topics to which nothing was published for longest."""
        while self.kept > size:
            topic, log = next(iter(self.logs.items()))
            if log.messages:
                self.kept -= cost(log.messages.popleft())
            elif len(self.logs) > 1:
                self.forget(topic)
            else:
                break

    def forget(self, topic: str) -> None:
        """Forget a topic; it counts anew then."""
        log = self.logs.pop(topic)
        self.kept -= LOG_OVERHEAD + sum(map(cost, log.messages))

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
                    self.given[id(message)] = message
            if messages and self.cleaner is None:
                self.cleaner = self.hub._loop.call_later(SHARED, self.clean)
        return Page(Position(log.epoch, log.last), messages)

    def clean(self) -> None:
        """Forget what was made of messages for those who came back."""
        self.cleaner = None
        for message in self.given.values():
            message.forget_outgoing()
        self.given.clear()

    def sweep(self) -> None:
        """Forget topics to which nothing was published for long."""
        history = self.hub.history
        if history is None:
            return
        before = self.hub._loop.time() - history.seconds
        for topic in [topic for topic, log in self.logs.items() if log.used < before]:
            self.forget(topic)
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
