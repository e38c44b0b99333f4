"""The figures of all rounds, and the numbers that are made of them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from .run import Figures
from .scenarios import Scenario

LIBRARIES = (
    "tidegate", "websockets", "picows", "aiohttp", "uvloop", "zlib-ng",
    "proxy-protocol", "uvicorn", "trio", "websocket-client",
)  # fmt: skip


def cpu_per_operation(figures: Figures) -> float:
    """CPU time of the program under test per message, or per opening handshake; in seconds."""
    cpu = figures["client_cpu"] if "client_cpu" in figures else figures["server_cpu"]
    return float(cpu / max(figures["messages"] or figures["opened"], 1))


def per_second(figures: Figures) -> float:
    return float((figures["messages"] or figures["opened"]) / figures["seconds"])


def resident_idle(figures: Figures) -> float:
    """Resident memory per idle connection, in bytes."""
    return float((figures["resident_idle"] - figures["resident_before"]) / figures["connections"])


def resident_used(figures: Figures) -> float:
    """The same after one message there and back."""
    return float((figures["resident_used"] - figures["resident_before"]) / figures["connections"])


def compression_ratio(figures: Figures) -> float:
    """Bytes that the server sent for each byte of message: less is better."""
    return float(figures["wire_bytes"] / figures["message_bytes"])


def import_seconds(figures: Figures) -> float:
    return float(figures["seconds"])


def quantile(name: str) -> Any:
    """Give a function that reads a quantile of the latency, in seconds."""
    return lambda figures: figures["latency"][name] / 1e9


@dataclass
class Results:
    """What was measured: scenario, program, rounds."""

    rounds: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    quick: bool = False
    headers: str = ""
    """What PROXY protocol headers cost, as a section of the report."""

    def add(self, scenario: Scenario, program: str, figures: Figures) -> None:
        self.rounds.setdefault(scenario.name, {}).setdefault(program, []).append(figures)

    def fail(self, scenario: Scenario, program: str, reason: str) -> None:
        self.failures.setdefault(scenario.name, {})[program] = reason

    def value(self, scenario: str, program: str, metric: Any) -> float | None:
        """Give the median over the rounds, or None when there are none."""
        rounds = self.rounds.get(scenario, {}).get(program)
        return statistics.median(map(metric, rounds)) if rounds else None

    def spread(self, scenario: str, program: str, metric: Any) -> float:
        """Give how far the rounds are apart, as a part of their median."""
        values = list(map(metric, self.rounds[scenario][program]))
        middle = statistics.median(values)
        return (max(values) - min(values)) / middle if middle else 0.0

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(vars(self), indent=1))


def busy_cpus(seconds: float = 1.0) -> float:
    """Watch for a while how many CPUs do something, none of which is the benchmark's."""
    before = busy_ticks()
    time.sleep(seconds)
    return (busy_ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


def busy_ticks() -> int:
    """Give how long the CPUs have done something, those that the host took from it included."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = map(int, fields)
    return user + nice + system + interrupts + soft_interrupts + stolen


def describe_environment() -> dict[str, str]:
    """Give what the figures depend on: the machine and the versions."""
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    described = {
        "CPU": f"{os.cpu_count()} × {cpu}",
        "System": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
        "C compiler": subprocess.run(
            ["cc", "--version"], capture_output=True, text=True, check=True
        ).stdout.splitlines()[0],
    }
    for library in LIBRARIES:
        try:
            described[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            described[library] = "not installed"
    return described
