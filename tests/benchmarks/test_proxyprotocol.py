"""What the benchmark makes of what PROXY protocol headers cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.bench_proxyprotocol import Accepting, HeaderCosts, Reading, headers_section
from benchmarks.run import Failure

from benchmarks import __main__ as command_module
from benchmarks import report, results

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("theirs", "cells"),
    [
        (2.0e-6, "| 2.00 | 10.0 × less | 10 × less | yes |"),
        (1.98e-6, "| 1.98 | 9.9 × less | 10 × less | **no** |"),
        (None, "| not installed |  | 10 × less |  |"),
    ],
)
def test_reading(theirs, cells):
    section = headers_section(HeaderCosts([Reading("version 1", 0.2e-6, theirs, 10)], []))
    assert f"| version 1 | 0.20 {cells}\n" in section


@pytest.mark.parametrize(
    ("percent", "cells"),
    [(24.9, "24.9 % | under 25 % | yes |"), (25.0, "25.0 % | under 25 % | **no** |")],
)
def test_accepting(percent, cells):
    accepting = Accepting("TCP, version 1", 99.9e-6, 75e-6, percent)
    section = headers_section(HeaderCosts([], [accepting]))
    assert f"| TCP, version 1 | 99.9 | 75.0 | {cells}\n" in section


def test_it_is_in_the_report(tmp_path):
    found = results.Results(headers=headers_section(HeaderCosts([], [])))
    report.write_report(found, tmp_path / "RESULTS.md")
    assert "## What PROXY protocol headers cost\n" in (tmp_path / "RESULTS.md").read_text("utf-8")
    found.save(tmp_path / "results.json")


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Give a function that runs the benchmark's command without its other scenarios."""
    build = tmp_path / "build"
    build.mkdir()
    monkeypatch.setattr(command_module, "HERE", tmp_path)
    monkeypatch.setattr(command_module, "BUILD", build)
    monkeypatch.setattr(command_module, "SCENARIOS", [])
    monkeypatch.setattr(command_module, "measure_hub", lambda quick: [])
    monkeypatch.setattr(command_module, "describe_environment", dict)

    monkeypatch.setattr(command_module, "busy_cpus", lambda: 0.1)

    def run(measure, *arguments):
        monkeypatch.setattr(command_module, "measure_headers", measure)
        monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
        return command_module.main()

    return run


def missed(quick):
    return HeaderCosts([Reading("version 1", 1.0, 9.0, 10)], [])


def failed(quick):
    raise Failure("the server doesn't answer")


def test_exit_status(command, tmp_path, capsys):
    """A goal that isn't reached is a result; a program that fails is none."""
    assert command(missed) == 0
    assert "**no**" in (tmp_path / "RESULTS.md").read_text("utf-8")
    assert command(failed) == 1
    report = (tmp_path / "RESULTS.md").read_text("utf-8")
    assert "## What PROXY protocol headers cost\n\ntidegate failed: the server" in report
    assert "doesn't answer" in capsys.readouterr().err


def test_busy_machine(command, tmp_path, capsys, monkeypatch):
    """What was measured beside something else isn't published, unless one insists."""
    monkeypatch.setattr(command_module, "busy_cpus", lambda: 1.7)
    assert command(missed) == 1
    assert not (tmp_path / "RESULTS.md").exists()
    assert (tmp_path / "build" / "RESULTS.md").exists()
    assert "busy with other things (1.70 CPUs)" in capsys.readouterr().err
    assert command(missed, "--force") == 0
    assert "| Busy with other things | 1.70 CPUs" in (tmp_path / "RESULTS.md").read_text("utf-8")


def test_parts(command, tmp_path):
    assert command(missed, "--only", "proxy") == command(missed, "--quick") == 0
    assert not (tmp_path / "RESULTS.md").exists()
    assert (tmp_path / "build" / "RESULTS.md").exists()
    # What is asked for is something else.
    for arguments in (["--only", "echo"], ["--programs", "aiohttp"]):
        with pytest.raises(SystemExit):
            command(failed, *arguments)


PROGRAM = """
from benchmarks.bench_proxyprotocol import FIVE, Failure, Server, build

server = Server(build(FIVE), None)
assert server.cost(3) > 0
server.header = b"no header"
try:
    server.cost(1)
except Failure:
    print("refused")
server.process.kill()
try:
    server.cost(1)
except Failure:
    print("gone")
server.stop()
"""


def test_failures_are_noticed():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.stdout, result.returncode) == ("refused\ngone\n", 0), result.stderr
