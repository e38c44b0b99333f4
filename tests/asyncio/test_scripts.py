"""Random scripts, on all transports: what a connection receives is what the protocol receives."""

from __future__ import annotations

import pytest

from .scripts import check_script

SEEDS = 300


@pytest.mark.parametrize("transports", ["poller", "loop"])
async def test_scripts(transports, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", transports)
    for seed in range(SEEDS):
        await check_script(seed)
