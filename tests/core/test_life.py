"""The table of states: whatever happens in whatever order, there is a way on, and a deadline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core import life as module
from tidegate.core.life import TABLE, Life

NAMES = [rule.name for rule in TABLE]
STATE = {name: number for number, name in enumerate(NAMES)}
NEVER = float("inf")


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def make(*, open_timeout=1.0, ping_interval=20.0, ping_timeout=20.0, close_timeout=10.0):
    clock = Clock()
    return clock, Life(clock, open_timeout, ping_interval, ping_timeout, close_timeout)


def test_the_table_leads_to_the_end():
    """Only forward, and from everywhere to the end."""
    for number, rule in enumerate(TABLE):
        assert all(other > number for other in rule.then), rule.name
        assert rule.name == "GONE" or STATE["GONE"] in rule.then, rule.name
    assert not TABLE[STATE["GONE"]].then


def test_every_state_but_the_end_has_a_deadline():
    for rule in TABLE:
        assert (rule.deadline == module.NONE) == (rule.name == "GONE")
        assert bool(rule.overdue) == (rule.name != "GONE")


@pytest.mark.parametrize("name", NAMES)
def test_what_the_table_forbids(name):
    for other in NAMES:
        _, life = make()
        life.state = STATE[name]
        allowed = STATE[other] in TABLE[STATE[name]].then
        assert life.enter(STATE[other]) == allowed
        assert life.state == STATE[other if allowed else name]


timeouts = st.none() | st.floats(0.01, 100)


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.none() | st.floats(0, 5), st.floats(0, 50))),
    timeouts,
    timeouts,
    timeouts,
)
def test_there_is_always_a_deadline(steps, ping_interval, ping_timeout, close_timeout):
    clock, life = make(
        ping_interval=ping_interval, ping_timeout=ping_timeout, close_timeout=close_timeout
    )
    life.begin()
    for name, limit, later in steps:
        before = life.state, life.deadline
        entered = life.enter(STATE[name], limit)
        state = TABLE[life.state].name
        if not entered:
            assert (life.state, life.deadline) == before
        elif state == "OPEN":
            assert (life.deadline == NEVER) == (ping_interval is None)
            life.not_reading()
        elif state == "CLOSING":
            seconds = [s for s in (limit, close_timeout) if s is not None]
            assert life.deadline == (clock.now + min(seconds) if seconds else NEVER)
        elif state == "ENDING" and TABLE[before[0]].deadline == "close_timeout":
            # Closing as a whole takes no longer than it may.
            assert life.deadline == before[1] or before[1] == NEVER
        if state not in ("GONE", "CLOSING", "ENDING"):
            # Closing without time limit is what a program can ask for, and nothing else.
            assert life.deadline < NEVER
        clock.now += later


def test_close_timeout_bounds_all_of_closing():
    clock, life = make()
    life.enter(STATE["OPEN"])
    clock.now += 5
    life.enter(STATE["CLOSING"])
    clock.now += 9
    life.enter(STATE["ENDING"])
    assert life.deadline == clock.now + 1


def test_end_of_an_open_connection_has_a_limit_of_its_own():
    clock, life = make()
    life.enter(STATE["OPEN"])
    clock.now += 19
    life.enter(STATE["ENDING"])
    assert life.deadline == clock.now + 10


def test_program_that_takes_messages_gets_more_time():
    clock, life = make(close_timeout=2)
    life.enter(STATE["OPEN"])
    life.enter(STATE["LEFT"])
    clock.now += 1
    life.progressed()
    assert life.deadline == clock.now + 2


NOTHING, SEND_PING, PEER_IS_DEAD = range(3)


@pytest.mark.parametrize(
    ("reading", "received", "taken", "unsent", "dead"),
    [
        # Bytes that came are a sign of life, whatever else.
        (True, 1, 0, 0, False),
        (False, 1, 0, 9, False),
        # Silence while this side reads is none, and neither is what the peer's system takes.
        (True, 0, 0, 0, True),
        (True, 0, 5, 0, True),
        # That this side doesn't read excuses silence, but not a peer that takes nothing.
        (False, 0, 0, 0, False),
        (False, 0, 5, 9, False),
        (False, 0, 0, 9, True),
    ],
)
def test_signs_of_life(reading, received, taken, unsent, dead):
    clock, life = make()
    life.enter(STATE["OPEN"])
    clock.now += 20
    assert life.keepalive(clock.now, 7, reading, 100, unsent) == SEND_PING
    clock.now += 20
    verdict = life.keepalive(clock.now, 7 + received, reading, 100 + taken, unsent)
    assert verdict == (PEER_IS_DEAD if dead else NOTHING)
    if not dead:
        assert life.deadline == clock.now + 20


def test_answer_to_keepalive_begins_the_next_interval():
    clock, life = make()
    life.enter(STATE["OPEN"])
    clock.now += 20
    life.keepalive(clock.now, 0, True, 0, 0)
    clock.now += 1
    life.pong_received(1.0)
    assert life.deadline == clock.now + 19
    clock.now += 19
    assert life.keepalive(clock.now, 1, True, 0, 0) == SEND_PING


def test_busy_face_looks_twice():
    clock, life = make(ping_timeout=5)
    life.enter(STATE["OPEN"])
    clock.now += 20
    life.keepalive(clock.now, 0, True, 0, 0)
    # Much too late: what came meanwhile has not been read yet.
    clock.now += 60
    assert life.keepalive(clock.now, 0, True, 0, 0) == NOTHING
    clock.now += 1
    assert life.keepalive(clock.now, 0, True, 0, 0) == PEER_IS_DEAD
