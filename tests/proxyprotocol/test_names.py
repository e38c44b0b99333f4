"""The names, arguments and defaults of ``proxy-protocol`` 0.11.3 are all here."""

from __future__ import annotations

import functools
import importlib
import inspect
import re

import pytest

from .captures import DATA

LINES = (DATA / "api.txt").read_text().splitlines()[1:]
LINE = re.compile(r"(?P<module>\S+) (?P<coroutine>async )?(?P<name>[\w.]+)(?P<rest>.*)")


def parameters(text):
    """Give name, kind and default of the parameters that are written like this."""
    # What the defaults are counts as text.
    text = re.sub(r"= ((?:[^,()]|\([^()]*\))+)", lambda m: f"= Text({m[1]!r})", text)
    names = {"Text": str}
    exec(f"def function{text}: pass", names)
    return inspect.signature(names["function"]).parameters.values()


@pytest.mark.parametrize("line", LINES)
def test_name(line):
    found = LINE.fullmatch(line)
    module = importlib.import_module(f"tidegate.{found['module']}")
    value = functools.reduce(getattr, found["name"].split("."), module)
    if found["rest"].startswith(" = "):
        assert str(getattr(value.value, "value", value.value)) == found["rest"][3:]
        return
    if "." not in found["name"] and hasattr(module, "__all__"):
        assert found["name"] in module.__all__
    if not found["rest"]:
        return
    assert inspect.iscoroutinefunction(value) is bool(found["coroutine"])
    ours = dict(inspect.signature(value).parameters)
    ours.pop("self", None)
    for theirs, own in zip(parameters(found["rest"]), ours.values(), strict=False):
        assert (own.name, own.kind) == (theirs.name, theirs.kind)
        if theirs.default is not theirs.empty:
            assert repr(own.default) == theirs.default
    # What is new has a default.
    names = {parameter.name for parameter in parameters(found["rest"])}
    assert names <= set(ours)
    for name in set(ours) - names:
        assert ours[name].default is not inspect.Parameter.empty


@pytest.mark.parametrize("text", ["(a)", "(a, b = (1, 'x'))", "(*, tlv = TLV(), data = b'')"])
def test_parameters(text):
    assert all(p.default is p.empty or p.default in text for p in parameters(text))
