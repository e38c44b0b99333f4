"""Random conversations, mostly right and sometimes wrong, as bytes.

A seed makes a script: what one side sends, how it is cut, and what was negotiated. The same seed
gives the same script for ever, so a failure is told by its seed.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

from .frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame, header

TEXTS = ["", "a", "hello", "é", "日本", "\U0001f300" * 3, "x" * 125, "x" * 126, "ü" * 200]
SIZES = [0, 1, 2, 7, 8, 9, 100, 125, 126, 127, 300, 1000, 4095, 4096, 5000]
LARGE_SIZES = [65535, 65536, 70_000, 300_000]
BAD_TEXT = [
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"abc\xe2\x28\xa1",
    b"\xe2\x82",
    b"ok\xf0\x9f",
    b"\x80",
]
CLOSES = [
    b"",
    b"\x03\xe8",
    b"\x03\xe8bye",
    b"\x03\xe9" + "à bientôt".encode(),
    b"\x0f\xa0",
    b"\x03\xe8" + b"x" * 123,
    b"\x03",
    b"\x03\xe7",
    b"\x03\xec",
    b"\x03\xed",
    b"\x03\xee",
    b"\x03\xf7",
    b"\x03\xf8",
    b"\x13\x88",
    b"\x00\x00",
    b"\x03\xe8\xff\xfe",
    b"\x03\xe8\xe2\x82",
]


@dataclasses.dataclass
class Script:
    """What is received, and by whom."""

    seed: int
    mask: bool
    chunks: list[bytes] = dataclasses.field(default_factory=list)
    max_size: int | None = None
    max_frame_size: int | None = None
    # How messages are compressed: window bits, and whether the context is not taken over.
    deflate: tuple[int, bool] | None = None
    # What is wrong, as a word; None if nothing is, on purpose.
    broken: str | None = None
    # The messages that must arrive, None if that isn't known.
    messages: list[str | bytes] | None = None

    @property
    def data(self) -> bytes:
        """All bytes."""
        return b"".join(self.chunks)


class Writer:
    """Writes a script."""

    def __init__(self, rng: random.Random, mask: bool, deflater: Any) -> None:
        self.rng = rng
        self.mask = mask
        self.deflater = deflater
        self.out: list[bytes] = []

    def key(self) -> bytes | None:
        if not self.mask:
            return None
        return self.rng.choice([b"\0\0\0\0", self.rng.randbytes(4)])

    def frame(self, opcode: int, data: bytes, fin: bool = True, rsv: int = 0) -> None:
        if self.rng.random() < 0.05 and opcode < CLOSE and len(data) < 126:
            # A draw of former days, so that a seed gives the same script for ever.
            self.rng.choice([2, 8])
        self.out.append(frame(opcode, data, fin, rsv=rsv, key=self.key()))

    def control(self) -> None:
        opcode = self.rng.choice([PING, PONG])
        self.frame(opcode, self.rng.randbytes(self.rng.choice([0, 1, 4, 125])))

    def message(self, large: bool) -> str | bytes:
        """Write a message and give it."""
        rng = self.rng
        message: str | bytes
        if rng.random() < 0.5:
            message = rng.choice(TEXTS) * rng.choice([1, 1, 1, 3, 20])
            opcode, data = TEXT, message.encode()
        else:
            sizes = LARGE_SIZES if large else SIZES
            message = data = (
                rng.randbytes(rng.choice(sizes)) if rng.random() < 0.5 else bytes(rng.choice(sizes))
            )
            opcode = BINARY
        self.data(opcode, data)
        return message

    def data(self, opcode: int, data: bytes) -> None:
        """Write a message in one or more fragments, with control frames between them."""
        rng = self.rng
        count = rng.choice([1, 1, 1, 2, 3, 6])
        places = sorted(rng.randint(0, len(data)) for _ in range(count - 1))
        parts = [data[a:b] for a, b in itertools.pairwise([0, *places, len(data)])]
        compress = self.deflater is not None and rng.random() < 0.8
        for i, part in enumerate(parts):
            fin = i == count - 1
            payload = self.deflater.compress_fragment(part, fin) if compress else part
            self.frame(opcode if i == 0 else CONT, payload, fin, 4 if compress and i == 0 else 0)
            while not fin and rng.random() < 0.2:
                self.control()


def broken_end(writer: Writer) -> str:
    """Write something that must not be, and give a word for it."""
    rng = writer.rng
    kinds = [
        "text", "fragmented text", "opcode", "rsv", "mask", "continuation", "expected continuation",
        "long control", "fragmented control", "close", "length", "bits", "noise",
    ]  # fmt: skip
    if writer.deflater is not None:
        kinds += ["deflate", "rsv1 continuation", "rsv1 control"]
    kind = rng.choice(kinds)
    if kind == "text":
        writer.frame(TEXT, b"x" * rng.choice([0, 3, 200]) + rng.choice(BAD_TEXT))
    elif kind == "fragmented text":
        data = "é€".encode() * 5 + rng.choice(BAD_TEXT)
        place = rng.randint(0, len(data))
        writer.frame(TEXT, data[:place], False)
        writer.frame(CONT, data[place:])
    elif kind == "opcode":
        writer.frame(rng.choice([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), b"x", rng.random() < 0.5)
    elif kind == "rsv":
        bits = [1, 2, 3, 5, 6, 7] + ([4] if writer.deflater is None else [])
        writer.frame(rng.choice([TEXT, BINARY]), b"x", rsv=rng.choice(bits))
    elif kind == "mask":
        writer.out.append(frame(BINARY, b"x" * 10, key=None if writer.mask else b"\1\2\3\4"))
    elif kind == "continuation":
        writer.frame(CONT, b"x", rng.random() < 0.5)
    elif kind == "expected continuation":
        writer.frame(BINARY, b"x", False)
        writer.frame(rng.choice([TEXT, BINARY]), b"x", rng.random() < 0.5)
    elif kind == "long control":
        writer.frame(rng.choice([CLOSE, PING, PONG]), b"x" * rng.choice([126, 200, 70_000]))
    elif kind == "fragmented control":
        writer.frame(rng.choice([CLOSE, PING, PONG]), b"", False)
    elif kind == "close":
        writer.frame(CLOSE, rng.choice(CLOSES))
    elif kind == "length":
        writer.out.append(header(BINARY, 2**63, key=writer.key(), width=8))
    elif kind == "deflate":
        writer.frame(BINARY, rng.choice([b"\xff" * 5, b"\x07\xff", b"\x06\xff\xff"]), rsv=4)
    elif kind == "rsv1 continuation":
        writer.frame(BINARY, b"x", False)
        writer.frame(CONT, b"\x00", rsv=4)
    elif kind == "rsv1 control":
        writer.frame(PING, b"", rsv=4)
    elif kind == "bits":
        data = bytearray(b"".join(writer.out))
        for _ in range(rng.randint(1, 3)):
            if data:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        writer.out[:] = [bytes(data)]
    else:
        writer.out.append(rng.randbytes(rng.choice([1, 2, 30])))
    return kind


def make_script(seed: int, deflate: bool | None = None, large: float = 0.02) -> Script:
    """Make the script of a seed.

    Args:
        deflate: whether permessage-deflate was negotiated; None leaves it to the seed.
        large: how many messages are large.

    """
    from tidegate.extensions.deflate import MessageDeflater

    rng = random.Random(seed)
    mask = rng.random() < 0.5
    if deflate is None:
        deflate = rng.random() < 0.4
    parameters = (rng.randint(9, 15), rng.random() < 0.3) if deflate else None
    deflater = MessageDeflater(*parameters, {}) if parameters else None
    writer = Writer(rng, mask, deflater)
    script = Script(seed, mask, deflate=parameters)
    messages: list[str | bytes] = []
    for _ in range(rng.randint(0, 6)):
        if rng.random() < 0.3:
            writer.control()
        else:
            messages.append(writer.message(rng.random() < large))
    if rng.random() < 0.5:
        script.broken = broken_end(writer)
        # What comes afterwards must not be read.
        writer.message(False)
    if rng.random() < 0.2:
        script.max_size = rng.choice([0, 1, 125, 126, 1000, 65536])
    if rng.random() < 0.1:
        script.max_frame_size = rng.choice([0, 1, 125, 126, 1000, 65536])
    data = b"".join(writer.out)
    truncated = rng.random() < 0.1
    if truncated:
        data = data[: rng.randint(0, len(data))]
    script.chunks = cut_at_random(rng, data)
    limited = script.max_size is not None or script.max_frame_size is not None
    if not (script.broken or truncated or limited):
        script.messages = messages
    return script


def cut_at_random(rng: random.Random, data: bytes) -> list[bytes]:
    """Cut into chunks, some of them tiny."""
    how = rng.random()
    if how < 0.2 or not data:
        return [data]
    if how < 0.4 and len(data) < 3000:
        return [data[i : i + 1] for i in range(len(data))]
    places = sorted(rng.randint(0, len(data)) for _ in range(rng.choice([1, 2, 5, 20])))
    if how < 0.7:
        # Close to each other, so that headers are cut.
        middle = rng.randint(0, len(data))
        places += [min(len(data), middle + i) for i in range(rng.randint(1, 16))]
        places.sort()
    return [data[a:b] for a, b in itertools.pairwise([0, *places, len(data)])]
