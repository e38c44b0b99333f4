"""The challenges of HTTP proxies that want authentication (RFC 9110, section 11)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

__all__ = ["Challenge", "parse_challenges"]


@dataclasses.dataclass
class Challenge:
    """One way to authenticate that a proxy offers (RFC 9110, section 11.3).

    Attributes:
        scheme: such as ``basic``, in lower case.
        params: parameters by name in lower case.
        token: the data of a scheme that has no parameters, such as ``NTLM``.
    """

    scheme: str
    params: dict[str, str] = dataclasses.field(default_factory=dict)
    token: str | None = None


TOKEN = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"

match_separators = re.compile(r"[ \t,]*").match

# A parameter, or a scheme with or without a token68 (RFC 9110, section 11.6).
match_part = re.compile(
    rf"""
    (?P<name>{TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<value>{TOKEN}))
        (?=[ \t]*(?:,|$))
    |(?P<scheme>{TOKEN})(?:[ \t]+(?P<token>[-A-Za-z0-9._~+/]+=*)(?=[ \t]*(?:,|$)))?
        (?=[ \t]|,|$)
    """,
    re.VERBOSE,
).match


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read the values of ``Proxy-Authenticate`` headers.

    What cannot be read is left out: another challenge may still be good.
    """
    challenges: list[Challenge] = []
    for header in headers:
        position = 0
        current: Challenge | None = None
        while position < len(header):
            separators = match_separators(header, position)
            assert separators is not None
            position = separators.end()
            match = match_part(header, position)
            if match is None:
                position = header.find(",", position) + 1 or len(header)
                continue
            position = match.end()
            if match["scheme"] is not None:
                current = Challenge(match["scheme"].lower(), token=match["token"])
                challenges.append(current)
            elif current is not None:
                value = match["value"]
                if value is None:
                    value = re.sub(r"\\(.)", r"\1", match["quoted"])
                current.params.setdefault(match["name"].lower(), value)
    return challenges
