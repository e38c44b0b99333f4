"""What engines on other machines share: when to subscribe to what, and who waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any

from .engine import Engine
from .errors import EngineError
from .topics import is_pattern
from .wires import Wire

if TYPE_CHECKING:
    from .members import Members

# How long connecting may take at first, in seconds.
START_TIMEOUT = 10.0

# After so many seconds, tasks that are still there when the engine closes are cancelled once more.
CANCEL_AGAIN = 0.2

# From this many topics on, everything of the hub is subscribed to, and sorted out here.
MANY = 1000

# How long a topic stays subscribed to after the last one has left, in seconds: somebody may join.
LINGER = 1.0

# How often it is said who is still there, and for how long that counts, in seconds.
REFRESH = 11.0
EXPIRY = 33.0


class RemoteEngine(Engine):
    """An engine that is reached by connections.

    Args:
        hub: the hub.
        prefix: what names in the engine begin with.

    Attributes:
        name: the engine's name in messages.
        wires: its connections.
        may_write: set while what is published may go out.
        topics: topics that are to be subscribed to.
        patterns: patterns that are.
        confirmations: who waits until the engine confirms a topic or a pattern.
        all_active: whether everything of the hub comes by one subscription.
        present: who is there, by topic.

    """

    name = "the engine"

    def __init__(self, hub: Members, prefix: str) -> None:
        super().__init__(hub)
        self.prefix = prefix
        self.node = hub.node.encode()
        self.wires: list[Wire] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.may_write = asyncio.Event()
        self.topics: set[str] = set()
        self.patterns: set[str] = set()
        self.confirmations: dict[str, asyncio.Future[None]] = {}
        self.all_active = False
        # Changes that were not written yet, and those who left a moment ago.
        self.changes: dict[str, bool] = {}
        self.flush_scheduled = False
        self.lingering: dict[str, float] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.was_connected = False
        self.present: dict[str, set[str]] = {}

    # Its life

    async def start(self) -> None:
        connecting = [asyncio.create_task(wire.run()) for wire in self.wires]
        self.tasks = [*connecting, asyncio.create_task(self.refresh())]
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not all(wire.up.is_set() for wire in self.wires):
                    for task in connecting:
                        if task.done():
                            # What isn't an error of the network or of the engine is a program's.
                            task.result()
                            raise EngineError(f"can't use {self.name}: {self.why()}")
                    await asyncio.sleep(0.005)
        except TimeoutError:
            await self.close(0)
            raise EngineError(
                f"no connection to {self.name} within {START_TIMEOUT:g} s: {self.why()}"
            ) from None
        except BaseException:
            await self.close(0)
            raise

    def why(self) -> str:
        """Say why there is no connection."""
        errors = [str(wire.error) for wire in self.wires if wire.error is not None]
        return next(filter(None, errors), "it doesn't answer")

    def has_written(self) -> bool:
        """Say whether the engine has taken everything."""
        raise NotImplementedError

    def give_up(self, error: EngineError) -> None:
        """Tell those who published what never went out."""
        raise NotImplementedError

    async def close(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not self.has_written():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            pass
        self.status = "closed"
        for wire in self.wires:
            wire.closing = True
        pending = set(self.tasks)
        while pending:
            for task in pending:
                task.cancel()
            # Libraries lose it at times: asyncio.wait_for() does when what it waits for just ends.
            _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN)
        # Nobody has to know how they ended.
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.timer is not None:
            self.timer.cancel()
        self.give_up(EngineError(f"the hub was closed before {self.name} took it"))

    def lost(self) -> None:
        """Take note that nothing is subscribed to."""
        if self.status != "closed":
            self.status = "connecting"
        self.may_write.clear()
        self.all_active = False
        self.hub._following.lost()

    def restored(self) -> None:
        """Take note that everything is subscribed to, which may be for the second time."""
        self.status = "connected"
        # Only now, so that what waited to be published comes here, too.
        self.may_write.set()
        if self.was_connected:
            self.hub._interrupted()
        self.was_connected = True

    def is_full(self) -> bool:
        """Whether what came has to be delivered before more is taken."""
        hub = self.hub
        return hub._delivery.waiting + hub._following.held > hub.backlog

    async def room(self) -> None:
        """Wait until what came is on its way."""
        await asyncio.sleep(0)
        hub = self.hub
        if hub._delivery.waiting > hub.backlog:
            await hub._delivery.caught_up.wait()
        while hub._following.held > hub.backlog:
            await asyncio.sleep(0.01)

    # Subscriptions

    def subscribe(self, name: str) -> asyncio.Future[None] | None:
        if self.lingering.pop(name, None) is not None:
            return self.confirmations.get(name)
        (self.patterns if is_pattern(name) else self.topics).add(name)
        if self.is_covered(name):
            return None
        future = self.hub._loop.create_future()
        self.confirmations[name] = future
        self.change(name, True)
        return future

    def is_covered(self, name: str) -> bool:
        """Say whether a topic or a pattern comes without being subscribed to by itself."""
        return self.all_active and not is_pattern(name)

    def unsubscribe(self, name: str) -> None:
        self.lingering[name] = self.hub._loop.time() + LINGER
        if self.timer is None:
            self.timer = self.hub._loop.call_later(LINGER, self.end_lingering)

    def end_lingering(self) -> None:
        """Unsubscribe from what nobody has joined again."""
        self.timer = None
        now = self.hub._loop.time()
        for name, until in list(self.lingering.items()):
            if until > now:
                self.timer = self.hub._loop.call_at(until, self.end_lingering)
                break
            del self.lingering[name]
            (self.patterns if is_pattern(name) else self.topics).discard(name)
            self.confirmations.pop(name, None)
            self.change(name, False)

    def change(self, name: str, wanted: bool) -> None:
        """Have a change of the subscriptions written at the end of this turn."""
        self.changes[name] = wanted
        if not self.flush_scheduled:
            self.flush_scheduled = True
            self.hub._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what has changed; a new connection subscribes to everything by itself."""
        self.flush_scheduled = False
        changes, self.changes = self.changes, {}
        self.write_changes(changes)

    def write_changes(self, changes: dict[str, bool]) -> None:
        """Subscribe to what is wanted, and unsubscribe from what isn't any more."""
        raise NotImplementedError

    def confirm(self, name: str) -> None:
        """Tell who waits for it that a topic or a pattern is subscribed to."""
        future = self.confirmations.get(name)
        # What was refused stays, so that who joins later is told as well.
        if future is not None and not future.done():
            future.set_result(None)
            del self.confirmations[name]

    # Who is there

    def attend(self, topic: str, entry: str) -> None:
        self.present.setdefault(topic, set()).add(entry)
        self.tell_present(topic, [entry])

    def depart(self, topic: str, entry: str) -> None:
        entries = self.present.get(topic)
        if entries is not None:
            entries.discard(entry)
            if not entries:
                del self.present[topic]
        self.tell_absent(topic, entry)

    def tell_present(self, topic: str, entries: Iterable[str]) -> None:
        """Tell the engine who is there."""
        raise NotImplementedError

    def tell_absent(self, topic: str, entry: str) -> None:
        """Tell the engine who isn't there any more."""
        raise NotImplementedError

    def tell_gone(self, topic: str, entries: Iterable[str | bytes]) -> None:
        """Tell those who watch of those who are gone because their hub died."""
        for entry in entries:
            self.hub._tell_presence(topic, False, json.loads(entry))

    def tell_all_present(self) -> None:
        """Tell the engine who of this hub is there."""
        for topic, entries in list(self.present.items()):
            self.tell_present(topic, list(entries))

    async def refresh(self) -> None:
        """Tell the engine now and then who is still there."""
        while True:
            await asyncio.sleep(REFRESH)
            if self.may_write.is_set():
                self.tell_all_present()


async def gather(waits: Iterable[Awaitable[Any]]) -> list[Any]:
    """Wait for all, and let none of them go on when one fails."""
    outcomes = await asyncio.gather(*waits, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes
