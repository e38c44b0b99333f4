"""What can go wrong with a hub."""

from __future__ import annotations

from ..exceptions import WebSocketException

__all__ = ["EngineError", "HubClosed", "HubError", "HubOverloaded", "SlowConsumer"]


class HubError(WebSocketException):
    """A hub can't do what it was asked to do."""


class HubClosed(HubError):
    """The hub isn't open: not yet, or not any more."""


class HubOverloaded(HubError):
    """More waits to be handed over than the hub keeps, so a message was not taken."""


class EngineError(HubError, ConnectionError):
    """The engine between machines can't be reached, or answers with an error."""


class SlowConsumer(HubError):
    """A program that iterates over messages was slower than they came (`Slow.close`)."""
