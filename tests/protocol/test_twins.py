"""The compiled modules and their sources do the same, in one process."""

from __future__ import annotations

import importlib.util
import logging
import random
import sys
from pathlib import Path

import pytest

import tidegate
from tidegate._uncompiled import prefer_source

from ..wire.exposed import compiled
from ..wire.scripts import make_script
from .comparing import call, choose_operations, library, receive

pytestmark = pytest.mark.skipif(not compiled, reason="not compiled")

SEEDS = 1000


def sources():
    """The package once more, by another name, from its sources."""
    name = "tidegate_sources"
    if name not in sys.modules:
        path = Path(tidegate.__file__)
        prefer_source(name)
        spec = importlib.util.spec_from_file_location(
            name, path, submodule_search_locations=[str(path.parent)]
        )
        sys.modules[name] = package = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(package)
    return library(name)


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL)


def compare_twins(seed: int) -> None:
    """Compare what both make of a script, and of calls."""
    script = make_script(seed)
    assert receive(library("tidegate"), script) == receive(sources(), script), seed
    rng = random.Random(seed)
    side = rng.choice(["SERVER", "CLIENT"])
    names = choose_operations(rng)
    assert call(library("tidegate"), side, names) == call(sources(), side, names), seed


def test_twins():
    assert sources().protocol.FrameReader is not library("tidegate").protocol.FrameReader
    assert sys.modules["tidegate_sources.wire.reader"].__file__.endswith(".py")
    for seed in range(SEEDS):
        compare_twins(seed)
