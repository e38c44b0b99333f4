"""Connections to engines: they come back, and notice when nobody answers."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from .errors import EngineError

# How long connecting may take, greetings included; how often it is looked whether there was a sign
# of life, and after how long without one the connection is given up; in seconds.
CONNECT_TIMEOUT = 3.0
HEARTBEAT = 0.5
DEAF_AFTER = 2.0

# How long to wait before the next attempt, at least and at most, in seconds.
SOONEST, LATEST = 0.05, 2.0


class Unsupported(EngineError):
    """A server that can't be used, however often one tries."""


class Wire:
    """One connection to an engine at a time.

    Attributes:
        engine: the engine's name in messages.
        connection: the connection, once it is greeted; None while there is none.
        up: set while it is connected and greeted.
        error: why it isn't connected, or wasn't the last time.
        hopeless: whether there is no use in trying again.
        closing: whether it isn't to be connected to again.
        busy: whether what came is being dealt with, so that no sign of life can be read.

    """

    engine = "the engine"

    def __init__(self) -> None:
        self.connection: Any = None
        self.up = asyncio.Event()
        self.error: BaseException | None = None
        self.hopeless = False
        self.was_up = False
        self.closing = False
        self.life = 0.0
        self.busy = False

    async def run(self) -> None:
        """Connect, again and again."""
        delay = SOONEST
        while True:
            began = time.monotonic()
            connection = self.new_connection()
            try:
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT):
                        await self.connect(connection)
                    self.connection = connection
                    self.life = time.monotonic()
                    self.was_up = True
                    await self.work(connection)
                finally:
                    self.connection = None
                    self.up.clear()
                    await self.disconnect(connection)
            except (OSError, EngineError) as exc:
                self.error = exc
                if isinstance(exc, Unsupported) and not self.was_up:
                    self.hopeless = True
                    return
            finally:
                self.lost()
            if self.closing:
                return
            # What held for a while is tried again at once.
            if time.monotonic() - began > LATEST:
                delay = SOONEST
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(2 * delay, LATEST)

    def new_connection(self) -> Any:
        """Make a connection that isn't connected yet."""
        raise NotImplementedError

    async def connect(self, connection: Any) -> None:
        """Connect, and do what comes first.

        Raises:
            OSError: if that fails.
            EngineError: the same.
            Unsupported: if there is no use in trying again.

        """
        raise NotImplementedError

    async def disconnect(self, connection: Any) -> None:
        """Disconnect at once, whether it is connected or not."""
        raise NotImplementedError

    def lost(self) -> None:
        """Take note that the connection is lost."""

    async def work(self, connection: Any) -> None:
        """Read and write until the connection is lost, or seems to be."""
        tasks = [
            asyncio.create_task(self.read(connection)),
            asyncio.create_task(self.pump(connection)),
            asyncio.create_task(self.watch()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
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
                raise EngineError(f"{self.engine} hasn't answered for {silent:.1f} s")
            self.beat()

    def beat(self) -> None:
        """Ask for a sign of life."""
        raise NotImplementedError

    async def read(self, connection: Any) -> None:
        """Take what comes, and give the event loop its turn now and then."""
        raise NotImplementedError

    async def pump(self, connection: Any) -> None:
        """Write what is to be written."""
        raise NotImplementedError
