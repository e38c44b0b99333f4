"""What to try when a server can't be connected to without a proxy: a note of the exception."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
import warnings

import pytest
import trustme

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.hints import hint_for_certificate, hint_for_error, hint_of
from tidegate.sync.client import connect as connect_sync
from tidegate.uri import parse_uri

from .connections import address

with warnings.catch_warnings():
    # That it is the older API.
    warnings.simplefilter("ignore", DeprecationWarning)
    from tidegate.legacy.client import connect as connect_legacy


async def connect_in_a_thread(uri, **options):
    """Connect with the face for threads."""
    await in_a_thread(connect_sync, uri, **options)


async def connect_on_trio(uri, **options):
    """Connect with the face for trio."""
    pytest.importorskip("trio")
    import trio

    from tidegate.trio.client import connect as connect_trio

    async def opened():
        async with connect_trio(uri, **options):
            pass

    await in_a_thread(trio.run, opened)


async def in_a_thread(function, *args, **kwargs):
    """Raise what a function raises; of a time-out, asyncio would make another exception."""

    def outcome():
        try:
            function(*args, **kwargs)
        except Exception as exc:
            return exc

    raise await asyncio.to_thread(outcome)


APIS = {
    "today": connect,
    "older": connect_legacy,
    "threads": connect_in_a_thread,
    "trio": connect_on_trio,
}


@pytest.fixture(params=APIS)
def api(request, loop_factory):
    if request.param in ("threads", "trio") and loop_factory is not asyncio.new_event_loop:
        pytest.skip("another event loop is nothing to this face")
    return APIS[request.param]


async def keep(connection):
    await connection.wait_closed()


async def failure(api, uri, **options):
    """Give the exception of an attempt, and the hint that stands below it."""
    with pytest.raises(Exception) as caught:
        await api(uri, proxy=None, **options)
    exc = caught.value
    hints = []
    while exc is not None:
        hints += [note for note in getattr(exc, "__notes__", ()) if note.startswith("hint: ")]
        exc = exc.__cause__
    assert len(hints) <= 1
    return caught.value, hints[0].removeprefix("hint: ") if hints else None


@contextlib.asynccontextmanager
async def speaking(data, *, first=False):
    """A server that says one thing, at once or when it is asked; gives its host and port."""
    tasks = set()

    async def say(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            if not first:
                await reader.read(1)
            writer.write(data)
            writer.write_eof()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_nobody_listens(api, host):
    exc, hint = await failure(api, f"ws://{host}:1/")
    assert isinstance(exc, OSError)
    assert hint == "nothing listens there: check host and port, and whether it runs"


async def test_a_name_that_nobody_knows(api):
    exc, hint = await failure(api, "ws://nosuch.invalid/")
    assert isinstance(exc, socket.gaierror)
    assert hint.startswith("check the name of the server")


ANSWERS = [
    (b"SSH-2.0-OpenSSH_9.2\r\n", "this is an SSH server: check the port"),
    (b"220 mail.test ESMTP\r\n", "this is neither a web server nor a WebSocket server"),
    (b"\x15\x03\x01\x00\x02\x02\x46", "this port speaks TLS; try wss://HOST"),
    (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "this port speaks HTTP/2 only"),
    (b"", "the server closed the connection without an answer: .* TLS, try wss://HOST"),
    (
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        "this port speaks TLS; try wss://HOST",
    ),
    (b"HTTP/1.1 200 OK\r\n\r\n<html>", "this is a web server that has no WebSocket at /chat"),
    (b"HTTP/1.1 404 Not Found\r\n\r\n", "this is a web server that has no WebSocket at /chat"),
    (b"HTTP/1.1 401 Who\r\n\r\n", "user name and a password: ws://user:password@HOST; or"),
    (b"HTTP/1.1 403 No\r\n\r\n", "the server may want another origin, a cookie, or a token"),
    (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "in front of the server, .* cannot reach it"),
    (b"HTTP/1.1 418 Teapot\r\n\r\n", None),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
async def test_somebody_else_listens(api, answer, expected):
    async with speaking(answer, first=answer.startswith((b"SSH", b"220"))) as where:
        _, hint = await failure(api, f"ws://me:s3cret@{where}/chat?a=b")
    if expected is None:
        assert hint is None
        return
    with pytest.raises(AssertionError, match=expected.replace("HOST", where)):
        raise AssertionError(hint)
    assert "s3cret" not in hint


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_tls_where_there_is_none(api, answer):
    async with speaking(answer) as where:
        exc, hint = await failure(api, f"wss://{where}/")
    assert isinstance(exc, ssl.SSLError)
    assert hint == f"this port doesn't speak TLS: check the port, or try ws://{where}"


async def test_tls_where_there_is_a_plain_server(api):
    async with serve(keep, "127.0.0.1", 0) as server:
        _, hint = await failure(api, address(server).replace("ws:", "wss:"))
        assert hint.endswith(f"try {address(server).rstrip('/')}")


async def test_no_tls_where_there_is_some(api, certificates):
    async with serve(keep, "127.0.0.1", 0, ssl=certificates[0]) as server:
        _, hint = await failure(api, address(server))
        assert hint.endswith(f"try {address(server, secure=True).rstrip('/')}")


async def test_a_tls_handshake_that_is_cut_off(api):
    async with speaking(b"") as where:
        exc, hint = await failure(api, f"wss://{where}/")
    assert isinstance(exc, ConnectionError)
    assert hint.startswith(f"if this port doesn't speak TLS, use ws://{where}; a client")


@pytest.mark.parametrize(
    ("names", "trusted", "expires", "expected"),
    [
        (["127.0.0.1"], False, None, "if the CA of the server .* give the path .* as ssl$"),
        (["other.test"], True, None, "has another name, give it as server_hostname$"),
        (["127.0.0.1"], True, 2001, "whoever runs the server has to renew it"),
    ],
)
async def test_certificates(api, names, trusted, expires, expected):
    authority = trustme.CA()
    end = expires and datetime.datetime(expires, 1, 1, tzinfo=datetime.UTC)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, not_after=end).configure_cert(context)
    client = ssl.create_default_context()
    if trusted:
        authority.configure_trust(client)
    async with serve(keep, "127.0.0.1", 0, ssl=context) as server:
        exc, hint = await failure(api, address(server, secure=True), ssl=client)
    assert isinstance(exc, ssl.SSLCertVerificationError)
    with pytest.raises(AssertionError, match=expected):
        raise AssertionError(hint)


def test_other_certificates():
    def hint(code, text):
        exc = ssl.SSLCertVerificationError(1, text)
        exc.verify_code = code
        return hint_for_certificate(exc, "the server", "ssl", "server_hostname")

    assert hint(9, "certificate is not yet valid") == "check the clock of this machine"
    assert hint(23, "certificate revoked") == "whoever runs the server has to replace it"
    assert hint(66, "EE certificate key too weak") == "whoever runs the server has to replace it"
    assert "as ssl" in hint(18, "self-signed certificate")
    assert "as server_hostname" in hint(62, "Hostname mismatch, certificate is not valid for 'a'")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "isn't accepted there"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "a client certificate may be wanted"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "a client certificate may be wanted"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "no version of TLS in common"),
        ("UNSUPPORTED_PROTOCOL", "no version of TLS in common"),
        ("TLSV1_UNRECOGNIZED_NAME", "check the host"),
    ],
)
def test_reasons_of_tls(reason, expected):
    exc = ssl.SSLError(1, reason)
    exc.reason = reason
    assert expected in hint_for_error(parse_uri("wss://ws.test/"), exc)


async def test_time_that_is_up(api):
    # Nobody accepts, but the operating system.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        exc, hint = await failure(api, f"ws://{where}/", open_timeout=0.1)
        assert isinstance(exc, TimeoutError)
        assert hint.startswith(f"{where} accepts connections, but doesn't answer")
        exc, hint = await failure(api, f"wss://{where}/", open_timeout=0.1)
        assert hint.endswith("whether a firewall is in between, and whether this port speaks TLS")


def test_exceptions_that_have_no_hint():
    assert hint_of(ValueError()) is None
    exc = OSError()
    exc.add_note("something else")
    assert hint_of(exc) is None
    assert hint_for_error(parse_uri("ws://ws.test/"), ValueError()) is None
