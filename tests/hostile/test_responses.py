"""Responses that don't open a connection, and such that others would read in another way."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from .driver import ident, respond

S4_1 = "RFC 6455, section 4.1"
HTTP_2_2, HTTP_4, HTTP_5 = "RFC 9112, section 2.2", "RFC 9112, section 4", "RFC 9112, section 5"
HTTP_6_3, HTTP_7_1 = "RFC 9112, section 6.3", "RFC 9112, section 7.1"
R7692_7_1 = "RFC 7692, section 7.1"

# What programs see; `tidegate.legacy` has names of its own for two of them.
STATUS = {"InvalidStatus", "InvalidStatusCode"}
MESSAGE = {"InvalidMessage"}
TOO_LONG = {
    "InvalidMessage",
    "SecurityError",
    "StatusLineTooLong",
    "HeaderLineTooLong",
    "TooManyHeaders",
}
UPGRADE = {"InvalidUpgrade"}
HEADER = {
    "InvalidHeader",
    "InvalidHeaderFormat",
    "InvalidHeaderValue",
    "NegotiationError",
    "InvalidParameterName",
    "InvalidParameterValue",
    "DuplicateParameter",
}

SWITCH = "HTTP/1.1 101 Switching Protocols"
UP, CONNECTION, ACCEPT = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: {accept}",
)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


class Answer(NamedTuple):
    """A response, and the exceptions that are due.

    Args:
        name: what is wrong.
        rule: where that is said.
        sends: its lines, joined by CRLF with an empty one behind; or all bytes of it, in both of
            which ``{accept}`` is what answers the key.
        due: names of the exceptions of which one is due; nothing if the connection opens.
        status: the status that the exception has.

    """

    name: str
    rule: str
    sends: list[str] | bytes
    due: set[str]
    status: int | None = None


def lines(*more: str) -> list[str]:
    """Make a response that is right, with more headers."""
    return [SWITCH, UP, CONNECTION, ACCEPT, *more]


def refusal(*more: str, body: bytes = b"") -> bytes:
    """Make a response that refuses."""
    return "\r\n".join(["HTTP/1.1 403 Forbidden", *more, "", ""]).encode() + body


CASES = [
    *(
        Answer(
            f"status {status}",
            S4_1,
            [f"HTTP/1.1 {status} Some", UP, CONNECTION, ACCEPT, "Content-Length: 0"],
            STATUS,
            status,
        )
        for status in (200, 201, 204, 304, 400, 401, 403, 404, 426, 429, 500, 503, 599)
    ),
    Answer(
        "a redirect that leads nowhere",
        "RFC 9110, section 15.4",
        ["HTTP/1.1 302 Found", "Content-Length: 0"],
        STATUS | {"InvalidHeader"},
    ),
    *(
        Answer(f"status line {line!r}", HTTP_4, [line, UP, CONNECTION, ACCEPT], MESSAGE)
        for line in (
            "HTTP/1.1 101\tSwitching",
            "HTTP/1.1  101 Switching",
            "HTTP/1.1 1O1 Switching",
            "HTTP/1.1 0101 Switching",
            "HTTP/1.1 101Switching",
            "HTTP/1.1 600 Some",
            "HTTP/1.1 99 Some",
            "HTTP/1.1 -101 Some",
            "HTTP/1.1 101 Switch\x00ing",
            "HTTP/1.0 101 Switching Protocols",
            "HTTP/2 101 Switching Protocols",
            "HTTP/2.0 101 Switching Protocols",
            "http/1.1 101 Switching Protocols",
            "WS/1.1 101 Switching Protocols",
            "101 Switching Protocols",
            "",
        )
    ),
    Answer("bytes at random", HTTP_4, bytes(range(128, 256)) + b"\r\n\r\n", MESSAGE),
    Answer("an alert of TLS", HTTP_4, b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", MESSAGE),
    Answer("a banner of SSH", HTTP_4, b"SSH-2.0-OpenSSH_9.2\r\n", MESSAGE),
    Answer("LF for CRLF", HTTP_2_2, "\n".join([*lines(), "", ""]).encode(), MESSAGE),
    Answer("no name", HTTP_5, lines(": 1"), MESSAGE),
    Answer("no colon", HTTP_5, lines("X-One"), MESSAGE),
    Answer("a space before the colon", "RFC 9112, section 5.1", lines("X-One : 1"), MESSAGE),
    Answer("NUL in a value", "RFC 9110, section 5.5", lines("X-One: \0"), MESSAGE),
    Answer("a bare CR in a value", HTTP_2_2, lines("X-One: 1\rX-Injected: 1"), MESSAGE),
    Answer("a line of 8 KiB and more", "CVE-2026-22815", lines("X-One: " + "x" * 8192), TOO_LONG),
    Answer("a status line of 8 KiB and more", "CVE-2026-22815", [SWITCH + "x" * 8192], TOO_LONG),
    Answer("129 headers", "CVE-2026-22815", lines(*["X-One: 1"] * 126), TOO_LONG),
    Answer(
        "17 interim responses",
        "RFC 9110, section 15.2",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17,
        TOO_LONG,
    ),
    # What is in it.
    Answer("no Upgrade", S4_1, [SWITCH, CONNECTION, ACCEPT], UPGRADE),
    Answer("upgrade to h2c", S4_1, [SWITCH, "Upgrade: h2c", CONNECTION, ACCEPT], UPGRADE),
    Answer("upgrade twice", S4_1, lines("Upgrade: websocket"), UPGRADE | {"InvalidHeader"}),
    Answer("no Connection", S4_1, [SWITCH, UP, ACCEPT], UPGRADE),
    Answer("Connection: close", S4_1, [SWITCH, UP, "Connection: close", ACCEPT], UPGRADE),
    Answer("no key", S4_1, [SWITCH, UP, CONNECTION], HEADER),
    Answer(
        "the key of another",
        S4_1,
        [SWITCH, UP, CONNECTION, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
        HEADER,
    ),
    Answer("an empty key", S4_1, [SWITCH, UP, CONNECTION, "Sec-WebSocket-Accept: "], HEADER),
    Answer(
        "the key, and the key of another",
        S4_1,
        lines("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        HEADER,
    ),
    Answer(
        "the key in lower case",
        S4_1,
        [SWITCH, UP, CONNECTION, "Sec-WebSocket-Accept: {lower}"],
        HEADER,
    ),
    Answer("a subprotocol nobody asked for", S4_1, lines("Sec-WebSocket-Protocol: chat"), HEADER),
    Answer(
        "an extension nobody asked for",
        S4_1,
        lines("Sec-WebSocket-Extensions: x-webkit-deflate-frame"),
        HEADER,
    ),
    *(
        Answer(f"extensions {value!r}", rule, lines(f"Sec-WebSocket-Extensions: {value}"), HEADER)
        for rule, value in (
            ("RFC 6455, section 9.1", ";"),
            ("RFC 6455, section 9.1", "permessage-deflate; ="),
            ("RFC 6455, section 9.1", "permessage-deflate, permessage-deflate"),
            ("WS-2017-0421", "constructor"),
            ("CVE-2026-2229", "permessage-deflate; server_max_window_bits=1000000000000"),
            ("CVE-2026-2229", "permessage-deflate; server_max_window_bits=7"),
            (R7692_7_1, "permessage-deflate; server_max_window_bits=16"),
            (R7692_7_1, "permessage-deflate; server_max_window_bits"),
            (R7692_7_1, "permessage-deflate; client_max_window_bits=7"),
            (R7692_7_1, "permessage-deflate; client_max_window_bits"),
            (R7692_7_1, "permessage-deflate; client_max_window_bits=015"),
            (R7692_7_1, "permessage-deflate; server_no_context_takeover=1"),
            (
                R7692_7_1,
                "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            ),
            (R7692_7_1, "permessage-deflate; level=9"),
        )
    ),
    # Bodies of refusals.
    Answer(
        "a body that says 2^62 bytes",
        HTTP_6_3,
        refusal(f"Content-Length: {2**62}"),
        STATUS | TOO_LONG,
    ),
    Answer(
        "lengths that differ",
        HTTP_6_3,
        refusal("Content-Length: 0", "Content-Length: 5"),
        STATUS | TOO_LONG,
    ),
    Answer(
        "a length of 10,000 digits",
        HTTP_6_3,
        refusal("Content-Length: " + "1" * 8000),
        STATUS | TOO_LONG,
    ),
    Answer(
        "a length with a sign",
        HTTP_6_3,
        refusal("Content-Length: +5", body=b"Hello"),
        STATUS | TOO_LONG,
    ),
    Answer(
        "a chunk that says 2^62 bytes",
        HTTP_7_1,
        refusal("Transfer-Encoding: chunked", body=b"4000000000000000\r\n"),
        STATUS | TOO_LONG,
    ),
    Answer(
        "a chunk with a sign",
        HTTP_7_1,
        refusal("Transfer-Encoding: chunked", body=b"+5\r\nHello\r\n0\r\n\r\n"),
        STATUS | TOO_LONG,
    ),
    Answer(
        "a chunk without CRLF",
        HTTP_7_1,
        refusal("Transfer-Encoding: chunked", body=b"5\r\nHelloX\r\n"),
        STATUS | TOO_LONG,
    ),
    Answer(
        "another transfer coding", HTTP_7_1, refusal("Transfer-Encoding: gzip"), STATUS | TOO_LONG
    ),
    Answer("2 MiB without a length", HTTP_6_3, refusal(body=bytes(2**21)), STATUS | TOO_LONG),
    # Ends.
    Answer("nothing at all", HTTP_4, b"", {"InvalidMessage", "ConnectionResetError"}),
    Answer("half a status line", HTTP_4, b"HTTP/1.1 10", MESSAGE),
    Answer("half a header", HTTP_5, b"HTTP/1.1 101 Switching Protocols\r\nUpgr", MESSAGE),
    # What is right.
    Answer("all that is needed", S4_1, lines(), set()),
    Answer(
        "headers in another case",
        S4_1,
        [SWITCH, "upgrade: WebSocket", "CONNECTION: UPGRADE", "sec-websocket-accept: {accept}"],
        set(),
    ),
    Answer("no reason", HTTP_4, ["HTTP/1.1 101 ", UP, CONNECTION, ACCEPT], set()),
    Answer(
        "Connection: keep-alive, Upgrade",
        S4_1,
        [SWITCH, UP, "Connection: keep-alive, Upgrade", ACCEPT],
        set(),
    ),
    Answer(
        "an interim response",
        "RFC 9110, section 15.2",
        ["HTTP/1.1 103 Early Hints", "", *lines()],
        set(),
    ),
    Answer("a header that is continued", "RFC 9112, section 5.2", lines("X-One: 1", " 2"), set()),
]


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_clients(case, clients, house):
    assert respond(case, clients, house.contexts) == {}
