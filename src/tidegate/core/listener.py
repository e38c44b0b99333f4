"""Callbacks instead of a coroutine, for those who count microseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..exceptions import ConnectionClosed
    from ..typing import Data

__all__ = ["Listener"]


class Listener:
    """What is called when something happens on a connection.

    A subclass does what it wants to do in the methods, which must not wait::

        class Echo(Listener):
            def on_message(self, message):
                self.connection.send_nowait(message)

        async with serve(Echo, "localhost", 8765) as server:
            await server.serve_forever()

        connection = await connect("ws://localhost:8765/", listener=Echo)

    There is one for each connection, made without arguments. An exception in a method is logged,
    and closes the connection with code 1011.

    Attributes:
        connection: the connection. Everything but receiving can be used, in tasks, too.

    """

    connection: Any

    def pause_reading(self) -> None:
        """Have no more messages given until `resume_reading`.

        The peer is slowed down then. While the write buffer is over its limit, reading pauses by
        itself: what a listener answers has to find room first.
        """
        self.connection.pause_reading()

    def resume_reading(self) -> None:
        """Have messages given again, from the next turn of the event loop on."""
        self.connection.resume_reading()

    def on_open(self) -> None:
        """Is called when the connection is open, before any message."""

    def on_message(self, message: Data) -> None:
        """Is called for each message.

        Args:
            message: ``str`` or ``bytes``.

        """

    def on_batch(self) -> None:
        """Is called when all messages were given that had arrived at once.

        What was sent since the first of them goes out after this, in one write.
        """

    def on_ping(self, data: bytes) -> None:
        """Is called for each ping, which is answered without it.

        Args:
            data: payload.

        """

    def on_pong(self, data: bytes) -> None:
        """Is called for each pong.

        Args:
            data: payload.

        """

    def on_drain(self) -> None:
        """Is called when the write buffer was over its limit and has room again."""

    def on_close(self, exc: ConnectionClosed) -> None:
        """Is called once, when the connection is closed.

        Args:
            exc: says how it was closed.

        """


class Follower(Protocol):
    """Somebody who writes to a connection that others have made: a hub."""

    def may_write(self) -> None:
        """Is called when something may be written that could not before."""

    def gone(self) -> None:
        """Is called once, when the connection is closed."""


def is_listener_factory(handler: object) -> bool:
    """Say whether this is a subclass of `Listener` rather than a coroutine function."""
    return isinstance(handler, type) and issubclass(handler, Listener)


def attach(connection: Any, factory: Callable[[], Listener]) -> None:
    """Give a connection that has just been opened a listener."""
    listener = factory()
    listener.connection = connection
    connection.listen(listener)
