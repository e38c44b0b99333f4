"""Each target of the fuzzer runs: a few seeds, so that it works when it is needed."""

from __future__ import annotations

import logging

import pytest

from .targets import TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_target(target, caplog):
    caplog.set_level(logging.CRITICAL)
    for seed in range(100):
        target(seed)
