"""The protocol next to that of websockets: the same, but for differences that are written here."""

from __future__ import annotations

import logging
import random
from collections import Counter
from typing import Any

import pytest

from ..wire.frames import BINARY, CLOSE, KEY, TEXT, frame
from ..wire.scripts import Script, make_script
from .comparing import call, choose_operations, differences, library, receive

pytest.importorskip("websockets", minversion="17")

RECEIVED = 2000
# What random scripts seldom have, or never.
SELDOM = [
    Script(0, True, [frame(BINARY, b"x", width=2, key=KEY)]),
    Script(0, True, [frame(TEXT, b"a", False, key=KEY) + frame(CLOSE, b"\x03\xe8", key=KEY)]),
]
CALLS = 1500

OURS, THEIRS = library("tidegate"), library("websockets")


@pytest.fixture(autouse=True)
def quiet(caplog):
    """What fails is logged, with another wording."""
    caplog.set_level(logging.CRITICAL)


def is_prefix(a: list[Any], b: list[Any]) -> bool:
    return b[: len(a)] == a


def explain(script: Script, ours: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """Say why a difference is right, None if it isn't."""
    errors = ours["error"], theirs["error"]
    limited = script.max_size is not None or script.max_frame_size is not None
    is_text = errors[0] == "UnicodeDecodeError" and b"\x03\xef" in ours["sent"]
    if is_text and is_prefix(ours["events"], theirs["events"]):
        # They leave the check of text to those who receive messages.
        return "text is checked as it arrives"
    if limited and "PayloadTooBig" in errors:
        # They count control frames, and compressed bytes besides those that come out.
        shorter, longer = sorted((ours["events"], theirs["events"]), key=len)
        if is_prefix(shorter, longer) and errors[1] == "PayloadTooBig":
            return "limits are for data, after decompression"
    refused = errors[0] == "ProtocolError" and is_prefix(ours["events"], theirs["events"])
    if refused and "fewest bytes" in ours["close_exc"][1]:
        return "lengths are minimal"
    if errors[0] == "ProtocolError" and ours["events"] == theirs["events"]:
        if "invalid frame length" in ours["close_exc"][1]:
            return "the highest bit of a length is zero"
        if errors[1] == "EOFError" and theirs["close_sent"] == "None":
            return "refused before the payload has come"
        if errors[1] == "ProtocolError":
            # A frame may break several rules at once.
            different = {name for name in ours if ours[name] != theirs[name]}
            codes = [seen["close_sent"].split(" ")[0] for seen in (ours, theirs)]
            if different <= {"sent", "close_sent", "close_exc"} and codes == ["1002"] * 2:
                return "wording"
    if "incomplete fragmented message" in theirs["close_exc"][1]:
        # RFC 6455, section 7.1.5
        return "a Close frame within a message is answered with its own code"
    if script.deflate and script.broken in ("bits", "noise"):
        # Random bytes can be a final block, behind which they lose all messages.
        return "final block"
    return None


def compare_received(seed: int) -> str | None:
    """Compare what both make of a script; give the reason of a difference that there may be."""
    return compare_script(make_script(seed))


def compare_script(script: Script) -> str | None:
    """Do so with a script as it is."""
    ours, theirs = receive(OURS, script), receive(THEIRS, script)
    if ours == theirs:
        return None
    explanation = explain(script, ours, theirs)
    assert explanation is not None, (script, ours, theirs)
    return explanation


def test_what_is_received():
    explanations = Counter(map(compare_received, range(RECEIVED)))
    explanations.update(map(compare_script, SELDOM))
    # Mostly, there is no difference; and no explanation is out of date.
    assert explanations[None] > 0.7 * RECEIVED
    calls = {"end of stream", "close in a message"}
    assert set(explanations) - {None} == differences("websockets") - calls


def compare_calls(seed: int) -> str | None:
    """Compare what both do when they are called; give the reason of a difference."""
    rng = random.Random(seed)
    side = rng.choice(["SERVER", "CLIENT"])
    names = choose_operations(rng)
    ours, theirs = call(OURS, side, names), call(THEIRS, side, names)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a == b:
            continue
        if i > 0 and ours[i - 1][2]["eof_sent"]:
            # They write after the end of the stream.
            assert a[1] == "InvalidState" or a[0].startswith("fail"), (names[: i + 1], a, b)
            assert a[2]["sent"] == b"", (names[: i + 1], a, b)
            return "end of stream"
        # To them, a Close frame within a message is an error (RFC 6455, section 7.1.5).
        assert a[0].startswith("receive close"), (names[: i + 1], a, b)
        assert "receive text that begins" in names[:i], (names[: i + 1], a, b)
        assert [event[0] for event in a[2]["events"]] == [8], (names[: i + 1], a, b)
        assert b[2]["events"] == [], (names[: i + 1], a, b)
        return "close in a message"
    return None


def test_what_is_called():
    """Any sequence of calls gives the same exceptions, bytes, states and close codes."""
    explanations = Counter(map(compare_calls, range(CALLS)))
    assert set(explanations) == {None, "end of stream", "close in a message"}
    assert set(explanations) - {None} < differences("websockets")
    assert explanations[None] > 0.5 * CALLS
