"""Names of the older API (deprecated): single frames. See `tidegate.frames`."""

from __future__ import annotations

from .imports import lazy_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .frames import BINARY as OP_BINARY
    from .frames import CLOSE as OP_CLOSE
    from .frames import CONT as OP_CONT
    from .frames import CTRL_OPCODES, DATA_OPCODES
    from .frames import PING as OP_PING
    from .frames import PONG as OP_PONG
    from .frames import TEXT as OP_TEXT
    from .legacy.framing import (
        Frame,
        encode_data,
        parse_close,
        prepare_ctrl,
        prepare_data,
        serialize_close,
    )

__all__ = [
    "CTRL_OPCODES",
    "DATA_OPCODES",
    "OP_BINARY",
    "OP_CLOSE",
    "OP_CONT",
    "OP_PING",
    "OP_PONG",
    "OP_TEXT",
    "Frame",
    "encode_data",
    "parse_close",
    "prepare_ctrl",
    "prepare_data",
    "serialize_close",
]

lazy_import(
    globals(),
    deprecated_aliases={
        "Frame": (".legacy.framing", "use tidegate.Frame"),
        "prepare_data": (".legacy.framing", "use str.encode() and tidegate.Opcode"),
        "prepare_ctrl": (".legacy.framing", "use str.encode()"),
        "encode_data": (".legacy.framing", "use str.encode()"),
        "parse_close": (".legacy.framing", "use tidegate.Close.parse"),
        "serialize_close": (".legacy.framing", "use tidegate.Close.serialize"),
        "CTRL_OPCODES": (".frames", "use tidegate.frames.CTRL_OPCODES"),
        "DATA_OPCODES": (".frames", "use tidegate.frames.DATA_OPCODES"),
        "EXTERNAL_CLOSE_CODES": (
            ".frames",
            "use tidegate.frames.EXTERNAL_CLOSE_CODES",
        ),
        "check_close": (".legacy.framing", "use tidegate.Close.check"),
        "OP_CONT": (".frames:CONT", "use tidegate.Opcode.CONT"),
        "OP_TEXT": (".frames:TEXT", "use tidegate.Opcode.TEXT"),
        "OP_BINARY": (".frames:BINARY", "use tidegate.Opcode.BINARY"),
        "OP_CLOSE": (".frames:CLOSE", "use tidegate.Opcode.CLOSE"),
        "OP_PING": (".frames:PING", "use tidegate.Opcode.PING"),
        "OP_PONG": (".frames:PONG", "use tidegate.Opcode.PONG"),
    },
)
