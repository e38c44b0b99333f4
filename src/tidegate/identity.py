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

# What the names of the loggers of clients and servers begin with.
loggers = "tidegate"
