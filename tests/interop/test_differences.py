"""Answers to requests and responses that aren't right, next to those of websockets.

Where they differ, the page on differences says so, and names nothing else: each entry below has the
words of its row.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import importlib
import re
from pathlib import Path

import pytest

pytest.importorskip("websockets.asyncio.client")

pytestmark = [
    pytest.mark.asyncio_only,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
APIS = {"today": "asyncio", "older": "legacy"}

# What a server answers

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UPGRADE = "Upgrade: websocket\r\n"
CONNECTION = "Connection: Upgrade\r\n"
VERSION = "Sec-WebSocket-Version: 13\r\n"
HOST = "Host: gate\r\n"
HEAD = HOST + UPGRADE + CONNECTION + KEY + VERSION


def request(line="GET / HTTP/1.1", head=HEAD, more="", body=""):
    """Give a request."""
    return f"{line}\r\n{head}{more}\r\n{body}".encode("iso-8859-1")


REQUESTS = {
    "good": request(),
    "version 12": request(head=HEAD.replace("Version: 13", "Version: 12")),
    "no version": request(head=HEAD.replace(VERSION, "")),
    "two versions": request(more=VERSION),
    "no upgrade": request(head=HEAD.replace(UPGRADE, "")),
    "another upgrade": request(head=HEAD.replace("websocket", "h2c")),
    "one more upgrade": request(head=HEAD.replace("websocket", "websocket, h2c")),
    "no connection": request(head=HEAD.replace(CONNECTION, "")),
    "plain": request(head=HOST),
    "no key": request(head=HEAD.replace(KEY, "")),
    "short key": request(head=HEAD.replace("dGhlIHNhbXBsZSBub25jZQ==", "abc")),
    "two keys": request(more=KEY),
    "HTTP/1.0": request("GET / HTTP/1.0"),
    "HTTP/2.0": request("GET / HTTP/2.0"),
    "POST": request("POST / HTTP/1.1"),
    "HEAD": request("HEAD / HTTP/1.1"),
    "body": request(more="Content-Length: 2\r\n", body="hi"),
    "chunks": request(more="Transfer-Encoding: chunked\r\n", body="0\r\n\r\n"),
    "POST with a body": request("POST / HTTP/1.1", more="Content-Length: 2\r\n", body="hi"),
    "nonsense": b"nonsense\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\x05hello\r\n\r\n",
    "long line": request(f"GET /{'x' * 9000} HTTP/1.1"),
    "long header": request(more=f"X: {'x' * 9000}\r\n"),
    "many headers": request(more="X: 1\r\n" * 200),
    "extensions": request(more="Sec-WebSocket-Extensions: ;;\r\n"),
    "subprotocols": request(more="Sec-WebSocket-Protocol: a b\r\n"),
    "two origins": request(more="Origin: http://gate\r\n" * 2),
    "another origin": request(more="Origin: http://sluice\r\n"),
    "no host": request(head=HEAD.replace(HOST, "")),
    "two hosts": request(more=HOST),
    "no host at all": request(head=HEAD.replace("gate", "a b")),
    "empty line": b"\r\n" + request(),
    "space": request(more="A : b\r\n"),
    "NUL": request(more="A: b\0c\r\n"),
    "absolute": request("GET http://gate/ HTTP/1.1"),
}

MALFORMED = "a malformed request is answered with the end of the connection"
OLDER = "the older API answers any wrong request with 400"
OLDER_BODY = "the older API takes a body of a request"
VERSIONS = "a request for another version of WebSocket is answered with 400"
HOSTS = "any `Host` is taken"
BODY = "a request with a body is refused before `process_request`"
EMPTY = "an empty line before a request is refused"

# Which API and request: what websockets answers, what tidegate does, where the page says so.
ANSWERS = {
    ("today", "version 12"): ("400", "426", VERSIONS),
    ("older", "version 12"): ("400", "426", VERSIONS),
    ("today", "two versions"): ("400", "426", VERSIONS),
    ("older", "two versions"): ("400", "426", VERSIONS),
    ("today", "one more upgrade"): ("426", "101", "`Upgrade: websocket, h2c` is refused"),
    ("older", "one more upgrade"): ("426", "101", "`Upgrade: websocket, h2c` is refused"),
    ("older", "HTTP/1.0"): ("400", "505", OLDER),
    ("today", "HTTP/2.0"): ("nothing", "400", MALFORMED),
    ("older", "POST"): ("400", "405", OLDER),
    ("older", "HEAD"): ("400", "405", OLDER),
    ("older", "POST with a body"): ("400", "405", OLDER),
    ("today", "POST with a body"): ("nothing", "405", BODY),
    ("today", "body"): ("nothing", "400", BODY),
    ("today", "chunks"): ("nothing", "400", BODY),
    ("older", "body"): ("101", "400", OLDER_BODY),
    ("older", "chunks"): ("101", "400", OLDER_BODY),
    ("today", "nonsense"): ("nothing", "400", MALFORMED),
    ("today", "TLS"): ("nothing", "400", MALFORMED),
    ("older", "long line"): ("400", "414", OLDER),
    ("older", "long header"): ("400", "431", OLDER),
    ("older", "many headers"): ("400", "431", OLDER),
    ("older", "subprotocols"): ("101", "400", OLDER_BODY),
    ("today", "no host"): ("101", "400", HOSTS),
    ("older", "no host"): ("101", "400", HOSTS),
    ("today", "two hosts"): ("101", "400", HOSTS),
    ("older", "two hosts"): ("101", "400", HOSTS),
    ("today", "no host at all"): ("101", "400", HOSTS),
    ("older", "no host at all"): ("101", "400", HOSTS),
    ("today", "empty line"): ("nothing", "101", EMPTY),
    ("older", "empty line"): ("400", "101", EMPTY),
    ("today", "space"): ("nothing", "400", MALFORMED),
    ("today", "NUL"): ("nothing", "400", MALFORMED),
}


async def answer(port, data):
    """Give the status of the answer to a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            line = await reader.readline()
    except ConnectionError:
        line = b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return line.split()[1].decode() if line else "nothing"


