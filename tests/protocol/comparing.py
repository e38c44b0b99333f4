"""Feeds protocols of several libraries with the same, and gives what can be seen of them."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..wire.frames import xored
from ..wire.scripts import Script


def library(name: str) -> SimpleNamespace:
    """The modules of a library."""
    modules = ["protocol", "exceptions", "extensions.permessage_deflate"]
    return SimpleNamespace(
        **{each.split(".")[-1]: importlib.import_module(f"{name}.{each}") for each in modules}
    )


def differences(library: str) -> set[str]:
    """What there is in the table of differences about another library."""
    rows = Path(__file__).with_name("DIFFERENCES.md").read_text().splitlines()
    cells = [[cell.strip() for cell in row.split("|")] for row in rows if row.startswith("|")]
    return {row[2] for row in cells if row[1] == library}


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


# What is called


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
    "receive close": data(b"\x88\x82\0\0\0\0\x03\xe8"),
    "receive close 4000": data(b"\x88\x85\0\0\0\0\x0f\xa0why"),
    "receive close without code": data(b"\x88\x80\0\0\0\0"),
    "receive close with 1005": data(b"\x88\x82\0\0\0\0\x03\xed"),
    "receive close with one byte": data(b"\x88\x81\0\0\0\0\x03"),
    "receive close with bad text": data(b"\x88\x83\0\0\0\0\x03\xe8\xff"),
    "receive nonsense": data(b"\x83\x80\0\0\0\0"),
    "receive end of stream": lambda p: p.receive_eof(),
}


def choose_operations(rng: random.Random) -> list[str]:
    """Give the names of some operations."""
    names = [rng.choice(list(OPERATIONS)) for _ in range(rng.randint(1, 8))]
    if "receive end of stream" in names:
        # There is nothing after that to fail.
        end = names.index("receive end of stream") + 1
        names[end:] = [name for name in names[end:] if not name.startswith("fail")]
    return names


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
