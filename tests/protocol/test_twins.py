"""The compiled modules and their sources do the same, in one process."""

from __future__ import annotations

import logging
import random

import pytest

from ..sources import SOURCES, import_sources
from ..wire.exposed import compiled
from ..wire.scripts import make_script
from .comparing import call, choose_operations, library, receive

pytestmark = pytest.mark.skipif(not compiled, reason="not compiled")

SEEDS = 1000


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL)


def compare_twins(seed: int) -> None:
    """Compare what both make of a script, and of calls."""
    import_sources()
    ours, source = library("tidegate"), library(SOURCES)
    script = make_script(seed)
    assert receive(ours, script) == receive(source, script), seed
    rng = random.Random(seed)
    side = rng.choice(["SERVER", "CLIENT"])
    names = choose_operations(rng)
    assert call(ours, side, names) == call(source, side, names), seed


def test_twins():
    assert not library("tidegate").protocol.FrameReader.__module__.startswith(SOURCES)
    assert import_sources("wire.reader").__file__.endswith(".py")
    for seed in range(SEEDS):
        compare_twins(seed)
