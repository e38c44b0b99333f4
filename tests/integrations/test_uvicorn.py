"""`tidegate.integrations.uvicorn`: what the table of test_uvicorn_table.py doesn't say."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib.util
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys

import pytest
from uvicorn.protocols.utils import ClientDisconnected

from tidegate import ConnectionClosedError, connect

from .asgi_peer import BINARY, OURS, PING, PONG, TEXT, Peer, close, connected, frame, running

UNIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="Windows can't do that")

HTTP = ["h11"]
if importlib.util.find_spec("httptools") is not None:
    HTTP.append("httptools")


async def echo(scope, receive, send):
    """Send back what is received."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


class Held:
    """An application that accepts, and then waits for the test before it receives."""

    def __init__(self):
        self.goes_on = asyncio.Event()
        self.events = []

    async def __call__(self, scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await self.goes_on.wait()
        while not self.events or self.events[-1]["type"] == "websocket.receive":
            self.events.append(await receive())

    @property
    def messages(self):
        return [event.get("text") or event.get("bytes") for event in self.events[:-1]]


# The opening handshake


async def test_scope():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await echo(scope, receive, send)

    async with running(app, root_path="/mounted", proxy_headers=False) as server:
        headers = ["X-Twice: 1", "X-Twice: \xe92", "Sec-WebSocket-Protocol: a, b"]
        async with connected(server, "/caf%C3%A9?x=%20", *headers) as peer:
            client = peer.writer.get_extra_info("sockname")
    (scope,) = scopes
    headers = scope.pop("headers")
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("127.0.0.1", server.port),
        "client": client,
        "root_path": "/mounted",
        "path": "/mounted/café",
        "raw_path": b"/mounted/caf%C3%A9",
        "query_string": b"x=%20",
        "subprotocols": ["a", "b"],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }
    assert [value for name, value in headers if name == b"x-twice"] == [b"1", b"\xe92"]
    assert (b"host", b"localhost") in headers


@pytest.mark.parametrize("http", HTTP)
async def test_accept_with_subprotocol_and_headers(http, caplog):
    async def app(scope, receive, send):
        await receive()
        await send(
            {
                "type": "websocket.accept",
                "subprotocol": "b",
                "headers": [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), [b"x-a", b"\xe9"]],
            }
        )
        await receive()

    caplog.set_level(logging.INFO, "uvicorn.error")
    async with running(app, http=http, headers=[("X-All", "1")]) as server:
        peer = await Peer.connect(server.port)
        await peer.ask("/a%20b?c", "Sec-WebSocket-Protocol: a, b")
        status, headers = await peer.answer()
        address = ":".join(map(str, peer.writer.get_extra_info("sockname")))
        await peer.leave()
    assert status == 101
    names = [name for name, _ in headers]
    assert names.count("date") == 1
    assert [item for item in headers if item[0] in ("server", "x-all")] == [
        ("server", "uvicorn"),
        ("x-all", "1"),
    ]
    assert headers[-4:] == [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-a", "é"),
        ("sec-websocket-protocol", "b"),
    ]
    assert f'{address} - "WebSocket /a%20b?c" [accepted]' in caplog.messages


async def test_headers_that_cannot_be_sent():
    raised = []

    async def app(scope, receive, send):
        await receive()
        for kind in "websocket.accept", "websocket.http.response.start":
            try:
                await send({"type": kind, "status": 200, "headers": [(b"x", b"a\r\nb: c")]})
            except ValueError as exc:
                raised.append(exc)
        await send({"type": "websocket.accept"})
        await receive()

    async with running(app) as server, connected(server):
        pass
    assert len(raised) == 2


@pytest.mark.parametrize(
    ("options", "status"),
    [({"version": "12"}, 426), ({"method": "POST"}, 405)],
)
async def test_request_that_is_no_opening_handshake(options, status):
    called = []

    async def app(scope, receive, send):
        called.append(scope)

    async with running(app) as server:
        peer = await Peer.connect(server.port)
        await peer.ask(**options)
        assert (await peer.answer())[0] == status
        await peer.leave()
    assert not called


