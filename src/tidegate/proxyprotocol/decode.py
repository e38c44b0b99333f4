"""``tidegate proxyprotocol decode``: what the bytes of a header say."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

from .describe import describe, to_json
from .errors import ProxyProtocolSyntaxError
from .parser import bytes_needed, parse

__all__ = ["add_arguments", "run"]

# The largest header that there can be, and what a dump of it needs.
MAX_SIZE = 16 + 0xFFFF
MAX_FILE = 16 * MAX_SIZE

COMMENT = re.compile(r"#.*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.description = (
        "Tell what the PROXY protocol header at the beginning of some bytes says. The exit status"
        " is 0 if there is a valid one."
    )
    parser.add_argument(
        "data",
        metavar="HEX|FILE",
        help="the bytes in hexadecimal, or the text of a header of version 1; or a file that has"
        " them, as they are or in hexadecimal, - for standard input",
    )
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")


def run(args: argparse.Namespace) -> int:
    """Run the command; give the exit status."""
    try:
        data = read(args.data)
    except (OSError, ValueError) as exc:
        print(f"decode: {exc}", file=sys.stderr)
        return 2
    try:
        parsed = parse(data, max_size=MAX_SIZE)
        if parsed is None:
            missing = bytes_needed(data, max_size=MAX_SIZE)
            raise ProxyProtocolSyntaxError(
                f"incomplete: after these {len(data)} bytes, at least {missing} are missing"
            )
    except ProxyProtocolSyntaxError as exc:
        hint = ""
        if data.startswith(b"PROXY ") and b"\n" in data and b"\r\n" not in data:
            hint = "; its line ends with LF only, where CR LF has to be"
        print(f"decode: {exc}{hint}", file=sys.stderr)
        return 1
    header, consumed = parsed
    rest = len(data) - consumed
    if args.json:
        print(json.dumps({**to_json(header), "consumed": consumed, "rest": rest}, indent=2))
    else:
        print("\n".join(describe(header)))
        print(f"consumed     {consumed} bytes; {rest} follow")
    return 0


def read(argument: str) -> bytes:
    """Give the bytes that are meant.

    Raises:
        OSError: if a file can't be read.
        ValueError: if it is neither hexadecimal nor a file, or the file is too large.
    """
    if argument == "-":
        return unhex(sys.stdin.buffer.read(MAX_FILE))
    path = Path(argument)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        # A name that no file has, because it is too long.
        is_file = False
    if is_file:
        with path.open("rb") as file:
            return unhex(file.read(MAX_FILE))
    if argument.startswith("PROXY "):
        return line_of(argument)
    try:
        return bytes.fromhex(argument.removeprefix("0x").replace(":", ""))
    except ValueError:
        what = "neither hexadecimal nor a file, nor the text of a header"
        raise ValueError(f"{argument[:100]!r} is {what}") from None


def line_of(text: str) -> bytes:
    """Give a header of version 1 that somebody typed, or copied from a log, where its end is lost.

    Args:
        text: the header, and what follows it.
    """
    text = text.replace("\\r", "\r").replace("\\n", "\n")
    if "\r\n" not in text:
        text = text.rstrip("\r\n") + "\r\n"
    return os.fsencode(text)


def unhex(data: bytes) -> bytes:
    """Give what is written in hexadecimal, or the data itself if it isn't."""
    try:
        return bytes.fromhex(COMMENT.sub("", data.decode("ascii")))
    except ValueError:
        return data
