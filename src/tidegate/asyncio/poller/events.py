"""The epoll set of an event loop: many connections behind one descriptor of the loop.

An event loop spends as much on finding out that a connection is ready and on calling its transport
as a message costs otherwise. So on Linux the connections stand in an epoll set of their own, whose
descriptor is registered with the loop; one callback of the loop then serves all that are ready.
"""

from __future__ import annotations

import asyncio
import select
from typing import Any

from ..hub import get_hub

try:
    import cython
except ImportError:
    from ... import _cython as cython

if not cython.compiled:
    from ...wire.kernels import monotonic
    from .syscalls import event_fd, event_mask, new_events, poll_events
    from .transport import PollTransport

# How many connections are served at once, and how often, before the event loop gets its turn.
MOST_EVENTS = 64
MOST_ROUNDS = 4
MANY_EVENTS = 4

# How long they may be served before that, in seconds.
MOST_TIME = 0.001


class Poller:
    """The epoll set of one event loop. It exists as long as somebody uses it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.epoll = select.epoll()
        self.fd = self.epoll.fileno()
        # Descriptor -> who has it: a transport or a listener.
        self.targets: dict[int, Any] = {}
        self.events = new_events(MOST_EVENTS)
        self.users = 0
        loop.add_reader(self.fd, self.ready)

    def begin_use(self) -> None:
        """Take note of one more user."""
        self.users += 1

    def end_use(self) -> None:
        """Take note of one user less; with the last, the poller ends."""
        self.users -= 1
        if self.users == 0:
            get_hub(self.loop).poller = None
            if not self.loop.is_closed():
                self.loop.remove_reader(self.fd)
            self.epoll.close()

    def watch(self, fd: int, target: Any, before: int, mask: int) -> None:
        """Have ``target.handle`` called when a descriptor is ready.

        Args:
            fd: descriptor.
            target: who is called.
            before: what was watched until now.
            mask: what to watch from now on.

        """
        # A descriptor with nothing to watch would still report errors, again and again.
        if mask == before:
            return
        if not mask:
            del self.targets[fd]
            self.epoll.unregister(fd)
        elif before:
            self.epoll.modify(fd, mask)
        else:
            self.targets[fd] = target
            self.epoll.register(fd, mask)

    def ready(self) -> None:
        """Serve the connections that are ready."""
        self.serve_ready()

    def serve_ready(self) -> None:
        """Serve the connections that are ready."""
        # Where many are ready, others become ready while they are served, and looking again costs
        # less than a turn of the event loop. Its other callbacks have to get their turn, too.
        n = MANY_EVENTS
        begun = monotonic()
        for _ in range(MOST_ROUNDS):
            if n < MANY_EVENTS or not self.users or monotonic() - begun > MOST_TIME:
                break
            n = poll_events(self.events, self.epoll, self.fd, MOST_EVENTS)
            for i in range(n):
                fd = event_fd(self.events, i)
                mask = event_mask(self.events, i)
                # None if one of those before it closed it.
                target = self.targets.get(fd)
                if type(target) is PollTransport:
                    serve_within(as_transport(target), mask)
                elif target is not None:
                    target.handle(mask)


if not cython.compiled:

    def serve_within(transport: PollTransport, mask: int) -> None:
        """Serve a connection in the context that it belongs to."""
        transport.context.run(transport.handle_events, mask)


def as_transport(target: Any) -> PollTransport:
    """Tell the compiler what this is."""
    transport: PollTransport = target
    return transport


def get_poller(loop: asyncio.AbstractEventLoop) -> Poller:
    """Give the poller of an event loop, which is made if there is none."""
    hub = get_hub(loop)
    poller: Poller | None = hub.poller
    if poller is None:
        poller = hub.poller = Poller(loop)
    return poller
