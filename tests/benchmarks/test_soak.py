"""All phases of the load test, with as few connections and for as short as can be."""

from __future__ import annotations

import pytest
from benchmarks.soak.__main__ import Soak
from benchmarks.soak.report import report


@pytest.mark.asyncio_only
async def test_soak():
    soak = Soak(0, 1.0)
    await soak.run()
    # So little memory says nothing about growth.
    assert not [failure for failure in soak.failures if "memory" not in failure]
    phases = [row["phase"] for row in soak.rows]
    assert phases[0] == "before"
    assert phases[-2:] == ["after", "rolling restart"]
    facts = dict.fromkeys(("version", "date", "machine"), "x")
    facts |= dict.fromkeys(("scale", "minutes", "load", "idle", "busy", "topics"), 1)
    page = report(facts, soak.rows, ["a failure"])
    assert page.count("\n|") == len(soak.rows) + 2
    assert "- a failure" in page
