"""How many instructions tidegate takes, compared with what it took when they were stored."""

from __future__ import annotations

import pytest
from benchmarks.instructions import measure


def test_nothing_has_become_slower():
    """Counts are those of a machine and its tools, so they say nothing about another one."""
    try:
        measure.check_tools()
    except measure.Impossible as exc:
        pytest.skip(str(exc))
    record = measure.read_record()
    others = measure.differences(record)
    if others:
        pytest.skip(f"not what counts were stored for: {'; '.join(others)}")
    counts = measure.measure()
    assert counts.keys() == record["instructions"].keys()
    told = measure.slower(counts, record["instructions"])
    if told:
        # What comes once in a while may have come twice. Counts depend a little on what was before.
        told = measure.slower(measure.measure(), record["instructions"])
    assert not told, "if it has to be so, `make bench-instructions UPDATE=1` stores it"


def test_only_what_is_over_the_tolerance_is_told():
    known = {"opening": 1000, "echo": 1000, "tls": 1000}
    told = measure.slower({"opening": 1030, "echo": 1031, "tls": 500, "new": 5}, known)
    assert told == ["echo: 1,031 instructions, 1,000 before (+3.1%)"]


def test_differences_of_machines_are_told(monkeypatch):
    monkeypatch.setattr(measure, "depends_on", lambda: {"Python": "3.12", "Cython": "3.3"})
    record = {"depends on": {"Python": "3.11", "Cython": "3.3"}}
    assert measure.differences(record) == ["Python: 3.11, here 3.12"]
    assert not measure.differences({"depends on": measure.depends_on()})


def test_missing_tools_are_told(monkeypatch):
    monkeypatch.setattr(measure.shutil, "which", lambda tool: None)
    with pytest.raises(measure.Impossible, match="needs"):
        measure.check_tools()
