"""The older API next to that of websockets: the outcomes of a program on both are compared.

Where websockets leaves a choice, or tidegate is more precise, tests don't look: the words of
messages, the causes of exceptions, subclasses of the exceptions that are documented.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http
import importlib
import types
import warnings

import pytest

from tidegate.exceptions import ConcurrencyError

from ..asyncio.alike.libraries import address, alike, log_records, neutral, pair

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# Of each library, what programs import.
NAMES = {
    "legacy.auth": ["BasicAuthWebSocketServerProtocol", "basic_auth_protocol_factory"],
    "legacy.client": ["WebSocketClientProtocol", "connect", "unix_connect"],
    "legacy.framing": ["Frame", "parse_close", "prepare_ctrl", "prepare_data", "serialize_close"],
    "legacy.handshake": ["build_request", "build_response", "check_request", "check_response"],
    "legacy.http": ["read_request", "read_response"],
    "legacy.protocol": ["WebSocketCommonProtocol", "broadcast"],
    "legacy.server": ["WebSocketServerProtocol", "serve", "unix_serve"],
    "datastructures": ["Headers"],
}


def library(name):
    """Give the names of a library in one namespace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {
            attribute: getattr(importlib.import_module(f"{name}.{module}"), attribute)
            for module, attributes in NAMES.items()
            for attribute in attributes
        }
        exceptions = importlib.import_module(f"{name}.legacy.exceptions")
    return types.SimpleNamespace(name=name, exceptions=exceptions, **names)


alike_in_legacy = functools.partial(alike, libraries=[library("websockets"), library("tidegate")])

REQUEST = (
    "GET / HTTP/1.1\r\n"
    "Host: example.com\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "\r\n"
)


def described(exc):
    """Give what programs know of an exception."""
    if "ConnectionClosed" in type(exc).__name__:
        return f"{type(exc).__name__}: {exc}"
    if isinstance(exc, ConcurrencyError):
        return "RuntimeError"
    return type(exc).__name__


async def outcome(awaitable):
    """Give what comes of an awaitable: what it returns, or the exception as text."""
    try:
        return await awaitable
    except Exception as exc:
        return described(exc)


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def answer(server, request):
    """Give what a server answers to bytes: status line, headers but for Date, and body."""
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    lines = neutral(head.decode("iso-8859-1")).split("\r\n")
    return [lines[0], sorted(line for line in lines[1:] if not line.startswith("Date:")), body]


def headers_of(headers):
    """Give names and values of headers, but for those that are different each time."""
    left_out = {"date", "host", "sec-websocket-key", "sec-websocket-accept"}
    return sorted(
        (name, neutral(value))
        for name, value in headers.raw_items()
        if name.lower() not in left_out
    )


@alike_in_legacy
async def test_attributes(lib):
    facts = []
    options = {"subprotocols": ["chat"], "compression": None}
    async with pair(lib, server=options, client=options) as (server, client):
        for end in server, client:
            facts += [end.is_client, end.side, end.path, end.subprotocol, end.origin, end.open]
            facts += [end.closed, end.state.name, end.close_code, end.close_reason]
            facts += [headers_of(end.request_headers), headers_of(end.response_headers)]
            facts += [end.host, isinstance(end.port, int), end.secure, end.extensions]
            facts += [end.max_size, end.max_queue, end.read_limit, end.write_limit]
            facts += [end.ping_interval, end.ping_timeout, end.close_timeout, end.legacy_recv]
            facts += [end.local_address[0], end.remote_address[0], end.loop.is_running()]
            facts += [end.latency, type(end.id).__name__]
        await client.close(4000, "enough")
        await server.wait_closed()
        for end in server, client:
            facts += [end.open, end.closed, end.state.name, end.close_code, end.close_reason]
            facts += [bool(end.local_address), bool(end.remote_address)]
    return facts


@alike_in_legacy
async def test_before_the_connection(lib):
    facts = []
    for end in lib.WebSocketClientProtocol(), lib.WebSocketServerProtocol(echo, None):
        facts += [end.local_address, end.remote_address, end.open, end.closed, end.close_code]
        facts += [end.close_reason, end.subprotocol, hasattr(end, "path"), end.state.name]
    return facts


