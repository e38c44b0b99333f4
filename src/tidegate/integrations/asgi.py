"""ASGI's ``receive`` and ``send`` on a connection: the part of them that each message goes through.

The rest, which is different from server to server, is in a subclass.
"""

from __future__ import annotations

from typing import Any

from ..asyncio.channel import Channel
from ..exceptions import ConnectionClosed, InvalidState

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..core.link import NOBODY

# State.OPEN, as the writer has it.
OPEN = 1


class Exchange(Channel):
    """A connection whose messages are events of ASGI.

    Attributes:
        talking: whether the application has accepted the connection, and not closed it.
        crowded: whether some wait until others have received their events.

    """

    if not cython.compiled:
        talking = False
        crowded = False

    async def receive_event(self) -> Any:
        """Receive an event, as ASGI's ``receive``."""
        if self.talking and self.reception == NOBODY and not self.crowded:
            message: Any = None
            try:
                if not self.over_budget():
                    message = self.take()
                if message is None:
                    message = await self.recv()
            except (ConnectionClosed, InvalidState):
                return self.disconnect_event()
            finally:
                if self.crowded:
                    self.let_another_receive()
            if type(message) is str:
                return {"type": "websocket.receive", "text": message}
            return {"type": "websocket.receive", "bytes": message}
        return await self.receive_otherwise()

    async def send_event(self, message: Any) -> None:
        """Send an event, as ASGI's ``send``."""
        kind = message["type"]
        if kind == "websocket.send" and self.talking and not self.full:
            data = message.get("bytes")
            if data is None:
                data = message.get("text")
            if self.writer.state == OPEN and not self.writer.continuing and self.write_plain(data):
                return
        await self.send_otherwise(kind, message)

    # What a subclass does

    async def receive_otherwise(self) -> Any:
        """Receive an event that isn't a message, or that others wait for, too."""

    async def send_otherwise(self, kind: str, message: Any) -> None:
        """Send an event that isn't a message, or can't be sent at once."""

    def disconnect_event(self) -> Any:
        """Give the event that says how the connection ended."""

    def let_another_receive(self) -> None:
        """Let the next one receive, of those who wait."""
