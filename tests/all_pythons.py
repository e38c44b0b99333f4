"""Runs the tests on every CPython that this machine has and tidegate supports: `make test-all`.

Each has an environment of its own, ``.venv-3.12.1`` for example, which stays for the next time.
Those that ``.ci/install-pythons`` brought are in a folder that holds another Debian: their tests
run in a chroot, without the proxies and load balancers that are installed outside.

With arguments, these are run instead of all tests, on one Python or all::

    python tests/all_pythons.py
    python tests/all_pythons.py --only 3.15 -- .venv/bin/python -m pytest tests/asyncio
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

OLDEST = (3, 11)

# Prints what identifies an interpreter, if it is one that can be used.
PROBE = (
    "import platform, sysconfig, venv; "
    "print(platform.python_implementation(), platform.python_version(), "
    "'t' if sysconfig.get_config_var('Py_GIL_DISABLED') else '')"
)

# What a chroot needs is mounted where only one command sees it, and gone when that command ends.
ENTER = """
root=$1 project=$2; shift 2
mkdir -p "$root$project"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --bind "$project" "$root$project"
exec chroot "$root" sh -euc 'cd "$1"; shift; exec "$@"' sh "$project" "$@"
"""


def unpacked() -> Path:
    """Give the folder of ``.ci/install-pythons``, which says the same."""
    return Path(os.environ.get("TIDEGATE_PYTHONS") or "/var/lib/tidegate/forky")


def is_python(path: Path) -> bool:
    return re.fullmatch(r"python3\.\d+t?", path.name) is not None


@dataclass(frozen=True)
class Python:
    """An interpreter.

    Args:
        path: where it is, as seen in its folder.
        folder: in which another system is unpacked; None if it is of this one.

    """

    path: Path
    folder: Path | None = None

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """Give a command as it is run where the interpreter is."""
        if self.folder is None:
            return [*arguments]
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", ENTER, "sh"]
        return [*enter, self.folder, ROOT, *arguments]

    def environment(self) -> dict[str, str]:
        """Give the environment for commands where the interpreter is."""
        environment = dict(os.environ)
        if self.folder is not None:
            environment["PATH"] = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
            # It has none.
            environment.pop("TIDEGATE_REQUIRE_PEERS", None)
        return environment

    def __str__(self) -> str:
        return f"{self.path}" if self.folder is None else f"{self.path} in {self.folder}"


def candidates() -> Iterator[Python]:
    """Give what may be a Python: that which runs this, in the PATH, of pyenv, of uv, unpacked."""
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    # The PATH first: its Pythons are those that the user prefers.
    yield Python(Path(sys.executable))
    for folder in os.get_exec_path():
        yield from map(Python, filter(is_python, sorted(Path(folder).glob("python3.*"))))
    yield from map(Python, sorted(pyenv.glob("versions/*/bin/python3")))
    yield from map(Python, sorted(uv.glob("cpython-*/bin/python3")))
    other = unpacked()
    if os.name == "posix" and os.geteuid() == 0:
        for path in filter(is_python, sorted(other.glob("usr/bin/python3.*"))):
            yield Python(Path("/") / path.relative_to(other), other)


def probe(python: Python) -> tuple[str, tuple[int, ...]] | None:
    """Give the name and version of an interpreter; None if it isn't a CPython to test on."""
    try:
        result = subprocess.run(
            python.command(python.path, "-c", PROBE),
            env=python.environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    implementation, version, *free_threaded = result.stdout.split()
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if implementation != "CPython" or numbers < OLDEST:
        return None
    return f"{version}{''.join(free_threaded)}", numbers


def find_pythons() -> dict[str, Python]:
    """Give the first interpreter of each version, by its name."""
    found: dict[str, tuple[tuple[int, ...], Python]] = {}
    for python in candidates():
        known = probe(python)
        if known is not None:
            name, version = known
            found.setdefault(name, (version, python))
    by_version = sorted(found.items(), key=lambda item: item[1][0])
    return {name: python for name, (_, python) in by_version}


def run_tests(name: str, python: Python, instead: Sequence[str] = ()) -> bool:
    """Run the tests as `make test` does, or something else, in an environment of one interpreter.

    Args:
        name: of the version.
        python: the interpreter.
        instead: a command; ``.venv`` at its beginning stands for the environment.

    """
    print(f"\nCPython {name}, {python}", flush=True)
    environment = f".venv-{name}" if python.folder is None else f".venv-{name}-{python.folder.name}"
    target = f"{environment}/.test" if instead else "pytest"
    make = ["make", "--no-print-directory", target, f"PYTHON={python.path}", f"VENV={environment}"]
    commands = [make]
    if instead:
        commands.append([re.sub(r"^\.venv(?=/)", environment, instead[0]), *instead[1:]])
    return all(
        subprocess.run(
            python.command(*command), cwd=ROOT, env=python.environment(), check=False
        ).returncode
        == 0
        for command in commands
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the tests on every CPython there is.")
    parser.add_argument("--only", metavar="3.X", help="on the Pythons of this version")
    parser.add_argument("command", nargs="*", help="what to run instead of the tests")
    args = parser.parse_args()
    pythons = {
        name: python
        for name, python in find_pythons().items()
        if args.only is None or f"{name}.".startswith(f"{args.only}.")
    }
    if not pythons:
        print(f"There is no CPython {args.only}.", file=sys.stderr)
        return 1
    outcomes = {name: run_tests(name, python, args.command) for name, python in pythons.items()}
    print()
    for name, passed in outcomes.items():
        print(f"{name:8}{'passed' if passed else 'FAILED'}")
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
