"""What passes for conformant, and what doesn't."""

from __future__ import annotations

import json

import pytest
from conformance.verdict import Verdict


@pytest.fixture
def verdict_of(tmp_path):
    def read(**cases):
        reports = {
            number.lstrip("_").replace("_", "."): {"behavior": outcome, "behaviorClose": closing}
            for number, (outcome, closing) in cases.items()
        }
        (tmp_path / "index.json").write_text(json.dumps({"testee": reports}))
        verdict = Verdict()
        verdict.add(tmp_path)
        return verdict

    return read


def test_good(verdict_of):
    verdict = verdict_of(_1_1_1=("OK", "OK"), _7_1_6=("INFORMATIONAL", "INFORMATIONAL"))
    assert verdict.complaints(2) == []
    assert verdict.counts() == {"OK": 1, "INFORMATIONAL": 1}


@pytest.mark.parametrize(
    "outcome",
    [
        ("FAILED", "OK"),
        ("NON-STRICT", "OK"),
        ("OK", "WRONG CODE"),
        ("OK", "UNCLEAN"),
        ("OK", "FAILED BY CLIENT"),
        ("INFORMATIONAL", "OK"),
        ("UNIMPLEMENTED", "OK"),
    ],
)
def test_bad(verdict_of, outcome):
    (complaint,) = verdict_of(_1_1_1=("OK", "OK"), _2_10=outcome).complaints(2)
    assert complaint.startswith("2.10: " + outcome[0])


def test_missing_case(verdict_of):
    assert verdict_of(_1_1_1=("OK", "OK")).complaints(2) == ["1 cases were run, not 2"]


def test_sorted_by_number(verdict_of):
    bad = ("FAILED", "OK")
    complaints = verdict_of(_1_10_1=bad, _1_9_1=bad, _1_1_1=bad).complaints(3)
    assert [line.split(":")[0] for line in complaints] == ["1.1.1", "1.9.1", "1.10.1"]
