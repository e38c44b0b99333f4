"""The checksum of version 2, in the interface of ``proxy-protocol``."""

from __future__ import annotations

import typing as t

from .crc32c import crc32c

__all__ = ["Checksum", "crc32c"]


class Checksum(t.Protocol):
    """A function that computes a checksum, in one go or in several."""

    def __call__(self, data: bytes, value: int = 0) -> int: ...
