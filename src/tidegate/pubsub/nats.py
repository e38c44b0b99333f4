"""The engine on NATS: core NATS for what is live, JetStream for the history and for who is there.

Names in NATS begin with the hub's prefix: ``.m.`` and a topic is what is subscribed to. With a
history, messages are published to ``.h.`` and the topic, where a stream keeps them; the server
publishes them once more below ``.m.``, with their numbers in headers. ``.p.`` is who has joined.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..core.broadcast import OVERHEAD
from . import remote
from .engine import Page
from .errors import EngineError, HubOverloaded
from .messages import Gap, Message, Position, Receipt, is_text
from .remote import RemoteEngine, gather
from .topics import word

try:
    from nats.errors import Error as _  # noqa: F401
except ImportError as exc:
    raise ImportError("the engine on NATS needs nats-py: pip install tidegate[nats]") from exc

from .nats_streams import history_stream, presence_stream
from .nats_wire import Entry, NatsWire, Nobody, Refused

if TYPE_CHECKING:
    from .members import Members
    from .nats_wire import Stored

# Envelopes begin with their kind. Live messages have the sender's hub and its count of messages.
LIVE, KEPT = b"1", b"2"
TEXT, BINARY = b"t", b"b"
NODE_END = 18
COUNT_END = 34
KEPT_END = 2

# What the server says of a message that it has stored: its number, and the one before it of its
# subject.
NUMBERS = re.compile(rb"\r\nNats-Sequence: *(\d+)\r\n(?:.*\r\n)*?Nats-Last-Sequence: *(\d+)\r\n")

# Of how many hubs it is remembered what came last.
MOST_NODES = 10_000


class NatsEngine(RemoteEngine):
    """An engine on NATS.

    Args:
        hub: the hub.
        source: a URL, more with commas between them, or what `nats.connect()` takes.
        prefix: what names in NATS begin with.

    """

    name = "NATS"

    def __init__(self, hub: Members, source: str | Mapping[str, Any], prefix: str) -> None:
        super().__init__(hub, prefix)
        root = word(prefix)
        self.channel = f"{root}.m."
        self.kept = f"{root}.h."
        self.attending_at = f"{root}.p."
        self.everything = f"{self.channel}>"
        self.wire = NatsWire(source, self.may_write, hub.logger)
        self.wires = [self.wire]
        wire = self.wire
        wire.greet, wire.subjects = self.greet, self.subjects
        wire.take, wire.confirm, wire.forbidden = self.take, self.confirmed, self.forbidden
        wire.restored, wire.on_lost = self.restored, self.lost
        wire.is_full, wire.room = self.is_full, self.room
        self.history = history_stream(self.wire, root, hub.history)
        self.attendance = presence_stream(self.wire, root, hub._presence)
        self.all_wanted = False
        self.count = 0
        # What came last from other hubs, and of what is kept: what comes by several subscriptions
        # comes with the same number.
        self.seen: dict[bytes, int] = {}
        self.seen_kept = 0

    # Its life

    async def greet(self) -> None:
        """See that there is what messages are kept in."""
        self.seen.clear()
        self.seen_kept = 0
        for stream in (self.history, self.attendance):
            if stream is not None:
                await stream.prepare()
        if self.history is not None and self.history.was_replaced():
            self.hub._tell_gap(
                Gap(None, None, None, "NATS has lost a part of the history, or all of it")
            )

    def restored(self) -> None:
        super().restored()
        if self.attendance is not None:
            self.tell_all_present()

    def has_written(self) -> bool:
        return not self.wire.waiting and not self.wire.queue and not self.wire.asked

    def give_up(self, error: EngineError) -> None:
        queue = list(self.wire.queue)
        self.wire.queue.clear()
        for entry in queue:
            self.wire.settle(entry, error)

    # Subscriptions

    def is_covered(self, name: str) -> bool:
        return self.all_active

    def subjects(self) -> list[str]:
        """Give what is to be subscribed to on a new connection."""
        self.changes.clear()
        for name in [name for name, future in self.confirmations.items() if future.done()]:
            # It may be allowed now.
            del self.confirmations[name]
        self.all_wanted = len(self.topics) > remote.MANY
        names = [self.everything] if self.all_wanted else self.each()
        if self.history is not None:
            names.append(self.history.advisory)
        return names

    def each(self) -> list[str]:
        """Give what is to be subscribed to one by one."""
        return [self.channel + name for name in (*self.topics, *self.patterns)]

    def write_changes(self, changes: dict[str, bool]) -> None:
        if self.wire.connection is None or self.all_wanted:
            return
        if len(self.topics) > remote.MANY:
            self.all_wanted = True
            self.wire.subscribe(self.everything, True)
            return
        for name, wanted in changes.items():
            self.wire.subscribe(self.channel + name, wanted)

    def confirmed(self, subject: str) -> None:
        """Take note that something is subscribed to."""
        if subject == self.everything and self.all_wanted:
            self.all_active = True
            # What comes twice until then is recognized.
            for name in self.wire.subscriptions:
                if name.startswith(self.channel) and name != self.everything:
                    self.wire.subscribe(name, False)
            for name in list(self.confirmations):
                self.confirm(name)
        else:
            self.confirm(subject[len(self.channel) :])

    def forbidden(self, subject: str, error: EngineError) -> None:
        """Take note that something must not be subscribed to."""
        self.hub.logger.error("%s", error)
        for name, future in self.confirmations.items():
            meant = self.all_wanted or (self.channel + name).lower() == subject.lower()
            if meant and not future.done():
                future.set_exception(error)
                # Not everybody awaits a join.
                future.exception()

    # What comes

    def take(self, subject: str, data: bytes, headers: bytes) -> None:
        """Take in a message, unless it was delivered when it was published here, or came before."""
        if not subject.startswith(self.channel) and subject:
            if self.history is not None and self.history.is_gone(subject, data):
                self.wire.end("the stream of the history was deleted")
            return
        kind, text = data[:1], data[1:2] == TEXT
        if kind == LIVE and len(data) >= COUNT_END:
            node = data[2:NODE_END]
            if node == self.node:
                return
            try:
                count = int(data[NODE_END:COUNT_END], 16)
            except ValueError:
                count = 0
            if count > 0:
                if self.is_new(node, count):
                    topic = subject[len(self.channel) :]
                    payload = data[COUNT_END:]
                    text = text and is_text(payload)
                    self.hub._received(Message(topic, payload, text, None))
                return
        elif kind == KEPT and self.history is not None:
            numbers = NUMBERS.search(headers)
            if numbers is not None:
                sequence, previous = int(numbers[1]), int(numbers[2])
                if sequence > self.seen_kept:
                    self.seen_kept = sequence
                    self.history.saw(sequence)
                    topic = subject[len(self.channel) :]
                    position = Position(self.history.epoch, sequence)
                    payload = data[KEPT_END:]
                    text = text and is_text(payload)
                    self.hub._received(Message(topic, payload, text, position, previous))
                return
        # Somebody else publishes on our channels.
        self.hub.stats.failed += 1

    def is_new(self, node: bytes, count: int) -> bool:
        """Take note of a message of another hub, and say whether it hasn't come before."""
        seen = self.seen
        known = seen.get(node)
        if known is None and len(seen) >= MOST_NODES:
            del seen[next(iter(seen))]
        if known is not None and count <= known:
            return False
        seen[node] = count
        return True

    # Publishing

    @property
    def waiting(self) -> int:  # type: ignore[override]
        """What waits for NATS to take it, in bytes."""
        return self.wire.waiting

    def publish(
        self, topic: str, payload: bytes, text: bool, receipt: Receipt, history: bool
    ) -> None:
        size = len(payload) + OVERHEAD
        stream = self.history if history else None
        if stream is None:
            # Those who are here don't have to wait for NATS, which may be away.
            self.hub._received(Message(topic, payload, text, None))
        waiting = self.wire.waiting
        if waiting + size > self.hub.backlog and (waiting or not self.may_write.is_set()):
            raise HubOverloaded(
                f"more than {self.hub.backlog} bytes wait for NATS, which is {self.status}"
            )
        kind = TEXT if text else BINARY
        if stream is None:
            self.count += 1
            envelope = b"%b%b%b%016x%b" % (LIVE, kind, self.node, self.count, payload)
            subject = self.channel + topic
        else:
            envelope = KEPT + kind + payload
            subject = self.kept + topic

        def then(outcome: Any) -> None:
            if isinstance(outcome, Refused):
                self.hub._stats.refused += 1
                receipt.fail(outcome)
                if isinstance(outcome, Nobody):
                    # A new connection makes the stream again.
                    self.wire.end(str(outcome))
            elif isinstance(outcome, Exception):
                self.hub._stats.uncertain += 1
                receipt.fail(outcome)
            elif stream is None:
                receipt.settle(None)
            else:
                stream.saw(outcome["seq"])
                receipt.settle(Position(stream.epoch, outcome["seq"]))

        self.wire.submit(Entry(subject, envelope, size, then, stream is not None, True))

    # The history

    async def read(self, topic: str, after: Position | None) -> Page:
        position = await self.position(topic)
        if after is None or not position.epoch:
            return Page(position, [])
        stream = self.history
        assert stream is not None
        epoch = stream.epoch
        # Who is there and has the message at the position has all that come later.
        begin = after.offset if after.epoch in ("", epoch) else 1
        found = await stream.stored(self.kept + topic, begin)
        if epoch != stream.epoch:
            raise EngineError("the history was lost while it was read")
        if found:
            position = max(position, Position(epoch, found[-1].sequence))
        messages = self.messages_of(topic, epoch, found, begin)
        return Page(position, messages)

    def messages_of(self, topic: str, epoch: str, found: list[Stored], begin: int) -> list[Message]:
        """Make messages of what is stored, each with the one before it."""
        assert self.history is not None
        if begin and found and found[0].sequence == begin:
            previous = found.pop(0).sequence
        elif begin == 0 and not self.history.may_be_trimmed(len(found)):
            previous = 0
        else:
            # Something may have been there before, and is gone.
            previous = found[0].sequence - 1 if found else 0
        messages = []
        for stored in found:
            data, position = stored.data, Position(epoch, stored.sequence)
            payload = data[KEPT_END:]
            text = data[1:2] == TEXT and is_text(payload)
            messages.append(Message(topic, payload, text, position, previous))
            previous = stored.sequence
        return messages

    async def position(self, topic: str) -> Position:
        """Give where a topic is."""
        stream = self.history
        assert stream is not None
        last = await stream.last(self.kept + topic)
        return Position(stream.epoch, last) if last else Position("", 0)

    async def positions(self, topics: list[str]) -> list[Position]:
        return await gather([self.position(topic) for topic in topics])

    # Who is there

    def place_of(self, topic: str, entry: str) -> str:
        """Give the subject of somebody who is there."""
        return f"{self.attending_at}{topic}.{hashlib.sha256(entry.encode()).hexdigest()[:32]}"

    def tell_present(self, topic: str, entries: Iterable[str]) -> None:
        for entry in entries:
            # When the connection is lost, all of it is told again.
            self.wire.submit(
                Entry(
                    *(self.place_of(topic, entry), entry.encode(), 0),
                    *(lambda outcome: None, True, False),
                )
            )

    def tell_absent(self, topic: str, entry: str) -> None:
        def then(outcome: Any) -> None:
            if isinstance(outcome, dict) and self.attendance is not None:
                self.attendance.delete_soon(outcome["seq"])

        # What is empty takes the place of the entry at once, and goes then.
        self.wire.submit(Entry(self.place_of(topic, entry), b"", len(entry), then, True, True))

    async def attending(self, topic: str) -> list[str]:
        assert self.attendance is not None
        return await self.attendance.entries(f"{self.attending_at}{topic}.*", self.ghost)

    def ghost(self, subject: str, data: bytes) -> None:
        """Tell of somebody whose hub died, if it was this one who found out."""
        topic = subject[len(self.attending_at) :].rpartition(".")[0]
        self.tell_gone(topic, [data])

    async def refresh(self) -> None:
        if self.attendance is None:
            return
        while True:
            await asyncio.sleep(remote.REFRESH)
            if self.may_write.is_set():
                self.tell_all_present()
                try:
                    await self.attendance.sweep(f"{self.attending_at}$.{self.hub.node}", self.ghost)
                except EngineError as exc:
                    self.hub.logger.debug("who isn't there any more can't be known: %s", exc)