async def wait(connection):
    await connection.wait_closed()


@pytest.mark.parametrize("api", APIS)
async def test_answers_of_servers(api):
    found = {}
    async with contextlib.AsyncExitStack() as stack:
        ports = []
        for package in ("websockets", "tidegate"):
            module = importlib.import_module(f"{package}.{APIS[api]}.server")
            serve = module.serve(wait, "127.0.0.1", 0, origins=["http://gate", None])
            server = await stack.enter_async_context(serve)
            ports.append(server.sockets[0].getsockname()[1])
        for name, data in REQUESTS.items():
            theirs, ours = [await answer(port, data) for port in ports]
            if theirs != ours:
                found[api, name] = theirs, ours
    check(api, found, ANSWERS)


# What a client makes of a response

GOOD = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
SWITCHING = "HTTP/1.1 101 Switching Protocols\r\n" + GOOD
END = "Content-Length: 0\r\n\r\n"

RESPONSES = {
    "good": f"{SWITCHING}\r\n",
    "200": f"HTTP/1.1 200 OK\r\n{END}",
    "403": "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    "chunks": "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    "refusal in HTTP/1.0": f"HTTP/1.0 403 No\r\n{END}",
    "HTTP/1.0": f"HTTP/1.0 101 Switching Protocols\r\n{GOOD}\r\n",
    "HTTP/2.0": f"HTTP/2.0 101 Switching Protocols\r\n{GOOD}\r\n",
    "another accept": f"{SWITCHING}\r\n".replace("{accept}", "abc"),
    "no accept": f"{SWITCHING}\r\n".replace("Sec-WebSocket-Accept: {accept}\r\n", ""),
    "no upgrade": f"{SWITCHING}\r\n".replace(UPGRADE, ""),
    "another upgrade": f"{SWITCHING}\r\n".replace("websocket", "h2c"),
    "two upgrades": f"{SWITCHING}{UPGRADE}\r\n",
    "no connection": f"{SWITCHING}\r\n".replace(CONNECTION, ""),
    "an extension": f"{SWITCHING}Sec-WebSocket-Extensions: gate\r\n\r\n",
    "compression twice": f"{SWITCHING}{'Sec-WebSocket-Extensions: permessage-deflate' * 2}\r\n\r\n",
    "a window": f"{SWITCHING}Sec-WebSocket-Extensions: permessage-deflate; "
    "server_max_window_bits=99\r\n\r\n",
    "a subprotocol": f"{SWITCHING}Sec-WebSocket-Protocol: gate\r\n\r\n",
    "two subprotocols": f"{SWITCHING}Sec-WebSocket-Protocol: a, b\r\n\r\n",
    "redirect to nowhere": f"HTTP/1.1 302 Found\r\n{END}",
    "redirect to FTP": f"HTTP/1.1 302 Found\r\nLocation: ftp://gate/\r\n{END}",
    "redirect to two": f"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n{END}",
    "nonsense": "nonsense\r\n\r\n",
    "long line": f"HTTP/1.1 101 {'x' * 9000}\r\n{GOOD}\r\n",
    "long header": f"{SWITCHING}X: {'x' * 9000}\r\n\r\n",
    "many headers": f"{SWITCHING}{'X: 1' * 200}\r\n\r\n",
    "status 99": f"HTTP/1.1 099 No\r\n{END}",
    "status 600": f"HTTP/1.1 600 No\r\n{END}",
    "status x": f"HTTP/1.1 x No\r\n{END}",
    "folded": f"{SWITCHING}X: a\r\n b\r\n\r\n",
    "coding": "HTTP/1.1 403 No\r\nTransfer-Encoding: gzip\r\n\r\n",
    "length": "HTTP/1.1 403 No\r\nContent-Length: x\r\n\r\n",
    "large body": "HTTP/1.1 403 No\r\nContent-Length: 99999999\r\n\r\n",
    "100": f"HTTP/1.1 100 Continue\r\n\r\n{SWITCHING}\r\n",
    "103": f"HTTP/1.1 103 Early Hints\r\n\r\n{SWITCHING}\r\n",
    "no reason": f"HTTP/1.1 101\r\n{GOOD}\r\n",
    "empty reason": f"HTTP/1.1 101 \r\n{GOOD}\r\n",
}

