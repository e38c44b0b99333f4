"""What a server answers to a request, whatever it is."""

from __future__ import annotations

import asyncio
import http
import re

import pytest

from .libraries import address, alike, described, log_records, neutral, outcome

UPGRADE = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


async def handler(connection):
    await connection.wait_closed()


def request(line="GET / HTTP/1.1", remove=(), **headers):
    """Give a request: a good one, with headers added, replaced or removed."""
    lines = [f"{name}: {value}" for name, value in UPGRADE.items() if name not in remove]
    for name, value in headers.items():
        name = name.replace("_", "-")
        lines = [line for line in lines if not line.lower().startswith(f"{name.lower()}:")]
        lines += [f"{name}: {one}" for one in ([value] if isinstance(value, str) else value)]
    return "\r\n".join([line, *lines, "", ""]).encode("iso-8859-1")


async def answer(server, data):
    """Give the answer to a request: the first line, the headers, whether the connection ends."""
    host, port = server.sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(data)
    head = b""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            body = await reader.read()
            length = re.search(rb"Content-Length: (\d+)", head)
            # Only websockets sends a body with it (RFC 9110, section 9.3.2).
            if not data.startswith(b"HEAD "):
                assert length is None or int(length[1]) == len(body)
    except (asyncio.IncompleteReadError, ConnectionError) as exc:
        return type(exc).__name__
    finally:
        writer.close()
        await writer.wait_closed()
    lines = head.decode("iso-8859-1").split("\r\n")
    headers = [line for line in lines[1:] if line and not re.match("(Date|Content-Length):", line)]
    return lines[0], sorted(neutral(line) for line in headers)


