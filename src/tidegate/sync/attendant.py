"""The thread that looks after connections which no other thread looks after.

There is one for the process, while there are connections. It answers pings and closes, sees pongs,
sends what there was no room for, and has the timers of all connections.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import selectors
import socket
import threading
import time
import weakref
from collections import deque
from typing import Any

from .. import identity

# How often it looks at connections that other threads are busy with, in seconds.
SCAN = 0.05

# How long before it looks again when a timer's connection was busy, in seconds.
BUSY = 0.02

# How many timers there are at least when those of connections that are gone are looked for.
MANY_TIMERS = 1000

# In the place of the time of a timer: look at a connection at the next scan.
LATER = -1.0

READ = 1
WRITE = 2


class Reference(weakref.ref):  # type: ignore[type-arg]
    """A weak reference that is what it is, also when there is nothing behind it any more.

    Others can't be looked for in a dictionary then, unless somebody has done that before.
    """

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Attendant:
    """Looks after connections.

    All but its requests belongs to its thread. It doesn't keep connections alive.
    """

    def __init__(self) -> None:
        # Collecting a connection that was dropped may come back to it within.
        self.guard = threading.RLock()
        self.count = 0
        self.requests: deque[tuple[Any, float | None]] = deque()
        self.thread: threading.Thread | None = None
        self.awake = True
        self.waker: socket.socket | None = None
        self.wakee: socket.socket | None = None
        self.selector: selectors.BaseSelector | None = None
        self.timers: list[tuple[float, int, float, Any]] = []
        self.serial = 0
        self.sweep_at = MANY_TIMERS
        # Connections that others are busy with -> how often they had begun to read.
        self.busy: dict[Any, int] = {}
        self.scan_at = 0.0

    # What connections call, in any thread

    def watch(self, channel: Any) -> None:
        """Look after a connection from now on."""
        channel.ref = Reference(channel)
        with self.guard:
            if self.thread is None:
                self.start()
            self.count += 1
            channel.attended = True

    def forget(self, channel: Any) -> None:
        """Look after a connection no more; its socket is about to be closed."""
        with self.guard:
            if not channel.attended:
                return
            channel.attended = False
            self.count -= 1
        self.ask(channel.fd, None)

    def look(self, channel: Any) -> None:
        """Look at a connection soon."""
        self.ask(channel.ref, None)

    def look_later(self, channel: Any) -> None:
        """Look at a connection with which a thread is busy, in case that it stops to be."""
        self.ask(channel.ref, LATER)

    def schedule(self, channel: Any, when: float) -> None:
        """Call a connection's ``timer_fired`` at a time of the monotonic clock, or a bit later."""
        self.ask(channel.ref, when)

    def ask(self, whom: Any, when: float | None) -> None:
        """Put something before the thread."""
        self.requests.append((whom, when))
        if not self.awake:
            self.awake = True
            # It may be gone, at the end of the process or in a child.
            with contextlib.suppress(OSError, AttributeError):
                self.waker.send(b"\0")  # type: ignore[union-attr]

    def rest(self) -> None:
        """Wait for the end of the thread, if there are no connections any more."""
        thread = self.thread
        if self.count == 0 and thread is not None and thread is not threading.current_thread():
            thread.join(1)

    def start(self) -> None:
        """Start the thread."""
        self.waker, self.wakee = socket.socketpair()
        self.waker.setblocking(False)
        self.wakee.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.wakee, selectors.EVENT_READ)
        thread = threading.Thread(
            target=self.run, name=f"{__name__.partition('.')[0]} attendant", daemon=True
        )
        try:
            # It waits for the guard before it can find that there are no connections.
            thread.start()
        except RuntimeError:
            # There may be no memory for it.
            self.abandon()
            raise
        self.thread = thread

    def abandon(self) -> None:
        """Let go of what a child process has of its parent's."""
        for each in (self.waker, self.wakee, self.selector):
            if each is not None:
                each.close()

    # What its thread does

    def run(self) -> None:
        """Look after connections as long as there are any."""
        selector = self.selector
        assert selector is not None
        while True:
            self.awake = False
            timeout = 0 if self.requests else self.patience()
            try:
                events = selector.select(timeout)
            except OSError:
                # A descriptor was closed under it, where that's noticed; it is forgotten now.
                events = []
            self.awake = True
            for key, mask in events:
                if key.data is None:
                    with contextlib.suppress(OSError):
                        self.wakee.recv(4096)  # type: ignore[union-attr]
                else:
                    self.serve(key.data, key.fd, mask, -1)
            self.do_requests()
            self.run_timers()
            self.scan()
            if self.count == 0 and self.ended():
                return

    def ended(self) -> bool:
        """End, unless there is a connection again."""
        with self.guard:
            if self.count or self.requests:
                return False
            self.thread = None
            self.timers.clear()
            self.busy.clear()
            self.abandon()
            return True

    def patience(self) -> float | None:
        """How long to wait for something to happen, in seconds."""
        until = self.timers[0][0] if self.timers else None
        if self.busy and (until is None or self.scan_at < until):
            until = self.scan_at
        return None if until is None else max(until - time.monotonic(), 0)

    def do_requests(self) -> None:
        """Do what was put before it."""
        for _ in range(len(self.requests)):
            whom, when = self.requests.popleft()
            if isinstance(whom, int):
                self.register(whom, 0, None)
            elif when == LATER:
                channel = whom()
                if channel is not None:
                    self.note_busy(whom, channel)
                del channel
            elif when is not None:
                self.serial += 1
                heapq.heappush(self.timers, (when, self.serial, when, whom))
            else:
                channel = whom()
                if channel is not None:
                    fd = channel.fd
                    del channel
                    self.serve(whom, fd, 0, -1)

    def serve(self, reference: Any, fd: int, mask: int, seen: int) -> None:
        """Do for a connection what nobody else does."""
        channel = reference()
        wants = 0
        if channel is not None:
            try:
                wants = channel.attend(bool(mask & READ), bool(mask & WRITE), seen)
            except Exception as exc:
                self.failed(channel, exc)
        if wants < 0:
            self.register(fd, 0, None)
            self.note_busy(reference, channel)
        elif channel is None or channel.ended:
            # Its descriptor may be another's by now, which has said so or will.
            key = self.key(fd)
            if key is not None and key.data is reference:
                self.register(fd, 0, None)
            self.busy.pop(reference, None)
        else:
            self.register(fd, wants, reference)
            self.busy.pop(reference, None)

    def note_busy(self, reference: Any, channel: Any) -> None:
        """Take note that a thread is busy with a connection."""
        if not self.busy:
            self.scan_at = time.monotonic() + SCAN
        self.busy[reference] = channel.entries

    def key(self, fd: int) -> selectors.SelectorKey | None:
        """Give what a descriptor is registered with."""
        assert self.selector is not None
        return self.selector.get_map().get(fd)

    def register(self, fd: int, wants: int, reference: Any) -> None:
        """Wait for a descriptor to be ready to be read from, or written to, or don't."""
        selector = self.selector
        assert selector is not None
        # It may have been closed since, or be another's.
        with contextlib.suppress(OSError, KeyError, ValueError):
            key = self.key(fd)
            if key is not None:
                if key.events == wants and key.data is reference:
                    return
                selector.unregister(fd)
            if wants:
                selector.register(fd, wants, reference)

    def run_timers(self) -> None:
        """Call what is due."""
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            _, serial, when, reference = heapq.heappop(self.timers)
            channel = reference()
            if channel is None:
                continue
            try:
                done = channel.timer_fired(when)
            except Exception as exc:
                self.failed(channel, exc)
            else:
                if not done:
                    heapq.heappush(self.timers, (now + BUSY, serial, when, reference))
            del channel
        if len(self.timers) >= self.sweep_at:
            # Many short connections leave theirs.
            self.timers = [timer for timer in self.timers if timer[3]() is not None]
            heapq.heapify(self.timers)
            self.sweep_at = max(MANY_TIMERS, 2 * len(self.timers))

    def scan(self) -> None:
        """Look whether others are still busy with the connections that they were busy with."""
        if not self.busy or time.monotonic() < self.scan_at:
            return
        self.scan_at = time.monotonic() + SCAN
        for reference, seen in list(self.busy.items()):
            channel = reference()
            if channel is None:
                del self.busy[reference]
                continue
            fd = channel.fd
            del channel
            self.serve(reference, fd, 0, seen)

    def failed(self, channel: Any, exc: Exception) -> None:
        """Tell of a mistake in the library, or in what a program made of it."""
        logging.getLogger(identity.loggers).error("looking after %r failed", channel, exc_info=exc)


attendant = Attendant()


def get_attendant() -> Attendant:
    """Give the attendant of this process."""
    return attendant


def start_again() -> None:
    """Begin anew in a child process, which has none of its parent's threads."""
    global attendant
    attendant.abandon()
    attendant = Attendant()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=start_again)