SKIPPED = "100 and 103 before the response are refusals"
READ = "folded header lines of a response, and a status line without a reason, are refused"
STATUS = "with the older API, a refusal with a status above 599, or a body that can't be read"
OLD_HTTP = "a refusal in HTTP/1.0 is an `InvalidMessage`"
LOCATIONS = "two `Location` headers are a `MultipleValuesError`"

OUTCOMES = {
    ("today", "refusal in HTTP/1.0"): ("InvalidMessage", "InvalidStatus", OLD_HTTP),
    ("older", "refusal in HTTP/1.0"): ("InvalidMessage", "InvalidStatusCode", OLD_HTTP),
    ("today", "redirect to two"): ("MultipleValuesError", "InvalidStatus", LOCATIONS),
    ("older", "redirect to two"): ("MultipleValuesError", "InvalidHeader", LOCATIONS),
    ("today", "long line"): (
        *("StatusLineTooLong", "InvalidMessage"),
        "a status line that is too long is a `StatusLineTooLong`",
    ),
    ("older", "status 600"): ("InvalidStatusCode", "InvalidMessage", STATUS),
    ("older", "coding"): ("InvalidStatusCode", "InvalidMessage", STATUS),
    ("older", "length"): ("InvalidStatusCode", "InvalidMessage", STATUS),
    ("older", "large body"): ("InvalidStatusCode", "InvalidMessage", STATUS),
    ("today", "folded"): ("InvalidMessage", "open", READ),
    ("older", "folded"): ("InvalidMessage", "open", READ),
    ("today", "no reason"): ("InvalidMessage", "open", READ),
    ("older", "no reason"): ("InvalidMessage", "open", READ),
    ("today", "100"): ("InvalidStatus", "open", SKIPPED),
    ("older", "100"): ("InvalidStatusCode", "open", SKIPPED),
    ("today", "103"): ("InvalidStatus", "open", SKIPPED),
    ("older", "103"): ("InvalidStatusCode", "open", SKIPPED),
}


async def outcome(api, package, uri):
    """Say what comes of connecting."""
    module = importlib.import_module(f"{package}.{APIS[api]}.client")
    options = {"proxy": None} if api == "today" else {}
    try:
        connection = await module.connect(uri, close_timeout=0.1, **options)
    except Exception as exc:
        return type(exc).__name__
    await connection.close()
    return "open"


@pytest.mark.parametrize("api", APIS)
async def test_outcomes_of_clients(api):
    found = {}
    response = ""
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    async def respond(reader, writer):
        with contextlib.suppress(ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            key = re.search(rb"Sec-WebSocket-Key: (.*)\r", head)[1]
            accept = base64.b64encode(hashlib.sha1(key + guid).digest()).decode()
            writer.write(response.replace("{accept}", accept).encode())
            await reader.read()
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for name, response in RESPONSES.items():  # noqa: B007
            theirs, ours = [await outcome(api, each, uri) for each in ("websockets", "tidegate")]
            if theirs != ours:
                found[api, name] = theirs, ours
    check(api, found, OUTCOMES)


def check(api, found, expected):
    """Compare differences that were found with those that are known, and with the page."""
    assert found == {
        key: (theirs, ours) for key, (theirs, ours, _) in expected.items() if key[0] == api
    }


@pytest.mark.parametrize("words", sorted({row[2] for row in (ANSWERS | OUTCOMES).values()}))
def test_the_page_has_each_difference_once(words):
    first = [line.split(" | ")[0] for line in PAGE.read_text("utf-8").splitlines()]
    assert sum(words in cell for cell in first) == 1


def test_rows_of_the_page_are_not_there_twice():
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [
        row.split(" | ")[0]
        for row in rows
        if not row.startswith(("| ---", "| websockets", "| `websockets.sync`"))
    ]
    assert sorted(set(cells)) == sorted(cells)
