"""No test of the threads' face leaves a thread, or an exception that nobody saw."""

from __future__ import annotations

import threading

import pytest

from .connections import until


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch):
    complaints = []
    tell = threading.excepthook

    def complain(args):
        complaints.append(args)
        tell(args)

    monkeypatch.setattr(threading, "excepthook", complain)
    before = set(threading.enumerate())
    yield
    until(lambda: not set(threading.enumerate()) - before)
    assert not complaints
