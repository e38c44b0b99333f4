"""Warnings that come once for each name of the older API."""

from __future__ import annotations

import warnings

_warned: set[str] = set()


def warn_once(name: str, advice: str, stacklevel: int = 3) -> None:
    """Warn of a name of the older API, if that wasn't done yet.

    Args:
        name: what was used.
        advice: what to do instead.
        stacklevel: whom to show it for; 3 is the caller of the caller.

    """
    if name not in _warned:
        _warned.add(name)
        warnings.warn(f"{name} is deprecated: {advice}", DeprecationWarning, stacklevel)
