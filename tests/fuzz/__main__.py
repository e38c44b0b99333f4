"""Fuzzes for some time: ``python -m tests.fuzz --seconds 60``; see `targets`.

The exit status is 0 if nothing was found. A finding is repeated with ``--only TARGET --seed SEED
--count 1``.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import random
import sys
import time
import traceback

from .targets import TARGETS

# How long one seed may take, in seconds. Most take less than a hundredth of one.
SEED_TIMEOUT = 60


def main() -> int:
    """Fuzz, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=60, help="how long, for all targets")
    parser.add_argument("--seed", type=int, help="the first seed; random by default")
    parser.add_argument("--count", type=int, help="how many seeds, rather than how long")
    parser.add_argument("--only", choices=[target.__name__ for target in TARGETS])
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    faulthandler.enable()
    targets = [each for each in TARGETS if arguments.only in (None, each.__name__)]
    first = random.randrange(2**48) if arguments.seed is None else arguments.seed
    found = 0
    for target in targets:
        end = time.monotonic() + arguments.seconds / len(targets)
        seed = first
        # Should the process die or hang of a seed, this is where to begin again.
        print(f"{target.__name__}: from seed {first}", flush=True)
        while seed - first < arguments.count if arguments.count else time.monotonic() < end:
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
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
