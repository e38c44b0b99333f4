"""The timers that the connections of an event loop share."""

from __future__ import annotations

import asyncio

from tidegate.asyncio.hub import Hub

MANY_TIMERS = 1000


class Owner:
    """What timers call: it takes it down, and may do something then."""

    def __init__(self, hub: Hub, name: str, calls: list[str], then=None) -> None:
        self.hub = hub
        self.name = name
        self.calls = calls
        self.then = then
        self.timer_at = 0.0

    def timer_fired(self, when: float) -> None:
        assert when == self.timer_at
        self.calls.append(self.name)
        if self.then is not None:
            self.then()


async def test_what_is_due_already_and_then_something_else() -> None:
    """uvloop's handle of what is due already has no time to compare with."""
    loop = asyncio.get_running_loop()
    hub, calls, done = Hub(loop), [], loop.create_future()
    first = Owner(hub, "first", calls)
    second = Owner(hub, "second", calls, lambda: done.set_result(None))
    hub.schedule(first, loop.time() - 1)
    hub.schedule(second, loop.time())
    await done
    assert calls == ["first", "second"]


async def test_timer_set_by_a_timer_does_not_delay_the_others() -> None:
    loop = asyncio.get_running_loop()
    hub, calls, done = Hub(loop), [], loop.create_future()
    first = Owner(hub, "first", calls, lambda: hub.schedule(first, loop.time() + 3600))
    second = Owner(hub, "second", calls, lambda: done.set_result(None))
    hub.schedule(first, loop.time() + 0.01)
    hub.schedule(second, loop.time() + 0.05)
    await asyncio.wait_for(done, 10)
    assert calls == ["first", "second"]


async def test_timer_that_is_due_again_at_once_leaves_the_loop_its_turn() -> None:
    loop = asyncio.get_running_loop()
    hub, calls, done = Hub(loop), [], loop.create_future()
    busy = Owner(hub, "busy", calls, lambda: hub.schedule(busy, loop.time() - 1))
    hub.schedule(busy, loop.time() - 1)
    loop.call_later(0.01, done.set_result, None)
    await asyncio.wait_for(done, 10)
    busy.then = None
    assert calls


async def test_owner_that_is_gone() -> None:
    loop = asyncio.get_running_loop()
    hub, calls, done = Hub(loop), [], loop.create_future()
    other = Owner(hub, "first", calls)
    owner = Owner(hub, "second", calls, lambda: done.set_result(None))
    hub.schedule(other, loop.time() + 0.01)
    hub.schedule(owner, loop.time() + 0.02)
    del other
    await asyncio.wait_for(done, 10)
    assert calls == ["second"]


async def test_timers_of_owners_that_are_gone_are_forgotten() -> None:
    """They don't add up, however far away they are; those of the others stay."""
    loop = asyncio.get_running_loop()
    hub, calls, done = Hub(loop), [], loop.create_future()
    now = loop.time()
    first = Owner(hub, "first", calls)
    hub.schedule(first, now + 0.01)
    for number in range(10 * MANY_TIMERS):
        hub.schedule(Owner(hub, "never", calls), now + 3600 - number)
    assert len(hub.timers) <= MANY_TIMERS
    kept = [Owner(hub, "never", calls) for _ in range(3 * MANY_TIMERS)]
    for other in kept:
        hub.schedule(other, now + 3600)
    assert len(hub.timers) >= len(kept)
    second = Owner(hub, "second", calls, lambda: done.set_result(None))
    hub.schedule(second, now + 0.02)
    await asyncio.wait_for(done, 10)
    assert calls == ["first", "second"]
    hub.timers.clear()


async def test_a_timer_that_sets_very_many() -> None:
    loop = asyncio.get_running_loop()
    hub, calls, done = Hub(loop), [], loop.create_future()

    def set_many() -> None:
        for _ in range(2 * MANY_TIMERS):
            hub.schedule(Owner(hub, "never", calls), loop.time() + 3600)

    now = loop.time()
    first = Owner(hub, "first", calls, set_many)
    second = Owner(hub, "second", calls, lambda: done.set_result(None))
    hub.schedule(first, now + 0.01)
    hub.schedule(second, now + 0.01)
    await asyncio.wait_for(done, 10)
    assert calls == ["first", "second"]
    hub.timers.clear()
