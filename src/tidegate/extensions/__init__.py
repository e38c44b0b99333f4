"""Extensions of the protocol (RFC 6455, section 9)."""

from __future__ import annotations

from ..imports import lazy_import
from .base import ClientExtensionFactory, Extension, ServerExtensionFactory

__all__ = ["ClientExtensionFactory", "Extension", "ServerExtensionFactory"]

lazy_import(globals(), submodules=["base", "permessage_deflate"])
