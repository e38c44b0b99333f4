"""Headers that real proxies sent, captured byte by byte: the files in ``data``.

Lines that begin with ``#`` say what was captured; those with ``#P``, what followed the header.
"""

from __future__ import annotations

import dataclasses
import pathlib

DATA = pathlib.Path(__file__).parent / "data"


@dataclasses.dataclass(frozen=True)
class Capture:
    name: str
    header: bytes
    payload: bytes
    has_checksum: bool


def read(path: pathlib.Path) -> Capture:
    lines = path.read_text().splitlines()
    header = bytes.fromhex("".join(line for line in lines if not line.startswith("#")))
    payload = bytes.fromhex("".join(line[2:] for line in lines if line.startswith("#P")))
    return Capture(path.stem, header, payload, "crc32c valid: True" in path.read_text())


CAPTURES = [read(path) for path in sorted(DATA.glob("*.hex"))]
assert len(CAPTURES) == 16
