"""``tidegate proxyprotocol``: a relay, an echo, and what the bytes of a header say."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import decode
from .server import echo
from .server import main as relay

__all__ = ["add_arguments", "main", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.description = "Relay, receive and read PROXY protocol headers."
    subparsers = parser.add_subparsers(metavar="WHAT", required=True)
    for name, module, function, text in (
        ("relay", relay, relay.run_command, "pass connections on, each after a header"),
        ("echo", echo, echo.run_command, "tell what the headers of connections say"),
        ("decode", decode, decode.run, "tell what the bytes of a header say"),
    ):
        subparser = subparsers.add_parser(name, help=text)
        module.add_arguments(subparser)
        subparser.set_defaults(run_proxyprotocol=function)


def run(args: argparse.Namespace) -> int:
    """Run the command; give the exit status."""
    status: int = args.run_proxyprotocol(args)
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of its own, ``python -m tidegate.proxyprotocol``; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.proxyprotocol")
    add_arguments(parser)
    return run(parser.parse_args(argv))
