"""A connection to NATS, on nats-py's client."""

from __future__ import annotations

import asyncio
import collections
import json
import re
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nats.aio.client import Client
from nats.errors import Error, MaxPayloadError, NoServersError

from . import wires
from .errors import EngineError
from .wires import Unsupported, Wire

if TYPE_CHECKING:
    import logging

# How many commands are written without the event loop getting its turn.
MOST_COMMANDS = 512

# How long JetStream may take to answer, in seconds.
ANSWER_TIMEOUT = 5.0

# How long nats-py may take to let go of a connection that was aborted, in seconds.
CLOSE_TIMEOUT = 0.2

# Where no stream or no JetStream listens, the server says so by itself.
NOBODY = b"NATS/1.0 503"


class Refused(EngineError):
    """The server has not taken a message."""


class Nobody(Refused, Unsupported):
    """There is no JetStream, or no stream for a message."""


class Stored(NamedTuple):
    """A message of a stream.

    Attributes:
        subject: its subject.
        sequence: its number in the stream.
        time: when it was stored, in ns since 1970, by the server's clock.
        data: its payload.

    """

    subject: str
    sequence: int
    time: int
    data: bytes


class Collection:
    """What a consumer of a stream has given, until nothing more follows."""

    def __init__(self) -> None:
        self.messages: list[Stored] = []
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, subject: str, reply: bytes, data: bytes) -> None:
        """Take in a message."""
        # $JS.ACK, in newer servers domain and account; then stream, consumer, how often delivered,
        # sequence in the stream, sequence of the consumer, time, how many follow.
        words = reply.decode().split(".")
        first = 2 if len(words) == 9 else 4
        sequence, stored, left = int(words[first + 3]), int(words[first + 5]), words[first + 6]
        self.messages.append(Stored(subject, sequence, stored, data))
        if left == "0" and not self.complete.done():
            self.complete.set_result(None)


class Entry:
    """What is published, and who is told what became of it.

    Args:
        subject: the subject.
        payload: the payload.
        size: what it costs where it waits, in bytes.
        then: called with what JetStream answers, None without, or with an `EngineError`.
        answered: whether JetStream answers; else it is taken when what follows comes back.
        lasts: whether it may wait for the next connection; else it fails with this one.

    """

    __slots__ = ("answered", "lasts", "payload", "size", "subject", "then", "until")

    def __init__(
        self,
        subject: str,
        payload: bytes,
        size: int,
        then: Callable[[Any], object],
        answered: bool,
        lasts: bool,
    ) -> None:
        self.subject = subject
        self.payload = payload
        self.size = size
        self.then = then
        self.answered = answered
        self.lasts = lasts
        self.until = 0.0


