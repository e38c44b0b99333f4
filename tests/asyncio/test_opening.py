"""The opening handshake of a server: what it answers, and what the program has to say."""

from __future__ import annotations

import asyncio
import functools
import http
import re

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import ServerConnection, serve
from tidegate.datastructures import Headers
from tidegate.exceptions import InvalidStatus, NegotiationError
from tidegate.http11 import Request, Response

from .connections import address, request, until


async def keep(connection):
    await connection.wait_closed()


async def answer(server, data):
    """Give the status, the headers and the body of the answer to a request."""
    host, port = server.sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(data)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("iso-8859-1")
        line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = Headers([each.split(": ", 1) for each in lines])
        if line.startswith("HTTP/1.1 101 "):
            return 101, headers, b""
        # To its end: a connection that is refused is closed.
        return int(line.split(" ")[1]), headers, await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


# What is answered

GOOD = request()


def without(name):
    return re.sub(rb"%s: [^\r]*\r\n" % name, b"", GOOD)


def instead(name, value):
    assert name in GOOD
    return re.sub(rb"%s: [^\r]*\r\n" % name, b"%s: %s\r\n" % (name, value), GOOD)


# Request -> status, headers of the answer
ANSWERS = {
    "good": (GOOD, 101, {"Upgrade": "websocket", "Connection": "Upgrade"}),
    "no Host": (without(b"Host"), 400, {}),
    "two Hosts": (request(headers="Host: other\r\n"), 400, {}),
    "no key": (without(b"Sec-WebSocket-Key"), 400, {}),
    "short key": (instead(b"Sec-WebSocket-Key", b"c2hvcnQ="), 400, {}),
    "no version": (without(b"Sec-WebSocket-Version"), 400, {"Sec-WebSocket-Version": "13"}),
    "other origin": (request(headers="Origin: https://evil.example\r\n"), 403, {}),
    "POST": (GOOD.replace(b"GET", b"POST"), 405, {"Allow": "GET"}),
    "long line": (request("/" + "x" * 10_000), 414, {}),
    "no upgrade": (without(b"Upgrade"), 426, {"Upgrade": "websocket"}),
    "browser": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426, {"Upgrade": "websocket"}),
    "old version": (
        instead(b"Sec-WebSocket-Version", b"8"),
        426,
        {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"},
    ),
    "long header": (request(headers=f"Cookie: {'x' * 10_000}\r\n"), 431, {}),
    "many headers": (request(headers="X: y\r\n" * 200), 431, {}),
    "HTTP/1.0": (GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"), 505, {}),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers(name):
    data, expected, more = ANSWERS[name]
    async with serve(keep, "127.0.0.1", 0, origins=["https://good.example", None]) as server:
        status, headers, body = await answer(server, data)
        assert status == expected
        assert {name: headers.get(name) for name in more} == more
        assert headers["Date"].endswith(" GMT")
        if status != 101:
            assert headers["Connection"] == "close"
            assert headers["Content-Length"] == str(len(body))
            assert headers["Content-Type"] == "text/plain; charset=utf-8"
            assert body.endswith(b".\n")
        await until(lambda: not server.all_connections)
        # It goes on serving.
        assert (await answer(server, GOOD))[0] == 101


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
        GOOD.replace(b"HTTP/1.1", b"HTTP/2.0"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused(data):
    async with serve(keep, "127.0.0.1", 0) as server:
        assert (await answer(server, data))[0] == http.HTTPStatus.BAD_REQUEST
        await until(lambda: not server.all_connections)


async def test_503_when_the_server_is_closing():
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def process_request(connection, request):
        begun.set()
        await go_on.wait()

    server = await serve(keep, "127.0.0.1", 0, process_request=process_request)
    asking = asyncio.create_task(answer(server, GOOD))
    await begun.wait()
    server.close()
    status, _, body = await asking
    assert status == http.HTTPStatus.SERVICE_UNAVAILABLE
    assert b"shutting down" in body
    go_on.set()
    await server.wait_closed()


async def test_open_timeout_of_a_client_bounds_a_trickled_response():
    sent = 0
    ended = asyncio.Event()

    async def trickle(reader, writer):
        nonlocal sent
        try:
            await reader.readuntil(b"\r\n\r\n")
            # Each byte is in time; the whole is not.
            for byte in b"HTTP/1.1 101 Switching Protocols\r\nX-Slow: " + b"x" * 5000:
                if writer.is_closing() or reader.at_eof():
                    break
                writer.write(bytes([byte]))
                sent += 1
                await asyncio.sleep(0.002)
        except (ConnectionError, RuntimeError):
            # RuntimeError is what uvloop says of a connection that was reset.
            pass
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    with pytest.raises(TimeoutError, match="timed out during opening handshake"):
        await connect(uri, open_timeout=0.05)
    await ended.wait()
    server.close()
    assert 0 < sent < 5000


async def test_origins():
    origins = ["https://one.example", re.compile(r"https://\w+\.two\.example"), None]
    async with serve(keep, "127.0.0.1", 0, origins=origins) as server:
        for origin, expected in (
            ("https://one.example", 101),
            ("https://one.example.evil.example", 403),
            ("http://one.example", 403),
            ("https://a.two.example", 101),
            ("https://a.two.example.evil.example", 403),
            ("https://evil.example/https://a.two.example", 403),
            ("null", 403),
            (None, 101),
        ):
            header = "" if origin is None else f"Origin: {origin}\r\n"
            assert (await answer(server, request(headers=header)))[0] == expected
        two = "Origin: https://one.example\r\n" * 2
        assert (await answer(server, request(headers=two)))[0] == 400


async def test_select_subprotocol():
    def select(connection, subprotocols):
        assert isinstance(connection, ServerConnection)
        assert isinstance(connection.request, Request)
        if "none" in subprotocols:
            return None
        if "refused" in subprotocols:
            raise NegotiationError("not this one")
        return subprotocols[-1]

    async with serve(keep, "127.0.0.1", 0, select_subprotocol=select) as server:
        async with connect(address(server), subprotocols=["a", "b"]) as client:
            assert client.subprotocol == "b"
        async with connect(address(server), subprotocols=["none"]) as client:
            assert client.subprotocol is None
        with pytest.raises(InvalidStatus) as caught:
            await connect(address(server), subprotocols=["refused"])
        assert caught.value.response.status_code == 400
        assert b"not this one" in caught.value.response.body


@pytest.mark.parametrize("server_header", [None, "own/1.0"])
async def test_server_header(server_header):
    async with serve(keep, "127.0.0.1", 0, server_header=server_header) as server:
        for data in (GOOD, GOOD.replace(b"GET", b"POST")):
            _, headers, _ = await answer(server, data)
            assert headers.get("Server") == server_header


# What the program has to say


class Judge:
    """Says what a test says, and takes down what it was asked."""

    def __init__(self, verdict):
        self.verdict = verdict
        self.asked = []

    def judge(self, connection, *args):
        self.asked.append((connection, *args))
        return self.verdict(connection, *args)

    async def judge_later(self, connection, *args):
        await asyncio.sleep(0)
        return self.judge(connection, *args)


class Callable:
    def __init__(self, judge):
        self.judge = judge

    async def __call__(self, *args):
        return await self.judge.judge_later(*args)


def future_of(judge, *args):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, judge.judge(*args))
    return future


FORMS = {
    "function": lambda judge: lambda *args: judge.judge(*args),
    "method": lambda judge: judge.judge,
    "coroutine function": lambda judge: judge.judge_later,
    "partial": lambda judge: functools.partial(Judge.judge, judge),
    "partial of a coroutine function": lambda judge: functools.partial(Judge.judge_later, judge),
    "function that gives a coroutine": lambda judge: lambda *args: judge.judge_later(*args),
    "function that gives a task": lambda judge: (
        lambda *args: asyncio.ensure_future(judge.judge_later(*args))
    ),
    "function that gives a future": lambda judge: lambda *args: future_of(judge, *args),
    "object with an asynchronous __call__": Callable,
}


@pytest.mark.parametrize("form", FORMS)
async def test_process_request(form):
    def verdict(connection, request):
        if request.path == "/health":
            return connection.respond(http.HTTPStatus.OK, "fine\n")
        if request.path == "/tea":
            return Response(418, "Teapot", Headers([("X-Own", "value")]), b"short and stout")
        return None

    judge = Judge(verdict)
    async with serve(keep, "127.0.0.1", 0, process_request=FORMS[form](judge)) as server:
        status, headers, body = await answer(server, request("/health"))
        assert (status, body) == (200, b"fine\n")
        assert headers["Content-Length"] == "5"
        status, headers, body = await answer(server, request("/tea"))
        assert (status, headers["X-Own"], body) == (418, "value", b"short and stout")
        # What isn't a WebSocket request is shown, too.
        for method in (b"GET", b"HEAD", b"POST"):
            status, *_ = await answer(server, method + b" /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert status == 200
        # What has a body as well; the answer to HEAD has none (RFC 9110, section 9.3.2).
        posted = b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        assert (await answer(server, posted))[0] == 200
        for version in (b"0", b"1"):
            health = b"HEAD /health HTTP/1." + version + b"\r\nHost: a\r\n\r\n"
            status, headers, body = await answer(server, health)
            assert (status, headers["Content-Length"], body) == (200, "5", b"")
            status, headers, body = await answer(server, health.replace(b"HEAD", b"GET"))
            assert (status, headers["Content-Length"], body) == (200, "5", b"fine\n")
        posted = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        assert (await answer(server, posted))[0] == 400
        assert (await answer(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 426
        async with connect(address(server)) as client:
            assert client.response.status_code == 101
    assert [asked[1].path for asked in judge.asked] == [
        "/health",
        "/tea",
        *["/health"] * 8,
        *"///",
    ]
    for connection, asked in judge.asked:
        assert isinstance(connection, ServerConnection)
        assert connection.request is asked
        assert isinstance(connection.response, Response)


@pytest.mark.parametrize("form", FORMS)
async def test_process_response(form):
    def verdict(connection, request, response):
        if request.path == "/change":
            response.headers["X-Own"] = "changed"
            return None
        if request.path == "/other":
            return Response(101, "Own Words", Headers(response.headers, X_Own="other"))
        if request.path == "/refuse":
            return connection.respond(http.HTTPStatus.FORBIDDEN, "no\n")
        return response

    judge = Judge(verdict)
    async with serve(keep, "127.0.0.1", 0, process_response=FORMS[form](judge)) as server:
        for path, name, value in (
            ("change", "X-Own", "changed"),
            ("other", "X_Own", "other"),
            ("same", "X-Own", None),
        ):
            async with connect(address(server) + path) as client:
                assert client.response.headers.get(name) == value
                await (await client.ping())
        with pytest.raises(InvalidStatus) as caught:
            await connect(address(server) + "refuse")
        assert caught.value.response.status_code == 403
        # Refusals are shown, too, and can be changed.
        status, headers, _ = await answer(server, b"POST /change HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (status, headers["X-Own"]) == (405, "changed")
    assert [asked[2].status_code for asked in judge.asked] == [101, 101, 101, 101, 405]


async def test_process_request_may_use_the_connection():
    """What it knows of the client is there for the handler."""

    def process_request(connection, request):
        connection.user = request.headers["X-User"]

    async def handler(connection):
        await connection.send(f"{connection.user} {connection.request.path}")

    async with (
        serve(handler, "127.0.0.1", 0, process_request=process_request) as server,
        connect(address(server) + "gate", additional_headers={"X-User": "keeper"}) as client,
    ):
        assert await client.recv() == "keeper /gate"


async def test_extra_headers():
    def process_response(connection, request, response):
        response.headers["Set-Cookie"] = "a=1"
        response.headers["Set-Cookie"] = "b=2"
        response.headers["X-Asked"] = request.headers["X-Ask"]

    async with (
        serve(keep, "127.0.0.1", 0, process_response=process_response) as server,
        connect(address(server), additional_headers=[("X-Ask", "how")]) as client,
    ):
        assert client.response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert client.response.headers["X-Asked"] == "how"
