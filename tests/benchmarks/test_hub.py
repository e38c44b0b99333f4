"""What a hub costs: the benchmark runs, and says what was reached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.bench_hub import Cost, hub_section

ROOT = Path(__file__).resolve().parents[2]


def test_section():
    costs = [
        Cost("one", 14.96, "µs/message", 15),
        Cost("two", 15.1, "µs/message", 15),
        Cost("three", None, "µs/message", 15),
        Cost("four", 9.04, "µs/delivery"),
    ]
    section = hub_section(costs)
    assert "| one | 15.0 µs/message | 15 µs/message | yes |" in section
    assert "| two | 15.1 µs/message | 15 µs/message | **no** |" in section
    assert "| three | not installed | 15 µs/message |  |" in section
    assert "| four | 9.0 µs/delivery |  |  |" in section


PROGRAM = """
import asyncio
from benchmarks import bench_hub

bench_hub.RECEIVERS = 200

async def main():
    memory = await bench_hub.measure_topics(1000)
    for cost in [memory, *await bench_hub.measure_local(1)]:
        print(cost.name, cost.figure > 0)
    for name in "redis", "nats":
        for cost in await bench_hub.measure_engine(name, 1, 128):
            print(cost.name, cost.figure is None or cost.figure > 0)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_it_runs(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}")
    result = subprocess.run(
        [sys.executable, str(program)], cwd=ROOT, capture_output=True, text=True, timeout=90
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 7 and all(line.endswith(" True") for line in lines), result.stdout