MESSAGES = [
    "text",
    "",
    b"bytes",
    bytearray(b"array"),
    memoryview(b"view"),
    ["a", "b"],
    [b"a", bytearray(b"b")],
    ["a", "", "b"],
    42,
    None,
    {"a": "b"},
    [],
    [1],
]


@alike_in_legacy
async def test_messages_of_all_types(lib):
    facts = []
    async with pair(lib) as (server, client):
        for message in MESSAGES:
            facts.append(await outcome(client.send(message)))
            if facts[-1] is None and message != []:
                facts.append(await outcome(server.recv()))
    return facts


@alike_in_legacy
async def test_fragments_of_two_types(lib):
    facts = []
    async with pair(lib) as (server, client):
        facts.append(await outcome(client.send(["a", b"b"])))
        await outcome(server.recv())
        facts += [client.close_code, server.close_code]
    return facts


@alike_in_legacy
async def test_asynchronous_fragments(lib):
    async def fragments():
        yield "a"
        yield "b"

    async with pair(lib) as (server, client):
        await client.send(fragments())
        return [await server.recv()]


CODES = [(1000, ""), (1001, "away"), (1011, "oh"), (3000, ""), (4999, "ß")]


@alike_in_legacy
async def test_closing(lib):
    facts = []
    for code, reason in CODES:
        async with pair(lib) as (server, client):
            facts.append(await outcome(client.close(code, reason)))
            if facts[-1] is not None:
                await client.close()
            for end in server, client:
                facts.append(await outcome(end.recv()))
                facts.append(await outcome(end.recv()))
                facts.append(await outcome(end.send("late")))
                facts.append(await outcome(end.ping()))
                facts.append(await outcome(end.pong()))
                facts.append(await outcome(end.close()))
                facts.append(await outcome(end.wait_closed()))
                facts += [end.close_code, end.close_reason]
    return facts


@alike_in_legacy
async def test_iteration(lib):
    facts = []
    for code in 1000, 1001, 1011:
        async with pair(lib) as (server, client):
            await server.send("a")
            await server.send(b"b")
            closing = asyncio.create_task(server.close(code))

            async def receive(client=client):
                async for message in client:
                    facts.append(message)

            facts.append(await outcome(receive()))
            await closing
    return facts


@alike_in_legacy
async def test_connections_that_are_lost(lib):
    facts = []
    async with pair(lib) as (server, client):
        client.transport.abort()
        facts.append(await outcome(server.recv()))
        facts.append(await outcome(client.recv()))
        for end in server, client:
            facts += [end.close_code, end.close_reason, end.closed]
    return facts


@alike_in_legacy
async def test_failing_a_connection(lib):
    facts = []
    short = {"close_timeout": 0.05}
    for arguments in (1002, "rude"), (1006,), ():
        async with pair(lib, server=short, client=short) as (server, client):
            client.fail_connection(*arguments)
            facts.append(await outcome(server.recv()))
            facts.append(await outcome(client.recv()))
            facts += [end.close_code for end in (server, client)]
    return facts


@alike_in_legacy
async def test_pings(lib):
    facts = []
    async with pair(lib) as (_, client):
        for data in None, "text", b"bytes", bytearray(b"array"), b"":
            waiter = await client.ping(data)
            facts += [asyncio.isfuture(waiter), isinstance(await waiter, float)]
        first = await client.ping("same")
        facts.append(await outcome(client.ping("same")))
        await first
        for data in 42, b"x" * 126:
            facts.append(await outcome(client.ping(data)))
            facts.append(await outcome(client.pong(data)))
        facts.append(await outcome(client.pong(b"nobody asked")))
        facts.append(client.latency > 0)
    return facts


@alike_in_legacy
async def test_two_that_receive(lib):
    async with pair(lib) as (server, client):
        first = asyncio.create_task(client.recv())
        await asyncio.sleep(0)
        facts = [await outcome(client.recv())]
        await server.send("a")
        return [*facts, await first]


@alike_in_legacy
async def test_messages_that_are_too_large(lib):
    facts = []
    for compression in None, "deflate":
        async with pair(lib, server={"max_size": 10}, client={"compression": compression}) as (
            server,
            client,
        ):
            await client.send("x" * 10)
            facts.append(await server.recv())
            await client.send("x" * 11)
            await outcome(server.recv())
            await outcome(client.recv())
            facts += [server.close_code, client.close_code]
    return facts


