"""One message to many connections, on one machine or many: `Hub`."""

from __future__ import annotations

from .engine import History
from .errors import EngineError, HubClosed, HubError, HubOverloaded, SlowConsumer
from .hub import Hub
from .joining import Joined
from .messages import Attendee, Gap, Message, Position, Presence, Receipt
from .seats import Listening
from .slow import Slow
from .stats import Stats
from .topics import is_pattern, matches, word

__all__ = [
    "Attendee",
    "EngineError",
    "Gap",
    "History",
    "Hub",
    "HubClosed",
    "HubError",
    "HubOverloaded",
    "Joined",
    "Listening",
    "Message",
    "Position",
    "Presence",
    "Receipt",
    "Slow",
    "SlowConsumer",
    "Stats",
    "is_pattern",
    "matches",
    "word",
]
