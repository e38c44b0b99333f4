"""The server of the older API: its arguments, hooks and end."""

from __future__ import annotations

import asyncio
import functools
import http
import logging
import socket
import warnings

import pytest

from tidegate.datastructures import Headers
from tidegate.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidStatus,
    NegotiationError,
)
from tidegate.frames import CloseCode
from tidegate.legacy.client import WebSocketClientProtocol, connect, unix_connect
from tidegate.legacy.exceptions import AbortHandshake, InvalidStatusCode
from tidegate.legacy.server import (
    WebSocketServer,
    WebSocketServerProtocol,
    broadcast,
    serve,
    unix_serve,
)

from .peers import REQUEST, answer, connected, deprecated, echo, port_of


async def wait_forever(websocket):
    await websocket.wait_closed()


# Starting


async def test_echo():
    async with connected() as (client, server):
        for message in "text", b"binary", "", "x" * 100_000:
            await client.send(message)
            assert await client.recv() == message
        assert isinstance(server, WebSocketServerProtocol)


async def test_serve_can_be_awaited():
    server = await serve(echo, "127.0.0.1", 0)
    assert isinstance(server, WebSocketServer)
    assert server.is_serving()
    assert server.get_loop() is asyncio.get_running_loop()
    async with connect(f"ws://127.0.0.1:{port_of(server)}") as client:
        await client.send("x")
        assert await client.recv() == "x"
    server.close()
    await server.wait_closed()
    assert not server.is_serving()


def test_serve_can_be_called_before_the_loop_runs():
    # As programs for version 8 do, with loop.run_until_complete(serve(...)).
    starting = serve(echo, "127.0.0.1", 0)
    loop = asyncio.new_event_loop()
    try:
        server = loop.run_until_complete(starting)
        assert server.sockets
        server.close()
        loop.run_until_complete(server.wait_closed())
    finally:
        loop.close()


async def test_start_serving_later():
    server = await serve(echo, "127.0.0.1", 0, start_serving=False)
    assert not server.is_serving()
    await server.start_serving()
    assert server.is_serving()
    server.close()
    await server.wait_closed()


async def test_serve_forever_until_cancelled():
    server = await serve(echo, "127.0.0.1", 0)
    task = asyncio.create_task(server.serve_forever())
    async with connect(f"ws://127.0.0.1:{port_of(server)}") as client:
        await client.send("x")
        assert await client.recv() == "x"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not server.is_serving()


async def test_unix_sockets(tmp_path):
    path = str(tmp_path / "socket")
    async with unix_serve(echo, path), unix_connect(path) as client:
        await client.send("x")
        assert await client.recv() == "x"
        assert client.request_headers["Host"] == "localhost"


async def test_unix_sockets_by_path(tmp_path):
    path = str(tmp_path / "socket")
    async with serve(echo, path=path), connect("ws://localhost/", path=path) as client:
        await client.send("x")
        assert await client.recv() == "x"


async def test_no_path_is_tcp():
    async with (
        serve(echo, "127.0.0.1", 0, path=None) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}/", path=None) as client,
    ):
        await client.send("x")
        assert await client.recv() == "x"


async def test_several_addresses():
    async with serve(echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
        assert {sock.getsockname()[0] for sock in server.sockets} == {"127.0.0.1", "127.0.0.2"}
        for sock in server.sockets:
            host, port = sock.getsockname()
            async with connect(f"ws://{host}:{port}") as client:
                await client.send("x")
                assert await client.recv() == "x"


async def test_a_socket_of_the_program():
    sock = socket.create_server(("127.0.0.1", 0))
    async with serve(echo, sock=sock) as server:
        assert port_of(server) == sock.getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port_of(server)}") as client:
            await client.send("x")
            assert await client.recv() == "x"


async def test_tls(certificates):
    server_context, client_context = certificates
    async with serve(echo, "localhost", 0, ssl=server_context) as server:
        uri = f"wss://localhost:{port_of(server)}"
        async with connect(uri, ssl=client_context) as client:
            await client.send("x" * 200_000)
            assert await client.recv() == "x" * 200_000
            assert client.transport.get_extra_info("ssl_object") is not None


