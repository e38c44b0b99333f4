"""The command ``tidegate``.

`main` runs it. A room of the house that offers a subcommand has a module with two functions,
``add_arguments(parser)`` and ``run(args) -> int``, and an entry in `COMMANDS`.
"""

from __future__ import annotations

from .commands import COMMANDS, Command, main

__all__ = ["COMMANDS", "Command", "main"]
