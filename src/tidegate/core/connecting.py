"""How coroutines connect: in a block, which closes the connection, or again and again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .dialling import Dialling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from types import TracebackType

__all__ = ["Connecting", "uri_or_local"]

ConnectionType = TypeVar("ConnectionType", bound=contextlib.AbstractAsyncContextManager[Any])


class Connecting(Dialling, Generic[ConnectionType]):
    """What ``connect`` is for coroutines, whatever runs them. See `Dialling` for its arguments."""

    connection: ConnectionType | None
    entering = False

    async def connect(self) -> ConnectionType:
        """Connect, following redirects, which are not remembered for the next time."""
        raise NotImplementedError

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Let some time pass."""
        raise NotImplementedError

    # async with connect(...) as ...: ...

    async def __aenter__(self) -> ConnectionType:
        if self.entering or self.connection is not None:
            raise RuntimeError("connect() isn't reentrant")
        self.entering = True
        try:
            self.connection = await self.connect()
        finally:
            self.entering = False
        entered: ConnectionType = await self.connection.__aenter__()
        return entered

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self.connection = self.connection, None
        assert connection is not None
        await connection.__aexit__(exc_type, exc_value, traceback)

    # async for ... in connect(...):

    async def __aiter__(self) -> AsyncIterator[ConnectionType]:
        reconnection = self.begin_reconnecting()
        while True:
            reconnection.connecting()
            async with contextlib.AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(self)
                except Exception as exc:
                    await self.sleep(self.delay_after(exc, reconnection))
                    continue
                reconnection.connected(connection)
                yield connection
            delay = self.delay_after_end(connection, reconnection)
            # While there is none, the old one isn't kept.
            del connection
            if delay is not None:
                await self.sleep(delay)


def uri_or_local(uri: str | None, arguments: dict[str, Any]) -> str:
    """Give the URI of a server on a Unix socket.

    Args:
        uri: what the program gave; None for the usual one.
        arguments: those of ``connect``, which tell whether there is TLS.

    """
    if uri is not None:
        return uri
    tls = arguments.get("ssl") is not None or arguments.get("ssl_context") is not None
    return "wss://localhost/" if tls else "ws://localhost/"