# What the handler sees


async def test_attributes_of_both_ends():
    async with connected(path="/a?b", extra_headers={"X-Server": "s"}) as (client, server):
        assert client.path == server.path == "/a?b"
        assert server.request_headers["Host"] == client.request_headers["Host"]
        assert client.response_headers["X-Server"] == server.response_headers["X-Server"] == "s"
        assert client.local_address == server.remote_address
        assert client.remote_address == server.local_address
        assert client.open and server.open
        assert not client.closed and not server.closed
        assert client.close_code is server.close_code is client.close_reason is None
        assert (client.is_client, server.is_client) == (True, False)
        assert (client.side, server.side) == ("client", "server")
        assert client.id != server.id
        assert client.loop is server.loop is asyncio.get_running_loop()
        assert isinstance(client, asyncio.Protocol)
        assert [type(e).__name__ for e in client.extensions] == ["PerMessageDeflate"]
        assert server.subprotocol is None
        server.anything = "may be set"


async def test_limits_can_be_changed_later():
    async with connected(max_size=10, ping_interval=5, close_timeout=3) as (_, server):
        assert (server.max_size, server.ping_interval, server.close_timeout) == (10, 5, 3)
        server.max_size = None
        server.close_timeout = 1
        server.ping_interval = server.ping_timeout = None
        assert (server.max_size, server.close_timeout, server.ping_timeout) == (None, 1, None)


async def test_the_handler_may_take_the_path():
    paths = []

    async def handler(websocket, path):
        paths.append((path, websocket.path))

    with deprecated() as caught:
        async with serve(handler, "127.0.0.1", 0) as server:
            for path in "/one", "/two?x":
                async with connect(f"ws://127.0.0.1:{port_of(server)}{path}") as client:
                    await client.wait_closed()
    assert paths == [("/one", "/one"), ("/two?x", "/two?x")]
    assert [str(w.message) for w in caught] == [
        "the argument path of the handler is deprecated: use websocket.path"
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("default", [None, "/default"])
async def test_a_handler_that_may_take_the_path_gets_it(default):
    paths = []

    async def handler(websocket, path=default):
        paths.append(path)

    with deprecated():
        async with (
            serve(handler, "127.0.0.1", 0) as server,
            connect(f"ws://127.0.0.1:{port_of(server)}/x") as client,
        ):
            await client.wait_closed()
    assert paths == ["/x"]


async def test_a_handler_with_arguments_of_its_own():
    seen = []

    async def handler(websocket, extra_argument):
        seen.append(extra_argument)

    async with (
        serve(functools.partial(handler, extra_argument=42), "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}") as client,
    ):
        await client.wait_closed()
    assert seen == [42]


async def test_a_handler_that_returns_closes_the_connection():
    async def handler(websocket):
        await websocket.send("bye")

    async with (
        serve(handler, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}") as client,
    ):
        assert await client.recv() == "bye"
        with pytest.raises(ConnectionClosedOK):
            await client.recv()
        assert client.close_code == 1000


async def test_a_handler_that_raises_closes_the_connection_with_1011(caplog):
    async def handler(websocket):
        raise ValueError("no luck")

    async with (
        serve(handler, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}") as client,
    ):
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        assert client.close_code == 1011
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.name == "tidegate.server"
    assert record.getMessage() == "connection handler failed"
    assert "no luck" in str(record.exc_info[1])


async def test_connection_closed_in_a_handler_is_no_news_to_the_client(caplog):
    async def handler(websocket):
        await websocket.close(1001, "gone")
        await websocket.send("too late")

    async with (
        serve(handler, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}") as client,
    ):
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1001, "gone")


