"""What the compiled modules share in C, by the same names whether they are compiled or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tidegate.core.link import Link
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
    "discard",
]
WRITER_METHODS = ["write_text", "write_bytes"]

compiled_kernels: Any = None
"""The kernels in C, None where there are none."""

kernels: Any = python_kernels
"""Those that the reader and the writer use."""

methods: Any
"""Methods of FrameReader and FrameWriter, as functions."""

Face: Any
"""A `Link` whose methods a subclass in Python can have: ``on_receivable`` and ``on_changed``."""

if compiled:
    from tidegate import _exposed

    kernels = compiled_kernels = methods = _exposed
    CONTROL = _exposed.CONTROL
    Face = _exposed.Face
else:

    class PythonFace(Link):
        def take_message(self):
            return self.take()

        def expect_message(self):
            self.nothing_to_take()

        def receivable(self):
            self.on_receivable()

        def changed(self):
            self.on_changed()

    Face = PythonFace
    CONTROL = reader.CONTROL
    methods = SimpleNamespace(
        **{name: getattr(reader.FrameReader, name) for name in READER_METHODS},
        **{name: getattr(writer.FrameWriter, name) for name in WRITER_METHODS},
        mask_key=writer.mask_key,
    )
