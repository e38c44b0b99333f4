"""The cases of conformance/cases.md: each test that is named there exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CASES = re.findall(
    r"^\| ([AR]\d\d) \| .* \| `(.+)::(\w+)` \|$",
    (ROOT / "conformance" / "cases.md").read_text("utf-8"),
    re.M,
)


def test_cases_are_complete():
    numbers = [case for case, _, _ in CASES]
    rules = [f"R{number:02}" for number in range(1, len(numbers) + 1)]
    cases = [f"A{number:02}" for number in range(1, 51) if number not in (35, 36)]
    assert numbers == rules[: len(numbers) - len(cases)] + cases


@pytest.mark.parametrize(("case", "path", "name"), CASES)
def test_case_has_a_test(case, path, name):
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert name in functions
