"""Connections to Redis."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import importlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoScriptError, RedisError, ResponseError

from . import wires
from .errors import EngineError
from .redis_scripts import SCRIPTS
from .wires import Unsupported, Wire

# hiredis, which redis-py receives with if it is there, has it in C.
pack_command: Callable[[tuple[str | bytes | int, ...]], bytes] | None = None
with contextlib.suppress(ImportError, AttributeError):
    pack_command = importlib.import_module("hiredis").pack_command

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

# How long replies may be taken without the event loop getting its turn, in seconds.
BUDGET = 0.005

# How many commands go out in one write at most.
MOST_COMMANDS = 512


def pack_words(words: Sequence[str | bytes | int]) -> bytes:
    """Give a command as Redis reads it; what redis-py does is three times as slow."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def pack(words: Sequence[str | bytes | int]) -> bytes:
    """Give a command as Redis reads it, by the fastest way there is."""
    return pack_words(words) if pack_command is None else pack_command(tuple(words))


class RedisWire(Wire):
    """One connection to Redis at a time.

    Args:
        pool: makes the connections.

    """

    engine = "Redis"

    def __init__(self, pool: ConnectionPool) -> None:
        super().__init__()
        self.pool = pool

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
            "socket_connect_timeout": wires.CONNECT_TIMEOUT,
        }
        options.pop("retry_on_error", None)
        return self.pool.connection_class(**options)

    async def connect(self, connection: Any) -> None:
        try:
            await connection.connect()
            await self.greet(connection)
        except AuthenticationError as exc:
            raise Unsupported(str(exc)) from exc
        except RedisError as exc:
            raise EngineError(str(exc)) from exc

    async def disconnect(self, connection: Any) -> None:
        await connection.disconnect(nowait=True)

    async def greet(self, connection: Any) -> None:
        """Do what comes first on a connection."""

    async def work(self, connection: Any) -> None:
        try:
            await super().work(connection)
        except RedisError as exc:
            raise EngineError(str(exc)) from exc

    async def read(self, connection: Any) -> None:
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


class CommandWire(RedisWire):
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
            async with asyncio.timeout(wires.CONNECT_TIMEOUT):
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
                packed = b"".join(map(pack, batch))
                await connection.send_packed_command(packed, check_health=False)


class ListeningWire(RedisWire):
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
            packed = b"".join(map(pack, commands))
            await connection.send_packed_command(packed, check_health=False)