async def test_denial_is_streamed():
    goes_on = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.http.response.start", "status": 299, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"a", "more_body": True})
        await goes_on.wait()
        await send({"type": "websocket.http.response.body", "body": b"b"})
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.http.response.body", "body": b"c"})

    async with running(app) as server:
        peer = await Peer.connect(server.port)
        await peer.ask()
        status, headers = await peer.answer()
        assert status == 299
        assert ("connection", "close") in headers
        assert "content-length" not in dict(headers)
        assert await peer.reader.readexactly(1) == b"a"
        goes_on.set()
        assert await peer.reader.read() == b"b"
        await peer.leave()


async def test_denial_with_a_large_body_to_a_peer_that_leaves():
    outcome = asyncio.get_running_loop().create_future()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.http.response.start", "status": 200, "headers": []})
        body = {"type": "websocket.http.response.body", "body": bytes(2**20), "more_body": True}
        try:
            while True:
                await send(body)
        except ClientDisconnected as exc:
            outcome.set_result(exc)

    async with running(app) as server:
        peer = await Peer.connect(server.port, limit=1024)
        await peer.ask()
        await peer.answer()
        await asyncio.sleep(0.05)
        assert not outcome.done()
        peer.abort()
        async with asyncio.timeout(10):
            await outcome


async def test_denial_that_is_not_completed():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.http.response.start", "status": 200, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"a", "more_body": True})

    async with running(app) as server:
        peer = await Peer.connect(server.port)
        await peer.ask()
        with contextlib.suppress(ConnectionResetError, asyncio.IncompleteReadError):
            await peer.answer()
            await peer.reader.read()
        await peer.leave()


