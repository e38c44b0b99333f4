"""What the command ``tidegate`` can do, and how it finds out what it is asked for."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, Protocol, cast

__all__ = ["COMMANDS", "Command", "main"]

# What a shell reports for a program that SIGINT ended.
INTERRUPTED = 130


class CommandModule(Protocol):
    """What the module of a subcommand offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


@dataclasses.dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        name: its name.
        module: the module that has its ``add_arguments(parser)``, and its ``run(args)``, which
            returns the exit status; relative to the package, and imported when it is needed.
        help: what it does, in one line.
    """

    name: str
    module: str
    help: str

    def load(self) -> CommandModule:
        """Import its module."""
        package = __package__.rpartition(".")[0]
        return cast(CommandModule, importlib.import_module(self.module, package))


COMMANDS = (
    Command("connect", ".cli.connect", "talk to a WebSocket server, line by line"),
    Command("serve", ".cli.serve", "run a server for a handler, in several processes if you like"),
    Command("route", ".proxy.command", "tell which proxies lead to a server, and why"),
    Command("run", ".integrations.run", "run a program written for websockets on tidegate"),
    Command("proxyprotocol", ".proxyprotocol.command", "relay, receive and read PROXY headers"),
    Command("demo", ".cli.demo", "show that it works: a server, a client, a proxy between them"),
)


class ShowVersion(argparse.Action):
    """Print the version, and what this installation is made of."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> None:
        from .versions import describe

        print(describe())
        parser.exit()


def make_parser(name: str | None) -> argparse.ArgumentParser:
    """Give the parser of the command line; of the subcommands only ``name`` has its arguments."""
    parser = argparse.ArgumentParser(
        prog="tidegate",
        description="WebSocket clients and servers, through proxies and behind load balancers.",
        epilog="`tidegate URI` is short for `tidegate connect URI`, `HOST:PORT` for `ws://HOST:PORT`.",
    )
    parser.add_argument(
        "--version",
        action=ShowVersion,
        nargs=0,
        help="print the version and what this installation is made of",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name, help=command.help, description=f"{command.name}: {command.help}."
        )
        if command.name == name:
            module = command.load()
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser


# A URI, a host with a port, a path or a domain, or this machine: what no command is called.
is_address = re.compile(
    r"[a-z][-+.a-z0-9]*:/.*|localhost|(?:[^\s/?#]*@)?(?:[-.\w]+|\[[^\s/]+\])(?:[:/.][^\s]*|\?\S*)",
    re.IGNORECASE | re.DOTALL,
).fullmatch


def with_command(arguments: Sequence[str]) -> list[str]:
    """Add ``connect`` to arguments that have an address, and options at most in front of it."""
    first = arguments[0] if arguments else ""
    if is_address(first) or (first.startswith("-") and any(map(is_address, arguments))):
        return ["connect", *arguments]
    return list(arguments)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command ``tidegate``.

    Args:
        argv: its arguments, by default those of this process.

    Raises:
        SystemExit: if the exit status isn't 0: 2 if the arguments make no sense, 130 if it was
            interrupted.
    """
    arguments = with_command(sys.argv[1:] if argv is None else argv)
    args = make_parser(arguments[0] if arguments else None).parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        # Not every terminal, or pipe on Windows, takes all characters.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more, as after `| head`; what is still buffered must not fail, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    if status:
        sys.exit(status)
