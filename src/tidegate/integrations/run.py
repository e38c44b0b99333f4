"""``tidegate run``: a program that was written for `websockets`, on tidegate."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
import traceback
from types import ModuleType
from typing import Any

from .websockets import VERSIONS, install

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.usage = "%(prog)s [--api {17,13}] [--report] (SCRIPT | -m MODULE) [ARGUMENT ...]"
    parser.description = (
        "Run a Python program so that what it imports as websockets is tidegate, in this process "
        "and in those that it starts with sys.executable."
    )
    parser.add_argument(
        "--api",
        type=int,
        choices=tuple(VERSIONS),
        default=17,
        help="17: names at the top of the package mean what they mean now; 13: connect, serve and "
        "the like mean what they meant in version 13 and before",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="tell at exit which names the program used that tidegate doesn't have",
    )
    parser.add_argument(
        "-m",
        dest="module",
        nargs=argparse.REMAINDER,
        metavar="MODULE",
        help="run a module, as python -m does",
    )
    parser.add_argument(
        "script",
        nargs=argparse.REMAINDER,
        metavar="SCRIPT",
        help="run a script, as python does; what follows are its arguments",
    )


def run(args: argparse.Namespace) -> int:
    """Run the program; give the exit status.

    Raises:
        SystemExit: when the program exits in this way.

    """
    is_module = args.module is not None
    command = args.module if is_module else args.script
    if not command:
        sys.stderr.write("tidegate run: which program? Give a script, or -m and a module.\n")
        return 2
    if not is_module and not os.path.exists(command[0]):
        sys.stderr.write(f"tidegate run: there is no file {command[0]}\n")
        return 2
    if not is_module and not os.access(command[0], os.R_OK):
        sys.stderr.write(f"tidegate run: {command[0]} can't be read\n")
        return 2
    install(args.api, report=args.report)
    try:
        if is_module:
            run_module(command)
        else:
            run_script(command)
    except ImportError as exc:
        if not is_of_runpy(exc):
            raise
        sys.stderr.write(f"tidegate run: {exc}\n")
        return 2
    return 0


def is_of_runpy(exc: ImportError) -> bool:
    """Say whether a program wasn't found, so that nothing of it has run."""
    frames = [frame for frame, _ in traceback.walk_tb(exc.__traceback__)]
    return {frame.f_globals.get("__name__") for frame in frames} == {__name__, "runpy"}


def run_module(command: list[str]) -> None:
    """Run a module as ``python -m`` does."""
    # Replaced with the module's file by runpy.
    sys.argv = command
    set_first_place(os.getcwd())
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def run_script(command: list[str]) -> None:
    """Run a script as ``python`` does."""
    path = command[0]
    sys.argv = command
    if os.path.isdir(path) or path.endswith((".zip", ".pyz", ".pyc")):
        # Puts the path into sys.path itself.
        runpy.run_path(path, run_name="__main__")
        return
    set_first_place(os.path.dirname(os.path.realpath(path)))
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    # A module that stays, unlike runpy's: threads may go on after the last line.
    main: Any = ModuleType("__main__")
    main.__file__ = path
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    exec(code, vars(main))


def set_first_place(place: str) -> None:
    """Have modules looked for beside the program first, unless Python was told not to."""
    if not sys.flags.safe_path:
        sys.path[0] = place
