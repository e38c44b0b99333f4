"""The figures of a run as a page."""

from __future__ import annotations

from typing import Any

INTRODUCTION = """\
# Under load for minutes

`make soak` loads a server for some minutes and looks whether anything grows, stalls or is lost.
This run took {minutes:.1f} minutes at scale {scale:g}, with {idle:,} idle and {busy:,} busy
connections and {topics:,} topics of a hub, on {date} with tidegate {version}:
{machine}, with a load average of {load:.1f} before it began. Clients and
server shared the machine, maybe with others, so times say less than what they are compared with.
The idle connections stay open from the second row to the last but two.
"""

NOTES = """\
- *Memory* is what the server's process has in RAM; in the rows with a star, after it gave back to
  the system what it didn't use. Before the first row, all phases were gone through once, shorter,
  for what is made at first use. In the end it has to be within 5 % of that, with all descriptors
  closed.
- *CPU each* is the processor time of the server for a message, a connection or a delivery.
- *Lag* is how much later than it should the server's event loop came back from waiting for 10 ms.
- In the rolling restart, a second process listens on the same port, and the first one drains: each
  client comes back by itself, sends again what wasn't answered, and is served.
"""

MARKED = ("before", "idle connections", "churn", "after")


def cell(row: dict[str, Any], key: str, scale: float, digits: int) -> str:
    """A figure; nothing if the row doesn't have it."""
    return f"{row[key] * scale:,.{digits}f}" if key in row else ""


def remarks(row: dict[str, Any]) -> str:
    """What else there is to say of a row."""
    said = []
    if "messages" in row:
        said.append(f"{row['messages']:,} messages")
    if "connections_made" in row:
        said.append(f"{row['connections_made']:,} connections")
    if "deliveries" in row:
        said.append(f"{row['deliveries']:,} deliveries")
    if "trip_p99" in row:
        said.append(f"round trip of a quiet peer, p99: {row['trip_p99'] * 1000:.1f} ms")
    if "growth" in row:
        said.append(f"{(row['growth'] - 1) * 100:+.1f} % of what it was before")
    if "drained_in" in row:
        said.append(
            f"drained in {row['drained_in']:.1f} s, {row['reconnected']:,} came back, "
            f"{row['aborted']:.0f} aborted"
        )
    return "; ".join(said)


def report(facts: dict[str, Any], rows: list[dict[str, Any]], failures: list[str]) -> str:
    """Give the page."""
    lines = [INTRODUCTION.format(**facts)]
    lines.append(
        "| Phase | Connections | Memory, MiB | CPU each, µs | Lag p99, ms | Lag max, ms | |"
    )
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        mark = " *" if row["phase"] in MARKED else ""
        lines.append(
            f"| {row['phase']}{mark} | {row['connections']:,} | {cell(row, 'memory', 1, 1)} "
            f"| {cell(row, 'cpu_each', 1, 1)} | {cell(row, 'lag_p99', 1000, 1)} "
            f"| {cell(row, 'lag_max', 1000, 1)} | {remarks(row)} |"
        )
    lines += ["", NOTES]
    if failures:
        lines.append("What went wrong:\n")
        lines += [f"- {failure}" for failure in failures]
        lines.append("")
    return "\n".join(lines)
