"""Fuzzes for some time: ``python -m tests.fuzz --seconds 60``.

Half of the time goes to `targets`, functions of a random seed; half to `inputs`, functions of
bytes, by coverage of the sources where Atheris is installed. What that finds worth keeping is then
given to the compiled modules and to their sources, which have to do the same.

The exit status is 0 if nothing was found. A finding is repeated with ``--only TARGET --seed SEED
--count 1``, or ``--only TARGET --input FILE``; if it was one, the file belongs into ``seeds``.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import faulthandler
import importlib.util
import logging
import os
import random
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..sources import SOURCES, import_sources
from ..wire.exposed import compiled
from . import inputs
from .targets import TARGETS

# How long one seed may take, in seconds. Most take less than a hundredth of one.
SEED_TIMEOUT = 60

# How much memory one target may take, in megabytes.
MOST_MEMORY = 2000

ROOT = Path(__file__).parents[2]

# What was found worth keeping, from one run to the next, and what went wrong.
CORPUS = ROOT / "build" / "fuzz"


def main() -> int:
    """Fuzz, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=60, help="how long, for all targets")
    parser.add_argument("--seed", type=int, help="the first seed; random by default")
    parser.add_argument("--count", type=int, help="how many seeds, rather than how long")
    names = sorted({target.__name__ for target in [*TARGETS, *inputs.TARGETS]})
    parser.add_argument("--only", choices=names, metavar="TARGET", help=", ".join(names))
    parser.add_argument("--input", type=Path, help="a file to give to the target")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    faulthandler.enable()
    by_seed = [each for each in TARGETS if arguments.only in (None, each.__name__)]
    by_bytes = [each for each in inputs.TARGETS if arguments.only in (None, each.__name__)]
    if arguments.input is not None:
        return sum(replay(target, [arguments.input]) for target in by_bytes)
    if arguments.seed is not None or arguments.count is not None:
        by_bytes = []
    found = 0
    seconds = arguments.seconds / (bool(by_seed) + bool(by_bytes))
    if by_seed:
        found += fuzz_by_seed(by_seed, seconds, arguments.seed, arguments.count)
    if by_bytes:
        found += fuzz_by_coverage(by_bytes, seconds)
    return 1 if found else 0


def fuzz_by_seed(
    targets: list[Callable[[int], None]], seconds: float, seed: int | None, count: int | None
) -> int:
    """Give targets one seed after the other; give how many found something."""
    found = 0
    first = random.randrange(2**48) if seed is None else seed
    for target in targets:
        end = time.monotonic() + seconds / len(targets)
        seed = first
        # Should the process die or hang of a seed, this is where to begin again.
        print(f"{target.__name__}: from seed {first}", flush=True)
        while seed - first < count if count else time.monotonic() < end:
            faulthandler.dump_traceback_later(SEED_TIMEOUT, exit=True)
            try:
                target(seed)
            except Exception:
                found += 1
                traceback.print_exc()
                repeat = f"python -m tests.fuzz --only {target.__name__} --seed {seed} --count 1"
                print(f"{target.__name__}: seed {seed}; again: {repeat}", file=sys.stderr)
                break
            seed += 1
        faulthandler.cancel_dump_traceback_later()
        print(f"{target.__name__}: {seed - first} seeds", flush=True)
    return found


def fuzz_by_coverage(targets: list[Callable[[str, bytes], Any]], seconds: float) -> int:
    """Let libFuzzer look for inputs; give how many targets found something."""
    if importlib.util.find_spec("atheris") is None:
        print("There is no Atheris here: what is known is tried, nothing is looked for by coverage")
    else:
        jobs = os.cpu_count() or 1
        share = max(seconds * jobs / len(targets), 1)
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            done = list(pool.map(lambda target: cover(target, share), targets))
        if not all(done):
            return done.count(False)
    return sum(replay(target, known(target)) for target in targets)


def corpus(target: Callable[[str, bytes], Any]) -> Path:
    """The folder of what a target was found to be worth."""
    return CORPUS / "corpus" / target.__name__


def known(target: Callable[[str, bytes], Any]) -> list[Path]:
    """All inputs for a target that there are."""
    folders = [inputs.SEEDS / target.__name__, corpus(target)]
    return [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]


def cover(target: Callable[[str, bytes], Any], seconds: float) -> bool:
    """Let libFuzzer look for inputs of one target; say whether all is well."""
    name = target.__name__
    folder = corpus(target)
    folder.mkdir(parents=True, exist_ok=True)
    for path in (inputs.SEEDS / name).iterdir():
        shutil.copyfile(path, folder / path.name)
    findings = CORPUS / "findings" / name
    findings.mkdir(parents=True, exist_ok=True)
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.fuzz.coverage",
            name,
            str(folder),
            f"-max_total_time={int(seconds)}",
            f"-artifact_prefix={findings}/",
            f"-rss_limit_mb={MOST_MEMORY}",
            f"-timeout={SEED_TIMEOUT}",
        ],
        cwd=ROOT,
        env=os.environ | {"TIDEGATE_NO_EXTENSIONS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if process.returncode:
        print(process.stdout[-5000:], file=sys.stderr)
        print(f"{name}: the input is in {findings}", file=sys.stderr)
        return False
    runs = [line for line in process.stdout.splitlines() if line.startswith("Done ")]
    print(f"{name}: {' '.join(runs)}, {len(list(folder.iterdir()))} inputs kept", flush=True)
    return True


def replay(target: Callable[[str, bytes], Any], paths: list[Path]) -> int:
    """Give inputs to the compiled modules and to their sources; give whether one was wrong."""
    import_sources()
    packages = ["tidegate", SOURCES] if compiled else ["tidegate"]
    for path in paths:
        data = path.read_bytes()
        faulthandler.dump_traceback_later(SEED_TIMEOUT, exit=True)
        try:
            seen = [target(package, data) for package in packages]
            assert seen[0] == seen[-1], "compiled, it does something else"
        except Exception:
            traceback.print_exc()
            repeat = f"python -m tests.fuzz --only {target.__name__} --input {path}"
            print(f"{target.__name__}: again: {repeat}", file=sys.stderr)
            return 1
        finally:
            faulthandler.cancel_dump_traceback_later()
    print(f"{target.__name__}: {len(paths)} inputs tried", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