@alike_in_legacy
async def test_handlers(lib):
    async def ends(websocket):
        await websocket.send(websocket.path)

    async def with_path(websocket, path):
        await websocket.send(path)

    async def fails(websocket):
        raise RuntimeError("no luck")

    async def closes(websocket):
        await websocket.close(4001, "done")

    facts = []
    for handler in ends, with_path, fails, closes:
        with log_records(f"{lib.name}.server") as records:
            async with (
                lib.serve(handler, "127.0.0.1", 0) as server,
                lib.connect(address(server) + "a?b=c") as client,
            ):
                facts.append(await outcome(client.recv()))
                facts.append(await outcome(client.recv()))
                facts += [client.close_code, client.close_reason]
        facts += [neutral(record.getMessage()) for record in records if record.exc_info]
    return facts


RESPONSES = [
    None,
    (http.HTTPStatus.OK, [], b"fine\n"),
    (http.HTTPStatus.FORBIDDEN, {"X-A": "b"}, b""),
    (404, [("X-A", "b"), ("X-A", "c")], b"no\n"),
    (http.HTTPStatus.FOUND, [("Location", "ws://127.0.0.1:1/")], b""),
]


@alike_in_legacy
async def test_process_request(lib):
    facts = []
    request = REQUEST.replace("GET / ", "GET /a?b ").encode()
    for response in RESPONSES:

        async def process_request(path, headers, response=response):
            facts.append([path, headers["Host"], type(headers).__name__])
            return response

        class Protocol(lib.WebSocketServerProtocol):
            async def process_request(self, path, headers, response=response):
                facts.append([path, self.path, self.request_headers is headers])
                return response

        async def ends(websocket):
            pass

        for options in {"process_request": process_request}, {"create_protocol": Protocol}:
            async with lib.serve(ends, "127.0.0.1", 0, close_timeout=0.05, **options) as server:
                status, headers, body = await answer(server, request)
                facts.append(status)
                if response is not None:
                    facts.extend([headers, body])
    return facts


@alike_in_legacy
async def test_refusals_as_clients_see_them(lib):
    facts = []
    for status in 200, 403, 404, 500, 503:

        async def process_request(path, headers, status=status):
            return status, [("X-A", "b")], b"body"

        async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
            with pytest.raises(lib.exceptions.InvalidStatusCode) as caught:
                await lib.connect(address(server))
            facts += [caught.value.status_code, str(caught.value)]
            facts.append(headers_of(caught.value.headers))
    return facts


EXTRA_HEADERS = [
    {"X-A": "b"},
    [("X-A", "b"), ("X-A", "c")],
    lambda path, headers: {"X-Path": path, "X-Host": headers["Host"][:9]},
    lambda path, headers: [("X-A", "b")],
    lambda path, headers: None,
    {"Server": "mine"},
    {"Date": "then"},
]


@alike_in_legacy
async def test_extra_headers(lib):
    facts = []
    for extra_headers in EXTRA_HEADERS:
        async with lib.serve(echo, "127.0.0.1", 0, extra_headers=extra_headers) as server:
            more = {} if callable(extra_headers) else {"extra_headers": extra_headers}
            async with lib.connect(address(server), compression=None, **more) as client:
                facts.append(headers_of(client.request_headers))
                facts.append(headers_of(client.response_headers))
    return facts


@alike_in_legacy
async def test_subprotocols(lib):
    facts = []
    # None in which two are as good as each other: which one is taken then isn't told.
    lists = None, ["a"], ["b"], ["a", "b", "c"]
    for supported in lists:
        for offered in lists:
            async with (
                lib.serve(echo, "127.0.0.1", 0, subprotocols=supported) as server,
                lib.connect(address(server), subprotocols=offered) as client,
            ):
                facts.append(client.subprotocol)

    def select(client_subprotocols, server_subprotocols):
        facts.append([client_subprotocols, server_subprotocols])
        return client_subprotocols[-1]

    async with (
        lib.serve(
            echo, "127.0.0.1", 0, subprotocols=["a", "b"], select_subprotocol=select
        ) as server,
        lib.connect(address(server), subprotocols=["a", "b"]) as client,
    ):
        facts.append(client.subprotocol)
    return facts


