"""Fuzzes one target by coverage: ``python -m tests.fuzz.coverage TARGET CORPUS [OPTIONS]``.

The options are those of libFuzzer, such as ``-max_total_time=60``. What covers more of the sources
than what is known is kept in the folder CORPUS. Needs Atheris; `__main__` starts it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import logging
import sys
from types import CodeType

import atheris

import tidegate

PACKAGE = tidegate.__name__


class InstrumentingLoader(importlib.machinery.SourceFileLoader):
    """Loads sources so that libFuzzer sees which parts run, and what is compared with what."""

    def get_code(self, fullname: str) -> CodeType:
        # Not from a file of bytecode, which would be written back.
        source = self.get_data(self.path)
        code = self.source_to_code(source, self.path)
        try:
            patched: CodeType = atheris.patch_code(code, True)
        except RuntimeError as exc:
            # There is bytecode that it doesn't know. The module is run, and counts for nothing.
            print(f"{fullname} is not covered: {exc}", file=sys.stderr)
            return code
        return patched


class InstrumentingFinder(importlib.abc.MetaPathFinder):
    """Finds the package's modules in their sources, compiled or not."""

    def find_spec(self, fullname, path, target=None):
        if not fullname.startswith(PACKAGE + ".") or path is None:
            return None
        loader = (InstrumentingLoader, importlib.machinery.SOURCE_SUFFIXES)
        for entry in path:
            spec = importlib.machinery.FileFinder(entry, loader).find_spec(fullname)
            if spec is not None and spec.loader is not None:
                return spec
        return None


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    logging.disable(logging.CRITICAL)
    # Before the one that the package has put there, as it is to be uncompiled.
    sys.meta_path.insert(0, InstrumentingFinder())
    name = sys.argv.pop(1)
    from .inputs import MOST, TARGETS

    target = next(each for each in TARGETS if each.__name__ == name)
    atheris.Setup([*sys.argv, f"-max_len={MOST}"], lambda data: target(PACKAGE, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
