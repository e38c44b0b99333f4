"""Lets tools find the sources of compiled modules, which lie beside them."""

from __future__ import annotations

import os
import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType


class ExtensionLoader(ExtensionFileLoader):
    """Loads an extension, and knows its source.

    `linecache` asks the loader for the lines in a traceback. Python's own says that there are none,
    and then it looks no further.
    """

    def get_source(self, fullname: str) -> str | None:  # type: ignore[override]
        path = os.path.join(os.path.dirname(self.path), f"{fullname.rpartition('.')[2]}.py")
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except OSError:
            return None


LOADERS = (
    (ExtensionLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)


class Finder(FileFinder):
    """Finds modules in a folder as Python does, and in the packages that it finds."""

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = super().find_spec(fullname, target)
        if spec is not None:
            show_sources(spec.submodule_search_locations or ())
        return spec


def show_sources(folders: Iterable[str]) -> None:
    """Have the modules in these folders found so, and nobody else's."""
    for folder in folders:
        # It may also be a part of an archive.
        if os.path.isdir(folder):
            sys.path_importer_cache[folder] = Finder(folder, *LOADERS)