async def test_denial_that_was_only_begun(caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.http.response.start", "status": 200, "headers": []})
        raise ValueError("of the application")

    async with running(app) as server:
        peer = await Peer.connect(server.port)
        await peer.ask()
        assert (await peer.answer())[0] == 500
        await peer.leave()
    assert "of the application" in caplog.text


@pytest.mark.parametrize("status", [100, 101, 199, 600])
async def test_denial_with_a_status_that_is_none(status):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.http.response.start", "status": status, "headers": []})

    async with running(app) as server:
        peer = await Peer.connect(server.port)
        await peer.ask()
        assert (await peer.answer())[0] == 500
        await peer.leave()


async def test_events_that_come_in_the_wrong_order():
    raised = []

    async def app(scope, receive, send):
        await receive()
        for kind in "websocket.send", "websocket.http.response.body", "http.response.start":
            with pytest.raises(RuntimeError, match=f"but got '{kind}'") as caught:
                await send({"type": kind})
            raised.append(caught.value)
        await send({"type": "websocket.accept"})
        for event in (
            {"type": "websocket.accept"},
            {"type": "websocket.http.response.start"},
            {"type": "websocket.send"},
            {"type": "websocket.send", "bytes": None, "text": None},
        ):
            with pytest.raises(RuntimeError) as caught:
                await send(event)
            raised.append(caught.value)
        with pytest.raises(TypeError):
            await send({"type": "websocket.send", "text": 1})

    async with running(app) as server, connected(server) as peer:
        assert await peer.read_closing() == "close 1000"
    assert len(raised) == 7


# Messages


async def test_messages_of_all_kinds():
    async with running(echo) as server:
        websocket = await connect(f"ws://127.0.0.1:{server.port}", max_size=None)
        for message in "", "é", b"", b"\x00\xff", "a" * 70_000, os.urandom(300_000):
            await websocket.send(message)
            assert await websocket.recv() == message
        await websocket.send(["a", "b", "c"])
        assert await websocket.recv() == "abc"
        await websocket.close()


async def test_application_sends_other_types():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        for data in bytearray(b"a"), memoryview(b"b"):
            await send({"type": "websocket.send", "bytes": data})
        await send({"type": "websocket.send", "bytes": None, "text": "c"})
        await send({"type": "websocket.send", "bytes": b"d", "text": None})

    async with running(app, ws_per_message_deflate=False) as server, connected(server) as peer:
        assert [await peer.read() for _ in range(4)] == [
            (BINARY, b"a"),
            (BINARY, b"b"),
            (TEXT, b"c"),
            (BINARY, b"d"),
        ]


async def test_no_message_is_lost():
    """Whatever comes together, and however late the application takes it."""
    app = Held()
    messages = [b"%d" % i for i in range(1000)]
    async with running(app, ws_max_queue=4) as server, connected(server) as peer:
        peer.write(*(frame(BINARY, message) for message in messages), close(1000))
        await asyncio.sleep(0.05)
        app.goes_on.set()
        assert await peer.read_closing() == "close 1000"
    assert app.messages == messages


@pytest.mark.parametrize("leave", ["leave", "abort"])
async def test_messages_before_the_end_are_not_lost(leave):
    app = Held()
    messages = [b"%d" % i for i in range(20)]
    async with running(app) as server, connected(server) as peer:
        peer.write(*(frame(BINARY, message) for message in messages))
        await asyncio.sleep(0.05)
        if leave == "leave":
            await peer.leave()
        else:
            peer.abort()
        await asyncio.sleep(0.05)
        app.goes_on.set()
    assert app.messages == messages
    assert app.events[-1]["code"] == 1005


async def test_reading_stops_beyond_the_queue():
    app = Held()
    async with running(app, ws_max_queue=4) as server, connected(server) as peer:
        (connection,) = server.server_state.connections
        peer.write(*(frame(BINARY, bytes(1000)) for _ in range(1000)))
        await asyncio.sleep(0.05)
        assert not connection.wants_input
        assert connection.protocol.frame_reader.held == 5
        app.goes_on.set()
        peer.write(close(1000))
        assert await peer.read_closing() == "close 1000"
    assert len(app.messages) == 1000


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fragments", [1, 2, 10])
async def test_large_messages_fill_the_queue_sooner(opcode, fragments):
    app = Held()
    messages = [b"%d" % i * 10_000 for i in range(10, 30)]
    options = {"ws_max_size": 20_000, "ws_max_queue": 10, "ws_per_message_deflate": False}
    async with running(app, **options) as server, connected(server) as peer:
        (connection,) = server.server_state.connections
        reader = connection.protocol.frame_reader
        for message in messages:
            step = len(message) // fragments
            for start in range(0, len(message), step):
                fin = start + step == len(message)
                part = message[start : start + step]
                peer.write(frame(0 if start else opcode, part, fin=fin))
        async with asyncio.timeout(10):
            while connection.wants_input:
                await asyncio.sleep(0.01)
        # Each counts for eleven at least.
        assert 10 < reader.held <= 25
        app.goes_on.set()
        peer.write(close(1000))
        assert await peer.read_closing() == "close 1000"
        assert reader.held == 0
    texts = [message.decode() if opcode == TEXT else message for message in messages]
    assert app.messages == texts


async def test_keepalive_does_not_close_a_healthy_peer():
    """Its pongs are read although the application has not taken its message."""
    app = Held()
    timing = {"ws_ping_interval": 0.05, "ws_ping_timeout": 0.5}
    async with running(app, **timing) as server, connected(server) as peer:
        peer.write(frame(TEXT, b"a"))
        for _ in range(5):
            opcode, payload = await peer.read()
            assert opcode == PING
            peer.write(frame(PONG, payload))
        app.goes_on.set()
        peer.write(close(1000))
        assert await peer.read_closing() == "close 1000"
    assert app.messages == ["a"]


async def test_keepalive_closes_a_peer_that_is_dead():
    app = Held()
    app.goes_on.set()
    timing = {"ws_ping_interval": 0.05, "ws_ping_timeout": 0.05}
    async with running(app, **timing) as server, connected(server) as peer:
        assert await peer.read_closing() == "close 1011 keepalive ping timeout"
    assert app.events[-1]["code"] == 1011
    assert app.events[-1]["reason"] == "keepalive ping timeout"


@pytest.mark.parametrize("interval", [0, None])
async def test_no_keepalive(interval):
    async with running(echo, ws_ping_interval=interval) as server, connected(server):
        (connection,) = server.server_state.connections
        assert connection.ping_interval is None


async def test_sending_waits_for_a_peer_that_does_not_read():
    sent = []
    ended = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
                sent.append(1)
        except ClientDisconnected:
            ended.set()

    async with running(app, ws_per_message_deflate=False) as server:
        async with connected(server) as peer:
            peer.writer.transport.pause_reading()
            while True:
                before = len(sent)
                await asyncio.sleep(0.05)
                if before and before == len(sent):
                    break
            (connection,) = server.server_state.connections
            assert connection.buffered_amount < 1_000_000
            peer.writer.transport.resume_reading()
            for _ in range(2 * before):
                await peer.read()
            assert len(sent) > before
            peer.abort()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_sending_does_not_wait_for_ever():
    """A peer is given up that takes nothing for as long as it may leave a ping unanswered."""
    ended = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        except ClientDisconnected:
            ended.set()

    options = {"ws_ping_timeout": 0.1, "ws_per_message_deflate": False}
    async with running(app, **options) as server, connected(server) as peer:
        peer.writer.transport.pause_reading()
        async with asyncio.timeout(20):
            await ended.wait()
        peer.abort()


async def test_cancelled_receive_loses_nothing():
    events = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(3):
            try:
                async with asyncio.timeout(0.01):
                    await receive()
            except TimeoutError:
                pass
        await send({"type": "websocket.send", "text": "ready"})
        events.append(await receive())

    async with running(app, ws_per_message_deflate=False) as server, connected(server) as peer:
        assert await peer.read() == (TEXT, b"ready")
        peer.write(frame(TEXT, b"a"))
        assert await peer.read_closing() == "close 1000"
    assert events == [{"type": "websocket.receive", "text": "a"}]


async def test_several_receive_and_some_are_cancelled():
    events = []

    async def app(scope, receive, send):
        async def take():
            events.append((await receive())["text"])

        await receive()
        await send({"type": "websocket.accept"})
        tasks = []
        for _ in range(5):
            tasks.append(asyncio.create_task(take()))
            await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.sleep(0)
        await send({"type": "websocket.send", "text": "ready"})
        await asyncio.gather(*tasks, return_exceptions=True)

    async with running(app, ws_per_message_deflate=False) as server, connected(server) as peer:
        await peer.read()
        peer.write(frame(TEXT, b"a"), frame(TEXT, b"b"), frame(TEXT, b"c"))
        assert await peer.read_closing() == "close 1000"
    assert sorted(events) == ["a", "b", "c"]


# The application


async def test_exception_is_logged(caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        raise ValueError("of the application")

    async with running(app) as server, connected(server) as peer:
        assert await peer.read_closing() == "close 1011"
    assert caplog.messages == ["Exception in ASGI application\n"]
    assert "of the application" in caplog.text


async def test_client_disconnected_is_not_logged(caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.send", "text": "a"})

    async with running(app) as server, connected(server):
        pass
    assert not caplog.messages


async def test_messages_about_what_applications_return(caplog):
    async def app(scope, receive, send):
        await receive()
        if scope["path"] == "/":
            await send({"type": "websocket.accept"})
        return 1

    async with running(app) as server:
        async with connected(server) as peer:
            await peer.read_closing()
        peer = await Peer.connect(server.port)
        await peer.ask("/b")
        await peer.answer()
        await peer.leave()
    assert caplog.messages == [
        "ASGI callable should return None, but returned '1'.",
        "ASGI callable returned without completing handshake.",
    ]


async def test_close_that_cannot_be_sent(caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1006})

    async with running(app) as server, connected(server) as peer:
        assert await peer.read_closing() == "close 1011"
    assert "Exception in ASGI application" in caplog.text


@pytest.mark.parametrize("reset", [False, True])
async def test_context_variables(reset):
    variable = contextvars.ContextVar("variable", default=0)
    seen = []

    async def app(scope, receive, send):
        seen.append(variable.get())
        variable.set(variable.get() + 1)
        await echo(scope, receive, send)

    variable.set(1)
    async with running(app, reset_contextvars=reset) as server:
        for _ in range(2):
            async with connected(server):
                pass
    assert seen == ([0, 0] if reset else [1, 1])


# The end


async def test_disconnect_comes_with_the_close_frame():
    """Not only when the peer has closed the TCP connection, too."""
    app = Held()
    app.goes_on.set()
    async with running(app) as server, connected(server) as peer:
        peer.write(close(4000, "a"))
        async with asyncio.timeout(5):
            while not app.events:
                await asyncio.sleep(0.01)
        assert app.events == [{"type": "websocket.disconnect", "code": 4000, "reason": "a"}]


async def test_disconnect_while_another_task_closes():
    events = asyncio.get_running_loop().create_future()

    async def app(scope, receive, send):
        async def take():
            events.set_result(await receive())

        await receive()
        await send({"type": "websocket.accept"})
        task = asyncio.create_task(take())
        await asyncio.sleep(0.01)
        await send({"type": "websocket.close", "code": 4000, "reason": "a"})
        await task

    async with running(app) as server, connected(server) as peer:
        async with asyncio.timeout(5):
            event = await events
        assert await peer.read_closing() == "close 4000 a"
        peer.write(close(4000))
    assert event == {"type": "websocket.disconnect", "code": 4000, "reason": "a"}


async def test_connects_and_aborts_leave_nothing():
    async with running(echo) as server:
        for i in range(300):
            peer = await Peer.connect(server.port)
            await peer.ask()
            if i % 3:
                await peer.answer()
            if i % 3 == 2:
                peer.write(frame(TEXT, b"a" * 1000)[: i % 1000])
            peer.abort()
        async with asyncio.timeout(10):
            while server.server_state.connections or server.server_state.tasks:
                await asyncio.sleep(0.01)


async def test_shutdown_waits_for_the_peer():
    """And for nobody else: what the peer has sent before is not lost by a reset."""
    async with running(echo) as server:
        websockets = [await connect(f"ws://127.0.0.1:{server.port}") for _ in range(200)]
    for websocket in websockets:
        with pytest.raises(ConnectionClosedError):
            await websocket.recv()
        assert websocket.close_code == 1012
        assert websocket.close_exc.sent.code == 1012


async def test_shutdown_is_over_in_time_for_a_task_that_hangs():
    cancelled = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    async with running(app, timeout_graceful_shutdown=0.2) as server, connected(server) as peer:
        await server.shutdown()
        assert await peer.read_closing() == "close 1012"
        await asyncio.sleep(0)
    assert cancelled == [1]


async def test_cancellation_that_is_the_applications_own(caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        raise asyncio.CancelledError

    async with running(app) as server, connected(server) as peer:
        assert await peer.read_closing() == "close 1011"
    assert "Exception in ASGI application" in caplog.text


# Ways to run it


@pytest.mark.parametrize("http", HTTP)
async def test_tls(certificates, http):
    server_context, client_context = certificates

    class Secure:
        async def __call__(self, scope, receive, send):
            assert scope["scheme"] == "wss"
            await echo(scope, receive, send)

    async with running(
        Secure(), http=http, ssl_context_factory=lambda *_: server_context
    ) as server:
        uri = f"wss://localhost:{server.port}"
        async with connect(uri, ssl=client_context, max_size=None) as websocket:
            for message in "a", os.urandom(300_000):
                await websocket.send(message)
                assert await websocket.recv() == message
        assert websocket.close_code == 1000


async def test_tls_when_the_server_ends(certificates):
    server_context, client_context = certificates
    async with running(echo, ssl_context_factory=lambda *_: server_context) as server:
        websocket = await connect(f"wss://localhost:{server.port}", ssl=client_context)
    with pytest.raises(ConnectionClosedError):
        await websocket.recv()
    assert websocket.close_code == 1012


@UNIX_ONLY
async def test_unix_socket(tmp_path):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await echo(scope, receive, send)

    path = str(tmp_path / "socket")
    async with running(app, uds=path):
        peer = await Peer.connect(path)
        await peer.ask()
        assert (await peer.answer())[0] == 101
        peer.write(close(1000))
        assert await peer.read_closing() == "close 1000"
        await peer.leave()
    assert (scopes[0]["server"], scopes[0]["client"]) == ((path, None), None)


async def test_proxy_headers():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await echo(scope, receive, send)

    async with running(app, proxy_headers=True, forwarded_allow_ips="127.0.0.1") as server:
        headers = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"]
        async with connected(server, "/", *headers):
            pass
    assert (scopes[0]["client"], scopes[0]["scheme"]) == (("192.0.2.1", 0), "wss")


async def test_lifespan_state():
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["a"] = 1
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(dict(scope["state"]))
        scope["state"]["a"] = 2
        await echo(scope, receive, send)

    async with running(app, lifespan="on") as server:
        for _ in range(2):
            async with connected(server):
                pass
    assert seen == [{"a": 1}, {"a": 1}]


async def test_http_on_the_same_port():
    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    async with running(app) as server:
        async with connected(server):
            pass
        peer = await Peer.connect(server.port)
        peer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await peer.answer())[0] == 200
        await peer.leave()


PROGRAM = """
import os

async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": str(os.getpid())})
    while (await receive())["type"] == "websocket.receive":
        pass
"""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def command(tmp_path, *arguments):
    """Run the command ``uvicorn``; give the process and its port."""
    (tmp_path / "program.py").write_text(PROGRAM)
    port = free_port()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "program:app", "--ws", OURS),
                *("--port", str(port), "--lifespan", "off", *arguments),
            ],
            cwd=tmp_path,
            stderr=log,
        )
    try:
        yield process, port
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()


