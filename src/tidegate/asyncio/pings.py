"""Pings, pongs and keepalive of a connection on asyncio."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from ..exceptions import ConcurrencyError
from ..frames import CloseCode
from ..protocol import OPEN, Protocol, State
from ..typing import BytesLike
from .channel import Channel

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..typing import DataLike, LoggerLike

__all__ = ["Pings"]

# How long a peer that doesn't answer keepalive is given to take note of it, in seconds.
DEAD_PEER_TIMEOUT = 1.0

# When keepalive looks so much too late, in seconds, it looks again after at most so long.
LATE = 0.05
GRACE = 1.0


class Pings(Channel):
    """The part of a `Connection` that is about pings, the peer's answers and their absence.

    Keepalive is an entry in the timer that all connections of an event loop share (see `Hub`), and
    no task. Whatever is received counts as a sign of life.
    """

    protocol: Protocol
    logger: LoggerLike
    ping_interval: float | None
    ping_timeout: float | None
    latency: float = 0.0
    # Payload of each ping that wasn't answered -> who waits for the answer, and since when.
    pending_pings: dict[bytes, tuple[asyncio.Future[float] | None, float]]
    _keepalive_at = 0.0
    _keepalive_ping: bytes | None = None
    _keepalive_was_late = False
    _keepalive_activity = 0

    if TYPE_CHECKING:

        @property
        def state(self) -> State: ...
        async def _ensure_open(self) -> None: ...
        async def drain(self, timeout: float | None = None) -> None: ...
        def closing_started(self, timeout: float | None = None) -> None: ...

    async def ping(self, data: DataLike | None = None) -> Awaitable[float]:
        """Send a ping.

        ::

            pong = await connection.ping()
            latency = await pong

        Args:
            data: payload, 125 bytes at most; random by default.

        Returns:
            An awaitable of the round-trip time in seconds, for those who want the answer.

        Raises:
            ConnectionClosed: when the connection is closed.
            ConcurrencyError: if a ping with the same payload wasn't answered yet.

        """
        if isinstance(data, str):
            payload: bytes | None = data.encode()
        elif isinstance(data, BytesLike):
            payload = bytes(data)
        elif data is None:
            payload = None
        else:
            raise TypeError("data must be str or bytes-like")
        await self._ensure_open()
        if payload in self.pending_pings:
            raise ConcurrencyError("already waiting for a pong with the same data")
        waiter = self.loop.create_future()
        self._send_ping(payload, waiter)
        await self.drain()
        return waiter

    def _send_ping(self, data: bytes | None, waiter: asyncio.Future[float] | None) -> bytes:
        while data is None or data in self.pending_pings:
            data = random.getrandbits(32).to_bytes(4, "big")
        self.protocol.send_ping(data)
        # Not the clock of the loop, which may stand still during a turn, and count milliseconds.
        self.pending_pings[data] = (waiter, time.perf_counter())
        self.flush()
        return data

    async def pong(self, data: DataLike = b"") -> None:
        """Send a pong that nobody asked for, as a one-way heartbeat.

        Args:
            data: payload, 125 bytes at most.

        Raises:
            ConnectionClosed: when the connection is closed.

        """
        if isinstance(data, str):
            data = data.encode()
        elif not isinstance(data, BytesLike):
            raise TypeError("data must be str or bytes-like")
        await self._ensure_open()
        self.protocol.send_pong(data)
        self.flush()
        await self.drain()

    def acknowledge_pings(self, data: bytes) -> None:
        """Tell those who wait for a pong with this payload, or for an earlier one."""
        if data not in self.pending_pings:
            # Not asked for, or the answer to an earlier ping that came after that to a later one.
            return
        now = time.perf_counter()
        # RFC 6455, section 5.5.3: a pong may answer the most recent ping only.
        for payload in list(self.pending_pings):
            waiter, sent_at = self.pending_pings.pop(payload)
            if waiter is not None and not waiter.done():
                waiter.set_result(now - sent_at)
            if payload == self._keepalive_ping:
                self._keepalive_ping = None
                rest = max((self.ping_interval or 0) - (now - sent_at), 0)
                self._schedule_keepalive(self.loop.time() + rest)
            if payload == data:
                self.latency = now - sent_at
                break

    def start_keepalive(self) -> None:
        """Send pings from now on, if the connection is to send any."""
        if self.ping_interval is not None:
            self._schedule_keepalive(self.loop.time() + self.ping_interval)

    def _schedule_keepalive(self, when: float) -> None:
        self._keepalive_at = when
        self.hub.call_at(when, self, "_keepalive")

    def _keepalive(self) -> None:
        """Send a ping, or look whether there was a sign of life since the last one."""
        now = self.loop.time()
        # An answer moves the time, and leaves the timer that was set before.
        if self.ended or self.state is not OPEN or now < self._keepalive_at:
            return
        if self._keepalive_ping is not None:
            # Whatever was received is a sign of life, and so is silence while this side doesn't
            # read because its program is slow.
            if self.activity == self._keepalive_activity and not self.read_paused:
                if now - self._keepalive_at > LATE and not self._keepalive_was_late:
                    # The event loop was busy. What came meanwhile has not been read yet.
                    self._keepalive_was_late = True
                    self._schedule_keepalive(now + min(self.ping_timeout or 0, GRACE))
                    return
                if self.protocol.debug:
                    self.logger.debug("! nothing received since keepalive ping")
                self.protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                self.closing_started(DEAD_PEER_TIMEOUT)
                return
            self._keepalive_was_late = False
            self._keepalive_activity = self.activity
            self._schedule_keepalive(now + (self.ping_timeout or 0))
            return
        data = self._send_ping(None, None)
        if self.protocol.debug:
            self.logger.debug("%% sent keepalive ping")
        if self.ping_timeout is None:
            # Earlier ones that weren't answered are of no interest any more.
            self.pending_pings = {
                payload: entry
                for payload, entry in self.pending_pings.items()
                if entry[0] or payload == data
            }
            self._schedule_keepalive(now + (self.ping_interval or 0))
        else:
            self._keepalive_ping = data
            self._keepalive_was_late = False
            self._keepalive_activity = self.activity
            self._schedule_keepalive(now + self.ping_timeout)
