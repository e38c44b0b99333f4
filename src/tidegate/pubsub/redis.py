"""The engine on Redis or Valkey: pub/sub for what is live, Streams for the history.

Two connections: one for commands, and one for subscriptions. Names in Redis begin with the hub's
prefix: ``:m:`` and a topic is its channel, ``:t:`` its state, ``:h:`` its history, ``:p:`` who has
joined it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..core.broadcast import OVERHEAD
from . import remote
from .engine import Page
from .errors import EngineError, HubOverloaded
from .messages import Gap, Message, Position, Receipt, is_text
from .redis_scripts import ATTEND, ATTENDING, PUBLISH, READ, sha
from .remote import RemoteEngine, gather
from .topics import Patterns, is_pattern

try:
    from redis.asyncio import ConnectionPool, Redis
except ImportError as exc:
    raise ImportError("the engine on Redis needs redis-py: pip install tidegate[redis]") from exc

from .redis_wire import Command, CommandWire, ListeningWire

if TYPE_CHECKING:
    from .members import Members

# How many names there are in a command at most.
MOST_NAMES = 1000

# Envelopes begin with their kind: live messages, with the sender's hub; and those of a history,
# with their position: 16 digits of the epoch and 16 of the offset.
LIVE, KEPT = b"1", b"2"
TEXT, BINARY = b"t", b"b"
NODE_END = 18
POSITION_END = 50


class RedisEngine(RemoteEngine):
    """An engine on Redis.

    Args:
        hub: the hub.
        source: a URL, or a client of redis-py's, such as Sentinel gives.
        prefix: what names in Redis begin with.

    """

    name = "Redis"

    def __init__(self, hub: Members, source: str | Redis, prefix: str) -> None:
        super().__init__(hub, prefix)
        if isinstance(source, str):
            self.pool = ConnectionPool.from_url(source)
        else:
            self.pool = source.connection_pool
        self.channel = f"{prefix}:m:"
        self.everything_glob = escaped(self.channel) + "*"
        self.commands = CommandWire(self.pool, self.may_write, self.greeted)
        self.listening = ListeningWire(
            self.pool,
            self.all_subscriptions,
            self.take,
            self.restored,
            self.is_full,
            self.room,
            self.lost,
        )
        self.wires = [self.commands, self.listening]
        # What Redis has confirmed.
        self.active: set[str] = set()
        self.active_patterns: Patterns[str] = Patterns()
        self.active_globs: dict[str, str] = {}
        self.all_wanted = False
        self.run_id = ""

    # Its life

    def has_written(self) -> bool:
        return not self.commands.queue and not self.commands.flying

    def give_up(self, error: EngineError) -> None:
        for command in self.commands.queue:
            command.then(error)
        self.commands.queue.clear()

    def greeted(self) -> None:
        """Say who is there again, as the server may be another; and if it is, say so."""
        run_id, self.run_id = self.run_id, self.commands.run_id
        if run_id and run_id != self.run_id:
            self.hub._tell_gap(
                Gap(None, None, None, "Redis was started again, or another took its place")
            )
        self.tell_all_present()

    def lost(self) -> None:
        self.active.clear()
        self.active_patterns = Patterns()
        self.active_globs.clear()
        super().lost()

    # Subscriptions

    def write_changes(self, changes: dict[str, bool]) -> None:
        if self.listening.connection is None:
            return
        if not self.all_wanted and len(self.topics) > remote.MANY:
            self.all_wanted = True
            self.listening.submit(["PSUBSCRIBE", self.everything_glob])
        groups: dict[str, list[str]] = {}
        for name, wanted in changes.items():
            if is_pattern(name):
                glob = self.glob(name)
                if wanted:
                    groups.setdefault("PSUBSCRIBE", []).append(glob)
                elif all(self.glob(other) != glob for other in self.patterns):
                    groups.setdefault("PUNSUBSCRIBE", []).append(glob)
                elif self.active_globs.pop(name, None) is not None:
                    # Another pattern is the same to Redis.
                    self.active_patterns.remove(name)
            elif not self.all_wanted:
                command = "SUBSCRIBE" if wanted else "UNSUBSCRIBE"
                groups.setdefault(command, []).append(self.channel + name)
        for command, names in groups.items():
            for chunk in chunks(names):
                self.listening.submit([command, *chunk])

    def all_subscriptions(self) -> list[list[Any]]:
        """Give what is to be subscribed to on a new connection."""
        commands = []
        self.all_wanted = len(self.topics) > remote.MANY
        self.changes.clear()
        patterns = [self.glob(name) for name in self.patterns]
        if self.all_wanted:
            patterns.append(self.everything_glob)
        else:
            names = [self.channel + name for name in self.topics]
            commands += [["SUBSCRIBE", *chunk] for chunk in chunks(names)]
        return commands + [["PSUBSCRIBE", *chunk] for chunk in chunks(patterns)]

    def glob(self, pattern: str) -> str:
        """Give the pattern of Redis that matches at least what a pattern does."""
        return escaped(self.channel) + re.sub(r">$", "*", pattern)

    def take(self, push: list[Any]) -> None:
        """Take in what Redis has to say of subscriptions, or a message."""
        kind = push[0]
        if kind == b"message":
            topic = push[1].decode()[len(self.channel) :]
            if not self.all_active and topic in self.active:
                self.take_message(topic, push[2])
        elif kind == b"pmessage":
            try:
                topic = push[2].decode()[len(self.channel) :]
            except UnicodeDecodeError:
                # A pattern matches names of others, too.
                self.hub.stats.failed += 1
                return
            if self.is_first(push[1].decode(), topic):
                self.take_message(topic, push[3])
        elif kind == b"subscribe":
            name = push[1].decode()[len(self.channel) :]
            self.active.add(name)
            self.confirm(name)
        elif kind == b"unsubscribe":
            if push[1] is not None:
                self.active.discard(push[1].decode()[len(self.channel) :])
        elif kind == b"psubscribe":
            self.pattern_began(push[1].decode())
        elif kind == b"punsubscribe" and push[1] is not None:
            glob = push[1].decode()
            for pattern, other in list(self.active_globs.items()):
                if other == glob:
                    del self.active_globs[pattern]
                    self.active_patterns.remove(pattern)

    def pattern_began(self, glob: str) -> None:
        """Take note that a pattern is subscribed to."""
        if glob == self.everything_glob and self.all_wanted:
            self.all_active = True
            # From here on, messages come by the pattern, too; and soon by it alone.
            for chunk in chunks([self.channel + name for name in self.active]):
                self.listening.submit(["UNSUBSCRIBE", *chunk])
            for name in [name for name in self.confirmations if not is_pattern(name)]:
                self.confirm(name)
        for pattern in self.patterns:
            if self.glob(pattern) == glob and pattern not in self.active_globs:
                self.active_globs[pattern] = glob
                self.active_patterns.add(pattern, glob)
                self.confirm(pattern)

    def is_first(self, glob: str, topic: str) -> bool:
        """Say whether, of all subscriptions that give a message, this is the one that counts.

        Redis sends a message once for each subscription that matches it. As its confirmations come
        in order with them, it is known which those were.
        """
        if self.all_active:
            return glob == self.everything_glob
        if topic in self.active:
            return False
        globs = self.active_patterns.match(topic)
        return bool(globs) and globs[0] == glob

    def take_message(self, topic: str, envelope: bytes) -> None:
        """Take in a message, unless it was delivered when it was published here."""
        kind = envelope[:1]
        position = None
        start = NODE_END
        if kind == LIVE:
            if envelope[2:NODE_END] == self.node:
                return
        elif kind == KEPT and len(envelope) >= POSITION_END:
            start = POSITION_END
            try:
                epoch = envelope[NODE_END : NODE_END + 16].decode("ascii")
                position = Position(epoch, int(envelope[NODE_END + 16 : POSITION_END], 16))
            except ValueError:
                pass
        if kind not in (LIVE, KEPT) or (kind == KEPT and (position is None or position.offset < 1)):
            # Somebody else publishes on our channels.
            self.hub.stats.failed += 1
            return
        payload = envelope[start:]
        text = envelope[1:2] == TEXT and is_text(payload)
        self.hub._received(Message(topic, payload, text, position))

    # Publishing

    @property
    def waiting(self) -> int:  # type: ignore[override]
        """What waits for Redis to take it, in bytes."""
        return self.commands.waiting

    def publish(
        self, topic: str, payload: bytes, text: bool, receipt: Receipt, history: bool
    ) -> None:
        size = len(payload) + OVERHEAD
        kept = self.hub.history if history else None
        if kept is None:
            # Those who are here don't have to wait for Redis, which may be away.
            self.hub._received(Message(topic, payload, text, None))
        waiting = self.commands.waiting
        connected = self.commands.up.is_set() and self.may_write.is_set()
        if waiting + size > self.hub.backlog and (waiting or not connected):
            raise HubOverloaded(
                f"more than {self.hub.backlog} bytes wait for Redis, which is {self.status}"
            )
        head = (KEPT if kept else LIVE) + (TEXT if text else BINARY) + self.node
        make: Callable[[], tuple[Any, ...]]
        if kept is None:
            command = ("PUBLISH", self.channel + topic, head + payload)

            def make() -> tuple[Any, ...]:
                return command
        else:

            def make() -> tuple[Any, ...]:
                return (
                    *("EVALSHA", sha(PUBLISH), 3),
                    *(self.state_of(topic), self.messages_of(topic), self.channel + topic),
                    *(self.commands.run_id, f"{random.getrandbits(64):016x}", kept.messages),
                    *(int(kept.seconds * 1000), head, payload),
                )

        def then(reply: Any) -> None:
            stats = self.hub._stats
            if isinstance(reply, EngineError):
                stats.uncertain += 1
                receipt.fail(reply)
            elif isinstance(reply, Exception):
                stats.refused += 1
                receipt.fail(EngineError(f"Redis answered: {reply}"))
            else:
                receipt.settle(Position(reply[0].decode(), reply[1]) if kept else None)

        self.commands.submit(Command(make, size, then, True))

    # The history

    def state_of(self, topic: str) -> str:
        """Give the name of what is known of a topic."""
        return f"{self.prefix}:t:{topic}"

    def messages_of(self, topic: str) -> str:
        """Give the name of the history of a topic."""
        return f"{self.prefix}:h:{topic}"

    async def read(self, topic: str, after: Position | None) -> Page:
        offset = -1 if after is None else after.offset
        [page] = await self.pages([(topic, offset)])
        return page

    async def positions(self, topics: list[str]) -> list[Position]:
        pages = await self.pages([(topic, -1) for topic in topics])
        return [page.position for page in pages]

    async def pages(self, wanted: list[tuple[str, int]]) -> list[Page]:
        """Give the histories of topics, each after an offset; -1 is none of it."""
        replies = await gather(
            [
                self.commands.ask(
                    *("EVALSHA", sha(READ), 2, self.state_of(topic), self.messages_of(topic)),
                    *(self.commands.run_id, offset),
                )
                for topic, offset in wanted
            ]
        )
        pages = []
        for (topic, _), (epoch, last, entries) in zip(wanted, replies, strict=True):
            epoch = epoch.decode()
            messages = []
            for entry, (_, head, _, payload) in entries:
                position = Position(epoch, int(entry.partition(b"-")[0]))
                text = head[1:2] == TEXT and is_text(payload)
                messages.append(Message(topic, payload, text, position))
            pages.append(Page(Position(epoch, last), messages))
        return pages

    # Who is there

    def tell_absent(self, topic: str, entry: str) -> None:
        command = ("ZREM", f"{self.prefix}:p:{topic}", entry)
        self.commands.submit(Command(lambda: command, len(entry), lambda reply: None, True))

    async def attending(self, topic: str) -> list[str]:
        key = f"{self.prefix}:p:{topic}"
        gone, here = await self.commands.ask("EVALSHA", sha(ATTENDING), 1, key)
        self.tell_gone(topic, gone)
        return [entry.decode() for entry in here]

    def tell_present(self, topic: str, entries: Iterable[str]) -> None:
        key = f"{self.prefix}:p:{topic}"
        for chunk in chunks(list(entries)):
            command = ("EVALSHA", sha(ATTEND), 1, key, int(remote.EXPIRY * 1000), *chunk)

            def make(command: tuple[Any, ...] = command) -> tuple[Any, ...]:
                return command

            def then(reply: Any) -> None:
                if isinstance(reply, list):
                    self.tell_gone(topic, reply)

            # When the connection is lost, all of it is told again.
            self.commands.submit(Command(make, 0, then, False))


def escaped(text: str) -> str:
    """Give a pattern of Redis that matches a text."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)


def chunks(names: list[str]) -> list[list[str]]:
    """Give names in parts of a size that a command may have."""
    return [names[start : start + MOST_NAMES] for start in range(0, len(names), MOST_NAMES)]
