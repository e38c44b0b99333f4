"""Programs as modules that nobody can import."""

from __future__ import annotations

import importlib.util


def load(path):
    """Give what a program defines, without running it."""
    # runpy.run_path() makes globals without a loader, of which tracebacks of Python 3.15 warn.
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)
