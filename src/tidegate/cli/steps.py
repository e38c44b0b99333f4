"""What `tidegate connect` does for a script: send messages, and wait for those that must come."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..asyncio.client import ClientConnection
    from .consoles import Console

__all__ = ["Count", "Expect", "Script", "Send", "unhex"]


def unhex(text: str) -> bytes:
    """Read bytes that are written in hexadecimal.

    Raises:
        ValueError: if they aren't.
    """
    try:
        return bytes.fromhex(text.strip().removeprefix("0x").replace(":", ""))
    except ValueError:
        raise ValueError(f"{text[:60]!r} isn't hexadecimal") from None


class Step:
    """One thing to do."""

    # Whether it ends by what the server sends.
    awaits = True

    def __str__(self) -> str:
        """Say what it is that must come."""
        raise NotImplementedError

    async def take(self, connection: ClientConnection, console: Console) -> None:
        """Do it; what comes meanwhile is shown."""
        raise NotImplementedError


class Send(Step):
    """Send a message.

    Args:
        text: the message; in hexadecimal if it is binary.
    """

    awaits = False

    def __str__(self) -> str:
        return "the chance to send a message"

    def __init__(self, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise argparse.ArgumentTypeError(
                "this isn't UTF-8; other bytes can be sent in hexadecimal with --binary"
            ) from None
        self.message: str | bytes = text

    def make_binary(self) -> None:
        """Take the text for hexadecimal digits.

        Raises:
            ValueError: if it isn't.
        """
        if isinstance(self.message, str):
            self.message = unhex(self.message)

    async def take(self, connection: ClientConnection, console: Console) -> None:
        await connection.send(self.message)


class Expect(Step):
    """Wait for a message that a regular expression matches somewhere.

    Args:
        pattern: the regular expression.
    """

    def __init__(self, pattern: str) -> None:
        try:
            self.search = re.compile(pattern).search
        except re.error as exc:
            raise argparse.ArgumentTypeError(f"no regular expression: {exc}") from None
        self.pattern = pattern

    def __str__(self) -> str:
        return f"a message that matches {self.pattern!r}"

    async def take(self, connection: ClientConnection, console: Console) -> None:
        while True:
            message = await connection.recv()
            console.show_message(message)
            if self.search(message if isinstance(message, str) else message.hex()):
                return


class Count(Step):
    """Wait for so many messages.

    Args:
        count: how many, in decimal.
    """

    def __init__(self, count: str) -> None:
        self.left = int(count)
        if self.left < 1:
            raise ValueError

    def __str__(self) -> str:
        return f"{self.left} more message{'s' if self.left > 1 else ''}"

    async def take(self, connection: ClientConnection, console: Console) -> None:
        while self.left:
            console.show_message(await connection.recv())
            self.left -= 1


class Script:
    """Steps, one after the other.

    Args:
        steps: the steps.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.left = list(steps)
        self.sends = any(isinstance(step, Send) for step in steps)
        self.awaits = any(step.awaits for step in steps)

    def make_binary(self) -> None:
        """Have binary messages sent.

        Raises:
            ValueError: if one isn't hexadecimal.
        """
        for step in self.left:
            if isinstance(step, Send):
                step.make_binary()

    async def run(self, connection: ClientConnection, console: Console) -> None:
        """Do them all; those that are left say how far it came."""
        while self.left:
            await self.left[0].take(connection, console)
            del self.left[0]
