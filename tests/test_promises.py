"""What the pages on security and reliability say is what the code does, and what tests hold."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.sync.client import connect as connect_in_thread
from tidegate.sync.server import serve as serve_in_threads

try:
    import trio
except ImportError:
    trio = None

ROOT = Path(__file__).resolve().parent.parent

LIMITS = re.findall(
    r"^\| `([\w.]+)`(?: of (.*?))? \| `(.*?)`.*? \| .+ \|$",
    (ROOT / "docs" / "security.md").read_text("utf-8"),
    re.M,
)

RELIABILITY = (ROOT / "docs" / "reliability.md").read_text("utf-8")


def functions(of):
    """Give the functions of which a limit is an argument."""
    found = []
    if "`serve`" in of:
        found += [serve, serve_in_threads]
    if "`connect`" in of:
        found += [connect, connect_in_thread]
    if trio is not None:
        from tidegate.trio.client import connect as connect_on_trio
        from tidegate.trio.server import serve as serve_on_trio

        found += [serve_on_trio] * ("`serve`" in of) + [connect_on_trio] * ("`connect`" in of)
    return found


def constant(name):
    """Give the value of a constant of a module, which may be invisible where it is compiled."""
    module, _, last = name.rpartition(".")
    imported = importlib.import_module(module)
    if hasattr(imported, last):
        return getattr(imported, last)
    source = (ROOT / "src" / module.replace(".", "/")).with_suffix(".py").read_text("utf-8")
    return eval(re.search(rf"^{last} = ([\d_ *]+)$", source, re.M)[1])


@pytest.mark.parametrize(("name", "of", "default"), LIMITS, ids=[limit[0] for limit in LIMITS])
def test_limits(name, of, default):
    """The table has the defaults of the code, of each face."""
    default = ast.literal_eval(default)
    if not of:
        assert constant(name) == default
        return
    known = 0
    for function in functions(of):
        parameter = inspect.signature(function).parameters.get(name)
        if parameter is not None:
            assert parameter.default == default, function
            known += 1
    assert known


def test_there_are_limits():
    """The table can be read as the test above reads it."""
    table = (ROOT / "docs" / "security.md").read_text("utf-8").split("## Limits")[1]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    assert len(LIMITS) == len(lines) > 20


@pytest.mark.parametrize("name", sorted(set(re.findall(r"^- `(tests/.*)`$", RELIABILITY, re.M))))
def test_named_tests_exist(name):
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    names = {
        node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert function in names


def test_each_sentence_has_a_test():
    """Every paragraph but the first and those of the last part is followed by names."""
    body = RELIABILITY.split("\n## What can't")[0].split("\n\n")[2:]
    for paragraph in body:
        if not paragraph.startswith("## "):
            assert re.search(r"^- `tests/", paragraph, re.M), paragraph
