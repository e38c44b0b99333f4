"""Connections to Redis that come back, and notice when nobody answers."""

from __future__ import annotations

import asyncio
import collections
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoScriptError, RedisError, ResponseError

from .errors import EngineError
from .redis_scripts import SCRIPTS

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

# How long connecting may take, greetings included; how often it is looked whether there was a sign
# of life, and after how long without one the connection is given up; in seconds.
CONNECT_TIMEOUT = 3.0
HEARTBEAT = 0.5
DEAF_AFTER = 2.0

# How long to wait before the next attempt, at least and at most, in seconds.
SOONEST, LATEST = 0.05, 2.0

# How long replies may be taken without the event loop getting its turn, in seconds.
BUDGET = 0.005

# How many commands go out in one write at most.
MOST_COMMANDS = 512


class Unsupported(EngineError):
    """A server of a kind that can't be used."""


class Wire:
    """One connection to Redis at a time.

    Args:
        pool: makes the connections.

    Attributes:
        up: set while it is connected and greeted.
        error: why it isn't connected, or wasn't the last time.
        hopeless: whether there is no use in trying again.

    """

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool
        self.connection: Any = None
        self.up = asyncio.Event()
        self.attempted = asyncio.Event()
        self.error: BaseException | None = None
        self.hopeless = False
        self.was_up = False
        self.life = 0.0
        self.busy = False

    def new_connection(self) -> Any:
        """Make a connection as the pool would, but one that leaves waiting and retrying to us."""
        given = self.pool.connection_kwargs
        options = {
            # Of maintenance there is news in RESP3 only, which makes receiving slower.
            **{key: value for key, value in given.items() if "maint" not in key},
            "decode_responses": False,
            "health_check_interval": 0,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,
            "socket_connect_timeout": CONNECT_TIMEOUT,
        }
        options.pop("retry_on_error", None)
        return self.pool.connection_class(**options)

    async def run(self) -> None:
        """Connect, again and again."""
        delay = SOONEST
        while True:
            began = time.monotonic()
            connection = self.new_connection()
            try:
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT):
                        await connection.connect()
                        await self.greet(connection)
                    self.connection = connection
                    self.life = time.monotonic()
                    self.was_up = True
                    await self.work(connection)
                finally:
                    self.connection = None
                    self.up.clear()
                    await connection.disconnect(nowait=True)
            except (RedisError, OSError, EngineError) as exc:
                self.error = exc
                if isinstance(exc, (AuthenticationError, Unsupported)) and not self.was_up:
                    self.hopeless = True
                    return
            finally:
                self.attempted.set()
                self.lost()
            # What held for a while is tried again at once.
            if time.monotonic() - began > LATEST:
                delay = SOONEST
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(2 * delay, LATEST)

    async def greet(self, connection: Any) -> None:
        """Do what comes first on a connection."""

    def lost(self) -> None:
        """Take note that the connection is lost."""

    async def work(self, connection: Any) -> None:
        """Read and write until the connection is lost, or seems to be."""
        helpers = [
            asyncio.create_task(self.pump(connection)),
            asyncio.create_task(self.watch()),
        ]
        reader = asyncio.create_task(self.read(connection))
        try:
            await asyncio.wait([reader, *helpers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, *helpers):
                task.cancel()
            outcomes = await asyncio.gather(reader, *helpers, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def watch(self) -> None:
        """End when nobody answers.

        Raises:
            EngineError: then.

        """
        while True:
            await asyncio.sleep(HEARTBEAT)
            silent = time.monotonic() - self.life
            if silent > DEAF_AFTER and not self.busy:
                raise EngineError(f"Redis hasn't answered for {silent:.1f} s")
            self.beat()

    def beat(self) -> None:
        """Ask for a sign of life."""
        raise NotImplementedError

    async def read(self, connection: Any) -> None:
        """Take replies, and give the event loop its turn now and then."""
        until = time.monotonic() + BUDGET
        while True:
            try:
                reply = await connection.read_response()
            except ResponseError as exc:
                reply = exc
            self.life = now = time.monotonic()
            self.answered(reply)
            if now > until or self.is_full():
                await self.pause()
                until = time.monotonic() + BUDGET

    def is_full(self) -> bool:
        """Whether what was taken has to be dealt with before more is."""
        return False

    async def pause(self) -> None:
        """Let others have their turn."""
        await asyncio.sleep(0)

    def answered(self, reply: Any) -> None:
        """Take in a reply."""
        raise NotImplementedError

    async def pump(self, connection: Any) -> None:
        """Write what is to be written."""
        raise NotImplementedError


class Command:
    """A command, and who is told of its reply.

    Args:
        make: gives the command when it is written.
        size: what it costs where it waits, in bytes.
        then: called with the reply, or with the exception.
        lasts: whether it may wait for the next connection; else it fails with this one.

    """

    __slots__ = ("lasts", "make", "size", "then")

    def __init__(
        self,
        make: Callable[[], Sequence[Any]],
        size: int,
        then: Callable[[Any], object],
        lasts: bool,
    ) -> None:
        self.make = make
        self.size = size
        self.then = then
        self.lasts = lasts


class CommandWire(Wire):
    """The connection for commands: all of a turn of the event loop go out in one write.

    Args:
        pool: makes the connections.
        may_write: set while commands may go out.
        greeted: called when it is connected, before anything that waited goes out.

    Attributes:
        waiting: what the commands cost that weren't answered yet, in bytes.

    """

    def __init__(
        self, pool: ConnectionPool, may_write: asyncio.Event, greeted: Callable[[], object]
    ) -> None:
        super().__init__(pool)
        self.may_write = may_write
        self.greeted = greeted
        self.queue: collections.deque[Command] = collections.deque()
        self.flying: collections.deque[Command] = collections.deque()
        self.wanted = asyncio.Event()
        self.waiting = 0
        self.run_id = ""

    def submit(self, command: Command) -> None:
        """Have a command written at the end of this turn of the event loop."""
        self.queue.append(command)
        self.waiting += command.size
        self.wanted.set()

    async def ask(self, *command: Any) -> Any:
        """Give the reply to a command.

        Raises:
            EngineError: if there is none.

        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def then(reply: Any) -> None:
            if not future.done():
                future.set_result(reply)

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self.up.wait()
                self.submit(Command(lambda: command, 0, then, False))
                reply = await future
        except TimeoutError:
            raise EngineError("Redis takes too long to answer") from None
        if isinstance(reply, Exception):
            raise EngineError(f"Redis answered: {reply}") from reply
        return reply

    async def greet(self, connection: Any) -> None:
        await connection.send_command("INFO", "server")
        text: bytes = await connection.read_response()
        known = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
        if known.get("redis_mode") == "cluster":
            raise Unsupported("Redis Cluster isn't supported: use one server, or Sentinel")
        self.run_id = known["run_id"]
        for script in SCRIPTS:
            await connection.send_command("SCRIPT", "LOAD", script)
            await connection.read_response()

    def lost(self) -> None:
        flying, self.flying = self.flying, collections.deque()
        kept = collections.deque(command for command in self.queue if command.lasts)
        given_up = [command for command in self.queue if not command.lasts]
        self.queue = kept
        error = EngineError(f"the connection to Redis was lost: {self.error}")
        for command in (*flying, *given_up):
            self.waiting -= command.size
            command.then(error)

    async def work(self, connection: Any) -> None:
        self.up.set()
        self.greeted()
        await super().work(connection)

    def beat(self) -> None:
        if not self.flying and self.may_write.is_set():
            self.submit(Command(lambda: ("PING",), 0, lambda reply: None, False))
        elif not self.flying:
            # Nothing was asked, so nothing can be answered.
            self.life = time.monotonic()

    def answered(self, reply: Any) -> None:
        command = self.flying.popleft()
        self.waiting -= command.size
        command.then(reply)
        if isinstance(reply, NoScriptError):
            # Somebody told Redis to forget all scripts; a new connection brings them.
            raise EngineError(f"Redis answered: {reply}") from reply

    async def pump(self, connection: Any) -> None:
        while True:
            await self.wanted.wait()
            await self.may_write.wait()
            self.wanted.clear()
            while self.queue:
                if not self.flying:
                    self.life = time.monotonic()
                batch: list[Sequence[Any]] = []
                while self.queue and len(batch) < MOST_COMMANDS:
                    command = self.queue.popleft()
                    self.flying.append(command)
                    batch.append(command.make())
                packed = connection.pack_commands(batch)
                await connection.send_packed_command(packed, check_health=False)


class ListeningWire(Wire):
    """The connection for subscriptions: changes of a turn of the event loop go out in one write.

    Args:
        pool: makes the connections.
        subscribed: gives all that is to be subscribed to on a new connection.
        take: called with each push of Redis.
        restored: called when Redis has confirmed all of it.
        is_full: whether what was taken has to be dealt with first.
        room: awaited to let others have their turn, and until there is room again.
        lost: called when the connection is lost.

    """

    def __init__(
        self,
        pool: ConnectionPool,
        subscribed: Callable[[], list[list[Any]]],
        take: Callable[[list[Any]], object],
        restored: Callable[[], object],
        is_full: Callable[[], bool],
        room: Callable[[], Awaitable[None]],
        lost: Callable[[], object],
    ) -> None:
        super().__init__(pool)
        self.subscribed = subscribed
        self.take = take
        self.restored = restored
        self.has_enough = is_full
        self.room = room
        self.on_lost = lost
        self.commands: list[list[Any]] = []
        self.wanted = asyncio.Event()
        self.mark = 0

    def submit(self, command: list[Any]) -> None:
        """Have a command written at the end of this turn of the event loop."""
        self.commands.append(command)
        self.wanted.set()

    def lost(self) -> None:
        self.commands.clear()
        self.on_lost()

    async def work(self, connection: Any) -> None:
        self.commands = self.subscribed()
        # What answers this is behind all confirmations.
        self.mark += 1
        self.commands.append(["PING", f"all-{self.mark}"])
        self.wanted.set()
        await super().work(connection)

    def beat(self) -> None:
        self.submit(["PING", "beat"])

    def is_full(self) -> bool:
        return self.has_enough()

    def answered(self, reply: Any) -> None:
        if isinstance(reply, Exception):
            raise EngineError(f"Redis doesn't let us subscribe: {reply}") from reply
        # Where nothing is subscribed to, a ping is answered as elsewhere.
        pong = reply[1] if isinstance(reply, list) and reply[0] == b"pong" else reply
        if pong == f"all-{self.mark}".encode():
            self.up.set()
            self.restored()
        elif isinstance(reply, list):
            self.take(reply)

    async def pause(self) -> None:
        # What can't be delivered as fast as it comes waits in Redis.
        self.busy = True
        try:
            await self.room()
        finally:
            self.busy = False
            self.life = time.monotonic()

    async def pump(self, connection: Any) -> None:
        while True:
            await self.wanted.wait()
            self.wanted.clear()
            commands, self.commands = self.commands, []
            packed = connection.pack_commands(commands)
            await connection.send_packed_command(packed, check_health=False)
