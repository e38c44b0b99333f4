"""``python -m conformance``: run Autobahn|Testsuite on tidegate, as a server and as a client."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from pathlib import Path

from .suite import WORK, Unavailable, install, test_client, test_server
from .verdict import Verdict

# Groups of cases that are run at a time, the longest first, and how many cases each set has.
COMPRESSION = [f"13.{n}.*" for n in range(1, 8)] + [f"12.{n}.*" for n in range(1, 6)]
PERFORMANCE = ["9.*"]
CORE = ["6.*", "1.*,2.*,3.*,4.*,5.*,7.*,10.*"]
SETS = {
    "core": (CORE, 247),
    "perf": (PERFORMANCE, 54),
    "compress": (COMPRESSION, 216),
    "all": (COMPRESSION + PERFORMANCE + CORE, 517),
}


async def run_groups(
    library: str, role: str, groups: list[str], folder: Path, jobs: int
) -> Verdict:
    """Run groups of cases, ``jobs`` at a time: each has a port and a process of its own."""
    waiting = list(groups)
    verdict = Verdict()
    testee = [sys.executable, "-m", "conformance.testee", library, role]
    test = test_server if role == "server" else test_client

    async def work() -> None:
        while waiting:
            group = waiting.pop(0)
            place = folder / role / group.replace("*", "x").replace(",", "+")
            place.mkdir(parents=True)
            started = time.monotonic()
            await test(testee, group.split(","), place)
            verdict.add(place)
            print(f"  {role} {group}: {time.monotonic() - started:.0f} s", flush=True)

    await asyncio.gather(*(work() for _ in range(jobs)))
    return verdict


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("--set", choices=SETS, default="all", help="which cases")
    parser.add_argument("--role", choices=("server", "client", "both"), default="both")
    parser.add_argument("--library", dest="peer", default="tidegate", help="what is tested")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    arguments = parser.parse_args()

    groups, expected = SETS[arguments.set]
    folder = WORK / "reports" / arguments.peer
    shutil.rmtree(folder, ignore_errors=True)
    failed = False
    try:
        install()
        for role in ("server", "client"):
            if arguments.role not in (role, "both"):
                continue
            started = time.monotonic()
            verdict = asyncio.run(run_groups(arguments.peer, role, groups, folder, arguments.jobs))
            complaints = verdict.complaints(expected)
            counts = ", ".join(f"{count} {what}" for what, count in verdict.counts().items())
            seconds = time.monotonic() - started
            print(f"{arguments.peer} as a {role}: {counts} ({seconds:.0f} s)", flush=True)
            for complaint in complaints:
                print(f"  {complaint}")
            failed = failed or bool(complaints)
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 2
    if failed:
        print(f"Not conformant; what was said on the wire: {folder}/*/*/*.html", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
