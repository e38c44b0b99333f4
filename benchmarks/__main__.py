"""``python -m benchmarks``: measure, and write what was measured."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from .bench_hub import TITLE as HUB_TITLE
from .bench_hub import hub_section, measure_hub
from .bench_proxyprotocol import TITLE as HEADERS_TITLE
from .bench_proxyprotocol import headers_section, measure_headers
from .plot import write_plots
from .programs import BUILD, CLIENTS, HERE, SERVERS, Program
from .report import summary_line, write_report
from .results import Results, busy_cpus, describe_environment
from .run import Failure, Server, run_client, run_import, run_load, running
from .scenarios import SCENARIOS, Scenario

QUICK_DURATION = 0.25  # seconds

# With more CPUs than this at something else, figures say more of that than of the programs.
BUSY = 0.3
QUICK_CONNECTIONS = 500
HEADERS = "proxyprotocol"
HUB = "hub"


def participants(scenario: Scenario, chosen: list[str] | None) -> list[Program]:
    """Give the programs that take part in a scenario."""
    if scenario.kind == "import":
        return [Program(module, module) for module in scenario.programs or ()]
    return [
        program
        for program in (CLIENTS if scenario.kind == "client" else SERVERS)
        if program.takes_part(scenario.programs)
        if chosen is None or program.family in chosen or program.name in chosen
        if scenario.needs <= program.abilities
    ]


def measure(scenario: Scenario, programs: list[Program], results: Results) -> None:
    """Run the rounds of a scenario: each round takes every program in turn."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, Server] = {}
        if scenario.kind == "client":
            shared = stack.enter_context(running(SERVERS[0], scenario))
            servers = {program.name: shared for program in programs}
        elif scenario.kind not in ("memory", "import"):
            for program in programs:
                with failing(scenario, program, results):
                    servers[program.name] = stack.enter_context(running(program, scenario))
        for _ in range(scenario.rounds):
            for program in programs:
                if program.name in results.failures.get(scenario.name, {}):
                    continue
                with failing(scenario, program, results):
                    figures = measure_once(scenario, program, servers)
                    results.add(scenario, program.name, figures)


def measure_once(
    scenario: Scenario, program: Program, servers: dict[str, Server]
) -> dict[str, float]:
    if scenario.kind == "import":
        return run_import(program.module)
    if scenario.kind == "client":
        return run_client(program, scenario, servers[program.name])
    if scenario.kind == "memory":  # what a process once took, it seldom gives back
        with running(program, scenario) as server:
            return run_load(scenario, server)
    return run_load(scenario, servers[program.name])


@contextlib.contextmanager
def failing(scenario: Scenario, program: Program, results: Results) -> Iterator[None]:
    """Note a failure and go on with the other programs."""
    try:
        yield
    except Failure as failure:
        results.fail(scenario, program.name, str(failure))
        results.rounds.get(scenario.name, {}).pop(program.name, None)
        print(f"  {program.name}: {failure}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", help="beginnings of names of scenarios, with commas; 'list' shows them"
    )
    parser.add_argument("--programs", help="names of programs or libraries, with commas")
    parser.add_argument("--rounds", type=int, help="rounds per scenario")
    parser.add_argument("--quick", action="store_true", help="less of everything: two minutes")
    parser.add_argument(
        "--force", action="store_true", help="write RESULTS.md though the machine is busy"
    )
    arguments = parser.parse_args()
    if arguments.only == "list":
        for scenario in SCENARIOS:
            print(f"{scenario.name:24} {scenario.title}")
        print(f"{HEADERS:24} {HEADERS_TITLE}")
        print(f"{HUB:24} {HUB_TITLE}")
        print("programs:", "; ".join(sorted({p.name for p in SERVERS + CLIENTS})))
        return 0

    chosen = arguments.programs.split(",") if arguments.programs else None
    beginnings = tuple(arguments.only.split(",")) if arguments.only else ("",)
    scenarios = [scenario for scenario in SCENARIOS if scenario.name.startswith(beginnings)]
    headers = HEADERS.startswith(beginnings) and chosen is None
    hub = HUB.startswith(beginnings) and chosen is None
    if not scenarios and not headers and not hub:
        parser.error("no scenario has such a name: --only list shows them")
    if arguments.quick:
        scenarios = [
            replace(
                scenario,
                rounds=1,
                duration=QUICK_DURATION,
                connections=min(scenario.connections, QUICK_CONNECTIONS),
            )
            for scenario in scenarios
            if scenario.quick or arguments.only
        ]
    if arguments.rounds:
        scenarios = [replace(scenario, rounds=arguments.rounds) for scenario in scenarios]

    results = Results(environment=describe_environment(), quick=arguments.quick)
    started = time.monotonic()
    busiest = 0.0
    for scenario in scenarios:
        busiest = look_whether_busy(busiest)
        programs = participants(scenario, chosen)
        if arguments.quick and scenario.kind != "import":
            programs = [program for program in programs if program.loop == "asyncio"]
        print(f"{scenario.name}: {scenario.title}", flush=True)
        measure(scenario, programs, results)
        for program in programs:
            line = summary_line(results, scenario, program.name)
            if line:
                print(f"  {line}", flush=True)
    if headers:
        print(f"{HEADERS}: {HEADERS_TITLE}", flush=True)
        try:
            results.headers = headers_section(measure_headers(arguments.quick))
            print(results.headers)
        except Failure as failure:
            results.failures[HEADERS] = {"tidegate": str(failure)}
            results.headers = f"## {HEADERS_TITLE}\n\ntidegate failed: {failure}\n"
            print(f"  tidegate: {failure}", file=sys.stderr)
    if hub:
        print(f"{HUB}: {HUB_TITLE}", flush=True)
        try:
            section = hub_section(measure_hub(arguments.quick))
            print(section)
        except Failure as failure:
            results.failures[HUB] = {"tidegate": str(failure)}
            section = f"## {HUB_TITLE}\n\ntidegate failed: {failure}\n"
            print(f"  tidegate: {failure}", file=sys.stderr)
        results.headers = "\n".join(filter(None, (results.headers, section)))
    busiest = look_whether_busy(busiest)
    results.environment["Busy with other things"] = f"{busiest:.2f} CPUs at most, between scenarios"
    results.environment["Measured in"] = f"{(time.monotonic() - started) / 60:.1f} minutes"

    # The published table is of one complete run; a part of one goes where it isn't committed.
    complete = not (arguments.only or arguments.quick or chosen or arguments.rounds)
    refused = complete and busiest > BUSY and not arguments.force
    folder = HERE if complete and not refused else BUILD
    results.save(BUILD / "results.json")
    write_report(results, folder / "RESULTS.md")
    write_plots(results, folder)
    print(f"written: {(folder / 'RESULTS.md').relative_to(HERE.parent)}")
    if refused:
        print(
            f"The machine was busy with other things ({busiest:.2f} CPUs): RESULTS.md isn't"
            " written. --force writes it nevertheless, with that in it.",
            file=sys.stderr,
        )
    if results.failures:
        print("some programs failed: see above", file=sys.stderr)
    return 1 if results.failures or refused else 0


def look_whether_busy(busiest: float) -> float:
    """Say so if the machine does something else; give the most that was seen so far."""
    now = busy_cpus()
    if now > BUSY >= busiest:
        print(f"The machine is busy with other things: {now:.2f} CPUs", file=sys.stderr, flush=True)
    return max(now, busiest)


if __name__ == "__main__":
    sys.exit(main())
