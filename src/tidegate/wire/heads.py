"""The head of a request, and what it asks for, where both are as usual.

What isn't usual gives None: others find out whether it is right, or what is wrong with it. So
nothing passes here that they would refuse.
"""

from __future__ import annotations

import binascii
import re

try:
    import cython
except ImportError:
    from .. import _cython as cython

__all__ = ["accept_usual_key", "join_head", "key_of_usual_upgrade", "split_request"]

# RFC 6455, section 1.3
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# Names that are kept, so many of them and no longer ones.
MOST_NAMES = 61
LONGEST_NAME = 40
names = [""] * MOST_NAMES
lower_names = [""] * MOST_NAMES

if not cython.compiled:
    # The grammar, in characters of ISO-8859-1. RFC 9110, sections 5.1, 5.5, 5.6.2; RFC 9112,
    # section 3. Nobody needs the four forms of a target told apart here.
    _TOKEN = r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+"
    _request_line = re.compile(rf"({_TOKEN}) ([\x21-\x7e]+) (HTTP/1\.[01])\r\n").match
    # RFC 9112, section 5. White space around the value isn't part of it; what is behind it is taken
    # away afterwards. The additional "+" forbid going back, which would be quadratic.
    _header_lines = re.compile(
        rf"^({_TOKEN}+):[\x09\x20]*+([\x09\x20-\x7e\x80-\xff]*+)\r\n", re.MULTILINE
    ).findall
    _is_usual_host = re.compile(r"[-.0-9a-zA-Z]*(?::[0-9]{0,5})?").fullmatch
    _is_usual_key = re.compile(r"[+/0-9a-zA-Z]{21}[AQgw]==").fullmatch

    def scan_head(
        data: bytes, most: int
    ) -> tuple[str, str, str, list[tuple[str, str]], dict[str, str | list[str]]] | None:
        text = data.decode("iso-8859-1")
        line = _request_line(text)
        if line is None or not text.endswith("\r\n\r\n"):
            return None
        items = _header_lines(text, line.end())
        # There is one match for each line, and two other lines: the first and the empty one.
        if len(items) + 2 != text.count("\n") or len(items) > most:
            return None
        items = [(name, value.rstrip(" \t")) for name, value in items]
        values: dict[str, str | list[str]] = {}
        for name, value in items:
            key = name.lower()
            known = values.get(key)
            if known is None:
                values[key] = value
            elif isinstance(known, list):
                known.append(value)
            else:
                values[key] = [known, value]
        method, target, version = line.groups()
        return method, target, version, items, values

    def usual_key(values: dict[str, str | list[str]]) -> str | None:
        texts = [
            value if isinstance(value, str) and value.isascii() else ""
            for value in map(
                values.get, ("upgrade", "connection", "sec-websocket-version", "sec-websocket-key")
            )
        ]
        upgrade, connection, version, key = texts
        host = values.get("host")
        if (
            upgrade.lower() == "websocket"
            and connection.lower() in ("upgrade", "keep-alive, upgrade")
            and version == "13"
            and _is_usual_key(key)
            and isinstance(host, str)
            and _is_usual_host(host)
            and "transfer-encoding" not in values
            and "content-length" not in values
            and is_short(values.get("sec-websocket-extensions"))
            and is_short(values.get("sec-websocket-protocol"))
        ):
            return key
        return None

    def is_short(value: str | list[str] | None) -> bool:
        # A list that can't have so many elements that they take long.
        return value is None or (isinstance(value, str) and len(value) <= 200)

    def join_lines(
        first: str, items: list[tuple[str, str]], body: bytes | bytearray
    ) -> bytes | None:
        lines = "".join([f"{name}: {value}\r\n" for name, value in items])
        try:
            return f"{first}\r\n{lines}\r\n".encode("iso-8859-1") + body
        except UnicodeEncodeError:
            return None

    def answer_to(key: str) -> str:
        import hashlib

        digest = hashlib.sha1((key + GUID).encode(), usedforsecurity=False).digest()
        return binascii.b2a_base64(digest, newline=False).decode()

    def tidegate_make_kinds() -> None:
        pass


tidegate_make_kinds()


def split_request(
    data: bytes, most: int
) -> tuple[str, str, str, list[tuple[str, str]], dict[str, str | list[str]]] | None:
    """Take the head of a request apart, in one pass (RFC 9112, sections 3 and 5).

    Args:
        data: all of it, up to and including the empty line.
        most: how many header lines it may have.

    Returns:
        Method, target and version; names and values of the headers; and the values by names in
        lower case, in a list where a name came several times. None if there is anything wrong
        with it.

    """
    return scan_head(data, most)


def key_of_usual_upgrade(values: dict[str, str | list[str]]) -> str | None:
    """Give the key of a request that asks for a WebSocket in the usual words.

    Args:
        values: of the headers, as `split_request` gives them.

    Returns:
        The value of Sec-WebSocket-Key. None if something isn't as usual or not right
        (RFC 6455, section 4.2.1).

    """
    return usual_key(values)


def join_head(
    first: str, items: list[tuple[str, str]], body: bytes | bytearray = b""
) -> bytes | None:
    """Put a request or response together.

    Args:
        first: its first line.
        items: names and values of its headers.
        body: its body.

    Returns:
        It as bytes in ISO-8859-1; None if it has characters that aren't there.

    """
    return join_lines(first, items, body)


def accept_usual_key(key: str) -> str:
    """Give the value of Sec-WebSocket-Accept (RFC 6455, section 4.2.2).

    Args:
        key: what `key_of_usual_upgrade` gave.

    """
    return answer_to(key)
