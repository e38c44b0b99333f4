"""The hub: who has joined what, and what is published to whom."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from ..typing import DataLike
from .delivery import Delivery
from .engine import History
from .engines import make_engine
from .errors import HubClosed, HubError, HubOverloaded
from .joining import Joined
from .members import WATCHED, Members, link_of
from .messages import Attendee, Gap, Message, Position, Presence, Receipt, encoded
from .seats import Listening, ListeningSeat
from .slow import Slow
from .stats import Stats
from .topics import check_name, check_topic, user_topic

if TYPE_CHECKING:
    from types import TracebackType

    from redis.asyncio import Redis

__all__ = ["Hub"]

# How much may wait to be handed over, and for one receiver, unless a program says otherwise; bytes.
BACKLOG = 8 * 2**20
MOST_WAITING = 2**20

# The hubs of this process, for who wants numbers of all of them.
HUBS: weakref.WeakSet[Hub] = weakref.WeakSet()


class Hub(Members):
    """One message to many: connections, and code of the server, on one machine or many.

    ::

        async with Hub() as hub, serve(handler, "localhost", 8765) as server:
            ...

        async def handler(websocket):
            hub.join(websocket, "room.7")
            async for message in websocket:
                hub.publish("room.7", message)

    Live delivery is at most once, in order per topic and publisher, and never doubled. With
    ``history``, every message has a `Position`, from which a client that comes back goes on.

    Everything is called in the event loop that the hub was opened in, but for
    `publish_from_thread`. A connection that is closed leaves by itself.

    Args:
        url: the engine: ``memory://`` for this process alone; ``redis://`` or ``rediss://``, with
            what redis-py takes there, or a client of its own, such as one that Sentinel gives;
            ``nats://`` or ``tls://``, several with commas between them, or a mapping of what
            ``nats.connect()`` takes.
        history: how many messages of a topic are kept for those who come back, or a `History`;
            None for none.
        slow: what happens to slow receivers: a `Slow`. By default a connection for which more
            than 1 MiB waits is closed with code 1013.
        wrap: makes of a `Message` what connections are sent, once for all of them; by default they
            are sent what was published. It is where positions get into messages.
        backlog: how much may wait to be delivered or to be handed to the engine, in bytes.
        overflow: what becomes of messages beyond that: ``"raise"`` `HubOverloaded`, or ``"count"``
            them in `stats`.
        on_gap: called with a `Gap` when messages are missing, or may be.
        presence: whether to keep who has joined what, for `presence` and `watch`.
        prefix: what names in the engine begin with; hubs with the same are one.

    Raises:
        ValueError: if an argument makes no sense.

    """

    def __init__(
        self,
        url: str | Redis | Mapping[str, Any] = "memory://",
        *,
        history: int | History | None = None,
        slow: Slow | None = None,
        wrap: Callable[[Message], DataLike] | None = None,
        backlog: int = BACKLOG,
        overflow: str = "raise",
        on_gap: Callable[[Gap], object] | None = None,
        presence: bool = False,
        prefix: str = "tidegate",
    ) -> None:
        if overflow not in ("raise", "count"):
            raise ValueError(f'overflow is "raise" or "count", not {overflow!r}')
        if isinstance(history, int):
            history = History(history)
        slow = Slow.close(MOST_WAITING) if slow is None else slow
        super().__init__(history, slow, wrap, backlog, on_gap, presence)
        self.overflow = overflow
        self._engine = make_engine(self, url, prefix)
        self._open = False
        self._thread: int | None = None
        self._from_threads = 0
        self._lock = threading.Lock()
        HUBS.add(self)

    # Its life

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect to the engine; a hub is opened once.

        Raises:
            EngineError: if there is no connection to the engine.

        """
        if self._thread is not None:
            raise HubClosed("a hub is opened once")
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._delivery = Delivery(self._loop, self.logger)
        self._open = True
        try:
            await self._engine.start()
        except BaseException:
            self._open = False
            raise

    async def close(self, timeout: float = 5.0) -> None:
        """Leave for all, hand over what waits, and disconnect. Connections stay open.

        Args:
            timeout: how long to wait for the engine, in seconds.

        """
        if not self._open:
            return
        for seat in list(self._seats.values()):
            seat.leave()
        for listening in list(self._listening):
            listening.end(None)
        self._open = False
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        await self._engine.close(timeout)

    @property
    def status(self) -> str:
        """The engine: ``"connecting"``, ``"connected"`` or ``"closed"``."""
        return self._engine.status

    @property
    def stats(self) -> Stats:
        """What the hub has done, and what waits now."""
        if self._thread is not None:
            self._stats.backlog_bytes = (
                self._delivery.waiting + self._following.held + self._engine.waiting
            )
        return self._stats

    # Joining and leaving

    def join(
        self,
        connection: Any,
        *topics: str,
        since: Position | str | Mapping[str, Position | str] | None = None,
    ) -> Joined:
        """Have a connection sent what is published to topics, from now on.

        What it has joined before, it stays in.

        Args:
            connection: a connection of `tidegate.asyncio` or of `tidegate.legacy`, or a `Listener`.
            topics: topics; or patterns, in which ``*`` stands for one word and ``>`` for the rest.
            since: with history, the position of the last message that the client has seen, or one
                for each topic by its name: everything later is sent. What a client sends for one
                may be given as it is: with nonsense, nothing is recovered.

        Returns:
            What became of it. Awaiting it raises `EngineError` when the engine doesn't confirm in
            time; the join stands nevertheless.

        Raises:
            HubClosed: if the hub isn't open.
            ValueError: if a topic isn't one, or ``since`` is given for a pattern or without
                history.

        """
        self._check_open()
        for topic in topics:
            check_name(topic)
        return self._join(self._seat(connection), topics, since)

    def leave(self, connection: Any, *topics: str) -> None:
        """Have a connection sent no more of what is published to topics.

        Args:
            connection: what has joined.
            topics: topics and patterns; none means all, those of `identify` included.

        """
        seat = self._seats.get(link_of(connection))
        if seat is None:
            return
        if not topics:
            seat.leave()
            return
        for topic in topics:
            subscription = seat.subscriptions.get(topic)
            if subscription is not None:
                self._leave(subscription)
        if not seat.subscriptions:
            seat.leave()

    def identify(self, connection: Any, user: str, since: Position | str | None = None) -> Joined:
        """Say whose connection it is, so that `publish_to` reaches it.

        Args:
            connection: as for `join`.
            user: any text, such as the name or the number of the user.
            since: as for `join`, in what is published to the user.

        """
        self._check_open()
        topic = user_topic(user)
        seat = self._seat(connection)
        if seat.user is not None and seat.user != user:
            before = seat.subscriptions.get(user_topic(seat.user))
            if before is not None:
                self._leave(before)
        present = [name for name in seat.subscriptions if self._is_attended(name)]
        for name in present:
            self._attend(name, seat, False)
        seat.user = user
        for name in present:
            self._attend(name, seat, True)
        return self._join(seat, (topic,), since)

    # Publishing

    def publish(self, topic: str, message: DataLike, *, text: bool | None = None) -> Receipt:
        """Give a message to all who have joined a topic, without waiting.

        Args:
            topic: the topic.
            message: ``str``, ``bytes``, ``bytearray`` or ``memoryview``.
            text: publish text as binary (False) or bytes, which must be UTF-8, as text (True).

        Returns:
            A receipt, to await for those who want to know whether the engine has taken it.

        Raises:
            HubClosed: if the hub isn't open.
            HubOverloaded: if too much waits already, and ``overflow`` is ``"raise"``.
            TypeError: if the message has another type.
            ValueError: if the topic isn't one.

        """
        return self._publish(check_topic(topic), message, text, True)

    def publish_to(self, user: str, message: DataLike, *, text: bool | None = None) -> Receipt:
        """Give a message to all connections of a user, wherever they are.

        Args:
            user: as `identify` was told.
            message: as for `publish`.
            text: as for `publish`.

        """
        return self._publish(user_topic(user), message, text, True)

    def publish_from_thread(
        self, topic: str, message: DataLike, *, text: bool | None = None
    ) -> concurrent.futures.Future[Position | None]:
        """Publish from another thread than that of the event loop.

        Args:
            topic: the topic.
            message: as for `publish`.
            text: as for `publish`.

        Returns:
            A future of what the receipt gives.

        Raises:
            HubClosed: if the hub isn't open.
            HubOverloaded: if too much of other threads waits already.

        """
        check_topic(topic)
        data, as_text = encoded(message, text)
        outcome: concurrent.futures.Future[Position | None] = concurrent.futures.Future()
        with self._lock:
            if not self._open:
                raise HubClosed("the hub isn't open")
            if self._from_threads + len(data) > self.backlog:
                raise HubOverloaded(f"more than {self.backlog} bytes of threads wait already")
            self._from_threads += len(data)
        try:
            self._loop.call_soon_threadsafe(self._publish_for, topic, data, as_text, outcome)
        except RuntimeError as exc:
            raise HubClosed("the hub's event loop is closed") from exc
        return outcome

    def _publish_for(
        self,
        topic: str,
        data: bytes,
        text: bool,
        outcome: concurrent.futures.Future[Position | None],
    ) -> None:
        """Publish for another thread."""
        with self._lock:
            self._from_threads -= len(data)
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            receipt = self._publish(topic, data, text, True)
        except Exception as exc:
            outcome.set_exception(exc)
        else:
            self._start(self._pass_on(receipt, outcome))

    async def _pass_on(
        self, receipt: Receipt, outcome: concurrent.futures.Future[Position | None]
    ) -> None:
        """Tell another thread what became of its message."""
        try:
            outcome.set_result(await receipt)
        except asyncio.CancelledError:
            outcome.set_exception(HubClosed("the hub was closed"))
            raise
        except Exception as exc:
            outcome.set_exception(exc)

    def _publish(self, topic: str, message: DataLike, text: bool | None, history: bool) -> Receipt:
        self._check_open()
        data, as_text = encoded(message, text)
        receipt = Receipt()
        self._stats.published += 1
        try:
            if self._delivery.waiting > self.backlog:
                raise HubOverloaded(f"more than {self.backlog} bytes wait to be delivered already")
            self._engine.publish(topic, data, as_text, receipt, history)
        except HubOverloaded as exc:
            self._stats.refused += 1
            if self.overflow == "raise":
                raise
            receipt.fail(exc)
        return receipt

    # For code of the server

    def listen(self, *topics: str, slow: Slow | None = None, gaps: bool = False) -> Listening:
        """Give what is published to topics to code of the server, from now on.

        ::

            async for message in hub.listen("room.*"):
                print(message.topic, message.data)

        Args:
            topics: topics and patterns.
            slow: what happens when the program is slower; by default as for connections, but that
                the iteration raises `SlowConsumer` instead of closing anything.
            gaps: whether to give a `Gap` among the messages where some are missing, or may be.

        Raises:
            HubClosed: if the hub isn't open.
            ValueError: if a topic isn't one.

        """
        self._check_open()
        for topic in topics:
            check_name(topic)
        return self._listen(topics, slow, gaps)

    def _listen(self, topics: tuple[str, ...], slow: Slow | None, gaps: bool) -> Listening:
        seat = ListeningSeat(self, self.slow if slow is None else slow, gaps)
        self._listening.add(seat)
        self._join(seat, topics, None)
        return Listening(seat)

    async def recent(self, topic: str) -> list[Message]:
        """Give the history of a topic, in order.

        Args:
            topic: the topic.

        Raises:
            EngineError: if it can't be read now.
            ValueError: if there is no history.

        """
        self._check_open()
        check_topic(topic)
        if self.history is None:
            raise ValueError("the hub was made without history")
        return (await self._engine.read(topic, Position("", 0))).messages

    async def presence(self, topic: str) -> list[Attendee]:
        """Give who has joined a topic, on all machines.

        Those of a machine that died stay until they expire, at most 45 seconds.

        Args:
            topic: the topic.

        Raises:
            EngineError: if that isn't possible now.
            HubError: if the hub was made without presence.

        """
        self._check_open()
        check_topic(topic)
        self._check_presence()
        entries = await self._engine.attending(topic)
        return [Attendee(*json.loads(entry)) for entry in sorted(entries)]

    async def watch(self, topic: str) -> AsyncIterator[Presence]:
        """Give who joins a topic and who leaves it, on all machines.

        Args:
            topic: the topic.

        Raises:
            HubError: if the hub was made without presence.

        """
        self._check_open()
        check_topic(topic)
        self._check_presence()
        async with self._listen((WATCHED + topic,), None, False) as events:
            async for event in events:
                joined, *entry = json.loads(event.payload)
                yield Presence(topic, joined, Attendee(*entry))

    # Whether it may be called

    def _check_open(self) -> None:
        if not self._open:
            raise HubClosed("the hub isn't open: use it in 'async with', and not after its end")
        if threading.get_ident() != self._thread:
            raise HubError("this isn't the hub's thread: use publish_from_thread")

    def _check_presence(self) -> None:
        if not self._presence:
            raise HubError("the hub was made without presence=True")
