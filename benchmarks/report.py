"""Writes what was measured as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from .goals import GOALS, Goal, read_causes
from .programs import (
    AIOHTTP,
    C_LIMIT,
    CLIENTS,
    LISTENER,
    PICOWS_CORE,
    PICOWS_WEBSOCKETS,
    SERVERS,
    TIDEGATE,
    WEBSOCKETS,
)
from .results import (
    Results,
    compression_ratio,
    cpu_per_operation,
    import_seconds,
    per_second,
    quantile,
    resident_idle,
    resident_used,
)
from .run import Figures
from .scenarios import GROWTH_CONNECTIONS, GROWTH_SIZE, SCENARIOS, Scenario

Metric = Callable[[Figures], float]

INTRODUCTION = """\
# What tidegate takes, beside its peers

Written by `make bench`; how it measures is told in [README.md](README.md). Everything below is of
one run on one machine, in rounds that take each program in turn, so compare the rows of a table,
not tables of different runs. Each figure is the median of its rounds; ± is half of how far the
lowest and the highest of them lie apart, as a part of it. CPU time is that of the
program under test, user and system together. "uvloop" stands behind the programs that ran on it;
the others ran on the event loop of the standard library. × compares the first column with that of
tidegate's coroutine API on that loop.
"""


# What stands in the short table, which README has as well.
SHORT_PROGRAMS = [
    WEBSOCKETS,
    AIOHTTP,
    PICOWS_WEBSOCKETS,
    PICOWS_CORE,
    TIDEGATE,
    LISTENER,
    C_LIMIT,
]
SHORT_SCENARIOS = {
    "echo-small": "1 connection, 64 × 32 B",
    "echo-medium": "50 connections, 8 × 256 B",
    "echo-many": "50 connections, 1 × 32 B",
    "echo-large": "4 connections, 4 × 64 KiB",
    "echo-json": "2 KB of JSON, compressed",
    "connections-compressed": "opening handshake",
}


def microseconds(seconds: float) -> str:
    value = seconds * 1e6
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def with_spread(
    results: Results, scenario: str, program: str, metric: Metric, show: Callable[[float], str]
) -> str:
    """Give a figure and how far its rounds lie apart; nothing if there is none."""
    value = results.value(scenario, program, metric)
    if value is None:
        return ""
    if len(results.rounds[scenario][program]) < 2:
        return show(value)
    return f"{show(value)} ± {results.spread(scenario, program, metric) / 2:.0%}"


def kibibytes(count: float) -> str:
    return f"{count / 1024:.1f}"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(header)
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def columns(scenario: Scenario) -> list[tuple[str, Metric, Callable[[float], str]]]:
    """Give the columns of a scenario's table, the first of which is compared."""
    latency: list[tuple[str, Metric, Callable[[float], str]]] = [
        ("p50 µs", quantile("p50"), microseconds),
        ("p99 µs", quantile("p99"), microseconds),
        ("p99.9 µs", quantile("p999"), microseconds),
    ]
    if scenario.kind == "import":
        return [("milliseconds", import_seconds, lambda seconds: f"{seconds * 1e3:.1f}")]
    if scenario.kind == "memory":
        return [
            ("CPU µs/handshake", cpu_per_operation, microseconds),
            ("handshakes/s", per_second, "{:,.0f}".format),
            ("idle KiB/connection", resident_idle, kibibytes),
            ("KiB after one message", resident_used, kibibytes),
        ]
    one, many = {
        "storm": ("handshake", "handshakes"),
        "broadcast": ("delivery", "deliveries"),
    }.get(scenario.kind, ("message", "messages"))
    found: list[tuple[str, Metric, Callable[[float], str]]] = [
        (f"CPU µs/{one}", cpu_per_operation, microseconds),
        (f"{many}/s", per_second, "{:,.0f}".format),
        *latency,
    ]
    if scenario.kind == "quiet":
        return latency
    if scenario.needs and scenario.json:
        found.append(("bytes sent", compression_ratio, lambda value: f"{value:.0%}"))
    return found


def program_order(results: Results, scenario: Scenario) -> list[str]:
    measured = results.rounds.get(scenario.name, {})
    if scenario.kind == "import":
        return list(measured)
    known = CLIENTS if scenario.kind == "client" else SERVERS
    return [program.name for program in known if program.name in measured]


