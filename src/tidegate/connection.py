"""Names of the past (deprecated) of what is in `tidegate.protocol`."""

from __future__ import annotations

from .imports import lazy_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .protocol import SEND_EOF, Event, Side, State
    from .protocol import Protocol as Connection

__all__ = ["SEND_EOF", "Connection", "Event", "Side", "State"]

lazy_import(
    globals(),
    deprecated_aliases={
        "Connection": (".protocol:Protocol", "use tidegate.Protocol"),
        "Event": (".protocol", "use tidegate.protocol.Event"),
        "SEND_EOF": (".protocol", "use tidegate.protocol.SEND_EOF"),
        "Side": (".protocol", "use tidegate.Side"),
        "CLIENT": (".protocol", "use tidegate.Side.CLIENT"),
        "SERVER": (".protocol", "use tidegate.Side.SERVER"),
        "State": (".protocol", "use tidegate.State"),
        "CONNECTING": (".protocol", "use tidegate.State.CONNECTING"),
        "OPEN": (".protocol", "use tidegate.State.OPEN"),
        "CLOSING": (".protocol", "use tidegate.State.CLOSING"),
        "CLOSED": (".protocol", "use tidegate.State.CLOSED"),
        "OK_CLOSE_CODES": (".frames", "use tidegate.frames.OK_CLOSE_CODES"),
    },
)
