"""Gives the tests the faces."""

from __future__ import annotations

from ..faces.conftest import face

__all__ = ["face"]
