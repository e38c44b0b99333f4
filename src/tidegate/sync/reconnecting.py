"""How threads connect: in a block, which closes the connection, or again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..core.dialling import Dialling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from .client_connection import ClientConnection

__all__ = ["Reconnecting"]


class Reconnecting(Dialling):
    """What ``reconnect`` is for threads. See `Dialling` for its arguments."""

    connection: ClientConnection | None

    def connect(self) -> ClientConnection:
        """Connect once, following redirects, which are not remembered for the next time."""
        raise NotImplementedError

    # with reconnect(...) as ...: ...

    def __enter__(self) -> ClientConnection:
        if self.connection is not None:
            raise RuntimeError("connect() isn't reentrant")
        self.connection = self.connect()
        return self.connection.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self.connection = self.connection, None
        assert connection is not None
        connection.__exit__(exc_type, exc_value, traceback)

    # for ... in reconnect(...): ...

    def __iter__(self) -> Iterator[ClientConnection]:
        reconnection = self.begin_reconnecting()
        while True:
            reconnection.connecting()
            try:
                connection = self.connect()
            except Exception as exc:
                time.sleep(self.delay_after(exc, reconnection))
                continue
            with connection:
                reconnection.connected(connection)
                yield connection
            delay = self.delay_after_end(connection, reconnection)
            # While there is none, the old one isn't kept.
            del connection
            if delay is not None:
                time.sleep(delay)