WRONG_REQUESTS = [
    REQUEST.replace("Upgrade: websocket\r\n", ""),
    REQUEST.replace("Connection: Upgrade", "Connection: close"),
    REQUEST.replace("Upgrade: websocket", "Upgrade: h2c"),
    REQUEST.replace("dGhlIHNhbXBsZSBub25jZQ==", "nonsense"),
    REQUEST.replace("Sec-WebSocket-Key", "X-Key"),
    REQUEST.replace("\r\n\r\n", "\r\nOrigin: http://evil\r\n\r\n"),
]


@alike_in_legacy
async def test_status_of_wrong_requests(lib):
    facts = []
    async with lib.serve(echo, "127.0.0.1", 0, origins=[None, "http://good"]) as server:
        for request in WRONG_REQUESTS:
            facts.append((await answer(server, request.encode()))[0])
    return facts


@alike_in_legacy
async def test_basic_authentication(lib):
    async def check_credentials(username, password):
        return (username, password) == ("keeper", "secret")

    facts = []
    for options in (
        {"credentials": ("keeper", "secret")},
        {"credentials": [("someone", "else"), ("keeper", "secret")]},
        {"check_credentials": check_credentials},
    ):

        async def handler(websocket):
            await websocket.send(websocket.username)

        protocol = lib.basic_auth_protocol_factory(realm="sluices", **options)
        async with lib.serve(handler, "127.0.0.1", 0, create_protocol=protocol) as server:
            facts += await answer(server, REQUEST.encode())
            for value in "Basic a2VlcGVyOnNlY3JldA", "Basic bm9ib2R5Og==", "Digest x", "Basic":
                header = f"\r\nAuthorization: {value}\r\n\r\n"
                facts += await answer(server, REQUEST.replace("\r\n\r\n", header).encode())
            uri = address(server).replace("//", "//keeper:secret@")
            async with lib.connect(uri) as client:
                facts.append(await client.recv())
    for arguments in {}, {"credentials": 42}, {"credentials": ["a"]}:
        with contextlib.suppress(TypeError):
            lib.basic_auth_protocol_factory("r", **arguments)
            facts.append("no error")
    return facts


@alike_in_legacy
async def test_life_of_a_server(lib):
    facts = []
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        client = await lib.connect(address(server))
        await client.send("a")
        facts += [await client.recv(), len(server.websockets), server.is_serving()]
        facts += [len(server.sockets), server.get_loop() is asyncio.get_running_loop()]
        server.close()
        server.close()
        await server.wait_closed()
        facts += [await outcome(client.recv()), server.is_serving(), len(server.websockets)]
        facts.append(len(server.sockets))
    server = await lib.serve(echo, "127.0.0.1", 0)
    client = await lib.connect(address(server))
    server.close(close_connections=False)
    await asyncio.sleep(0.01)
    await client.send("still")
    facts += [await client.recv(), server.is_serving()]
    await client.close()
    await server.wait_closed()
    return facts