async def test_a_handler_that_is_cancelled_closes_the_connection():
    started = asyncio.Event()

    async def handler(websocket):
        started.set()
        await websocket.wait_closed()

    async with (
        serve(handler, "127.0.0.1", 0) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}") as client,
    ):
        await started.wait()
        (websocket,) = server.websockets
        websocket.handler_task.cancel()
        await client.wait_closed()
        assert client.close_code == 1011
        while server.websockets:
            await asyncio.sleep(0)


# Headers


@pytest.mark.parametrize(
    "extra_headers",
    [
        {"X-A": "b"},
        [("X-A", "b")],
        (("X-A", "b"),),
        Headers({"X-A": "b"}),
        lambda path, headers: {"X-A": "b"},
        lambda path, headers: Headers([("X-A", headers["X-Client"])]),
        lambda path, headers: [("X-A", path[1:])],
    ],
)
async def test_extra_headers_in_all_forms(extra_headers):
    client_headers = {"extra_headers": {"X-Client": "b"}}
    async with connected(path="/b", client=client_headers, extra_headers=extra_headers) as (
        client,
        server,
    ):
        assert client.response_headers["X-A"] == "b"
        assert server.request_headers["X-Client"] == "b"


async def test_extra_headers_override_the_server_header():
    async with connected(extra_headers={"Server": "mine"}) as (client, _):
        assert client.response_headers.get_all("Server") == ["mine"]
    async with connected(server_header=None) as (client, _):
        assert "Server" not in client.response_headers
    async with connected(server_header="another") as (client, _):
        assert client.response_headers["Server"] == "another"


async def test_extra_headers_that_fail_are_500(caplog):
    def extra_headers(path, headers):
        raise ValueError("no headers today")

    async with serve(echo, "127.0.0.1", 0, extra_headers=extra_headers) as server:
        with pytest.raises(InvalidStatusCode) as caught:
            await connect(f"ws://127.0.0.1:{port_of(server)}")
        assert caught.value.status_code == 500
    assert "no headers today" in caplog.text