class Connection(Client):
    """A client of nats-py that gives all messages to one function, in the order in which they come.

    nats-py itself has a queue and a task for each subscription. So it isn't known in which order
    messages of two of them came, which one has to know to drop what comes by both; and a topic
    costs 4 KiB.
    """

    def __init__(self, wire: NatsWire, secure: bool) -> None:
        super().__init__()
        self.wire = wire
        self.secure = secure

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        wire = self.wire
        if wire.client is not self:
            return
        try:
            wire.arrived(sid, subject, reply, data, headers)
        except Exception:
            # nats-py would end reading, and nobody would know.
            wire.logger.exception("could not take in a message of NATS")
        if wire.is_full():
            # What can't be delivered as fast as it comes waits in the server.
            wire.busy = True
            try:
                await wire.room()
            finally:
                wire.busy = False
                wire.life = time.monotonic()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self.secure and initial_connection:
            # Else whoever is between could have us go on without TLS.
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    def abort(self) -> None:
        """Give up the connection, without writing what waits to be written."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


class NatsWire(Wire):
    """One connection to NATS at a time.

    Args:
        source: a URL, more with commas between them, or what `nats.connect()` takes.
        may_write: set while what is published may go out.
        logger: where to tell of what should not happen.

    Attributes:
        waiting: what costs the messages that weren't taken yet, in bytes.

    The engine sets the functions that are called: ``greet`` on each new connection, ``subjects`` to
    know what to subscribe to, ``take`` with each message, ``confirm`` and ``forbidden`` with what
    is subscribed to or must not be, ``restored``, ``on_lost``, ``is_full`` and ``room``.

    """

    engine = "NATS"

    greet: Callable[[], Awaitable[None]]
    subjects: Callable[[], list[str]]
    take: Callable[[str, bytes, bytes], object]
    confirm: Callable[[str], object]
    forbidden: Callable[[str, EngineError], object]
    restored: Callable[[], object]
    on_lost: Callable[[], object]
    is_full: Callable[[], bool]
    room: Callable[[], Awaitable[None]]

    def __init__(
        self,
        source: str | Mapping[str, Any],
        may_write: asyncio.Event,
        logger: logging.Logger,
    ) -> None:
        super().__init__()
        self.options = options_of(source)
        self.may_write = may_write
        self.logger = logger
        self.client: Connection | None = None
        self.inbox = ""
        self.waiting = 0
        self.number = 0
        self.queue: collections.deque[Entry] = collections.deque()
        # What was written: taken when the mark after it comes back, or when JetStream answers.
        self.plain: collections.deque[Entry] = collections.deque()
        self.marks: collections.deque[tuple[int, list[str]]] = collections.deque()
        self.asked: dict[str, Entry] = {}
        # What consumers of streams give, by the numbers of subscriptions.
        self.collections: dict[int, Collection] = {}
        self.changes: list[tuple[str, bool]] = []
        self.subscriptions: dict[str, Any] = {}
        self.wanted = asyncio.Event()
        self.beating = False

    # Connecting

    def new_connection(self) -> Connection:
        servers = self.options.get("servers", "")
        secure = any(str(url).startswith("tls://") for url in servers)
        self.client = Connection(self, secure)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return self.client

    async def connect(self, connection: Connection) -> None:
        reasons: list[Exception] = []

        async def failed(exc: Exception) -> None:
            reasons.append(exc)
            if connection is self.client:
                self.fault(exc)

        async def closed() -> None:
            if connection is self.client:
                self.end(str(connection.last_error or "the connection was closed"))

        try:
            await connection.connect(
                **{
                    **self.options,
                    "error_cb": failed,
                    "closed_cb": closed,
                    "disconnected_cb": None,
                    "reconnected_cb": None,
                    "allow_reconnect": False,
                    "max_reconnect_attempts": 1,
                    "reconnect_time_wait": 0,
                    "connect_timeout": wires.CONNECT_TIMEOUT,
                    # Nothing is ever waited for when publishing, as its end can't be awaited.
                    "pending_size": 0,
                    "flusher_queue_size": 0,
                }
            )
            if self.ended.done():
                # An address that can't be reached, before one that can.
                self.ended = asyncio.get_running_loop().create_future()
            self.inbox = connection.new_inbox()
            self.subscriptions = {}
            await connection.subscribe(f"{self.inbox}.*")
            await self.greet()
        except NoServersError:
            raise EngineError(str(reasons[-1] if reasons else "no server is there")) from None
        except Error as exc:
            if "authori" in str(exc).lower() or "authenti" in str(exc).lower():
                raise Unsupported(f"NATS doesn't let us in: {exc}") from exc
            raise EngineError(str(exc)) from exc

    async def disconnect(self, connection: Connection) -> None:
        self.client = None
        connection.abort()
        try:
            # It waits for ever where TLS has failed.
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await connection.close()
        except Exception as exc:
            self.logger.debug("closing a connection to NATS: %s", exc)

    def fault(self, exc: Exception) -> None:
        """Take note of what nats-py says went wrong."""
        text = str(exc)
        found = re.search(r'permissions violation for (\w+) to "([^"]*)"', text, re.IGNORECASE)
        if found is None:
            self.end(text or repr(exc))
            return
        what, subject = found[1].lower(), found[2]
        error = Refused(f"NATS doesn't allow it: {text}")
        if what == "subscription":
            self.forbidden(subject, error)
            return
        self.logger.error("%s", error)
        # It was written since the last mark that came back.
        for entry in [*self.plain, *self.asked.values()]:
            if entry.subject.lower() == subject.lower():
                then, entry.then = entry.then, lambda outcome: None
                then(error)

    def end(self, reason: str) -> None:
        """Have the connection given up."""
        if not self.ended.done():
            self.ended.set_exception(EngineError(f"the connection to NATS was lost: {reason}"))
            # It may be given up before anybody waits for it.
            self.ended.exception()

    def lost(self) -> None:
        error = EngineError(f"the connection to NATS was lost: {self.error}")
        written = [*self.plain, *self.asked.values()]
        self.plain.clear()
        self.asked.clear()
        self.marks.clear()
        self.changes.clear()
        for collection in self.collections.values():
            if not collection.complete.done():
                collection.complete.set_exception(error)
                collection.complete.exception()
        self.collections.clear()
        given_up = [entry for entry in self.queue if not entry.lasts]
        self.queue = collections.deque(entry for entry in self.queue if entry.lasts)
        self.on_lost()
        for entry in (*written, *given_up):
            self.settle(entry, error)

    def settle(self, entry: Entry, outcome: Any) -> None:
        """Tell what became of something that was published."""
        self.waiting -= entry.size
        entry.then(outcome)

    # At work

    async def work(self, connection: Connection) -> None:
        self.changes = [(subject, True) for subject in self.subjects()]
        try:
            # When this comes back, all of it is subscribed to.
            await self.write_changes(connection, [""])
            await super().work(connection)
        except Error as exc:
            raise EngineError(str(exc)) from exc

    async def read(self, connection: Connection) -> None:
        await self.ended

    def beat(self) -> None:
        now = time.monotonic()
        for token, entry in list(self.asked.items()):
            if entry.until > now:
                break
            del self.asked[token]
            self.settle(entry, EngineError(f"JetStream hasn't answered for {ANSWER_TIMEOUT:g} s"))
        if not self.marks:
            self.beating = True
            self.wanted.set()

    async def pump(self, connection: Connection) -> None:
        while True:
            await self.wanted.wait()
            self.wanted.clear()
            while self.changes or self.beating or (self.queue and self.may_write.is_set()):
                await self.write_changes(connection, [])
                await asyncio.sleep(0)

    async def write_changes(self, connection: Connection, confirmed: list[str]) -> None:
        """Write changes of subscriptions, and what is to be published."""
        changes, self.changes = self.changes, []
        for subject, wanted in changes:
            if wanted and subject not in self.subscriptions:
                self.subscriptions[subject] = await connection.subscribe(subject)
            elif not wanted and subject in self.subscriptions:
                await self.subscriptions.pop(subject).unsubscribe()
            if wanted:
                confirmed.append(subject)
        count = 0
        if self.may_write.is_set():
            for _ in range(min(len(self.queue), MOST_COMMANDS)):
                count += await self.write(connection, self.queue.popleft())
        if count or confirmed or self.beating:
            self.beating = False
            self.marks.append((count, confirmed))
            await connection.publish(f"{self.inbox}.-")

    async def write(self, connection: Connection, entry: Entry) -> int:
        """Write something; give 1 if it waits for the next mark."""
        reply = ""
        if entry.answered:
            self.number += 1
            token = f"{self.number:x}"
            reply = f"{self.inbox}.{token}"
            entry.until = time.monotonic() + ANSWER_TIMEOUT
            self.asked[token] = entry
        else:
            self.plain.append(entry)
        try:
            await connection.publish(entry.subject, entry.payload, reply)
        except MaxPayloadError:
            if entry.answered:
                del self.asked[token]
            else:
                self.plain.pop()
            most = connection.max_payload
            self.settle(entry, Refused(f"NATS takes messages of {most} bytes at most"))
            return 0
        except Error as exc:
            # What was written, and this, fails when the connection is given up.
            raise EngineError(str(exc)) from exc
        return not entry.answered

    def submit(self, entry: Entry) -> None:
        """Have something written at the end of this turn of the event loop."""
        self.queue.append(entry)
        self.waiting += entry.size
        self.wanted.set()

    def subscribe(self, subject: str, wanted: bool) -> None:
        """Have a subscription written, or its end, at the end of this turn of the event loop."""
        self.changes.append((subject, wanted))
        self.wanted.set()

    # What comes

    def arrived(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        """Take in a message."""
        self.life = time.monotonic()
        try:
            name = subject.decode()
        except UnicodeDecodeError:
            # A pattern matches names of others, too.
            self.take("", b"", b"")
            return
        if name.startswith(self.inbox):
            token = name[len(self.inbox) + 1 :]
            if token == "-":
                self.mark_came()
                return
            entry = self.asked.pop(token, None)
            if entry is not None:
                self.settle(entry, answer_of(data, headers))
        elif sid in self.collections:
            self.collections[sid].add(name, reply, data)
        else:
            self.take(name, data, headers or b"")

    def mark_came(self) -> None:
        """Take note that the server has everything up to a mark."""
        count, confirmed = self.marks.popleft()
        for _ in range(count):
            self.settle(self.plain.popleft(), None)
        for subject in confirmed:
            if subject:
                self.confirm(subject)
        if "" in confirmed:
            self.up.set()
            self.restored()
            self.wanted.set()

    # JetStream

    async def ask(self, subject: str, body: object) -> Any:
        """Give what JetStream answers, as an object.

        Raises:
            EngineError: if it doesn't.
            Refused: if it says no.

        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def then(outcome: Any) -> None:
            if not future.done():
                future.set_result(outcome)

        connection = self.client
        if connection is None:
            raise EngineError("there is no connection to NATS")
        payload = b"" if body is None else json.dumps(body).encode()
        await self.write(connection, Entry(subject, payload, 0, then, True, False))
        try:
            async with asyncio.timeout(wires.CONNECT_TIMEOUT):
                outcome = await future
        except TimeoutError:
            raise EngineError("JetStream takes too long to answer") from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def stored(self, stream: str, subject: str, start: int) -> list[Stored]:
        """Give the messages of a stream with a subject, from a number on.

        Raises:
            EngineError: if that isn't possible now.

        """
        connection = self.client
        if connection is None:
            raise EngineError("there is no connection to NATS")
        self.number += 1
        # A consumer begins when somebody has subscribed to just this, and not to a pattern.
        place = f"{self.inbox}.stored.{self.number:x}"
        config = {
            "deliver_subject": place,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(start, 1),
            "ack_policy": "none",
            "filter_subject": subject,
            "inactive_threshold": int(2 * wires.CONNECT_TIMEOUT * 10**9),
            "mem_storage": True,
            "num_replicas": 1,
        }
        collection = Collection()
        consumer = ""
        try:
            subscription = await connection.subscribe(place)
        except Error as exc:
            raise EngineError(str(exc)) from exc
        number = subscription._id
        self.collections[number] = collection
        try:
            made = await self.ask(
                f"$JS.API.CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config}
            )
            consumer = made["name"]
            if made["num_pending"] + made["delivered"]["consumer_seq"]:
                async with asyncio.timeout(wires.CONNECT_TIMEOUT):
                    await collection.complete
            return collection.messages
        except TimeoutError:
            raise EngineError("JetStream takes too long to give the history") from None
        finally:
            self.collections.pop(number, None)
            if self.client is connection and not connection.is_closed:
                await subscription.unsubscribe()
                if consumer:
                    self.tell(f"$JS.API.CONSUMER.DELETE.{stream}.{consumer}", b"")

    def tell(self, subject: str, payload: bytes) -> None:
        """Tell JetStream something that needs no answer."""
        self.submit(Entry(subject, payload, 0, lambda outcome: None, True, False))