@alike_in_legacy
async def test_closing_a_server_in_an_opening_handshake(lib):
    server = await lib.serve(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(REQUEST[:-2].encode())
    await asyncio.sleep(0.02)
    server.close()
    await asyncio.sleep(0)
    with contextlib.suppress(OSError):
        writer.write(b"\r\n")
    status = (await reader.read()).partition(b"\r\n")[0]
    writer.close()
    await server.wait_closed()
    return [status]


@alike_in_legacy
async def test_broadcast(lib):
    facts = []
    async with pair(lib) as (server, client), pair(lib) as (gone, other):
        await other.close()
        for message in "text", b"bytes":
            lib.broadcast({server, gone}, message)
            facts.append(await client.recv())
        for message in 42, None, ["a"]:
            try:
                lib.broadcast({server}, message)
            except TypeError as exc:
                facts.append(described(exc))
    return facts


@alike_in_legacy
async def test_errors_of_frames(lib):
    facts = []
    for arguments in (
        (True, 1, b"", True),
        (False, 9, b""),
        (True, 9, b"x" * 126),
        (True, 1, b"x"),
    ):
        frame = lib.Frame(*arguments)
        written = []
        for call in frame.check, functools.partial(frame.write, written.append, mask=False):
            try:
                facts.append(call())
            except Exception as exc:
                facts.append(described(exc))
        facts += written
    for data in (
        b"\x81\x01a",
        b"\x81\x81\0\0\0\0a",
        b"\x01\x00",
        b"\x83\x00",
        b"\xc1\x00",
        b"\x09\x00",
        b"\x81\x7e\x01\x00" + b"x" * 256,
    ):
        for mask in False, True:
            reader = asyncio.StreamReader()
            reader.feed_data(data)
            reader.feed_eof()
            read = lib.Frame.read(reader.readexactly, mask=mask, max_size=100)
            result = await outcome(read)
            facts.append(result if isinstance(result, str) else tuple(result))
    return facts


@alike_in_legacy
async def test_payloads(lib):
    facts = []
    for data in b"", b"\x03\xe8", b"\x03\xe8ok", b"\x03", b"\x03\xe8\xff", b"\x03\xe7", b"\x03\xed":
        try:
            facts.append(lib.parse_close(data))
        except Exception as exc:
            facts.append(described(exc))
    for code, reason in (1000, ""), (4000, "ß"), (999, ""), (1005, ""):
        try:
            facts.append(lib.serialize_close(code, reason))
        except Exception as exc:
            facts.append(described(exc))
    for data in "ß", b"x", bytearray(b"y"), memoryview(b"z"), 42, None:
        for prepare in lib.prepare_data, lib.prepare_ctrl:
            try:
                facts.append(prepare(data))
            except Exception as exc:
                facts.append(described(exc))
    return facts


def headers_from(lib, text):
    return lib.Headers(tuple(line.split(": ", 1)) for line in text.split("\r\n")[1:] if line)


@alike_in_legacy
async def test_handshake_headers(lib):
    facts = []
    for request in WRONG_REQUESTS[:5]:
        try:
            facts.append(lib.check_request(headers_from(lib, request)))
        except Exception as exc:
            facts.append(described(exc))
    headers = lib.Headers()
    key = lib.build_request(headers)
    facts.append(sorted(name for name, _ in headers.raw_items()))
    facts.append(lib.check_request(headers) == key)
    response = lib.Headers()
    lib.build_response(response, key)
    facts += [lib.check_response(response, key), headers_of(response)]
    for name in "Upgrade", "Connection", "Sec-WebSocket-Accept":
        for value in None, "nonsense":
            wrong = response.copy()
            del wrong[name]
            if value is not None:
                wrong[name] = value
            try:
                facts.append(lib.check_response(wrong, "dGhlIHNhbXBsZSBub25jZQ=="))
            except Exception as exc:
                facts.append(type(exc).__name__)
    return facts


STREAMS = [
    b"GET /a?b HTTP/1.1\r\nA: b\r\nA: c\r\n\r\nbody",
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: b",
    b"",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\nmore",
    b"HTTP/1.1 200 \r\n\r\n",
    b"HTTP/1.1 99 No\r\n\r\n",
    b"HTTP/1.1 1000 No\r\n\r\n",
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.1 200 \x00\r\n\r\n",
]


@alike_in_legacy
async def test_reading_http(lib):
    facts = []
    for data in STREAMS:
        for read in lib.read_request, lib.read_response:
            stream = asyncio.StreamReader()
            stream.feed_data(data)
            stream.feed_eof()
            try:
                *first, headers = await read(stream)
            except Exception as exc:
                kinds = EOFError, ValueError
                facts.append([kind.__name__ for kind in kinds if isinstance(exc, kind)])
                facts.append("SecurityError" in [kind.__name__ for kind in type(exc).__mro__])
            else:
                facts += [*first, list(headers.raw_items()), await stream.read()]
    return facts


@alike_in_legacy
async def test_protocols_of_the_program(lib):
    facts = []

    class Server(lib.WebSocketServerProtocol):
        def __init__(self, *args, **kwargs):
            newer = {"logger", "open_timeout", "server_header"}
            facts.append(sorted(kwargs.keys() - {"legacy_recv", "loop"} - newer))
            super().__init__(*args, **kwargs)

        def process_subprotocol(self, headers, available_subprotocols):
            facts.append(available_subprotocols)
            return super().process_subprotocol(headers, available_subprotocols)

        @staticmethod
        def process_origin(headers, origins=None):
            facts.append(origins)
            return lib.WebSocketServerProtocol.process_origin(headers, origins)

    class Client(lib.WebSocketClientProtocol):
        async def handshake(self, wsuri, *args, **kwargs):
            facts.append([wsuri.secure, wsuri.resource_name, wsuri.user_info])
            return await super().handshake(wsuri, *args, **kwargs)

        async def recv(self):
            return "more of " + await super().recv()

    options = {"create_protocol": Server, "subprotocols": ["a"], "origins": [None]}
    async with (
        lib.serve(echo, "127.0.0.1", 0, **options) as server,
        lib.connect(address(server), create_protocol=Client, subprotocols=["a"]) as client,
    ):
        await client.send("tide")
        facts.append(await client.recv())
        await client.send("tide")
        async for message in client:
            facts.append(message)
            break
    return facts


ACCEPT = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
)

