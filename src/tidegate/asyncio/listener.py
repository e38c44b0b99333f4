"""Callbacks instead of a coroutine, for those who count microseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import listener

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["Listener"]


class Listener(listener.Listener):
    __doc__ = listener.Listener.__doc__

    connection: Connection