async def connect_soon(port):
    """Connect to a process that is about to listen."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await connect(f"ws://127.0.0.1:{port}", proxy=None)
            except OSError:
                await asyncio.sleep(0.05)


LOOPS = ["asyncio"]
if importlib.util.find_spec("uvloop") is not None:
    LOOPS.append("uvloop")


@UNIX_ONLY
@pytest.mark.asyncio_only
@pytest.mark.parametrize("loop", LOOPS)
async def test_sigterm_under_a_thousand_connections(tmp_path, loop):
    with command(tmp_path, "--loop", loop) as (process, port):
        websockets = [await connect_soon(port)]
        for _ in range(9):
            uri = f"ws://127.0.0.1:{port}"
            websockets += await asyncio.gather(*(open_one(uri) for _ in range(111)))
        process.send_signal(signal.SIGTERM)
        for websocket in websockets:
            await websocket.recv()
            with pytest.raises(ConnectionClosedError):
                await websocket.recv()
            assert websocket.close_code == 1012
        await asyncio.to_thread(process.wait, 30)
    assert len(websockets) == 1000
    assert process.returncode in (0, -signal.SIGTERM)


async def open_one(uri):
    return await connect(uri, proxy=None, open_timeout=60)


@UNIX_ONLY
@pytest.mark.asyncio_only
async def test_workers(tmp_path):
    with command(tmp_path, "--workers", "2") as (process, port):
        pids = set()
        async with asyncio.timeout(30):
            while len(pids) < 2:
                websocket = await connect_soon(port)
                pids.add(await websocket.recv())
                await websocket.close()
        assert str(process.pid) not in pids
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 30)


@UNIX_ONLY
@pytest.mark.asyncio_only
async def test_limit_max_requests_counts_no_websockets(tmp_path):
    with command(tmp_path, "--limit-max-requests", "1") as (process, port):
        for _ in range(3):
            websocket = await connect_soon(port)
            await websocket.close()
        assert process.poll() is None


@UNIX_ONLY
@pytest.mark.asyncio_only
async def test_reload(tmp_path):
    with command(tmp_path, "--reload") as (process, port):
        websocket = await connect_soon(port)
        before = await websocket.recv()
        changing = asyncio.create_task(change(tmp_path / "program.py"))
        async with asyncio.timeout(60):
            with pytest.raises(ConnectionClosedError):
                await websocket.recv()
            assert websocket.close_code == 1012
            changing.cancel()
            websocket = await connect_soon(port)
            assert await websocket.recv() != before
            await websocket.close()
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait, 30)


async def change(program):
    # uvicorn begins to look for changes some time after it has started the server: what is
    # changed earlier isn't seen.
    for number in itertools.count():
        program.write_text(f"{PROGRAM}\n# changed {number}\n")
        await asyncio.sleep(5)
