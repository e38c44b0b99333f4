"""The package once more, uncompiled, by another name: beside the compiled one in one process."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import tidegate
from tidegate._uncompiled import prefer_source

SOURCES = "tidegate_sources"


def import_sources(module: str = "") -> Any:
    """Give a module of the package from its source; the package itself without a name."""
    if SOURCES not in sys.modules:
        path = Path(tidegate.__file__)
        prefer_source(SOURCES)
        spec = importlib.util.spec_from_file_location(
            SOURCES, path, submodule_search_locations=[str(path.parent)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules[SOURCES] = package = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(package)
    return importlib.import_module(f"{SOURCES}.{module}") if module else sys.modules[SOURCES]
