"""When to reconnect, how often, and who is told."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@dataclasses.dataclass(frozen=True)
class ConnectionEvent:
    """Something that changed while a client connects again and again.

    Args:
        state: ``"connecting"``: an attempt begins; ``"connected"``: it succeeded;
            ``"disconnected"``: the connection was closed; ``"waiting"``: the attempt failed, there
            is another one after ``delay``; ``"failed"``: the attempt failed and was the last.
        attempt: number of the attempt since the last success, from 1.
        connection: the connection, when there is one.
        delay: time until the next attempt, in seconds.
        exception: why the attempt failed.

    """

    state: Literal["connecting", "connected", "disconnected", "waiting", "failed"]
    attempt: int
    connection: Any = None
    delay: float | None = None
    exception: Exception | None = None


class Reconnection:
    """The attempts of one client to connect.

    Args:
        delays: gives a generator of the delays after failures in a row, in seconds.
        limit: how many failures in a row there may be; None for no limit.
        on_event: who is told.

    """

    def __init__(
        self,
        delays: Callable[[], Generator[float]],
        limit: int | None,
        on_event: Callable[[ConnectionEvent], object] | None,
    ) -> None:
        self.make_delays = delays
        self.limit = limit
        self.on_event = on_event
        self.attempt = 0
        self.delays: Generator[float] | None = None

    def tell(self, state: Any, **kwargs: Any) -> None:
        """Tell what changed."""
        if self.on_event is not None:
            self.on_event(ConnectionEvent(state, self.attempt, **kwargs))

    def connecting(self) -> None:
        """An attempt begins."""
        self.attempt += 1
        self.tell("connecting")

    def connected(self, connection: Any) -> None:
        """It succeeded."""
        self.tell("connected", connection=connection)
        self.attempt = 0
        self.delays = None

    def disconnected(self, connection: Any) -> None:
        """The connection was closed."""
        self.tell("disconnected", connection=connection)

    def failed(self, exc: Exception, verdict: Exception | None) -> float | None:
        """It failed; give the time until the next attempt, None if there is none."""
        delay: float | None = None
        if verdict is None and (self.limit is None or self.attempt < self.limit):
            if self.delays is None:
                self.delays = self.make_delays()
            delay = next(self.delays, None)
        self.tell("failed" if delay is None else "waiting", delay=delay, exception=exc)
        return delay
