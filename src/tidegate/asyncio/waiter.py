"""What a waiting ``recv()`` yields to its task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context


class Waiter:
    """What a waiting ``recv()`` yields to its task: a future as far as a task looks.

    A connection has one, which is used again and again. A future that is done calls back through
    `loop.call_soon`; this one can also call back at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self.loop = loop
        self.callback: Callable[[Any], object] | None = None
        self.context: Context | None = None
        self.woken = False
        self.is_cancelled = False
        self.cancel_message: Any = None

    def start(self) -> None:
        """Get ready to be yielded."""
        self._asyncio_future_blocking = True
        self.callback = None
        self.context = None
        self.woken = False
        self.is_cancelled = False
        self.cancel_message = None

    def wake(self) -> None:
        """Resume the task now."""
        callback = self.callback
        context = self.context
        self.callback = None
        self.context = None
        self.woken = True
        if context is None:
            callback(self)  # type: ignore[misc]
        else:
            context.run(callback, self)  # type: ignore[arg-type]

    def schedule(self) -> None:
        """Resume the task in the next turn of the loop."""
        callback = self.callback
        context = self.context
        self.callback = None
        self.context = None
        self.woken = True
        if callback is not None:
            self.loop.call_soon(callback, self, context=context)

    # What tasks use of a future

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return self.loop

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Have the task's wake-up called."""
        self.callback = callback
        self.context = context
        if self.woken:
            self.schedule()

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """Forget the task's wake-up."""
        if self.callback is None or self.callback != callback:
            return 0
        self.callback = None
        self.context = None
        return 1

    def cancel(self, msg: Any = None) -> bool:
        """Resume the task with a cancellation, in the next turn of the loop."""
        if self.woken:
            return False
        self.is_cancelled = True
        self.cancel_message = msg
        self.schedule()
        self.woken = True
        return True

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.is_cancelled

    def done(self) -> bool:
        """Whether the task was, or is about to be, resumed."""
        return self.woken

    def result(self) -> None:
        """Raise if it was cancelled."""
        if self.is_cancelled:
            if self.cancel_message is None:
                raise asyncio.CancelledError
            raise asyncio.CancelledError(self.cancel_message)

    def exception(self) -> None:
        """Raise if it was cancelled; there is no other exception."""
        self.result()
