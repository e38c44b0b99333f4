"""Connecting again and again: how often, after what, and who is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl

import pytest
import trustme

from tidegate.asyncio.client import ConnectionEvent, connect
from tidegate.asyncio.server import serve
from tidegate.client import process_exception
from tidegate.exceptions import InvalidStatus
from tidegate.testing import HTTPProxyServer

from .connections import address


async def keep(connection):
    await connection.wait_closed()


@pytest.fixture
def nobody():
    """The URI of a port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{sock.getsockname()[1]}/"


def at_once():
    return itertools.repeat(0)


async def connected(connecting):
    """Give the first connection, closed."""
    async with contextlib.aclosing(aiter(connecting)) as connections:
        async for connection in connections:
            return connection


def story(events):
    """Give what was told, short."""
    return [(event.state, event.attempt) for event in events]


# How often


@pytest.mark.parametrize("limit", [1, 3])
async def test_limit(nobody, limit):
    events = []
    with pytest.raises(ConnectionRefusedError):
        await connected(
            connect(nobody, reconnect_delays=at_once, reconnect_limit=limit, on_event=events.append)
        )
    assert [event.state for event in events].count("connecting") == limit


async def test_limit_counts_failures_in_a_row():
    answers = [503, 503, 101, 503, 503, 101, 503, 503, 503, 101]
    requests = iter(answers)

    def process_request(connection, request):
        status = next(requests)
        return None if status == 101 else connection.respond(status, "Not now\n")

    opened = 0
    async with serve(keep, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(InvalidStatus, match="503"):
            async for connection in connect(
                address(server), reconnect_delays=at_once, reconnect_limit=3
            ):
                opened += 1
                await connection.close()
    assert opened == 2
    assert list(requests) == [101]


async def test_delays_that_end(nobody):
    events = []
    with pytest.raises(ConnectionRefusedError):
        await connected(
            connect(nobody, reconnect_delays=lambda: iter([0, 0.001]), on_event=events.append)
        )
    assert [event.delay for event in events if event.state == "waiting"] == [0, 0.001]
    assert story(events)[-2:] == [("connecting", 3), ("failed", 3)]


async def test_delays_begin_anew_after_a_connection():
    asked = []

    def delays():
        asked.append(None)
        return at_once()

    requests = iter([503, 101, 503, 101])

    def process_request(connection, request):
        status = next(requests)
        return None if status == 101 else connection.respond(status, "Not now\n")

    async with serve(keep, "127.0.0.1", 0, process_request=process_request) as server:
        opened = 0
        async for connection in connect(address(server), reconnect_delays=delays):
            await connection.close()
            opened += 1
            if opened == 2:
                break
    assert len(asked) == 2


async def overloaded(connection):
    await connection.close(1013, "later")


async def lose(connection):
    connection.transport.abort()


@pytest.mark.parametrize(
    ("handler", "text"), [(overloaded, "1013"), (lose, "no close frame received")]
)
async def test_delays_grow_while_the_server_closes_at_once(handler, text):
    events = []
    asked = []

    def delays():
        asked.append(None)
        return iter([0, 0.001, 0.002])

    async with serve(handler, "127.0.0.1", 0) as server:
        opened = 0
        async for connection in connect(
            address(server), reconnect_delays=delays, reconnect_limit=1, on_event=events.append
        ):
            opened += 1
            if opened == 5:
                break
            await connection.wait_closed()
    waiting = [event for event in events if event.state == "waiting"]
    # They begin anew when there are no more: it isn't a failure to connect.
    assert [event.delay for event in waiting] == [0, 0.001, 0.002, 0]
    assert all(text in str(event.exception) for event in waiting)
    assert len(asked) == 2
    assert story(events)[:5] == [
        ("connecting", 1),
        ("connected", 1),
        ("disconnected", 1),
        ("waiting", 1),
        ("connecting", 1),
    ]


async def test_failures_and_connections_that_end_at_once_have_the_same_delays():
    requests = iter([503, 101, 503, 101, 101])
    events = []

    def process_request(connection, request):
        status = next(requests)
        return None if status == 101 else connection.respond(status, "Not now\n")

    async with serve(overloaded, "127.0.0.1", 0, process_request=process_request) as server:
        opened = 0
        async for connection in connect(
            address(server),
            reconnect_delays=lambda: iter([0, 0.001, 0.002, 0.003]),
            on_event=events.append,
        ):
            opened += 1
            if opened == 3:
                break
            await connection.wait_closed()
    assert [(event.state, event.attempt, event.delay) for event in events] == [
        ("connecting", 1, None),
        ("waiting", 1, 0),
        ("connecting", 2, None),
        ("connected", 2, None),
        ("disconnected", 2, None),
        ("waiting", 2, 0.001),
        ("connecting", 1, None),
        ("waiting", 1, 0.002),
        ("connecting", 2, None),
        ("connected", 2, None),
        ("disconnected", 2, None),
        ("waiting", 2, 0.003),
        ("connecting", 1, None),
        ("connected", 1, None),
    ]


async def test_delays_begin_anew_after_a_connection_that_lasted(monkeypatch):
    monkeypatch.setattr("tidegate.core.dialling.BACKOFF_RESET_AFTER", 0)
    requests = iter([503, 101, 503, 101])
    events = []

    def process_request(connection, request):
        status = next(requests)
        return None if status == 101 else connection.respond(status, "Not now\n")

    async with serve(overloaded, "127.0.0.1", 0, process_request=process_request) as server:
        opened = 0
        async for connection in connect(
            address(server),
            reconnect_delays=lambda: iter([0, 0.001]),
            on_event=events.append,
        ):
            opened += 1
            if opened == 2:
                break
            await connection.wait_closed()
    assert [event.delay for event in events if event.state == "waiting"] == [0, 0]


async def test_waiting_for_the_next_attempt_can_be_cancelled(nobody):
    waiting = asyncio.Event()

    def on_event(event):
        if event.state == "waiting":
            waiting.set()

    task = asyncio.create_task(
        connected(
            connect(nobody, reconnect_delays=lambda: itertools.repeat(3600), on_event=on_event)
        )
    )
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# After what


async def test_policy_of_the_program(nobody):
    seen = []

    def never(exc):
        seen.append(exc)
        return exc

    def other(exc):
        raise LookupError("gave up") from exc

    for policy, expected in ((never, ConnectionRefusedError), (other, LookupError)):
        with pytest.raises(expected):
            await connected(connect(nobody, process_exception=policy, reconnect_delays=at_once))
    assert [type(exc) for exc in seen] == [ConnectionRefusedError]

    def replaced(exc):
        return RuntimeError("told otherwise")

    with pytest.raises(RuntimeError, match="told otherwise") as caught:
        await connected(connect(nobody, process_exception=replaced))
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def untrusted(kind, certificates):
    """Give TLS contexts of a server and a client that doesn't trust it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.create_default_context()
    if kind == "unknown authority":
        authority.issue_cert("127.0.0.1").configure_cert(server)
    else:
        authority.configure_trust(client)
        names = ["example.com"] if kind == "other name" else ["127.0.0.1"]
        expires = None
        if kind == "expired":
            import datetime

            expires = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
        authority.issue_cert(*names, not_after=expires).configure_cert(server)
    return server, client


@pytest.mark.parametrize("kind", ["unknown authority", "other name", "expired"])
@pytest.mark.parametrize("way", ["direct", "proxy"])
async def test_certificate_errors_are_not_retried(kind, way, certificates):
    server_context, client_context = untrusted(kind, certificates)
    events = []
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(keep, "127.0.0.1", 0, ssl=server_context))
        proxy = None
        if way == "proxy":
            proxy = (await stack.enter_async_context(HTTPProxyServer())).url
        with pytest.raises(Exception, match=r"(?i)certificate") as caught:
            await connected(
                connect(
                    address(server, secure=True),
                    ssl=client_context,
                    proxy=proxy,
                    reconnect_delays=at_once,
                    on_event=events.append,
                )
            )
    assert story(events) == [("connecting", 1), ("failed", 1)]
    assert isinstance(caught.value, ssl.SSLCertVerificationError) or way == "proxy"


def refusal_of_a_client_certificate(version):
    """Give the exception that a client gets when the server doesn't trust its certificate."""
    authority, stranger = trustme.CA(), trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.maximum_version = version
    server_context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    authority.configure_trust(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    stranger.issue_cert("client.example").configure_cert(client_context)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up, server_hostname="127.0.0.1")
    server = server_context.wrap_bio(up, down, server_side=True)
    for _ in range(10):
        for step in (client.do_handshake, server.do_handshake, lambda: client.read(1)):
            try:
                step()
            except (ssl.SSLWantReadError, ssl.SSLCertVerificationError):
                continue
            except ssl.SSLError as exc:
                return exc
    raise AssertionError("not refused")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates_that_are_refused_are_not_retried(version):
    exc = refusal_of_a_client_certificate(version)
    assert process_exception(exc) is exc


async def test_a_policy_can_retry_certificate_errors(certificates):
    server_context, client_context = untrusted("unknown authority", certificates)
    async with serve(keep, "127.0.0.1", 0, ssl=server_context) as server:
        events = []
        with pytest.raises(ssl.SSLCertVerificationError):
            await connected(
                connect(
                    address(server, secure=True),
                    ssl=client_context,
                    process_exception=lambda exc: None,
                    reconnect_delays=at_once,
                    reconnect_limit=2,
                    on_event=events.append,
                )
            )
    assert story(events)[-1] == ("failed", 2)


def test_default_policy():
    assert process_exception(ConnectionResetError()) is None
    assert process_exception(TimeoutError()) is None
    assert process_exception(ssl.SSLError(1, "[SSL] internal error")) is None
    for exc in (ssl.SSLCertVerificationError(1, "self-signed"), ValueError("mistake")):
        assert process_exception(exc) is exc


# Who is told


async def test_events(nobody):
    events = []
    async with serve(keep, "127.0.0.1", 0) as server:
        opened = []
        connecting = connect(address(server), on_event=events.append)
        async for connection in connecting:
            opened.append(connection)
            if len(opened) == 2:
                break
        await connection.close()
    assert all(isinstance(event, ConnectionEvent) for event in events)
    assert story(events) == [
        ("connecting", 1),
        ("connected", 1),
        ("disconnected", 1),
        ("connecting", 1),
        ("connected", 1),
    ]
    assert [event.connection for event in events] == [None, opened[0], opened[0], None, opened[1]]
    events.clear()
    with pytest.raises(ConnectionRefusedError):
        await connected(
            connect(nobody, reconnect_delays=lambda: iter([0, 0.001]), on_event=events.append)
        )
    assert [(event.state, event.delay, type(event.exception).__name__) for event in events] == [
        ("connecting", None, "NoneType"),
        ("waiting", 0, "ConnectionRefusedError"),
        ("connecting", None, "NoneType"),
        ("waiting", 0.001, "ConnectionRefusedError"),
        ("connecting", None, "NoneType"),
        ("failed", None, "ConnectionRefusedError"),
    ]


@pytest.mark.parametrize("state", ["connecting", "connected", "disconnected", "waiting"])
async def test_mistakes_of_who_is_told_come_through(nobody, state):
    """They are no failures to connect, whatever their type."""

    def on_event(event):
        if event.state == state:
            raise OSError("disk full")

    async with serve(keep, "127.0.0.1", 0) as server:
        uri = nobody if state == "waiting" else address(server)
        with pytest.raises(OSError, match="disk full"):
            async for connection in connect(uri, reconnect_delays=at_once, on_event=on_event):
                await connection.close()
        assert not server.connections or state == "connected"
