"""Runs the tests on every CPython that this machine has and tidegate supports: `make test-all`.

Each has an environment of its own, ``.venv-3.12.1`` for example, which stays for the next time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

OLDEST = (3, 11)

# Prints what identifies an interpreter, if it is one that can be used.
PROBE = (
    "import platform, sysconfig, venv; "
    "print(platform.python_implementation(), platform.python_version(), "
    "'t' if sysconfig.get_config_var('Py_GIL_DISABLED') else '')"
)


def candidates() -> list[Path]:
    """Give what may be a Python: that which runs this, in the PATH, of pyenv and of uv."""
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    # The PATH first: its Pythons are those that the user prefers.
    return [
        Path(sys.executable),
        *(
            path
            for folder in os.get_exec_path()
            for path in sorted(Path(folder).glob("python3.*"))
            if re.fullmatch(r"python3\.\d+t?", path.name)
        ),
        *sorted(pyenv.glob("versions/*/bin/python3")),
        *sorted(uv.glob("cpython-*/bin/python3")),
    ]


def probe(path: Path) -> tuple[str, tuple[int, ...]] | None:
    """Give the name and version of an interpreter; None if it isn't a CPython to test on."""
    try:
        result = subprocess.run(
            [path, "-c", PROBE], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    implementation, version, *free_threaded = result.stdout.split()
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if implementation != "CPython" or numbers < OLDEST:
        return None
    return f"{version}{''.join(free_threaded)}", numbers


def find_pythons() -> dict[str, Path]:
    """Give the first interpreter of each version, by its name."""
    found: dict[str, tuple[tuple[int, ...], Path]] = {}
    for path in candidates():
        known = probe(path)
        if known is not None:
            name, version = known
            found.setdefault(name, (version, path))
    return {name: path for name, (_, path) in sorted(found.items(), key=lambda item: item[1])}


def run_tests(name: str, path: Path) -> bool:
    """Run the tests as `make test` does, in an environment for one interpreter."""
    print(f"\nCPython {name}, {path}", flush=True)
    command = ["make", "--no-print-directory", "pytest", f"PYTHON={path}", f"VENV=.venv-{name}"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    pythons = find_pythons()
    outcomes = {name: run_tests(name, path) for name, path in pythons.items()}
    print()
    for name, passed in outcomes.items():
        print(f"{name:8}{'passed' if passed else 'FAILED'}")
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
