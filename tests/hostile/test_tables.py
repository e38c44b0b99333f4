"""The tables are what they say: many different cases, each with the rule that it is about."""

from __future__ import annotations

import re

from . import test_closing, test_compression, test_framing, test_requests, test_responses, test_text

TABLES = (test_closing, test_compression, test_framing, test_requests, test_responses, test_text)

RULE = re.compile(
    r"RFC \d{4}, section \d+(\.\d+)*|(CVE|WS)-\d{4}-\d{4,}|GHSA(-\w{4}){3}|ws#\d+|tyrus#\d+"
)


def test_each_case_has_its_rule_and_is_another():
    cases = [(table, case) for table in TABLES for case in table.CASES]
    for _, case in cases:
        assert RULE.match(case.rule), case.rule
    assert len({(table, case.name) for table, case in cases}) == len(cases)
    different = {
        (table, repr(case.sends), getattr(case, "ends", None), getattr(case, "server", None))
        for table, case in cases
    }
    assert len(different) >= 500
