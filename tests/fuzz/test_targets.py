"""Each target of the fuzzer runs: a few seeds, so that it works when it is needed."""

from __future__ import annotations

import logging
import unittest.mock

import pytest

from . import __main__ as command
from .targets import TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_target(target, caplog):
    caplog.set_level(logging.CRITICAL)
    for seed in range(100):
        target(seed)


@pytest.mark.parametrize("broken", [False, True])
def test_findings_are_told_by_their_seed(broken, monkeypatch, capsys):
    seeds = []

    def target(seed):
        seeds.append(seed)
        assert not broken or seed < 7

    monkeypatch.setattr(command, "TARGETS", [target, target])
    monkeypatch.setattr("sys.argv", ["fuzz", "--seed", "5", "--count", "4"])
    # What these do would outlive the command.
    monkeypatch.setattr(command, "faulthandler", unittest.mock.Mock())
    monkeypatch.setattr(command, "logging", unittest.mock.Mock())
    assert command.main() == broken
    assert seeds == ([5, 6, 7] if broken else [5, 6, 7, 8]) * 2
    assert ("--only target --seed 7 --count 1" in capsys.readouterr().err) is broken
