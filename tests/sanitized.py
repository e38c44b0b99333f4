"""Compiles the core so that every access to memory is checked, and runs tests on it.

``python -m tests.sanitized [ARGUMENTS OF PYTEST]``, on Linux with gcc: AddressSanitizer and
UndefinedBehaviorSanitizer, in ``build/sanitize``, so that the usual build stays as it is. Without
arguments, the tests are those of the rooms in which what is compiled is called in every way there
is. Others call it in the same ways, from the command, examples, documentation and programs of
others, for which this would take too long.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "sanitize"

ROOMS = [
    *("wire", "core", "protocol", "words", "fuzz", "proxyprotocol", "poller"),
    *("asyncio", "sync", "trio", "faces", "pubsub"),
]

# What needs other programs, or measures memory, of which a sanitizer takes several times as much.
WITHOUT = ["proxyprotocol/real", "pubsub/test_redis.py"]


def build() -> None:
    """Compile what has changed."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        FOLDER.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, FOLDER / name)
    for path in (ROOT / "src").rglob("*"):
        if path.suffix in (".py", ".pyi", ".pyx", ".pxd", ".typed"):
            copy = FOLDER / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists() or copy.read_bytes() != path.read_bytes():
                shutil.copy2(path, copy)
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=FOLDER,
        env=os.environ | {"TIDEGATE_SANITIZE": "1", "TIDEGATE_REQUIRE_EXTENSIONS": "1"},
        check=True,
    )


def environment() -> dict[str, str]:
    """What the interpreter needs, which isn't compiled like this itself."""
    libraries = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return os.environ | {
        "LD_PRELOAD": " ".join(libraries),
        # The interpreter leaves much to the end of its process.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        # Python's own allocator hides from a sanitizer where an object ends.
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": os.pathsep.join([str(FOLDER / "src"), str(ROOT)]),
        "TIDEGATE_REQUIRE_EXTENSIONS": "1",
    }


def main() -> int:
    """Build, and run."""
    build()
    arguments = sys.argv[1:]
    if not arguments:
        arguments = [f"--ignore=tests/{name}" for name in WITHOUT]
        arguments += [f"tests/{name}" for name in ROOMS]
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment()).returncode


if __name__ == "__main__":
    sys.exit(main())
