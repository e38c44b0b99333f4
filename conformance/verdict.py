"""What Autobahn's reports say, and whether it is good enough."""

from __future__ import annotations

import collections
import json
from dataclasses import dataclass, field
from pathlib import Path

# Cases in which any outcome is right.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}
GOOD = {"OK", "INFORMATIONAL"}


@dataclass
class Verdict:
    """The outcome of each case, by its number: how the testee behaved, and how it closed."""

    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, folder: Path) -> None:
        """Read the reports of one run."""
        index = json.loads((folder / "index.json").read_text())
        for cases in index.values():
            for case, report in cases.items():
                self.outcomes[case] = (report["behavior"], report["behaviorClose"])

    def counts(self) -> dict[str, int]:
        """Give how often each behaviour was seen, the most frequent first."""
        counter = collections.Counter(behavior for behavior, _ in self.outcomes.values())
        return dict(counter.most_common())

    def complaints(self, expected: int) -> list[str]:
        """Give what is wrong, one line each; nothing when all ``expected`` cases are good."""
        found = []
        if len(self.outcomes) != expected:
            found.append(f"{len(self.outcomes)} cases were run, not {expected}")
        for case, (behavior, closing) in sorted(self.outcomes.items(), key=lambda i: number(i[0])):
            informational = behavior == "INFORMATIONAL"
            if not {behavior, closing} <= GOOD or informational != (case in INFORMATIONAL):
                found.append(f"{case}: {behavior}, closing: {closing}")
        return found


def number(case: str) -> list[int]:
    """Give a key that sorts cases by their numbers."""
    return [int(part) for part in case.split(".")]
