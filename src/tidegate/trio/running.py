"""A server that runs, and how it is closed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import trio

from ..core.acceptance import CLOSING_DOWN
from ..core.limits import ACCEPT_DELAY, NO_RESOURCES
from ..core.tally import ServerStats, Tally
from ..exceptions import ProtocolError
from ..frames import Close, CloseCode
from ..protocol import CONNECTING, LOGGERS, OPEN, Side
from ..utils import get_socket_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from ..core.limits import Limits
    from ..typing import LoggerLike
    from .server_connection import ServerConnection

__all__ = ["Server"]

# How long to wait before accepting again where there are no descriptors left, in seconds.
PAUSE = 0.2


class CalmListener(trio.abc.Listener[trio.abc.Stream]):
    """A listener that tells once a second at most that there are no descriptors left.

    trio tells it ten times, with a traceback.

    Args:
        listener: what accepts connections.
        logger: where to log.

    """

    def __init__(self, listener: trio.abc.Listener[Any], logger: LoggerLike) -> None:
        self.listener = listener
        self.logger = logger
        self.quiet_until = 0.0

    async def accept(self) -> trio.abc.Stream:
        while True:
            try:
                stream: trio.abc.Stream = await self.listener.accept()
                return stream
            except OSError as exc:
                if exc.errno not in NO_RESOURCES:
                    raise
                now = time.monotonic()
                if now >= self.quiet_until:
                    self.quiet_until = now + ACCEPT_DELAY
                    self.logger.error("accepting connections failed: %s", exc)
                await trio.sleep(PAUSE)

    async def aclose(self) -> None:
        await self.listener.aclose()


class Server(trio.abc.AsyncResource):
    """A WebSocket server, as ``nursery.start(serve, ...)`` returns it.

    It is an asynchronous context manager that closes the server at its end.

    Args:
        listeners: what accepts connections.
        handler: coroutine function that is run for the stream of each connection.
        logger: where to log; the default is ``tidegate.server``.

    Attributes:
        listeners: what accepts connections.

    """

    def __init__(
        self,
        listeners: list[Any],
        handler: Callable[[trio.abc.Stream], Awaitable[None]],
        logger: LoggerLike | None = None,
    ) -> None:
        self.listeners = listeners
        self.handler = handler
        self.logger: LoggerLike = LOGGERS[Side.SERVER] if logger is None else logger
        self.limits: Limits | None = None
        self.tally = Tally()
        # All connections, from the accepted socket to the lost one.
        self.all_connections: set[ServerConnection] = set()
        # What ends the openings that aren't as far as that there could be an answer.
        self.openings: set[trio.CancelScope] = set()
        self.closing = False
        self.serving: trio.CancelScope | None = None
        self.handlers: trio.Nursery | None = None
        self.handlers_done = trio.Event()

    @property
    def connections(self) -> set[ServerConnection]:
        """The connections that are open."""
        return {connection for connection in self.all_connections if connection.state is OPEN}

    @property
    def stats(self) -> ServerStats:
        """What the server has done so far, and what it does now."""
        return self.tally.stats(self.all_connections, self.limits)

    def is_serving(self) -> bool:
        """Whether the server accepts connections."""
        return not self.closing

    def connection_closed(self, connection: ServerConnection, address: Any) -> None:
        """Forget a connection, which came from ``address``."""
        self.all_connections.discard(connection)
        if self.limits is not None:
            self.limits.release(address)

    async def serve_forever(
        self, task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept connections until the server is closed or this is cancelled.

        Args:
            task_status: is told when the server accepts connections.

        """
        try:
            # Closing the listeners needn't end the handlers, which have their own nursery.
            async with trio.open_nursery() as self.handlers:
                with trio.CancelScope() as self.serving:
                    async with trio.open_nursery() as nursery:
                        await nursery.start(self.accept)
                        for listener in self.listeners:
                            name = get_socket_name(listener.socket)
                            self.logger.info("server listening on %s", name)
                        task_status.started(self)
        finally:
            self.closing = True
            self.handlers_done.set()

    async def accept(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Accept connections on all listeners."""
        calm = [CalmListener(listener, self.logger) for listener in self.listeners]
        await trio.serve_listeners(
            self.handler, calm, handler_nursery=self.handlers, task_status=task_status
        )

    async def aclose(
        self,
        close_connections: bool = True,
        code: CloseCode | int = CloseCode.GOING_AWAY,
        reason: str = "",
    ) -> None:
        """Close the server.

        It stops listening, refuses the opening handshakes that are going on with 503, closes the
        connections, and waits until their handlers are done.

        Called again, it closes the connections that were left open the first time. When it is
        cancelled, the handlers are cancelled, too.

        Args:
            close_connections: whether to close the connections that are open.
            code: with which code.
            reason: with which reason.

        Raises:
            ProtocolError: if the code or the reason can't be sent.

        """
        if len(Close(code, reason).serialize()) > 125:
            raise ProtocolError("control frame too long")
        if not self.closing:
            self.logger.info("server closing")
            self.closing = True
        if self.serving is not None:
            self.serving.cancel()
        for connection in list(self.all_connections):
            if connection.protocol.state is CONNECTING:
                connection.refuse(*CLOSING_DOWN)
            elif close_connections:
                connection.start_closing(code, reason)
                connection.kick()
        for scope in list(self.openings):
            scope.cancel()
        try:
            await self.handlers_done.wait()
        except BaseException:
            if self.handlers is not None:
                self.handlers.cancel_scope.cancel()
            raise
        self.logger.info("server closed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.handlers_done.is_set():
            await self.aclose()
