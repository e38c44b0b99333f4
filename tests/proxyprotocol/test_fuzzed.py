"""Random headers: what is built is read, and what is damaged is read or refused."""

from __future__ import annotations

from .fuzzed import check_damaged, check_round_trip

SEEDS = 1000


def test_round_trip():
    for seed in range(SEEDS):
        check_round_trip(seed)


def test_damaged():
    for seed in range(SEEDS):
        check_damaged(seed)
