"""The plan of the house in CONTRIBUTING.md: a room imports only what is above it there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "tidegate"

# What is below is named by these, for types only, or by a command that tries what it explains.
EXCEPTIONS = {
    # The exceptions of an opening handshake have the response or the proxy that they are about.
    ("exceptions", "http11"),
    ("exceptions", "proxy"),
    # Frames are read and written with the extensions that are given to them.
    ("frames", "extensions.base"),
    ("wire.reader", "extensions.base"),
    ("wire.writer", "extensions.base"),
    # ``tidegate route --connect`` goes the way that it shows.
    ("proxy.command", "asyncio.client"),
    ("proxy.command", "asyncio.tunnel"),
}


def ranks():
    """Give the place of each room in the plan."""
    plan = (ROOT / "CONTRIBUTING.md").read_text().partition("## The house")[2]
    rows = re.findall(r"^\| (`.*?) \|", plan.partition("\n## ")[0], re.MULTILINE)
    return {
        name.strip("/"): place
        for place, row in enumerate(rows)
        for name in re.findall(r"`([^`]+)`", row)
    }


def imports():
    """Give who imports whom within the package, wherever the import stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        package = parts[:-1]
        if parts[-1] in ("__init__", "__main__"):
            parts = package
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = package[: len(package) - node.level + 1]
                names = [node.module] if node.module else [alias.name for alias in node.names]
                for name in names:
                    yield ".".join(parts), ".".join([*base, name])


def test_every_room_is_in_the_plan():
    rooms = {path.name.partition(".")[0] for path in PACKAGE.iterdir()}
    rooms -= {"__init__", "__main__", "_exposed", "__pycache__", "py"}
    assert rooms == set(ranks())


def test_rooms_import_only_what_is_above():
    place = ranks()
    found = {
        (module, other)
        for module, other in imports()
        if module and place[other.partition(".")[0]] > place[module.partition(".")[0]]
    }
    assert found == EXCEPTIONS


def test_core_waits_for_nothing():
    """Neither an event loop, nor a thread, nor a socket."""
    for path in (PACKAGE / "core").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
                assert not names & {"asyncio", "threading", "socket", "select", "trio"}, path