# Response, and arguments of the client.
RESPONSES_TO_CLIENTS = [
    (ACCEPT, {}),
    (ACCEPT.replace("Upgrade: websocket", "Upgrade: h2c"), {}),
    (ACCEPT.replace("Connection: Upgrade", "Connection: close"), {}),
    (ACCEPT.replace("{accept}", "nonsense"), {}),
    (ACCEPT.replace("Sec-WebSocket-Accept", "X-Accept"), {}),
    (ACCEPT.replace("101 Switching Protocols", "200 OK"), {}),
    (ACCEPT.replace("101 Switching Protocols", "404 Not Found"), {}),
    (ACCEPT.replace("HTTP/1.1", "HTTP/2"), {}),
    (ACCEPT.replace("{more}", "Sec-WebSocket-Protocol: a\r\n"), {"subprotocols": ["a", "b"]}),
    (ACCEPT.replace("{more}", "Sec-WebSocket-Protocol: c\r\n"), {"subprotocols": ["a", "b"]}),
    (ACCEPT.replace("{more}", "Sec-WebSocket-Protocol: a\r\n"), {}),
    (ACCEPT.replace("{more}", "Sec-WebSocket-Extensions: permessage-deflate\r\n"), {}),
    (
        ACCEPT.replace("{more}", "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        {"compression": None},
    ),
    (ACCEPT.replace("{more}", "Sec-WebSocket-Extensions: x-unknown\r\n"), {}),
    (ACCEPT.replace("{more}", "Sec-WebSocket-Extensions: permessage-deflate; a=b\r\n"), {}),
    ("nonsense\r\n\r\n", {}),
    ("", {}),
]


@alike_in_legacy
async def test_responses_to_clients(lib):
    facts = []
    for response, options in RESPONSES_TO_CLIENTS:

        async def respond(reader, writer, response=response):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = headers_from(lib, request)
            right = lib.Headers()
            lib.build_response(right, headers["Sec-WebSocket-Key"])
            text = response.format(accept=right["Sec-WebSocket-Accept"], more="")
            writer.write(text.encode())
            writer.close()

        async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
            try:
                client = await lib.connect(address(server), close_timeout=0.05, **options)
            except Exception as exc:
                facts.append(type(exc).__name__)
            else:
                facts += [client.subprotocol, [type(each).__name__ for each in client.extensions]]
                await client.close()
    return facts


URIS = ["http://localhost/", "ws://", "ws:///path", "ws://localhost/#fragment", "localhost", ""]


@alike_in_legacy
async def test_what_cannot_be_connected_to(lib):
    facts = []
    for uri in URIS:
        try:
            await lib.connect(uri)
        except Exception as exc:
            facts.append(type(exc).__name__)
    with pytest.raises(OSError) as caught:
        await lib.connect("ws://127.0.0.1:1/")
    return [*facts, type(caught.value).__name__]


@alike_in_legacy
async def test_redirects(lib):
    facts = []

    async def process_request(path, headers):
        if path == "/there":
            return None
        if path == "/loop":
            return 302, {"Location": "/loop"}, b""
        return 302, {"Location": path.removeprefix("/to?")}, b""

    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        uri = address(server)
        for target in "/there", uri + "there", "/to?/there", "/loop", "ftp://localhost/":
            try:
                async with lib.connect(f"{uri}to?{target}") as client:
                    facts.append(client.path)
            except Exception as exc:
                facts.append("refused" if isinstance(exc, lib.exceptions.InvalidHandshake) else exc)
    return [fact if isinstance(fact, str) else type(fact).__name__ for fact in facts]
