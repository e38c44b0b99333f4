"""What the benchmark makes of its figures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.programs import AIOHTTP, LEGACY, PICOWS_CORE, TIDEGATE, WEBSOCKETS

from benchmarks import goals, payloads, plot, report, results, scenarios


def figures(cpu: float, messages: int = 1000) -> dict[str, object]:
    """The figures of one round, as the load generator prints them."""
    return {
        "connections": 10,
        "seconds": 0.5,
        "messages": messages,
        "message_bytes": messages * 32,
        "wire_bytes": messages * 8,
        "opened": 10,
        "server_cpu": cpu,
        "resident_before": 10_000_000,
        "resident_idle": 10_000_000 + int(cpu * 1e6),
        "resident_used": 10_000_000 + int(cpu * 2e6),
        "latency": {"count": messages, "p50": 1e4, "p99": 2e4, "p999": 3e4, "max": 4e4},
    }


def measured(**cpu: list[float]) -> results.Results:
    """Results of echo-small; the rounds of each program took these CPU seconds."""
    found = results.Results()
    scenario = next(s for s in scenarios.SCENARIOS if s.name == "echo-small")
    for program, rounds in cpu.items():
        for seconds in rounds:
            found.add(scenario, program.replace("_", " "), figures(seconds))
    return found


def test_median_of_the_rounds_counts():
    found = measured(tidegate=[0.001, 0.009, 0.002])
    assert found.value("echo-small", TIDEGATE, results.cpu_per_operation) == pytest.approx(2e-6)
    assert found.spread("echo-small", TIDEGATE, results.cpu_per_operation) == pytest.approx(4)
    assert found.value("echo-small", AIOHTTP, results.cpu_per_operation) is None


@pytest.mark.parametrize(("theirs", "reached"), [(0.0201, "yes"), (0.0199, "**no**")])
def test_goal_is_reached_from_its_factor_on(theirs, reached):
    found = measured(tidegate=[0.001], websockets=[theirs])
    goal = next(g for g in goals.GOALS if g.scenario == "echo-small" and g.peer == WEBSOCKETS)
    row = report.goal_row(found, goal)
    assert row is not None
    assert row[-1] == reached
    unmeasured = next(g for g in goals.GOALS if g.peer == PICOWS_CORE)
    assert report.goal_row(found, unmeasured) is None


@pytest.mark.parametrize(("ours", "reached"), [(0.00129, "yes"), (0.00131, "**no**")])
def test_goal_of_another_program_is_how_much_more_it_may_take(ours, reached):
    found = results.Results()
    scenario = next(s for s in scenarios.SCENARIOS if s.name == "echo-small")
    found.add(scenario, TIDEGATE, figures(0.001))
    found.add(scenario, LEGACY, figures(ours))
    goal = next(g for g in goals.GOALS if g.scenario == "echo-small" and g.program == LEGACY)
    row = report.goal_row(found, goal)
    assert row is not None
    assert row[1:] == [
        "at most 1.3 × as much as tidegate",
        f"{ours / 0.001:.2f} × as much",
        reached,
    ]


def test_keys_of_goals_are_different():
    keys = {goal.key for goal in goals.GOALS}
    assert len(keys) == len(goals.GOALS)


def test_missed_goal_names_its_cause(monkeypatch):
    goal = next(g for g in goals.GOALS if g.scenario == "echo-small" and g.peer == WEBSOCKETS)
    monkeypatch.setattr(report, "read_causes", lambda: {goal.key: "the cause"})
    slow = report.goals_section(measured(tidegate=[0.001], websockets=[0.002]))
    fast = report.goals_section(measured(tidegate=[0.001], websockets=[0.2]))
    assert "the cause" in slow
    assert "the cause" not in fast


def test_causes_are_of_goals():
    assert set(goals.read_causes()) <= {goal.key for goal in goals.GOALS}


def test_goals_are_of_scenarios():
    assert {goal.scenario for goal in goals.GOALS} <= {s.name for s in scenarios.SCENARIOS}


def test_report_compares_with_tidegate(tmp_path):
    found = measured(tidegate=[0.001, 0.001], picows_core=[0.004, 0.008])
    report.write_report(found, tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| **tidegate** | 1.00 ± 0% | 1.00 |" in text
    assert "| picows core | 6.00 ± 33% | 6.00 |" in text


@pytest.mark.parametrize("kind", ["memory", "storm", "broadcast", "quiet"])
def test_every_kind_has_a_table(kind):
    scenario = next(s for s in scenarios.SCENARIOS if s.kind == kind)
    found = results.Results()
    found.add(scenario, TIDEGATE, figures(0.001, 0 if kind in ("memory", "storm") else 1000))
    lines = report.scenario_table(found, scenario).splitlines()
    assert len(lines) == 3
    assert len({line.count("|") for line in lines}) == 1


def test_curves_are_drawn(tmp_path):
    found = results.Results()
    for number, point in enumerate(scenarios.GROWTH_SIZE, 1):
        found.add(point, TIDEGATE, figures(0.001 * number))
        found.add(point, WEBSOCKETS, figures(0.01 * number))
    plot.write_plots(found, tmp_path)
    assert not (tmp_path / "growth-connections.svg").exists()
    root = ElementTree.parse(tmp_path / "growth-size.svg").getroot()
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    for line in lines:
        points = [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]
        assert len(points) == len(scenarios.GROWTH_SIZE)
        assert all(0 < x < plot.WIDTH and 0 < y < plot.HEIGHT for x, y in points)


def test_labels_are_moved_apart():
    moved = plot.spread_labels({"low": 30.0, "high": 10.0, "also low": 31.0}, 15)
    assert moved == {"high": 10.0, "low": 30.0, "also low": 45.0}


def test_json_messages_fill_their_size(tmp_path: Path):
    payloads.write_json_messages(tmp_path / "messages", 2000, count=20)
    lines = (tmp_path / "messages").read_text().splitlines()
    assert len(set(lines)) == 20
    for line in lines:
        assert 1800 < len(line) <= 2000
        json.loads(line)


def test_scenarios_have_names_of_their_own():
    names = [scenario.name for scenario in scenarios.SCENARIOS]
    assert len(set(names)) == len(names)
    assert all(dataclasses.replace(s, rounds=1).rounds == 1 for s in scenarios.SCENARIOS)


def test_every_scenario_has_five_rounds():
    assert all(scenario.rounds >= 5 for scenario in scenarios.SCENARIOS)


def test_busy_cpus_are_seen():
    assert results.busy_cpus(0.05) >= 0
    before = results.busy_ticks()
    while results.busy_ticks() == before:
        pass
