"""``python -m conformance``: it passes when both sides are conformant, and not otherwise."""

from __future__ import annotations

import pytest
from conformance.suite import Unavailable
from conformance.verdict import INFORMATIONAL, Verdict

from conformance import __main__ as command

# What Autobahn says to all 517 cases of a library without mistakes.
PERFECT = {f"1.1.{number}": ("OK", "OK") for number in range(1, 515)} | dict.fromkeys(
    INFORMATIONAL, ("INFORMATIONAL", "INFORMATIONAL")
)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command, with what Autobahn is to say to each side instead of Autobahn."""
    monkeypatch.setattr(command, "WORK", tmp_path)
    monkeypatch.setattr(command, "install", lambda: None)

    def run(server, client, *arguments):
        asked = []

        async def run_groups(library, role, groups, folder, jobs):
            asked.append((library, role, jobs))
            outcomes = server if role == "server" else client
            if outcomes is None:
                raise Unavailable("nothing listens")
            return Verdict(dict(outcomes))

        monkeypatch.setattr(command, "run_groups", run_groups)
        monkeypatch.setattr("sys.argv", ["conformance", *arguments])
        return command.main(), asked

    return run


def test_both_sides_are_perfect(run, capsys):
    status, asked = run(PERFECT, PERFECT, "--jobs", "3")
    assert status == 0
    assert asked == [("tidegate", "server", 3), ("tidegate", "client", 3)]
    out = capsys.readouterr().out
    assert "tidegate as a server: 514 OK, 3 INFORMATIONAL" in out
    assert "tidegate as a client: 514 OK, 3 INFORMATIONAL" in out


@pytest.mark.parametrize("outcome", [("NON-STRICT", "OK"), ("FAILED", "OK"), ("OK", "WRONG CODE")])
@pytest.mark.parametrize("side", ["server", "client"])
def test_one_case_of_one_side_is_enough(run, side, outcome, capsys):
    flawed = PERFECT | {"1.1.7": outcome}
    sides = (flawed, PERFECT) if side == "server" else (PERFECT, flawed)
    status, asked = run(*sides)
    assert status == 1
    # The other side is run nevertheless.
    assert len(asked) == 2
    assert f"1.1.7: {outcome[0]}, closing: {outcome[1]}" in capsys.readouterr().out


def test_a_case_that_was_not_run(run):
    fewer = dict(PERFECT)
    del fewer["1.1.514"]
    assert run(PERFECT, fewer)[0] == 1
    assert run(fewer, PERFECT)[0] == 1


def test_informational_is_not_ok_elsewhere(run):
    informational = ("INFORMATIONAL", "INFORMATIONAL")
    assert run(PERFECT | {"1.1.7": informational}, PERFECT)[0] == 1


def test_no_suite(run, capsys):
    assert run(None, PERFECT)[0] == 2
    assert "nothing listens" in capsys.readouterr().err


@pytest.mark.parametrize("name", command.SETS)
def test_sets_say_how_many_cases_they_have(run, name):
    _, expected = command.SETS[name]
    cases = dict(list(PERFECT.items())[-expected:])
    assert run(cases, cases, "--set", name)[0] == 0
    assert run({}, {}, "--set", name)[0] == 1
