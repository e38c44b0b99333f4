"""Which Pythons `make test-all` finds, and how it runs something on them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import all_pythons
from tests.all_pythons import Python, candidates, probe, unpacked

ROOT = Path(__file__).resolve().parents[2]


def test_finds_this_one():
    name, version = probe(Python(Path(sys.executable)))
    assert version == sys.version_info[:3]
    assert name.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")


@pytest.mark.parametrize(("user", "found"), [(0, ["python3.14", "python3.15t"]), (1000, [])])
def test_finds_what_is_unpacked(tmp_path, monkeypatch, user, found):
    (tmp_path / "usr/bin").mkdir(parents=True)
    for name in ("python3", "python3.14", "python3.15t", "python3.15-config", "python3-config"):
        (tmp_path / "usr/bin" / name).touch()
    monkeypatch.setenv("TIDEGATE_PYTHONS", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    inside = [python for python in candidates() if python.folder is not None]
    assert inside == [Python(Path("/usr/bin") / name, tmp_path) for name in found]


def test_what_cannot_be_used_is_left_out(tmp_path):
    assert probe(Python(tmp_path / "python3.15")) is None
    assert probe(Python(Path("/usr/bin/python3.15"), tmp_path)) is None


def test_chroot(monkeypatch):
    python = Python(Path("/usr/bin/python3.15"), unpacked())
    if not unpacked().exists() or os.geteuid() != 0 or probe(python) is None:
        pytest.skip("Python 3.15 isn't unpacked, or can't be entered")
    monkeypatch.setenv("TIDEGATE_REQUIRE_PEERS", "1")
    seen = subprocess.run(
        python.command(python.path, "-c", SEEN),
        env=python.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.split() == [str(ROOT), "3.15", "True", "True", "None"]
    # And nothing that was mounted there stays.
    assert str(unpacked()) not in Path("/proc/mounts").read_text()


SEEN = """
import os, sys
print(os.getcwd(), "%d.%d" % sys.version_info[:2], os.path.exists("setup.py"))
print(os.path.exists("/proc/self") and os.path.exists("/dev/null"))
print(os.environ.get("TIDEGATE_REQUIRE_PEERS"))
"""


def test_runs_something_else_in_the_environment(monkeypatch):
    commands = []

    def run(command, **options):
        commands.append(" ".join(map(str, command)))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(all_pythons.subprocess, "run", run)
    assert all_pythons.run_tests("3.12.1", Python(Path("/x/python3")), [".venv/bin/pytest", "a"])
    assert commands == [
        "make --no-print-directory .venv-3.12.1/.test PYTHON=/x/python3 VENV=.venv-3.12.1",
        ".venv-3.12.1/bin/pytest a",
    ]


@pytest.fixture
def install(tmp_path):
    """Give a function that runs the script with programs of our own before those of the system."""

    def run(folder, **programs):
        for name, script in programs.items():
            program = tmp_path / name
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TIDEGATE_PYTHONS": str(folder)}
        return subprocess.run(
            [ROOT / ".ci/install-pythons"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


# Of the system, the script has to find nothing but what is said here.
DEBIAN = {"id": "echo 0", "apt-get": "exit 1", "unshare": "exit 0"}


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({"id": "echo 1000"}, "that takes root"),
        ({"unshare": "exit 1"}, "nothing can be mounted here"),
    ],
)
def test_says_why_it_installs_nothing(tmp_path, install, programs, reason):
    done = install(tmp_path / "pythons", **{**DEBIAN, **programs})
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"No Python from Debian's forky is installed: {reason}.\n"
    assert not (tmp_path / "pythons").exists()


def test_keeps_a_folder_that_is_not_its_own(tmp_path, install):
    folder = tmp_path / "important"
    folder.mkdir()
    (folder / "file").touch()
    done = install(folder, **DEBIAN)
    assert done.returncode == 1
    assert "isn't a folder of Pythons: set TIDEGATE_PYTHONS to another" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["file"]
