"""Run the tests in several processes; those that fail there are run once more, alone.

Thousands of tests with real sockets, programs and signals share a few cores, so that some wait
that is long enough on any quiet machine may be too short for once. What fails alone as well, or
isn't alone in failing, is a fault. What failed only in the crowd is named at the end: it has to be
looked at, but says nothing about the change that is tested.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

PROCESSES = "3"

# More than so many don't fail by chance.
FORGIVEN = 4

ROOT = pathlib.Path(__file__).parent.parent


def pytest(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", *arguments], cwd=ROOT
    ).returncode


def main(*arguments):
    with tempfile.TemporaryDirectory() as folder:
        cache = f"cache_dir={folder}"
        status = pytest("-o", cache, "--numprocesses", PROCESSES, *arguments)
        record = pathlib.Path(folder, "v", "cache", "lastfailed")
        if status != 1 or not record.exists():
            return status
        failed = list(json.loads(record.read_text()))
        if len(failed) > FORGIVEN:
            return status
        print(f"\nOnce more, alone: {len(failed)} of the tests", flush=True)
        again = ["--last-failed", "--last-failed-no-failures", "none", "-p", "no:xdist"]
        status = pytest("-o", cache, *again, *arguments)
        if status == 0:
            print("Failed only beside the others:", *failed, sep=f"{os.linesep}    ")
        return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
