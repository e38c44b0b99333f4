"""What the compiled modules share in C, by the same names whether they are compiled or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tidegate.wire import kernels as python_kernels
from tidegate.wire import reader, writer

compiled = not reader.__file__.endswith(".py")

READER_METHODS = [
    "next_message",
    "take_payload",
    "put",
    "pop",
    "lend",
    "give_back",
    "rest",
    "room",
    "received_in_room",
]
WRITER_METHODS = ["write_text", "write_bytes"]

compiled_kernels: Any = None
"""The kernels in C, None where there are none."""

kernels: Any = python_kernels
"""Those that the reader and the writer use."""

methods: Any
"""Methods of FrameReader and FrameWriter, as functions."""

if compiled:
    from tidegate import _exposed

    kernels = compiled_kernels = methods = _exposed
    CONTROL = _exposed.CONTROL
else:
    CONTROL = reader.CONTROL
    methods = SimpleNamespace(
        **{name: getattr(reader.FrameReader, name) for name in READER_METHODS},
        **{name: getattr(writer.FrameWriter, name) for name in WRITER_METHODS},
        mask_key=writer.mask_key,
    )
