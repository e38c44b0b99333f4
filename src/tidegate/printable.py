"""Text from elsewhere, made fit for one line of a log or an error message."""

from __future__ import annotations

import re

MAX_LENGTH = 200


def printable(text: str, max_length: int = MAX_LENGTH) -> str:
    """Give ``text`` on one line, without control characters, cut to about that many characters.

    A peer chooses what its headers, reasons and status lines say; what it chose must not start new
    lines in a log, steer a terminal or fill a disk. A long text keeps its beginning and its end.
    An escaped character counts as one.
    """
    if len(text) > max_length:
        tail = (max_length - 3) // 3
        text = f"{text[: max_length - 3 - tail]}...{text[len(text) - tail :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


# What may stand before user information and says nothing about it.
scheme_of = re.compile(r"(?:wss?|https?|socks(?:4a?|5h?)?)(?:\+[a-z]+)?[:/]+", re.IGNORECASE).match


def without_user_info(url: str) -> str:
    """Give a URL that can't be used with ``***`` in the place of all that may be secret in it.

    What is wrong with it may be a password that isn't percent-escaped, or that somebody put where
    none is expected, so everything between the scheme and the last ``@`` is taken for it.
    """
    at = url.rfind("@")
    if at < 0:
        return url
    scheme = scheme_of(url, 0, at)
    return f"{'' if scheme is None else scheme[0]}***{url[at:]}"


def without_password(uri: str) -> str:
    """Give ``uri`` with ``***`` in the place of its password, if it has one.

    It is meant for URIs that may be malformed, too: in ``ws://me:pa/ss@host/``, where someone
    forgot to quote the password, everything up to the last ``@`` is taken for user information.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        scheme, rest = "", uri
    end = min((i for i in map(rest.find, "/?#") if i >= 0), default=len(rest))
    if "@" not in rest[:end]:
        _, colon, port = rest[:end].rpartition(":")
        # A colon that is followed by something else than a port or the end of an IPv6 address.
        if not colon or port.isdecimal() or port.endswith("]") or not port:
            return uri
        end = len(rest)
    user_info, at, host = rest[:end].rpartition("@")
    user, colon, _ = user_info.partition(":")
    if not at or not colon:
        return uri
    return f"{scheme}{separator}{user}:***@{host}{rest[end:]}"
