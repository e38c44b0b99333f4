"""The life of a connection: the states it goes through, and what holds in each.

The rules:

- There is one state at a time, and a connection only goes forward, along ``then``.
- There is one deadline at a time, which follows from the state. Every state has one but `OPEN`
  without keepalive, and even there a connection that isn't read from is looked at now and then.
- What is over its time is ended by this side; ``overdue`` says how.
- A deadline that is ``KEPT`` was set by an earlier state and still counts: whatever closing turns
  into, it takes no longer than it may take as a whole.
- Signs of life are evidence: bytes that came, or, while this side doesn't read, bytes that the peer
  took. That this side doesn't read is no evidence: it excuses a pong that nobody could see, but
  neither the end of the peer's stream nor a peer that takes nothing.

Nothing here knows an event loop, a thread or a socket; the clock is a function that it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..signatures import ClassSignature

if TYPE_CHECKING:
    from collections.abc import Callable

# The opening handshake is going on: bytes are HTTP.
OPENING = 0
# The program has been asked about the request or the response.
ASKED = 1
# The opening handshake has failed; its answer is on its way.
REFUSED = 2
# Messages go both ways.
OPEN = 3
# The peer has ended its stream, behind messages for which there is no room yet.
LEFT = 4
# Something that came is wrong, behind messages that were not taken yet.
FAILING = 5
# A Close frame was sent or received, or the connection failed.
CLOSING = 6
# This side has ended its stream, or the peer has and all was read: what was sent goes out.
ENDING = 7
# There is no connection any more.
GONE = 8

# Which deadline holds.
OPEN_TIMEOUT = "open_timeout"
KEEPALIVE = "keepalive"
CLOSE_TIMEOUT = "close_timeout"
KEPT = "kept"
NONE = "none"

# How a connection that is over its time is ended.
ABORT = "abort"
PING = "ping, or fail"
FAIL = "fail"
DISCARD = "discard what came"


class Rule(NamedTuple):
    """What holds in a state.

    Args:
        name: of the state.
        reads: what is read: ``"http"``, ``"frames"``, or ``""`` for nothing.
        discards: whether messages beyond the limit of the queue are of no use any more.
        writes: whether something may still be written.
        deadline: which deadline holds.
        overdue: what happens then.
        then: the states that may follow.

    """

    name: str
    reads: str
    discards: bool
    writes: bool
    deadline: str
    overdue: str
    then: tuple[int, ...]


TABLE: tuple[Rule, ...] = (
    Rule(
        "OPENING",
        "http",
        False,
        True,
        OPEN_TIMEOUT,
        ABORT,
        (ASKED, REFUSED, OPEN, CLOSING, ENDING, GONE),
    ),
    Rule("ASKED", "http", False, True, OPEN_TIMEOUT, ABORT, (REFUSED, OPEN, CLOSING, ENDING, GONE)),
    Rule("REFUSED", "", True, True, CLOSE_TIMEOUT, ABORT, (ENDING, GONE)),
    Rule("OPEN", "frames", False, True, KEEPALIVE, PING, (LEFT, FAILING, CLOSING, ENDING, GONE)),
    Rule("LEFT", "frames", False, True, CLOSE_TIMEOUT, DISCARD, (FAILING, CLOSING, ENDING, GONE)),
    Rule("FAILING", "", False, True, CLOSE_TIMEOUT, FAIL, (CLOSING, ENDING, GONE)),
    Rule("CLOSING", "frames", True, True, CLOSE_TIMEOUT, ABORT, (ENDING, GONE)),
    Rule("ENDING", "frames", True, False, KEPT, ABORT, (GONE,)),
    Rule("GONE", "", True, False, NONE, "", ()),
)

# What is given to a program, or to a peer, that has no time limit but must come to an end, in
# seconds.
MOST_TIME = 10.0

# How often a connection without keepalive that isn't read from is looked at, in seconds.
LOOK_EVERY = 20.0

# When keepalive looks so much too late, in seconds, it looks again after at most so long.
LATE = 0.05
GRACE = 1.0

# What keepalive asks for.
NOTHING = 0
SEND_PING = 1
PEER_IS_DEAD = 2

NEVER = float("inf")


class Life:
    """How far a connection is, and until when it has to be further.

    Args:
        clock: gives the time in seconds.
        open_timeout: how long the opening handshake may take, in seconds; None if somebody else
            sees to that.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for a sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; None for ever.

    """

    __signature__ = ClassSignature()

    def __init__(
        self,
        clock: Callable[[], float],
        open_timeout: float | None,
        ping_interval: float | None,
        ping_timeout: float | None,
        close_timeout: float | None,
    ) -> None:
        self.clock = clock
        self.open_timeout = open_timeout
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.close_timeout = close_timeout
        self.state = OPENING
        self.deadline = NEVER
        # Of keepalive: whether a ping is on its way, and what there was of signs of life then.
        self.asking = False
        self.late = False
        self.seen = 0
        self.taken = 0

    def begin(self) -> None:
        """Begin to count the time of the opening handshake."""
        if self.open_timeout is not None and self.state == OPENING:
            self.deadline = self.clock() + self.open_timeout

    def enter(self, state: int, limit: float | None = None) -> bool:
        """Go forward to another state.

        Args:
            state: the state.
            limit: how long it may take at most, in seconds; None is what the table says.

        Returns:
            Whether it did: there is no way back, and none around what the table says.

        """
        before = TABLE[self.state]
        if state not in before.then:
            return False
        self.state = state
        deadline = TABLE[state].deadline
        if deadline == NONE:
            self.deadline = NEVER
        elif deadline == KEEPALIVE:
            self.keep_alive()
        elif deadline == CLOSE_TIMEOUT or (
            deadline == KEPT and (before.deadline == KEEPALIVE or self.deadline == NEVER)
        ):
            seconds = self.close_timeout
            if limit is not None and (seconds is None or limit < seconds or state == REFUSED):
                seconds = limit
            if seconds is None and (TABLE[state].overdue != ABORT or state == REFUSED):
                seconds = MOST_TIME
            self.deadline = NEVER if seconds is None else self.clock() + seconds
        return True

    def hurry(self, limit: float) -> None:
        """Leave no more than so many seconds."""
        self.deadline = min(self.deadline, self.clock() + limit)

    def progressed(self) -> None:
        """Begin to count the time of this state again: the program took something."""
        if self.state == LEFT or self.state == FAILING:
            seconds = MOST_TIME if self.close_timeout is None else self.close_timeout
            self.deadline = self.clock() + seconds

    def not_reading(self) -> None:
        """Look at a connection that isn't read from even if there is no keepalive."""
        if self.state == OPEN and self.deadline == NEVER:
            self.deadline = self.clock() + LOOK_EVERY

    # Keepalive

    def keep_alive(self) -> None:
        """Begin to count the time until the next ping, if there is to be one."""
        self.asking = False
        self.deadline = NEVER
        if self.ping_interval is not None:
            self.deadline = self.clock() + self.ping_interval

    def keepalive(self, now: float, activity: int, reading: bool, taken: int, unsent: int) -> int:
        """Say what is due in `OPEN`, and set the next deadline.

        Args:
            now: the time, in seconds.
            activity: how often something was received.
            reading: whether this side reads.
            taken: how many bytes were taken by the network so far.
            unsent: how many bytes were not.

        Returns:
            NOTHING, SEND_PING or PEER_IS_DEAD.

        """
        if self.ping_interval is None:
            self.deadline = NEVER if reading else now + LOOK_EVERY
            return NOTHING
        if not self.asking:
            self.asking = self.ping_timeout is not None
            wait = self.ping_interval if self.ping_timeout is None else self.ping_timeout
            self.note(now + wait, activity, taken)
            return SEND_PING
        alive = activity != self.seen
        if not reading:
            alive = alive or not unsent or taken > self.taken
        if not alive:
            if reading and now - self.deadline > LATE and not self.late:
                # The face was busy. What came meanwhile has not been read yet.
                self.late = True
                self.deadline = now + min(self.ping_timeout or 0, GRACE)
                return NOTHING
            return PEER_IS_DEAD
        self.note(now + (self.ping_timeout or 0), activity, taken)
        return NOTHING

    def note(self, deadline: float, activity: int, taken: int) -> None:
        """Take note of the signs of life so far."""
        self.late = False
        self.seen = activity
        self.taken = taken
        self.deadline = deadline

    def pong_received(self, latency: float) -> None:
        """Take note of the answer to the ping of keepalive, which came after so many seconds."""
        self.asking = False
        if self.state == OPEN and self.ping_interval is not None:
            self.deadline = self.clock() + max(self.ping_interval - latency, 0)
