"""The timers that the connections of an event loop share."""

from __future__ import annotations

import asyncio

from tidegate.asyncio.hub import Hub

MANY_TIMERS = 1000


class Owner:
    """What timers call; it sets another one when it's told to."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.loop = asyncio.get_running_loop()
        self.calls: list[str] = []
        self.last = self.loop.create_future()

    def first(self) -> None:
        self.calls.append("first")

    def first_and_hour_later(self) -> None:
        self.calls.append("first")
        self.hub.call_at(self.loop.time() + 3600, self, "never")

    def second(self) -> None:
        self.calls.append("second")
        self.last.set_result(None)

    def never(self) -> None:
        self.calls.append("never")


async def test_what_is_due_already_and_then_something_else() -> None:
    """uvloop's handle of what is due already has no time to compare with."""
    loop = asyncio.get_running_loop()
    hub = Hub(loop)
    owner = Owner(hub)
    hub.call_at(loop.time() - 1, owner, "first")
    hub.call_at(loop.time(), owner, "second")
    await owner.last
    assert owner.calls == ["first", "second"]


async def test_timer_set_by_a_timer_does_not_delay_the_others() -> None:
    hub = Hub(asyncio.get_running_loop())
    owner = Owner(hub)
    now = owner.loop.time()
    hub.call_at(now + 0.01, owner, "first_and_hour_later")
    hub.call_at(now + 0.05, owner, "second")
    await asyncio.wait_for(owner.last, 10)
    assert owner.calls == ["first", "second"]


async def test_owner_that_is_gone() -> None:
    hub = Hub(asyncio.get_running_loop())
    owner, other = Owner(hub), Owner(hub)
    now = owner.loop.time()
    hub.call_at(now + 0.01, other, "first")
    hub.call_at(now + 0.02, owner, "second")
    del other
    await asyncio.wait_for(owner.last, 10)
    assert owner.calls == ["second"]


async def test_timers_of_owners_that_are_gone_are_forgotten() -> None:
    """They don't add up, however far away they are; those of the others stay."""
    hub = Hub(asyncio.get_running_loop())
    owner = Owner(hub)
    now = owner.loop.time()
    hub.call_at(now + 0.01, owner, "first")
    for number in range(10 * MANY_TIMERS):
        hub.call_at(now + 3600 - number, Owner(hub), "never")
    assert len(hub.timers) <= MANY_TIMERS
    kept = [Owner(hub) for _ in range(3 * MANY_TIMERS)]
    for other in kept:
        hub.call_at(now + 3600, other, "never")
    assert len(hub.timers) >= len(kept)
    hub.call_at(now + 0.02, owner, "second")
    await asyncio.wait_for(owner.last, 10)
    assert owner.calls == ["first", "second"]
    hub.timers.clear()


async def test_a_timer_that_sets_very_many() -> None:
    hub = Hub(asyncio.get_running_loop())

    class Busy(Owner):
        def first(self) -> None:
            super().first()
            for _ in range(2 * MANY_TIMERS):
                hub.call_at(self.loop.time() + 3600, Owner(hub), "never")

    owner = Busy(hub)
    now = owner.loop.time()
    hub.call_at(now + 0.01, owner, "first")
    hub.call_at(now + 0.01, owner, "second")
    await asyncio.wait_for(owner.last, 10)
    assert owner.calls == ["first", "second"]
    hub.timers.clear()
