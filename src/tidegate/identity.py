"""What the package calls itself, to those it talks to and in logs.

When it stands in for `websockets` (see `tidegate.integrations.websockets`), `tidegate.version` says
which version of that, and programs look for the loggers of that.
"""

from __future__ import annotations

from .version import version

# For the headers User-Agent and Server.
PRODUCT = f"tidegate/{version}"

# The generation of websockets' API, 17 or 13, whose place tidegate has in this process.
stands_in_for: int | None = None


def way_out() -> str:
    """Say how a program for the older API runs without a change, at the end of a message.

    Empty where the program doesn't run in the place of one for `websockets`, or so already.
    """
    if stands_in_for != 17:
        return ""
    return "; or leave the program as it is and run it with tidegate run --api 13"


# What the names of the loggers of clients and servers begin with.
loggers = "tidegate"
