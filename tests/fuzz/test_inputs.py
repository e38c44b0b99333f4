"""Each target that is fuzzed by coverage works, on what is in the tree and on what is near it."""

from __future__ import annotations

import logging
import random

import hypothesis
import pytest
from hypothesis import strategies as st

from ..sources import SOURCES, import_sources
from ..wire.exposed import compiled
from . import __main__ as command
from .inputs import SEEDS, TARGETS, seeds
from .targets import mutated

by_name = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def check(target, data):
    """The compiled modules and their sources do the same."""
    seen = target("tidegate", data)
    if compiled:
        import_sources()
        assert target(SOURCES, data) == seen


def test_every_target_has_seeds():
    assert {path.name for path in SEEDS.iterdir()} == {target.__name__ for target in TARGETS}


@by_name
def test_seeds(target):
    assert seeds(target)
    for data in seeds(target):
        check(target, data)


@by_name
def test_near_seeds(target):
    known = seeds(target)

    @hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @hypothesis.given(st.sampled_from(known), st.integers(0, 2**32), st.integers(0, 255))
    def run(data, seed, first):
        rng = random.Random(seed)
        changed = mutated(rng, data[1:])[:2000]
        check(target, bytes([rng.choice([data[0], first])]) + changed)

    run()


def test_findings_are_told_by_their_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "input"
    path.write_bytes(b"x")

    def target(package, data):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(command.faulthandler, "dump_traceback_later", lambda *_, **__: None)
    assert command.replay(target, [path]) == 1
    assert f"--only target --input {path}" in capsys.readouterr().err
