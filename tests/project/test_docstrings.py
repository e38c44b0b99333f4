"""What is public says what it does."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

import tidegate

FOLDER = Path(tidegate.__file__).parent

MODULES = sorted(
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in FOLDER.rglob("*.py")
    if path.name == "__init__.py" or not path.name.startswith("_")
)


def is_ours(thing):
    return (getattr(thing, "__module__", None) or "").partition(".")[0] == "tidegate"


def public_names(module):
    """Give the classes and functions that a module offers, by their names."""
    for name in getattr(module, "__all__", ()):
        thing = getattr(module, name)
        if (inspect.isclass(thing) or inspect.isroutine(thing)) and is_ours(thing):
            yield name, thing


def members(cls):
    """Give the public methods and properties of a class, but for those from elsewhere."""
    for name, member in inspect.getmembers(cls):
        owner = next((base for base in cls.__mro__ if name in vars(base)), None)
        if name.startswith("_") or owner is None or not is_ours(owner):
            continue
        if getattr(member, "__name__", "") == "<lambda>":
            # The default of an attribute, which its class documents.
            continue
        if inspect.isroutine(member) or isinstance(member, property):
            yield name, member


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    assert module.__doc__
    missing = []
    for public, thing in public_names(module):
        if not inspect.getdoc(thing):
            missing.append(public)
        if inspect.isclass(thing):
            missing += [
                f"{public}.{m}" for m, member in members(thing) if not inspect.getdoc(member)
            ]
    assert missing == []
