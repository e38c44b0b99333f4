"""The protocol next to that of websockets: the same, but for differences that are written here."""

from __future__ import annotations

import importlib
import logging
import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from ..wire.frames import xored
from ..wire.scripts import Script, make_script

pytest.importorskip("websockets", minversion="17")

RECEIVED = 2000
CALLS = 1500


def library(name: str) -> SimpleNamespace:
    """The modules of a library."""
    modules = ["protocol", "exceptions", "extensions.permessage_deflate"]
    return SimpleNamespace(
        **{each.split(".")[-1]: importlib.import_module(f"{name}.{each}") for each in modules}
    )


OURS, THEIRS = library("tidegate"), library("websockets")


@pytest.fixture(autouse=True)
def quiet(caplog):
    """What fails is logged, with another wording."""
    caplog.set_level(logging.CRITICAL)


def unmasked(sent: list[bytes]) -> bytes:
    """What a client sent, which is masked with other keys each time: short frames only."""
    frames = []
    data = b"".join(sent)
    while data:
        size = data[1] & 0x7F
        payload = xored(data[6 : 6 + size], data[2:6])
        frames.append(bytes((data[0], size)) + payload)
        data = data[6 + size :]
    return b"".join(frames)


def observe(protocol: Any) -> dict[str, Any]:
    """What can be seen of a protocol, by name."""
    seen = {
        name: getattr(protocol, name)
        for name in ("close_code", "close_reason", "close_rcvd_then_sent", "eof_sent")
    }
    seen["state"] = protocol.state.name
    seen["events"] = [(e.opcode, bytes(e.data), e.fin) for e in protocol.events_received()]
    sent = protocol.data_to_send()
    seen["sent"] = unmasked(sent) if protocol.side.name == "CLIENT" else b"".join(sent)
    seen["close_expected"] = protocol.close_expected()
    seen["close_rcvd"] = str(protocol.close_rcvd)
    seen["close_sent"] = str(protocol.close_sent)
    if protocol.state.name == "CLOSED":
        seen["close_exc"] = type(protocol.close_exc).__name__, str(protocol.close_exc)
    return seen


# What is received


def receive(library: SimpleNamespace, script: Script) -> dict[str, Any]:
    """Give what a protocol makes of a script and of the end of the stream after it."""
    Side = library.protocol.Side
    protocol = library.protocol.Protocol(
        Side.SERVER if script.mask else Side.CLIENT,
        max_size=(script.max_size, script.max_frame_size),
    )
    if script.deflate is not None:
        bits, no_takeover = script.deflate
        extension = library.permessage_deflate.PerMessageDeflate(no_takeover, False, bits, 15)
        protocol.extensions = [extension]
    for chunk in script.chunks:
        protocol.receive_data(chunk)
    protocol.receive_eof()
    seen = observe(protocol)
    seen["error"] = type(protocol.parser_exc).__name__
    return seen


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


def test_what_is_received():
    explanations: Counter[str | None] = Counter()
    for seed in range(RECEIVED):
        script = make_script(seed)
        ours, theirs = receive(OURS, script), receive(THEIRS, script)
        if ours == theirs:
            explanations[None] += 1
            continue
        explanation = explain(script, ours, theirs)
        assert explanation is not None, (seed, ours, theirs)
        explanations[explanation] += 1
    # Mostly, there is no difference; and no explanation is out of date.
    assert explanations[None] > 0.7 * RECEIVED
    assert len(explanations) > 5, explanations


# What is called

CLOSE_OK = b"\x88\x82\0\0\0\0\x03\xe8"


def data(frame: bytes):
    """Receive a frame, which is that of a client; a server's is made of it."""

    def call(protocol):
        is_server = protocol.side.name == "SERVER"
        protocol.receive_data(frame if is_server else bytes((frame[0], frame[1] & 127)) + frame[6:])

    return call


OPERATIONS = {
    "text": lambda p: p.send_text(b"a"),
    "text begins": lambda p: p.send_text(b"a", fin=False),
    "binary": lambda p: p.send_binary(b"b"),
    "binary begins": lambda p: p.send_binary(b"b", fin=False),
    "continuation": lambda p: p.send_continuation(b"c", fin=False),
    "last continuation": lambda p: p.send_continuation(b"c", fin=True),
    "ping": lambda p: p.send_ping(b"p"),
    "pong": lambda p: p.send_pong(b""),
    "long ping": lambda p: p.send_ping(b"p" * 126),
    "close": lambda p: p.send_close(1000, "bye"),
    "close without code": lambda p: p.send_close(),
    "close with 1006": lambda p: p.send_close(1006),
    "close with reason only": lambda p: p.send_close(reason="x"),
    "close with a long reason": lambda p: p.send_close(1000, "x" * 124),
    "fail": lambda p: p.fail(1011, "oops"),
    "fail with 1006": lambda p: p.fail(1006),
    "receive ping": data(b"\x89\x81\0\0\0\0p"),
    "receive text": data(b"\x81\x81\0\0\0\0a"),
    "receive text that begins": data(b"\x01\x81\0\0\0\0a"),
    "receive close": data(CLOSE_OK),
    "receive close 4000": data(b"\x88\x85\0\0\0\0\x0f\xa0why"),
    "receive close without code": data(b"\x88\x80\0\0\0\0"),
    "receive close with 1005": data(b"\x88\x82\0\0\0\0\x03\xed"),
    "receive close with one byte": data(b"\x88\x81\0\0\0\0\x03"),
    "receive close with bad text": data(b"\x88\x83\0\0\0\0\x03\xe8\xff"),
    "receive nonsense": data(b"\x83\x80\0\0\0\0"),
    "receive end of stream": lambda p: p.receive_eof(),
}


def call(library: SimpleNamespace, side: str, names: list[str]) -> list[Any]:
    """Call methods, and give what can be seen after each."""
    protocol = library.protocol.Protocol(library.protocol.Side[side])
    seen = []
    for name in names:
        error = None
        try:
            OPERATIONS[name](protocol)
        except Exception as exc:
            error = type(exc).__name__
        seen.append((name, error, observe(protocol)))
    return seen


def test_what_is_called():
    """Any sequence of calls gives the same exceptions, bytes, states and close codes."""
    explanations: Counter[str | None] = Counter()
    for seed in range(CALLS):
        rng = random.Random(seed)
        side = rng.choice(["SERVER", "CLIENT"])
        names = [rng.choice(list(OPERATIONS)) for _ in range(rng.randint(1, 8))]
        if "receive end of stream" in names:
            # There is nothing after that to receive or to fail.
            end = names.index("receive end of stream") + 1
            late = [name for name in names[end:] if not name.startswith(("receive", "fail"))]
            names[end:] = late
        ours, theirs = call(OURS, side, names), call(THEIRS, side, names)
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            if a == b:
                explanations[None] += 1
                continue
            if i > 0 and ours[i - 1][2]["eof_sent"]:
                # They write after the end of the stream.
                assert a[1] == "InvalidState" or a[0].startswith("fail"), (names[: i + 1], a, b)
                assert a[2]["sent"] == b""
                explanations["end of stream"] += 1
            else:
                # To them, a Close frame within a message is an error (RFC 6455, section 7.1.5).
                assert a[0].startswith("receive close"), (names[: i + 1], a, b)
                assert "receive text that begins" in names[:i]
                assert [event[0] for event in a[2]["events"]] == [8]
                assert b[2]["events"] == []
                explanations["close in a message"] += 1
            break
    assert len(explanations) == 3
    assert explanations[None] > 2 * CALLS
