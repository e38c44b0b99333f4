"""Environment variables about proxies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping

__all__ = ["Environment", "may_have_proxy"]

# Where the operating system has settings of its own.
HAS_SYSTEM_SETTINGS = sys.platform in ("darwin", "win32")


def select_names(variables: Iterable[str]) -> list[str]:
    """Give the names of variables that are about proxies."""
    return [name for name in variables if name[-6:].lower() == "_proxy"]


def may_have_proxy() -> bool:
    """Say whether there is anything that a proxy could be found in, for those in a hurry."""
    return HAS_SYSTEM_SETTINGS or bool(select_names(os.environ))


class Environment:
    """Environment variables, in the spellings that they have for proxies.

    Lower case comes first, and an empty value in lower case cancels other spellings.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.names: dict[str, str] = {}
        # All upper case sorts before anything mixed.
        self.spellings = sorted(select_names(variables))
        for name in self.spellings:
            key = name.lower()
            # A server hands the Proxy header of a request to a CGI program as HTTP_PROXY.
            if key == "http_proxy" and name != key and "REQUEST_METHOD" in variables:
                continue
            if name == key or key not in self.names:
                self.names[key] = name

    def absence(self, key: str) -> str | None:
        """Say why a variable has no value; None if it's another spelling's fault alone."""
        if key in self.names:
            return "is set, but empty"
        return None if self.ignored(key) else "isn't set"

    def ignored(self, key: str) -> list[tuple[str, str, str]]:
        """Give the spellings that are set and don't count, with their values, and why not."""
        counts = self.names.get(key)
        ignored = []
        for name in self.spellings:
            if name.lower() != key or name == counts:
                continue
            value = self.variables[name].strip()
            if not value:
                continue
            if counts is None:
                reason = (
                    "doesn't count where REQUEST_METHOD is set: it may be the header Proxy of a"
                    " request to a CGI program"
                )
            elif self.get(key):
                reason = f"doesn't count, because {counts} does"
            else:
                reason = f"is cancelled by {counts}, which is set and empty"
            ignored.append((name, value, reason))
        return ignored

    def name(self, key: str) -> str:
        """Give the spelling in which a variable is set, or the usual one."""
        return self.names.get(key, key)

    def get(self, key: str) -> str:
        """Give the value of a variable, empty if it isn't set."""
        return self.variables.get(self.names.get(key, key), "").strip()

    def has_proxies(self) -> bool:
        """Say whether there is any proxy in the environment."""
        return any(self.get(key) for key in self.names if key != "no_proxy")