async def test_bytes_outside_ascii_in_a_request():
    async with serve(wait_forever, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(REQUEST.format(path="/", more="X-Name: zo\xeb\r\n").encode("iso-8859-1"))
        await reader.readuntil(b"\r\n\r\n")
        (websocket,) = server.websockets
        value = websocket.request_headers["X-Name"]
        assert value.encode("ascii", "surrogateescape") == b"zo\xeb"
        writer.close()
        await writer.wait_closed()


# process_request


async def health(path, request_headers):
    if path == "/healthz":
        return http.HTTPStatus.OK, [("X-Health", "fine")], b"OK\n"
    return None


class HealthProtocol(WebSocketServerProtocol):
    async def process_request(self, path, request_headers):
        self.seen = path
        return await health(path, request_headers)


@pytest.mark.parametrize(
    "how",
    [
        {"process_request": health},
        {"create_protocol": HealthProtocol},
        {"create_protocol": functools.partial(HealthProtocol)},
        {"create_protocol": lambda *args, **kwargs: HealthProtocol(*args, **kwargs)},
    ],
)
async def test_process_request_answers_or_goes_on(how):
    async with serve(echo, "127.0.0.1", 0, **how) as server:
        response = await answer(port_of(server), b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = response.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        for header in b"X-Health: fine", b"Content-Length: 3", b"Connection: close", b"Server: ":
            assert header in head
        assert body == b"OK\n"
        async with connect(f"ws://127.0.0.1:{port_of(server)}/") as client:
            await client.send("x")
            assert await client.recv() == "x"


async def test_health_checks_of_load_balancers():
    async with serve(echo, "127.0.0.1", 0, process_request=health) as server:
        response = await answer(port_of(server), b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Length: 3" in response
        assert response.endswith(b"\r\n\r\n")
        response = await answer(port_of(server), b"GET /healthz HTTP/1.0\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 200 OK\r\n")
        response = await answer(port_of(server), b"GET / HTTP/1.0\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 505 ")


@pytest.mark.parametrize(
    "body", [b"", b"Content-Length: 4\r\n\r\nbody", b"Content-Length: 0\r\n\r\n"]
)
async def test_process_request_is_asked_before_the_method_is_refused(body):
    """As it is with the other API (RFC 9110, section 15.5.6)."""
    async with serve(echo, "127.0.0.1", 0, process_request=health) as server:
        for path, first in (("/healthz", b"200 OK"), ("/", b"405 ")):
            request = f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode() + (body or b"\r\n")
            response = await answer(port_of(server), request)
            assert response.startswith(b"HTTP/1.1 " + first)
            assert (b"Allow: GET\r\n" in response) == (path == "/")


async def test_what_the_client_sees_of_a_refusal():
    async def process_request(path, request_headers):
        return 418, {"X-Pot": "tea"}, b"short and stout"

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(InvalidStatusCode) as caught:
            await connect(f"ws://127.0.0.1:{port_of(server)}")
    exc = caught.value
    assert (exc.status_code, exc.headers["X-Pot"]) == (418, "tea")
    assert isinstance(exc.__cause__, InvalidStatus)
    assert exc.__cause__.response.body == b"short and stout"


async def test_abort_handshake_from_a_hook():
    class Protocol(WebSocketServerProtocol):
        async def handshake(self, *args, **kwargs):
            await super().handshake(*args, **kwargs)

        async def process_request(self, path, request_headers):
            raise AbortHandshake(http.HTTPStatus.FORBIDDEN, [], b"go away")

    async with serve(echo, "127.0.0.1", 0, create_protocol=Protocol) as server:
        with pytest.raises(InvalidStatusCode) as caught:
            await connect(f"ws://127.0.0.1:{port_of(server)}")
        assert caught.value.status_code == 403


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ((200, [], "text"), "the body of a response must be bytes, not str"),
        ((200, []), r"process_request must return None or \(status, headers, body\)"),
        ("yes", r"process_request must return None or \(status, headers, body\)"),
        ((999, [], b""), "999 is not a valid HTTPStatus"),
    ],
)
async def test_process_request_that_returns_something_else(response, message, caplog):
    async def process_request(path, request_headers):
        return response

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(InvalidStatusCode) as caught:
            await connect(f"ws://127.0.0.1:{port_of(server)}")
        assert caught.value.status_code == 500
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    with pytest.raises((TypeError, ValueError), match=message):
        raise record.exc_info[1]


async def test_process_request_that_is_not_a_coroutine():
    def process_request(path, request_headers):
        return 200, [], b"fine"

    class Protocol(WebSocketServerProtocol):
        def process_request(self, path, request_headers):
            return 200, [], b"fine"

    for how in {"process_request": process_request}, {"create_protocol": Protocol}:
        with deprecated() as caught:
            async with serve(echo, "127.0.0.1", 0, **how) as server:
                response = await answer(port_of(server), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert response.endswith(b"\r\n\r\nfine")
        assert "declare it with async def" in str(caught[0].message)


async def test_nothing_can_be_sent_in_the_opening_handshake():
    errors = []

    class Protocol(WebSocketServerProtocol):
        async def process_request(self, path, request_headers):
            assert not self.open
            assert not self.closed
            for use in self.send("x"), self.ping(), self.pong(), self.ensure_open():
                try:
                    await use
                except Exception as exc:
                    errors.append(str(exc))

    async with (
        serve(echo, "127.0.0.1", 0, create_protocol=Protocol) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}"),
    ):
        assert errors == ["the opening handshake isn't done yet"] * 4


# Subprotocols, origins, extensions


@pytest.mark.parametrize(
    ("offered", "supported", "chosen"),
    [
        (["a", "b"], ["b"], "b"),
        (["a", "b", "c"], ["c", "b", "a"], "c"),
        (["a", "b"], ["b", "a"], "b"),
        (["a", "b", "c"], ["b", "c", "a"], "b"),
        (["a"], ["b"], None),
        (["a"], None, None),
        (None, ["a"], None),
    ],
)
async def test_subprotocols(offered, supported, chosen):
    async with connected(client={"subprotocols": offered}, subprotocols=supported) as (
        client,
        server,
    ):
        assert client.subprotocol == server.subprotocol == chosen


async def test_select_subprotocol():
    def select_subprotocol(client_subprotocols, server_subprotocols):
        assert (client_subprotocols, server_subprotocols) == (["a", "b"], ["c", "b", "a"])
        return "a"

    class Protocol(WebSocketServerProtocol):
        def select_subprotocol(self, client_subprotocols, server_subprotocols):
            return select_subprotocol(client_subprotocols, server_subprotocols)

    for how in {"select_subprotocol": select_subprotocol}, {"create_protocol": Protocol}:
        async with connected(
            client={"subprotocols": ["a", "b"]}, subprotocols=["c", "b", "a"], **how
        ) as (client, _):
            assert client.subprotocol == "a"


async def test_select_subprotocol_that_refuses():
    def select_subprotocol(client_subprotocols, server_subprotocols):
        raise NegotiationError("none suits")

    async with serve(
        echo, "127.0.0.1", 0, subprotocols=["a"], select_subprotocol=select_subprotocol
    ) as server:
        with pytest.raises(InvalidStatusCode) as caught:
            await connect(f"ws://127.0.0.1:{port_of(server)}", subprotocols=["b"])
        assert caught.value.status_code == 400


async def test_process_subprotocol_can_be_overridden():
    # uvicorn does.
    class Protocol(WebSocketServerProtocol):
        def process_subprotocol(self, headers, available_subprotocols):
            return headers["Sec-WebSocket-Protocol"].split(", ")[1]

    async with connected(client={"subprotocols": ["a", "b"]}, create_protocol=Protocol) as (
        client,
        _,
    ):
        assert client.subprotocol == "b"


@pytest.mark.parametrize(
    ("origins", "origin", "accepted"),
    [
        (["https://a"], "https://a", True),
        (["https://a"], "https://b", False),
        (["https://a"], None, False),
        (["https://a", None], None, True),
        (["https://a", ""], None, True),
        (None, "https://b", True),
    ],
)
async def test_origins(origins, origin, accepted):
    async with serve(echo, "127.0.0.1", 0, origins=origins) as server:
        uri = f"ws://127.0.0.1:{port_of(server)}"
        if accepted:
            async with connect(uri, origin=origin) as client:
                (websocket,) = server.websockets
                assert websocket.origin == client.origin == origin
        else:
            with pytest.raises(InvalidStatusCode) as caught:
                await connect(uri, origin=origin)
            assert caught.value.status_code == 403


async def test_no_compression():
    async with connected(compression=None) as (client, server):
        assert client.extensions == server.extensions == []
    with pytest.raises(ValueError, match="unsupported compression: zip"):
        serve(echo, compression="zip")


# A subclass with names of its own


async def test_a_subclass_may_use_the_names_that_the_newer_api_has():
    class Protocol(WebSocketServerProtocol):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.reader = self.writer = self.protocol = self.request = self.response = None
            self.server = self.hub = self.high = self.opening = self.ended = self.deferred = "mine"

        async def process_request(self, path, request_headers):
            self.request = (path, request_headers)

    async with connected(create_protocol=Protocol) as (client, server):
        for _ in range(2):
            await client.send("x" * 1000)
            assert await client.recv() == "x" * 1000
        assert server.request[0] == "/"
        assert server.server == "mine"


async def test_what_a_subclass_does_to_messages():
    class Protocol(WebSocketServerProtocol):
        async def recv(self):
            return (await super().recv()).upper()

        async def send(self, message):
            await super().send(message + "!")

    async with connected(create_protocol=Protocol) as (client, _):
        await client.send("tide")
        assert await client.recv() == "TIDE!"


async def test_a_subclass_that_sees_what_is_received():
    seen = []

    class Protocol(WebSocketServerProtocol):
        def connection_made(self, transport):
            seen.append("made")
            super().connection_made(transport)

        def data_received(self, data):
            seen.append(len(data))
            super().data_received(data)

        def connection_lost(self, exc):
            seen.append("lost")
            super().connection_lost(exc)

    # With a server of the program's own, which calls the protocol.
    ws_server = WebSocketServer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Protocol(echo, ws_server), "127.0.0.1", 0)
    ws_server.wrap(server)
    async with connect(f"ws://127.0.0.1:{port_of(server)}") as client:
        await client.send("x")
        assert await client.recv() == "x"
    ws_server.close()
    await ws_server.wait_closed()
    assert seen[0] == "made"
    assert seen[-1] == "lost"
    assert all(isinstance(n, int) for n in seen[1:-1])
    assert len(seen) >= 4