def summary_line(results: Results, scenario: Scenario, program: str) -> str:
    """Give the figures of one program in one line, for the terminal."""
    if program not in results.rounds.get(scenario.name, {}):
        return ""
    cells = []
    for title, metric, show in columns(scenario):
        figure = with_spread(results, scenario.name, program, metric, show)
        cells.append(f"{figure:>16} {title}")
    return f"{program:24}" + " ".join(cells)


def scenario_table(results: Results, scenario: Scenario) -> str:
    shown = columns(scenario)
    compared = shown[0][1]
    ours = results.value(scenario.name, TIDEGATE, compared)
    rows = []
    for name in program_order(results, scenario):
        cells = [
            with_spread(results, scenario.name, name, metric, show) for _, metric, show in shown
        ]
        first = results.value(scenario.name, name, compared)
        cells.insert(1, f"{first / ours:.2f}" if ours and first is not None else "")
        label = f"**{name}**" if name in (TIDEGATE, LISTENER) else name
        rows.append([label, *cells])
    titles = [title for title, _, _ in shown]
    return table(["", titles[0], "×", *titles[1:]], rows)


def short_section(results: Results) -> str:
    """Give the table for those who want to know it in a few lines."""
    if not all(name in results.rounds for name in SHORT_SCENARIOS):
        return ""
    rows = []
    for program in SHORT_PROGRAMS:
        cells = [
            with_spread(results, name, program, cpu_per_operation, microseconds)
            for name in SHORT_SCENARIOS
        ]
        label = f"**{program}**" if program in (TIDEGATE, LISTENER) else program
        rows.append([label, *cells])
    return "## In short\n\n" + table(["CPU µs on a server", *SHORT_SCENARIOS.values()], rows)


def curve_table(results: Results, points: list[Scenario], unit: str) -> str:
    names = program_order(results, points[0])
    rows = []
    for name in names:
        cells = [
            with_spread(results, point.name, name, cpu_per_operation, microseconds)
            for point in points
        ]
        rows.append([name, *cells])
    return table([f"CPU µs/message by {unit}", *(point.title for point in points)], rows)


def goal_row(results: Results, goal: Goal) -> list[str] | None:
    reached = goal.reached(results)
    if reached is None:
        return None
    verdict = "yes" if reached >= goal.factor else "**no**"
    if goal.factor < 1:
        wanted = f"at most {1 / goal.factor:g} × as much as {goal.peer}"
        return [goal.what, wanted, f"{1 / reached:.2f} × as much", verdict]
    wanted = f"{goal.factor:g} × less" if goal.factor > 1 else "no more"
    return [goal.what, f"{wanted} than {goal.peer}", f"{reached:.2f} × less", verdict]


def goals_section(results: Results) -> str:
    rows = [row for row in (goal_row(results, goal) for goal in GOALS) if row]
    if not rows:
        return ""
    text = "## The goals\n\n"
    text += table(["tidegate's coroutine API", "goal", "measured", "reached"], rows)
    causes = read_causes()
    missed = [
        goal for goal in GOALS if (reached := goal.reached(results)) and reached < goal.factor
    ]
    if missed:
        text += "\nWhat keeps tidegate from the others, as far as it is known:\n\n"
        for goal in missed:
            cause = causes.get(goal.key, "not looked into yet")
            text += f"- {goal.what}, against {goal.peer}: {cause}\n"
    return text


def write_report(results: Results, path: Path) -> None:
    """Write all tables."""
    parts = [INTRODUCTION]
    if results.quick:
        parts.append("This was the quick mode: few and short rounds, a rough picture.\n")
    parts.append(table(["", ""], [[name, value] for name, value in results.environment.items()]))
    parts.append(short_section(results))
    parts.append(goals_section(results))
    curves = [
        ("connections", "Growth with connections, 4 × 32 B in flight each", GROWTH_CONNECTIONS),
        ("size", "Growth with message size, 4 messages in flight", GROWTH_SIZE),
    ]
    in_curves = {point.name for _, _, points in curves for point in points}
    for scenario in SCENARIOS:
        if scenario.name in results.rounds and scenario.name not in in_curves:
            text = f"## {scenario.title}\n\n{scenario_table(results, scenario)}"
            for program, reason in results.failures.get(scenario.name, {}).items():
                text += f"\n{program} failed: {reason}\n"
            parts.append(text)
    for unit, title, points in curves:
        if all(point.name in results.rounds for point in points):
            parts.append(
                f"## {title}\n\n![{title}](growth-{unit}.svg)\n\n"
                + curve_table(results, points, unit if unit == "connections" else "bytes")
            )
    parts.append(results.headers)
    path.write_text("\n".join(part for part in parts if part))
