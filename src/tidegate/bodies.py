"""Bodies of answers that refuse, as text for people to read.

Only messages of errors need it, so it is imported by what makes one.
"""

from __future__ import annotations

import html
import re

# How much of a body is looked at for its text, in bytes.
MAX_BODY = 65536

is_html = re.compile(
    r"\s*(?:<\?xml[^<>]*>\s*)?<(?:!doctype\s+html|html|head|title|body|h\d|p|center)\b",
    re.IGNORECASE,
).match
# Each goes on to the end if nothing closes it, so that the work is linear.
comments = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
programs = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
inline_tags = re.compile(r"</?(?:a|b|code|em|font|i|small|span|strong|tt|u)(?:\s[^<>]*)?>", re.I)
tags = re.compile(r"</?[a-z!?][^<>]*>?", re.IGNORECASE)


def text_of(body: bytes | bytearray) -> str:
    """Give the text of a response's body on one line: of HTML, what a browser would show.

    It may have control characters, see `tidegate.printable`.
    """
    text = bytes(body[:MAX_BODY]).decode(errors="replace")
    if is_html(text):
        text = inline_tags.sub("", programs.sub(" ", comments.sub("", text)))
        text = html.unescape(tags.sub(" ", text))
    return " ".join(text.split())