async def test_the_protocol_of_a_server_of_the_program():
    # As uvicorn does it: HTTP comes first, and the transport is handed over with the request.
    class Server:
        closing = False

        def __init__(self):
            self.registered = []

        def register(self, websocket):
            self.registered.append(websocket)

        def unregister(self, websocket):
            self.registered.remove(websocket)

        def is_serving(self):
            return not self.closing

    ws_server = Server()

    class Http(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            websocket = WebSocketServerProtocol(ws_handler=echo, ws_server=ws_server)
            websocket.connection_made(self.transport)
            websocket.data_received(data)
            self.transport.set_protocol(websocket)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Http, "127.0.0.1", 0)
    async with connect(f"ws://127.0.0.1:{port_of(server)}") as client:
        (websocket,) = ws_server.registered
        for message in "x", "y" * 300_000, b"z":
            await client.send(message)
            assert await client.recv() == message
        # From the second read on, the transport calls the engine directly.
        assert websocket.transport.get_protocol() is not websocket
    await websocket.wait_closed()
    await websocket.handler_task
    assert not ws_server.registered
    server.close()
    await server.wait_closed()


# Time-outs and bad input


async def test_a_peer_that_does_not_ask():
    async with serve(echo, "127.0.0.1", 0, open_timeout=0.01) as server:
        assert await answer(port_of(server), b"") == b""
        while server.websockets:
            await asyncio.sleep(0)


