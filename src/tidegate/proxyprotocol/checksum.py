"""The checksum of version 2, in the interface of ``proxy-protocol``."""

from __future__ import annotations

from typing import Protocol

from .crc32c import crc32c

__all__ = ["Checksum", "crc32c"]


class Checksum(Protocol):
    """A function that computes a checksum, in one go or in several."""

    def __call__(self, data: bytes, value: int = 0) -> int: ...