def answer_of(data: bytes, headers: bytes | None) -> Any:
    """Give what JetStream answers, or the exception that it means."""
    if headers and headers.startswith(NOBODY):
        return Nobody("JetStream isn't there, or hasn't the hub's stream")
    try:
        answer = json.loads(data)
        error = answer.get("error")
        if error is None:
            return answer
        return Refused(f"JetStream answered: {error.get('description')} ({error.get('err_code')})")
    except (ValueError, AttributeError, RecursionError):
        return EngineError("JetStream answers with what can't be understood")


def options_of(source: str | Mapping[str, Any]) -> dict[str, Any]:
    """Give the arguments of nats-py's ``connect()``; the addresses have no credentials any more.

    Raises:
        ValueError: if an address isn't one.

    """
    if not isinstance(source, str):
        return dict(source)
    options: dict[str, Any] = {"servers": []}
    for url in source.split(","):
        found = re.fullmatch(r"(nats|tls)://(?:(.*)@)?([^@]+?)/*", url.strip())
        try:
            parts = urllib.parse.urlsplit(f"//{found[3]}") if found else None
            if found is None or parts is None or not parts.hostname or parts.port == 0:
                raise ValueError
            if parts.path or parts.query or parts.fragment:
                raise ValueError
        except ValueError:
            raise ValueError(
                "the address of NATS has to be nats://host:port or tls://user:password@host:port"
            ) from None
        options["servers"].append(f"{found[1]}://{found[3]}")
        if found[2]:
            user, colon, password = found[2].partition(":")
            names = ("user", "password") if colon else ("token",)
            values = (user, password) if colon else (user,)
            options.update(zip(names, map(urllib.parse.unquote, values), strict=True))
    return options
