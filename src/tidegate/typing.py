"""The types that the public functions take and give."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any, NewType

__all__ = [
    "Address",
    "BytesLike",
    "Data",
    "DataLike",
    "ExtensionName",
    "ExtensionParameter",
    "LoggerLike",
    "Origin",
    "PathLike",
    "StatusLike",
    "Subprotocol",
]

Address = tuple[str, int] | Any
"""The address of a socket: ``(host, port)`` for IPv4, longer for IPv6, a path for Unix sockets;
None where there is none."""

Data = str | bytes
"""What a message holds when it is received: ``str`` for text, ``bytes`` for binary."""

BytesLike = bytes | bytearray | memoryview
"""Anything that holds the bytes of a binary message to send."""

DataLike = str | bytes | bytearray | memoryview
"""Anything that can be sent as a message."""

LoggerLike = logging.Logger | logging.LoggerAdapter[Any]
"""A logger, or an adapter that adds context to one."""

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""The path of a Unix socket."""

StatusLike = int
"""An HTTP status code; each of `http.HTTPStatus` is an int."""

Origin = NewType("Origin", str)
"""The value of an ``Origin`` header."""

Subprotocol = NewType("Subprotocol", str)
"""One name in a ``Sec-WebSocket-Protocol`` header."""

ExtensionName = NewType("ExtensionName", str)
"""The name of an extension in a ``Sec-WebSocket-Extensions`` header."""

ExtensionParameter = tuple[str, str | None]
"""The name and the value, if it has one, of a parameter of an extension."""

ExtensionHeader = tuple[ExtensionName, Sequence[ExtensionParameter]]
"""One extension with its parameters, as in a ``Sec-WebSocket-Extensions`` header."""

ConnectionOption = NewType("ConnectionOption", str)
"""One option in a ``Connection`` header."""

UpgradeProtocol = NewType("UpgradeProtocol", str)
"""One protocol in an ``Upgrade`` header."""
