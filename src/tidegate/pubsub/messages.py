"""What a hub gives: messages, where they stand, and what is told of those that are missing."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Self

from ..core.broadcast import BINARY, OVERHEAD, TEXT, Outgoing
from ..typing import BytesLike, Data, DataLike

__all__ = ["Attendee", "Gap", "Message", "Position", "Presence", "Receipt"]


class Position(NamedTuple):
    """Where a message stands in its topic.

    Attributes:
        epoch: the count that the offset belongs to; empty before the first message of a topic.
        offset: 1 for the first message of the epoch, 2 for the next; on NATS it counts the messages
            of all topics.

    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    def is_within(self, other: Position) -> bool:
        """Say whether this is what another position has behind it.

        Args:
            other: a position in the same topic.

        """
        return self.epoch == other.epoch and self.offset <= other.offset

    @classmethod
    def parse(cls, text: str) -> Self:
        """Make one of what ``str()`` gives.

        Args:
            text: such as a browser has kept.

        Raises:
            ValueError: if it is something else.

        """
        epoch, dash, offset = str(text)[:64].partition("-")
        if not (dash and offset.isascii() and offset.isdigit() and len(offset) < 19):
            raise ValueError(f"{text!r:.80} isn't a position")
        if not (epoch.isascii() and (epoch.isalnum() or not epoch)):
            raise ValueError(f"{text!r:.80} isn't a position")
        return cls(epoch, int(offset))


class Message:
    """A message that was published.

    Attributes:
        topic: the topic.
        payload: what was published, as bytes.
        text: whether it was published as text.
        position: where it stands; None without history.
        previous: the offset of the message before it in its topic; 0 if there is none.

    """

    __slots__ = ("_outgoing", "payload", "position", "previous", "text", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        text: bool,
        position: Position | None,
        previous: int | None = None,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.text = text
        self.position = position
        if previous is None:
            previous = 0 if position is None else position.offset - 1
        self.previous = previous
        self._outgoing: Outgoing | None = None

    @property
    def data(self) -> Data:
        """What was published: ``str`` or ``bytes``."""
        return self.payload.decode() if self.text else self.payload

    @property
    def size(self) -> int:
        """What it costs where it waits, in bytes."""
        return len(self.payload) + OVERHEAD

    def outgoing(self, wrap: Callable[[Message], DataLike] | None) -> Outgoing:
        """Give what is sent to connections."""
        if self._outgoing is None:
            payload, text = self.payload, self.text
            if wrap is not None:
                payload, text = encoded(wrap(self), None)
            self._outgoing = Outgoing(TEXT if text else BINARY, payload)
        return self._outgoing

    def forget_outgoing(self) -> None:
        """Forget what was made of it to be sent."""
        self._outgoing = None

    def __repr__(self) -> str:
        at = "" if self.position is None else f" at {self.position}"
        return f"<Message {self.topic}{at}: {len(self.payload)} bytes>"


def is_text(payload: bytes) -> bool:
    """Say whether a payload can be sent as text, whoever says that it is: whether it is UTF-8."""
    try:
        return payload.isascii() or bool(payload.decode())
    except UnicodeDecodeError:
        return False


def encoded(message: DataLike, text: bool | None) -> tuple[bytes, bool]:
    """Give a message as bytes, and whether it is text.

    Raises:
        TypeError: if it is neither ``str`` nor bytes-like.
        ValueError: if it is to be text and isn't UTF-8.

    """
    if isinstance(message, str):
        return message.encode(), text is not False
    if not isinstance(message, BytesLike):
        raise TypeError("a message is str or bytes")
    data = bytes(message)
    if text:
        data.decode()
    return data, bool(text)


@dataclasses.dataclass(frozen=True)
class Gap:
    """Messages are missing, or may be.

    Attributes:
        topic: the topic or the pattern; None stands for all.
        after: the last position before; None where nobody knows.
        before: the next position that there is; None where nobody knows.
        reason: why, in words.

    """

    topic: str | None
    after: Position | None
    before: Position | None
    reason: str


@dataclasses.dataclass(frozen=True)
class Attendee:
    """A connection that has joined a topic, on any machine.

    Attributes:
        id: the connection's ``id``.
        user: what `Hub.identify` was told; None before.
        node: the hub that has it.

    """

    id: str
    user: str | None
    node: str


@dataclasses.dataclass(frozen=True)
class Presence:
    """Somebody has come, or has left.

    Attributes:
        topic: the topic.
        joined: True for a join, False for a leave.
        attendee: who.

    """

    topic: str
    joined: bool
    attendee: Attendee


class Receipt:
    """What became of a message that was published: await it, if you care.

    It gives the position of the message, None without history, when the engine has taken it; or
    raises `HubError`.
    """

    __slots__ = ("_error", "_future", "done", "position")

    def __init__(self) -> None:
        self.done = False
        self.position: Position | None = None
        self._error: Exception | None = None
        self._future: asyncio.Future[None] | None = None

    def settle(self, position: Position | None) -> None:
        """Say that it was taken."""
        self.done = True
        self.position = position
        self._wake()

    def fail(self, error: Exception) -> None:
        """Say that it was not."""
        self.done = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def result(self) -> Position | None:
        """Give the position, the receipt being done.

        Raises:
            HubError: if the message wasn't taken, or nobody knows.

        """
        if self._error is not None:
            raise self._error
        return self.position

    def __await__(self) -> Generator[Any, None, Position | None]:
        if not self.done:
            if self._future is None:
                self._future = asyncio.get_running_loop().create_future()
            # One who gives up doesn't end the others' wait.
            yield from asyncio.shield(self._future).__await__()
        return self.result()
