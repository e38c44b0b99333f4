"""Bodies of answers that refuse, for people."""

from __future__ import annotations

import pytest

from tidegate.bodies import MAX_BODY, text_of
from tidegate.datastructures import Headers
from tidegate.exceptions import InvalidProxyStatus
from tidegate.http11 import Response
from tidegate.proxy import Proxy

PAGE = b"""<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN">
<html><head><title>403 Filtered</title>
<style type="text/css">body { margin: 0 } /* <b>no</b> */</style>
<!-- padding > for <i>old</i> browsers -->
</head><body>
<h1>Filtered</h1>
<p>The request you made was <b>fil</b>tered &amp; logged by <a href="x">m&eacute;</a>.</p>
<script>alert("<p>")</script><hr/>
</body></html>
"""


def test_a_page_is_shown_as_its_text():
    assert text_of(PAGE) == (
        "403 Filtered Filtered The request you made was filtered & logged by m\xe9."
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"a < b\n > c", "a < b > c"),
        (b'{"html": "<p>"}', '{"html": "<p>"}'),
        (b"<P>cut off <spa", "cut off"),
        (b"<p>1 < 2 & 3", "1 < 2 & 3"),
        (b"<html><script>never ends", ""),
        (b"<html>a<!-- never ends", "a"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_what_may_be_no_page(body, text):
    assert text_of(body) == text


@pytest.mark.parametrize("part", [b"<", b"<a ", b"<script", b"<!--", b"</script ", b"&", b"<p <"])
def test_work_is_linear(part):
    text_of(b"<html>" + part * MAX_BODY)


def test_the_refusal_of_a_proxy():
    exc = InvalidProxyStatus(Response(403, "Filtered", Headers(), PAGE))
    exc.proxy = Proxy("http", "p.test", 80)
    assert "\n  body: 403 Filtered Filtered The request you made was filtered & log" in str(exc)
