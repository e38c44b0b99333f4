"""The protocol next to wsproto's: the same, but for the differences in `DIFFERENCES.md`."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest

from tidegate.extensions.permessage_deflate import PerMessageDeflate
from tidegate.protocol import CLIENT, SERVER, Protocol

from ..wire.frames import CLOSE, CONT, KEY, PING, PONG, TEXT, frame, frames_in
from ..wire.scripts import Script, make_script
from .comparing import differences

wsproto = pytest.importorskip("wsproto")

SCRIPTS = 600

# What random scripts seldom have.
SELDOM = [
    # Half of a block of deflate.
    Script(0, True, [frame(TEXT, b"\xca\x48\xcd", rsv=4, key=KEY)], deflate=(15, False)),
]


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL)


def ours(script: Script) -> dict[str, Any]:
    """What our protocol makes of a script."""
    protocol = Protocol(SERVER if script.mask else CLIENT, max_size=None)
    if script.deflate is not None:
        bits, no_takeover = script.deflate
        protocol.extensions = [PerMessageDeflate(no_takeover, False, bits, 15)]
    for chunk in script.chunks:
        protocol.receive_data(chunk)
    seen: list[Any] = []
    parts: list[bytes] = []
    kind = None
    for event in protocol.events_received():
        if event.opcode in (PING, PONG):
            seen.append((int(event.opcode), bytes(event.data)))
        elif event.opcode != CLOSE:
            if event.opcode != CONT:
                kind, parts = event.opcode, []
            parts.append(bytes(event.data))
            if event.fin:
                data = b"".join(parts)
                seen.append((int(kind), data.decode() if kind == TEXT else data))
    close, sent = protocol.close_rcvd, protocol.close_sent
    return {
        "seen": seen,
        "close": None if close is None else (int(close.code), close.reason),
        "failed": int(sent.code) if sent is not None and close is None else None,
        "why": str(protocol.parser_exc),
    }


def theirs(script: Script) -> dict[str, Any]:
    """What wsproto makes of it."""
    from wsproto import events
    from wsproto.extensions import PerMessageDeflate

    extensions = []
    if script.deflate is not None:
        bits, no_takeover = script.deflate
        extension = PerMessageDeflate()
        peer = "client" if script.mask else "server"
        parameters = f"permessage-deflate; {peer}_max_window_bits={bits}"
        parameters += f"; {peer}_no_context_takeover" if no_takeover else ""
        if script.mask:
            extension.accept(parameters)
        else:
            extension.finalize(parameters)
        extensions = [extension]
    kinds = wsproto.ConnectionType
    connection = wsproto.connection.Connection(
        kinds.SERVER if script.mask else kinds.CLIENT, extensions
    )
    seen: list[Any] = []
    parts: list[Any] = []
    close = failed = None
    why = "None"
    for chunk in script.chunks:
        connection.receive_data(chunk)
        for event in connection.events():
            if isinstance(event, events.Ping):
                seen.append((PING, bytes(event.payload)))
            elif isinstance(event, events.Pong):
                seen.append((PONG, bytes(event.payload)))
            elif isinstance(event, events.CloseConnection):
                code, reason = int(event.code), event.reason or ""
                # What it has received, or what it wants to be sent because of an error.
                if connection.state is wsproto.connection.ConnectionState.OPEN:
                    failed, why = code, reason
                else:
                    close = code, reason
            else:
                parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
                if event.message_finished:
                    text = isinstance(event, events.TextMessage)
                    seen.append((1 if text else 2, ("" if text else b"").join(parts)))
                    parts = []
        if close is not None or failed is not None:
            break
    return {"seen": seen, "close": close, "failed": failed, "why": why}


def interrupted(script: Script) -> bool:
    """Whether a control frame stands between the fragments of a compressed message."""
    within = False
    frames, _ = frames_in(script.data)
    for opcode, _, fin, rsv in frames:
        if opcode >= CLOSE:
            if within:
                return True
        elif opcode != CONT:
            within = not fin and rsv == 4
        elif fin:
            within = False
    return False


def explain(script: Script, seen: dict[str, Any], other: dict[str, Any]) -> str | None:
    """Say why a difference is right, None if it isn't."""
    if interrupted(script):
        return "control frame within a compressed message"
    if script.deflate is None:
        return None
    if seen["seen"] == other["seen"] and (seen["failed"], other["failed"]) == (1002, 1007):
        return "data that can't be decompressed"
    if "a compressed message ends" in seen["why"] and seen["failed"] == 1007:
        return "a compressed message that ends within a block"
    return None


def compare(script: Script) -> str | None:
    """Compare what both make of a script; give the reason of a difference that there may be."""
    seen, other = ours(script), theirs(script)
    if all(seen[name] == other[name] for name in ("seen", "close", "failed")):
        return None
    explanation = explain(script, seen, other)
    assert explanation is not None, (script, seen, other)
    return explanation


def test_what_is_received():
    explanations = Counter(map(compare, [*map(make_script, range(SCRIPTS)), *SELDOM]))
    assert explanations.pop(None) > 0.8 * SCRIPTS
    assert set(explanations) == differences("wsproto")
