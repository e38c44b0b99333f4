"""Makes Python prefer the ``.py`` files of this package to the extensions beside them."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType


class SourceFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of one package in their source files only."""

    def __init__(self, package: str) -> None:
        self.prefix = package + "."

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is None or not fullname.startswith(self.prefix):
            return None
        source = (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES)
        for entry in path:
            spec = importlib.machinery.FileFinder(entry, source).find_spec(fullname)
            if spec is not None and spec.loader is not None:
                return spec
        return None


def prefer_source(package: str) -> None:
    """Import what is below ``package`` from source from now on, in this process."""
    sys.meta_path.insert(0, SourceFinder(package))
