"""Receiving on trio: what waits for messages, and for fragments of them."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import trio

from ..core.pieces import Pieces
from ..exceptions import ConnectionClosedOK
from .channel import HELD_FOR_TURN, RECEIVED_BY_NOBODY, RECEIVED_BY_WAITING, STATE_OPEN, Channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..typing import Data

__all__ = ["Receiving"]

# How long after the last message was received the attendant begins to read, in seconds; at most
# twice as long. A ping that comes meanwhile is answered then.
LOOK_AFTER = 1.0


class Receiving(Channel):
    """The part of a connection that receives."""

    # Of the attendant: whether nobody has received lately, whether it reads, when it looks whether
    # somebody still receives, and what it saw then.
    idle = True
    attends = False
    look_at = inf
    seen = 0
    # How many wait for what only reading can tell.
    watchers = 0
    receiver_waits = False

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""

    def attendant_reads(self) -> bool:
        """Say whether the attendant is to read from the network now."""
        wanted = self.idle or self.watchers or self.pending_pings or self.life.state != STATE_OPEN
        return bool(
            wanted
            and self.sock is not None
            and not self.receiver_waits
            and not self.read_ended
            and self.wants_input
        )

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over messages until the connection is closed.

        Raises:
            ConnectionClosedError: when it wasn't closed normally (1000, 1001 or no code).

        """
        return Messages(self)

    async def recv(self, decode: bool | None = None) -> Any:
        """Receive the next message.

        When it is cancelled, no message is lost: the next call receives it.

        Args:
            decode: True gives text, also of a binary message, False gives bytes, also of a text
                message; None gives what was sent.

        Returns:
            The message: ``str`` or ``bytes``.

        Raises:
            ConnectionClosed: when the connection is closed and all messages were received.
            ConcurrencyError: if another task is receiving.

        """
        if self.spent():
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        if self.reception != RECEIVED_BY_NOBODY:
            self.check_not_receiving("recv")
        message = self.take_now()
        if message is None:
            message = await self.wait_for_message()
        if decode is None:
            return message
        if not decode:
            return message if isinstance(message, bytes) else message.encode()
        try:
            return message if isinstance(message, str) else message.decode()
        except UnicodeDecodeError as exc:
            self.undecodable(exc)
        await self.wait_closed()
        raise self.closed_error()

    async def wait_for_message(self) -> Any:
        """Wait for a message, or raise because there can't be any."""
        self.reception = RECEIVED_BY_WAITING
        try:
            while True:
                self.expect_more()
                await self.wait_for_input()
                message = self.take_more()
                if message is not None:
                    return message
        finally:
            self.reception = RECEIVED_BY_NOBODY
            self.receiver_left()

    async def wait_for_input(self) -> None:
        """Wait until something came, for whoever receives."""
        if self.hold & HELD_FOR_TURN:
            await trio.lowlevel.checkpoint()
        elif self.attends or self.handle is None:
            # Somebody else reads, and says so.
            self.message_event = trio.Event()
            try:
                await self.message_event.wait()
            finally:
                self.message_event = None
        else:
            self.receiver_waits = True
            # The attendant needn't take over between one message and the next.
            self.idle = False
            try:
                await trio.lowlevel.wait_readable(self.handle)
            except trio.ClosedResourceError:
                # It is gone.
                pass
            finally:
                self.receiver_waits = False

    async def wait_for_opening(self) -> None:
        """Take in what the opening handshake still needs, as it comes."""
        await self.wait_for_input()
        self.read_socket()
        self.idle = True
        self.receiver_left()

    def receiver_left(self) -> None:
        """Leave reading to the attendant, at once if somebody waits for what only that can tell."""
        if self.parked and self.attendant_reads():
            self.kick()
        elif self.look_at == inf and not self.idle:
            self.look_at = trio.current_time() + LOOK_AFTER
            self.rearm()

    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]:
        """Receive the next message fragment by fragment, as they arrive.

        Cancel it before the first fragment if you must: afterwards, the rest of the message is
        lost, and no other message can be received on the connection.

        Args:
            decode: True gives text, also of a binary message, False gives bytes, also of a text
                message; None gives what was sent.

        Raises:
            ConnectionClosed: when the connection is closed.
            ConcurrencyError: if another task is receiving.

        """
        await trio.lowlevel.checkpoint_if_cancelled()
        pieces = Pieces(self, decode)
        self.takes += 1
        try:
            if pieces.frame_reader.unread():
                self.deliver()
            while not pieces.complete:
                piece = pieces.take()
                if piece is not None:
                    yield piece
                    continue
                await self.wait_for_input()
                self.read_socket()
                self.deliver()
        finally:
            pieces.leave()
            self.receiver_left()


class Messages:
    """What ``async for`` takes messages from; not a generator, which would have to be closed."""

    def __init__(self, connection: Receiving) -> None:
        self.connection = connection
        self.given_up = False

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Any:
        if self.given_up:
            raise StopAsyncIteration
        try:
            return await self.connection.recv()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """End the iteration. The connection stays as it is."""
        self.given_up = True