REQUESTS = {
    "good": request(),
    "lower case": request(Upgrade="WebSocket", Connection="upgrade"),
    "keep-alive": request(Connection="keep-alive, Upgrade"),
    "two connection headers": request(Connection=["keep-alive", "Upgrade"]),
    "content length 0": request(Content_Length="0"),
    "query": request("GET /path?query=1 HTTP/1.1"),
    "absolute": request("GET http://127.0.0.1/ HTTP/1.1"),
    "post": request("POST / HTTP/1.1"),
    "head": request("HEAD / HTTP/1.1"),
    "http 1.0": request("GET / HTTP/1.0"),
    "plain get": request(remove=["Upgrade", "Connection"]),
    "no connection": request(remove=["Connection"]),
    "close": request(Connection="close"),
    "other upgrade": request(Upgrade="h2c"),
    "no key": request(remove=["Sec-WebSocket-Key"]),
    "two keys": request(Sec_WebSocket_Key=["dGhlIHNhbXBsZSBub25jZQ=="] * 2),
    "short key": request(Sec_WebSocket_Key="dGhlIHNhbXBsZQ=="),
    "broken key": request(Sec_WebSocket_Key="???"),
    "broken connection": request(Connection="(),"),
    "too long line": request("GET /" + "x" * 8200 + " HTTP/1.1"),
    "too long header": request(Cookie="x" * 8200),
    "too many headers": request(X=["y"] * 129),
    "subprotocol": request(Sec_WebSocket_Protocol="chat"),
    "deflate and bits": request(
        Sec_WebSocket_Extensions="permessage-deflate; server_max_window_bits=10"
    ),
    "unknown extension": request(Sec_WebSocket_Extensions="x-webkit-deflate-frame"),
    "broken extension": request(Sec_WebSocket_Extensions=";"),
    "origin": request(Origin="https://example.com"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_answers(name):
    @alike
    async def program(lib):
        async with lib.serve(handler, "127.0.0.1", 0) as server:
            return [await answer(server, REQUESTS[name])]

    asyncio.run(program())


@alike
async def test_log_of_requests(lib):
    facts = []
    for name in ("good", "post", "plain get", "no key", "too long line", "http 1.0"):
        with log_records(f"{lib.name}.server") as records:
            async with lib.serve(handler, "127.0.0.1", 0) as server:
                await answer(server, REQUESTS[name])
        for record in records[1:]:
            message = record.getMessage()
            if name != "good" and message == "connection closed":
                # Of a connection that never was: here a refused peer has one line in the log.
                continue
            facts.append((name, record.levelname, neutral(message)))
            if record.exc_info:
                facts.append(described(record.exc_info[1]))
    return facts


@alike
async def test_connections_that_end_early(lib):
    facts = []
    for data in (b"G", b"GET / HT"):
        with log_records(f"{lib.name}.server") as records:
            async with lib.serve(handler, "127.0.0.1", 0) as server:
                host, port = server.sockets[0].getsockname()[:2]
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(data)
                writer.write_eof()
                facts.append(await reader.read())
                writer.close()
        facts += [(record.levelname, neutral(record.getMessage())) for record in records[1:]]
        facts += [described(record.exc_info[1]) for record in records if record.exc_info]
    return facts


@alike
async def test_open_timeout(lib):
    facts = []
    with log_records(f"{lib.name}.server") as records:
        async with lib.serve(handler, "127.0.0.1", 0, open_timeout=0.01) as server:
            facts.append(await answer(server, b"GET / HT"))
    facts += [(record.levelname, neutral(record.getMessage())) for record in records[1:]]
    facts += [described(record.exc_info[1]) for record in records if record.exc_info]
    return facts


ORIGINS = (
    ["https://example.com"],
    ["https://example.com", None],
    [None],
    [re.compile(r"https://.*\.example\.com")],
    [],
)


@alike
async def test_origins(lib):
    facts = []
    for origins in ORIGINS:
        async with lib.serve(handler, "127.0.0.1", 0, origins=origins) as server:
            for origin in (
                None,
                "https://example.com",
                "https://www.example.com",
                "https://www.example.com.evil.org",
                "null",
            ):
                data = request() if origin is None else request(Origin=origin)
                facts.append((await answer(server, data))[0])
                facts.append(await origin_of(lib, server, origin))
    return facts


async def origin_of(lib, server, origin):
    try:
        async with lib.connect(address(server), origin=origin) as client:
            return client.protocol.origin
    except lib.exceptions.InvalidStatus as exc:
        return described(exc), bytes(exc.response.body).partition(b": ")[2]


@alike
async def test_subprotocols(lib):
    facts = []
    for supported, offered in (
        (None, None),
        (None, ["chat"]),
        (["chat"], ["chat"]),
        (["chat", "superchat"], ["superchat", "chat"]),
        (["chat"], ["other"]),
        (["chat"], None),
        ([], ["chat"]),
    ):
        async with lib.serve(handler, "127.0.0.1", 0, subprotocols=supported) as server:
            result = await outcome(connected(lib.connect(address(server), subprotocols=offered)))
            facts.append(result)
    return facts


async def connected(connecting):
    async with connecting as connection:
        return connection.subprotocol


@alike
async def test_select_subprotocol(lib):
    facts = []

    def select(connection, subprotocols):
        facts.append((type(connection).__name__, list(subprotocols), connection.request.path))
        if "fail" in subprotocols:
            raise lib.exceptions.NegotiationError("no such thing")
        if "crash" in subprotocols:
            raise RuntimeError("mistake of the program")
        return subprotocols[-1] if subprotocols else None

    async with lib.serve(
        handler, "127.0.0.1", 0, subprotocols=["a"], select_subprotocol=select
    ) as server:
        for offered in (None, ["b", "c"], ["fail"], ["crash"]):
            facts.append(
                await outcome(connected(lib.connect(address(server), subprotocols=offered)))
            )
    return facts


@alike
async def test_process_request(lib):
    facts = []

    def not_found(connection, request):
        facts.append((type(connection).__name__, type(request).__name__, request.path))
        facts.append((request.method, connection.state.name, connection.request is request))
        if request.path != "/":
            return connection.respond(http.HTTPStatus.NOT_FOUND, "Nothing here\n")

    async def asynchronous(connection, request):
        await asyncio.sleep(0)
        return not_found(connection, request)

    def own(connection, request):
        return lib.Response(418, "Teapot", lib.Headers([("X-Kind", "tea")]), b"short and stout")

    def crash(connection, request):
        raise RuntimeError("mistake of the program")

    def wrong(connection, request):
        return "wrong"

    for process_request in (None, not_found, asynchronous, own, crash):
        with log_records(f"{lib.name}.server") as records:
            async with lib.serve(
                handler, "127.0.0.1", 0, process_request=process_request
            ) as server:
                for path in ("", "elsewhere"):
                    try:
                        async with lib.connect(address(server) + path) as client:
                            facts.append(client.response.status_code)
                    except lib.exceptions.InvalidStatus as exc:
                        response = exc.response
                        facts += [response.status_code, response.reason_phrase]
                        facts.append(sorted({*response.headers} - {"Date"}))
                        if response.status_code != 500:
                            facts.append(bytes(response.body))
                for kind in ("post", "plain get"):
                    facts.append((await answer(server, REQUESTS[kind]))[0])
        facts += [
            (record.levelname, neutral(record.getMessage()))
            for record in records
            if record.levelname != "INFO"
        ]
        facts += [described(record.exc_info[1]) for record in records if record.exc_info]
    return facts


@alike
async def test_process_response(lib):
    facts = []

    def change(connection, request, response):
        facts.append((request.path, response.status_code, connection.state.name))
        response.headers["X-Own"] = "value"

    async def asynchronous(connection, request, response):
        change(connection, request, response)

    def replace(connection, request, response):
        return connection.respond(http.HTTPStatus.FORBIDDEN, "No\n")

    def crash(connection, request, response):
        raise RuntimeError("mistake of the program")

    for process_response in (change, asynchronous, replace, crash):
        async with lib.serve(
            handler, "127.0.0.1", 0, process_response=process_response, origins=[None, "x"]
        ) as server:
            for origin in (None, "y"):
                try:
                    async with lib.connect(address(server), origin=origin) as client:
                        facts.append(client.response.headers.get("X-Own"))
                except lib.exceptions.InvalidStatus as exc:
                    facts += [exc.response.status_code, exc.response.headers.get("X-Own")]
    return facts


@alike
async def test_server_header(lib):
    facts = []
    for keywords in ({}, {"server_header": "mine"}, {"server_header": None}):
        async with lib.serve(handler, "127.0.0.1", 0, **keywords) as server:
            for kind in ("good", "post"):
                facts.append(await answer(server, REQUESTS[kind]))
    return facts


@alike
async def test_basic_auth(lib):
    facts = []

    async def check(username, password):
        return username == "hello" and password == "ïñ:%"

    async def who(connection):
        await connection.send(connection.username)

    for keywords in (
        {"credentials": ("hello", "iloveyou")},
        {"credentials": [("hello", "iloveyou"), ("other", "ïñ:%")]},
        {"check_credentials": lambda username, password: password == "iloveyou"},
        {"check_credentials": check, "realm": "some realm"},
    ):
        auth = lib.basic_auth(**keywords)
        async with lib.serve(who, "127.0.0.1", 0, process_request=auth) as server:
            for user_info in ("", "hello:iloveyou@", "hello:wrong@", "other:%C3%AF%C3%B1:%25@"):
                uri = address(server).replace("//", f"//{user_info}")
                try:
                    async with lib.connect(uri) as client:
                        facts.append(await client.recv())
                except lib.exceptions.InvalidStatus as exc:
                    facts += [exc.response.status_code, exc.response.headers["WWW-Authenticate"]]
                    facts.append(bytes(exc.response.body))
            facts.append((await answer(server, request(Authorization="Bearer token")))[0])
            facts.append((await answer(server, request(Authorization="Basic ???")))[0])
    for keywords in (
        {},
        {"credentials": ("a", "b"), "check_credentials": check},
        {"credentials": "ab"},
        {"credentials": [("a", "b"), "c"]},
        {"credentials": ("a", "b", "c")},
    ):
        try:
            lib.basic_auth(**keywords)
            facts.append("fine")
        except Exception as exc:
            facts.append(described(exc))
    return facts


@alike
async def test_arguments_that_are_refused(lib):
    facts = []
    for keywords in (
        {"compression": "gzip"},
        {"subprotocols": "chat"},
        {"subprotocols": ["not a token"]},
    ):
        for make in (lib.serve, lib.connect):
            try:
                make(handler if make is lib.serve else "ws://127.0.0.1/", **keywords)
            except Exception as exc:
                facts.append((isinstance(exc, ValueError), described(exc).split(": ")[-1]))
    return facts
