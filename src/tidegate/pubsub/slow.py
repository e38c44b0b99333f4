"""What happens to receivers that are slower than what they are sent."""

from __future__ import annotations

import dataclasses
from typing import Self

__all__ = ["Slow"]

DROP_OLDEST, DROP_NEWEST, CLOSE = "drop_oldest", "drop_newest", "close"


@dataclasses.dataclass(frozen=True)
class Slow:
    """A policy for slow consumers: made by one of its three class methods.

    What a connection doesn't take is first in its write buffer, up to its ``write_limit``, where
    nothing can be dropped any more; then it waits in the hub, up to ``limit``.

    Attributes:
        policy: ``"drop_oldest"``, ``"drop_newest"`` or ``"close"``.
        limit: how much may wait for one receiver, in bytes.

    """

    policy: str
    limit: int

    def __post_init__(self) -> None:
        if self.policy not in (DROP_OLDEST, DROP_NEWEST, CLOSE):
            raise ValueError(f"{self.policy!r} isn't a policy for slow consumers")
        if self.limit < 0:
            raise ValueError("the limit for slow consumers can't be negative")

    @classmethod
    def drop_oldest(cls, limit: int) -> Self:
        """Drop what has waited longest: for those who want to know how things are now.

        Args:
            limit: how much may wait for one receiver, in bytes.

        """
        return cls(DROP_OLDEST, limit)

    @classmethod
    def drop_newest(cls, limit: int) -> Self:
        """Drop what comes until there is room again.

        Args:
            limit: how much may wait for one receiver, in bytes.

        """
        return cls(DROP_NEWEST, limit)

    @classmethod
    def close(cls, limit: int) -> Self:
        """Close the connection with code 1013, so that it comes back and resumes.

        Args:
            limit: how much may wait for one receiver, in bytes.

        """
        return cls(CLOSE, limit)