async def test_process_request_that_takes_too_long(caplog):
    caplog.set_level(logging.INFO)

    async def process_request(path, request_headers):
        await asyncio.sleep(3600)

    async with serve(
        echo, "127.0.0.1", 0, open_timeout=0.01, process_request=process_request
    ) as server:
        with pytest.raises((ConnectionError, Exception)):
            await connect(f"ws://127.0.0.1:{port_of(server)}")
        while server.websockets:
            await asyncio.sleep(0)
    assert "opening handshake timed out" in caplog.text


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"426"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
    ],
)
async def test_requests_for_something_else(request_, status):
    async with serve(echo, "127.0.0.1", 0) as server:
        response = await answer(port_of(server), request_)
        assert response.startswith(b"HTTP/1.1 " + status)
        while server.websockets:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x16\x03\x01\x02\x00\r\n", b"HTTP/1.1 400 "),
        (b"GET / HTT", b""),
    ],
)
async def test_peers_that_speak_something_else(data, status, caplog):
    async with serve(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(data)
        writer.write_eof()
        response = await reader.read()
        assert response.startswith(status) and bool(response) == bool(status)
        writer.close()
        await writer.wait_closed()
        while server.websockets:
            await asyncio.sleep(0)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_a_peer_that_leaves_while_process_request_waits(caplog):
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def process_request(path, request_headers):
        waiting.set()
        await go_on.wait()

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(REQUEST.format(path="/", more="").encode())
        await waiting.wait()
        (websocket,) = server.websockets
        writer.close()
        await writer.wait_closed()
        await websocket.wait_closed()
        go_on.set()
        while server.websockets:
            await asyncio.sleep(0)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_mistake_in_process_request_is_told_although_the_peer_has_left(caplog):
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def process_request(path, request_headers):
        waiting.set()
        await go_on.wait()
        raise RuntimeError("mistake of the program")

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(REQUEST.format(path="/", more="").encode())
        await waiting.wait()
        (websocket,) = server.websockets
        writer.close()
        await writer.wait_closed()
        await websocket.wait_closed()
        go_on.set()
        while server.websockets:
            await asyncio.sleep(0)
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert "mistake of the program" in str(record.exc_info[1])


# The end


async def test_closing_the_server_closes_connections_with_1001():
    handlers_done = []

    async def handler(websocket):
        with pytest.raises(ConnectionClosedOK):
            await websocket.recv()
        await asyncio.sleep(0)
        handlers_done.append(websocket)

    async with serve(handler, "127.0.0.1", 0) as server:
        client = await connect(f"ws://127.0.0.1:{port_of(server)}")
    assert len(handlers_done) == 1
    await client.wait_closed()
    assert (client.close_code, client.close_reason) == (1001, "")


async def test_closing_the_server_twice():
    server = await serve(echo, "127.0.0.1", 0)
    server.close()
    server.close()
    await server.wait_closed()
    await server.wait_closed()


async def test_closing_the_server_can_be_awaited():
    server = await serve(echo, "127.0.0.1", 0)
    async with connect(f"ws://127.0.0.1:{port_of(server)}/") as client:
        await server.close()
        assert client.close_code == 1001
    # Nor does it have to be.
    server.close()


async def test_process_request_that_takes_long_ends_with_the_connection():
    ended = asyncio.Event()
    begun = asyncio.Event()

    class Patient(WebSocketServerProtocol):
        async def process_request(self, path, request_headers):
            begun.set()
            await self.wait_closed()
            ended.set()

    async with serve(echo, "127.0.0.1", 0, create_protocol=Patient) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(REQUEST.format(path="/", more="").encode())
        await begun.wait()
        assert not ended.is_set()
        writer.transport.abort()
        await ended.wait()


async def test_closing_the_server_while_connections_go_on():
    server = await serve(echo, "127.0.0.1", 0)
    port = port_of(server)
    client = await connect(f"ws://127.0.0.1:{port}")
    server.close(close_connections=False)
    done = asyncio.create_task(server.wait_closed())
    await asyncio.sleep(0)
    with pytest.raises(OSError):
        await connect(f"ws://127.0.0.1:{port}")
    await client.send("still there")
    assert await client.recv() == "still there"
    assert not done.done()
    await client.close()
    await done


async def test_closing_the_server_in_an_opening_handshake():
    waiting = asyncio.Event()
    go_on = asyncio.Event()

    async def process_request(path, request_headers):
        waiting.set()
        await go_on.wait()

    server = await serve(echo, "127.0.0.1", 0, process_request=process_request)
    connecting = asyncio.create_task(connect(f"ws://127.0.0.1:{port_of(server)}").connect())
    await waiting.wait()
    server.close()
    with pytest.raises(InvalidStatusCode) as caught:
        await connecting
    assert caught.value.status_code == 503
    go_on.set()
    await server.wait_closed()


async def test_broadcast():
    connections = set()

    async def handler(websocket):
        connections.add(websocket)
        try:
            await websocket.wait_closed()
        finally:
            connections.remove(websocket)

    async with serve(handler, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{port_of(server)}"
        clients = [await connect(uri, compression=c) for c in ("deflate", None, "deflate")]
        while len(connections) < 3:
            await asyncio.sleep(0)
        broadcast(connections, "tide")
        broadcast(connections, b"gate", raise_exceptions=True)
        for client in clients:
            assert await client.recv() == "tide"
            assert await client.recv() == b"gate"
            await client.close()
        broadcast(clients, "nobody is left")
        with pytest.raises(TypeError):
            broadcast(connections, ["x"])


async def test_fail_connection():
    async with connected(wait_forever) as (client, server):
        server.fail_connection(1012, "restart")
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1012, "restart")
        assert not server.open
        await server.wait_closed()
        server.fail_connection(1012)
    async with connected(wait_forever) as (client, server):
        server.fail_connection()
        await client.wait_closed()
        assert client.close_code == CloseCode.ABNORMAL_CLOSURE
    async with connected() as (client, server):
        client.fail_connection()
        await server.wait_closed()
        assert server.close_code == CloseCode.ABNORMAL_CLOSURE


@pytest.mark.parametrize("client_leaves", [False, True])
@pytest.mark.parametrize("close_connections", [True, False])
async def test_closing_while_process_request_hangs(close_connections, client_leaves):
    asked, ended = asyncio.Event(), asyncio.Event()

    async def process_request(path, request_headers):
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    server = await serve(
        echo,
        "127.0.0.1",
        0,
        process_request=process_request,
        open_timeout=None,
        close_timeout=0.01,
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    writer.write(REQUEST.format(path="/", more="").encode())
    async with asyncio.timeout(20):
        await asked.wait()
        if client_leaves:
            writer.transport.abort()
            (websocket,) = server.websockets
            await websocket.wait_closed()
        assert not ended.is_set()
        server.close(close_connections)
        await server.wait_closed()
    assert ended.is_set()
    assert server.websockets == set()
    if not client_leaves:
        assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
        writer.close()


async def test_create_protocol_goes_before_klass():
    class Newer(WebSocketServerProtocol):
        pass

    class Older(WebSocketServerProtocol):
        pass

    class NewerClient(WebSocketClientProtocol):
        pass

    class OlderClient(WebSocketClientProtocol):
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        async with connected(
            create_protocol=Newer,
            klass=Older,
            client={"create_protocol": NewerClient, "klass": OlderClient},
        ) as (client, server):
            assert type(server) is Newer
            assert type(client) is NewerClient


HOSTS = ["", "Host: a\r\nHost: a\r\n", "Host: a b\r\n", "Host: user@h\r\n", "Host: [::1\r\n"]


@pytest.mark.parametrize("host", HOSTS)
async def test_hosts_that_are_none(host):
    asked = []

    async def process_request(path, headers):
        asked.append(path)

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        request = REQUEST.format(path="/x", more="").replace("Host: example.com\r\n", host)
        response = await answer(port_of(server), request.encode())
        assert response.startswith(b"HTTP/1.1 400 ")
        assert b"Host" in response.partition(b"\r\n\r\n")[2]
    assert asked == ["/x"]


async def test_process_request_is_asked_first_about_requests_with_a_body():
    async def process_request(path, headers):
        return (http.HTTPStatus.OK, [], b"fine") if path == "/health" else None

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        for path, status in (("/health", b"200"), ("/x", b"400")):
            request = REQUEST.format(path=path, more="Content-Length: 3\r\n") + "abc"
            response = await answer(port_of(server), request.encode())
            assert response.startswith(b"HTTP/1.1 " + status)


async def test_stats_and_log(caplog):
    """The server counts as those of the newer API do, and tells of refused peers in one line."""
    caplog.set_level(logging.INFO)
    async with serve(echo, "127.0.0.1", 0, origins=["https://example.com"]) as server:
        port = server.sockets[0].getsockname()[1]
        uri = f"ws://127.0.0.1:{port}/"
        async with connect(uri, origin="https://example.com") as websocket:
            await websocket.send("hello")
            await websocket.recv()
            assert server.stats.connections == 1
        for _ in range(2):
            with pytest.raises(InvalidStatusCode):
                await connect(uri)
    stats = server.stats
    assert (stats.opened, stats.messages_received, stats.messages_sent) == (1, 1, 1)
    assert stats.responses == {403: 2}
    assert stats.closed == {1000: 1}
    lines = [record.getMessage() for record in caplog.records if record.name == "tidegate.server"]
    assert [line for line in lines if "403" in line or line == "connection closed"] == [
        "connection closed",
        "connection rejected (403 Forbidden)",
        "connection rejected (403 Forbidden)",
    ]
