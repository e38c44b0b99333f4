"""``python -m benchmarks.instructions``: count, and compare with what was stored."""

from __future__ import annotations

import argparse
import sys

from .measure import (
    RECORD,
    SCENARIOS,
    Impossible,
    differences,
    measure,
    read_record,
    slower,
    write_record,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--only", help="names of scenarios, with commas")
    parser.add_argument("--update", action="store_true", help="store what was counted")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else None
    if unknown := set(names or ()) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    record = read_record() if RECORD.exists() else {"depends on": {}, "instructions": {}}
    known: dict[str, int] = record["instructions"]
    try:
        counts = measure(names, lambda name: print(f"{name} ...", file=sys.stderr))
    except Impossible as exc:
        print(f"nothing can be counted: {exc}", file=sys.stderr)
        return 1
    others = differences(record)
    for name, count in counts.items():
        line = f"{SCENARIOS[name][0]:40} {count:>10,}"
        if name in known:
            line += f"   stored {known[name]:>10,}  {count / known[name] - 1:+7.1%}"
        print(line)
    for difference in others:
        print(f"differs from the record in what counts depend on: {difference}")
    if arguments.update:
        write_record(counts if others else {**known, **counts})
        return 0
    return 1 if slower(counts, known) and not others else 0


if __name__ == "__main__":
    sys.exit(main())
