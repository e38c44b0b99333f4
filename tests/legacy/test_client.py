"""The client of the older API."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl

import pytest

from tidegate.asyncio.client import connect as connect_newer
from tidegate.datastructures import Headers
from tidegate.exceptions import (
    ConnectionClosed,
    InvalidHeader,
    InvalidMessage,
    InvalidURI,
    NegotiationError,
    SecurityError,
)
from tidegate.legacy.client import Connect, WebSocketClientProtocol, connect
from tidegate.legacy.exceptions import InvalidStatusCode, RedirectHandshake
from tidegate.legacy.server import serve
from tidegate.testing import HTTPProxyServer
from tidegate.uri import WebSocketURI, parse_uri
from tidegate.utils import accept_key

from .peers import connected, echo, port_of, raw_server


async def test_connect_can_be_awaited():
    async with serve(echo, "127.0.0.1", 0) as server:
        client = await connect(f"ws://127.0.0.1:{port_of(server)}")
        assert isinstance(client, WebSocketClientProtocol)
        await client.send("x")
        assert await client.recv() == "x"
        await client.close()
        assert client.closed
        assert client.close_code == 1000


async def test_the_context_manager_closes_with_1000_whatever_happens():
    seen = []

    async def handler(websocket):
        await websocket.wait_closed()
        seen.append(websocket.close_code)

    async with serve(handler, "127.0.0.1", 0) as server:
        with pytest.raises(ValueError, match="mine"):
            async with connect(f"ws://127.0.0.1:{port_of(server)}"):
                raise ValueError("mine")
    assert seen == [1000]


async def test_connecting_somewhere_else_than_the_uri_says():
    async with (
        serve(echo, "127.0.0.1", 0) as server,
        connect("ws://example.com/", host="127.0.0.1", port=port_of(server)) as client,
    ):
        assert client.request_headers["Host"] == "example.com"


async def test_user_info_in_the_uri():
    async with serve(echo, "127.0.0.1", 0) as server:
        uri = f"ws://a%20user:pass@127.0.0.1:{port_of(server)}/"
        assert parse_uri(uri).user_info == ("a user", "pass")
        async with connect(uri) as client:
            assert client.request_headers["Authorization"] == "Basic YSB1c2VyOnBhc3M="


@pytest.mark.parametrize(
    "extra_headers", [{"X-A": "b"}, [("X-A", "b")], Headers({"X-A": "b"}), {"User-Agent": "mine"}]
)
async def test_extra_headers(extra_headers):
    async with connected(client={"extra_headers": extra_headers}) as (client, server):
        for name, value in Headers(extra_headers).raw_items():
            assert server.request_headers.get_all(name) == [value]
        assert "User-Agent" in client.request_headers


async def test_user_agent_header():
    async with connected(client={"user_agent_header": None}) as (_, server):
        assert "User-Agent" not in server.request_headers
    async with connected(client={"user_agent_header": "mine"}) as (_, server):
        assert server.request_headers["User-Agent"] == "mine"


async def test_create_protocol():
    class Protocol(WebSocketClientProtocol):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.count = 0

        async def recv(self):
            self.count += 1
            return await super().recv()

    async with connected(client={"create_protocol": Protocol}) as (client, _):
        await client.send("x")
        async for message in client:
            assert message == "x"
            break
        assert client.count == 1


async def test_a_protocol_of_the_first_generations():
    # Written before there were logger=, server_header= and others.
    class Protocol(WebSocketClientProtocol):
        def __init__(
            self,
            *,
            origin=None,
            extensions=None,
            subprotocols=None,
            extra_headers=None,
            ping_interval=20,
            ping_timeout=20,
            close_timeout=None,
            max_size=2**20,
            max_queue=2**5,
            read_limit=2**16,
            write_limit=2**16,
            host=None,
            port=None,
            secure=None,
        ):
            super().__init__(extensions=extensions, max_size=max_size)

    async with connected(client={"create_protocol": Protocol}) as (client, _):
        await client.send("x")
        assert await client.recv() == "x"


async def test_the_opening_handshake_can_be_overridden():
    class Protocol(WebSocketClientProtocol):
        async def handshake(self, wsuri, **kwargs):
            assert isinstance(wsuri, WebSocketURI)
            kwargs["extra_headers"] = {"X-Path": wsuri.resource_name}
            await super().handshake(wsuri, **kwargs)

    async with connected(path="/a?b", client={"create_protocol": Protocol}) as (_, server):
        assert server.request_headers["X-Path"] == "/a?b"


# What can go wrong


@pytest.mark.parametrize("uri", ["http://localhost", "ws://", "ws://x/#fragment", "ws://me@x/"])
def test_uris_that_are_not(uri):
    with pytest.raises(InvalidURI) as caught:
        connect(uri)
    assert isinstance(caught.value, ValueError)


def test_headers_that_cannot_be_sent():
    with pytest.raises(InvalidHeader):
        connect("ws://localhost", extra_headers={"X-A": "b\r\nX-C: d"})


async def test_nobody_listens():
    async with raw_server(echo) as port:
        pass
    with pytest.raises(OSError):
        await connect(f"ws://127.0.0.1:{port}")


async def respond(reader, writer, response):
    request = await reader.readuntil(b"\r\n\r\n")
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
    writer.write(response.replace(b"ACCEPT", accept_key(key).encode()))
    await reader.read()


ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: ACCEPT\r\n"
)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (b"nonsense\r\n\r\n", InvalidMessage),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", InvalidStatusCode),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", InvalidHeader),
        (ACCEPTED + b"Sec-WebSocket-Extensions: x-unknown\r\n\r\n", NegotiationError),
        (ACCEPTED + b"Sec-WebSocket-Protocol: unknown\r\n\r\n", NegotiationError),
        (ACCEPTED.replace(b"ACCEPT", b"wrong") + b"\r\n", InvalidHeader),
    ],
)
async def test_responses_that_are_not_accepted(response, error):
    async def converse(reader, writer):
        await respond(reader, writer, response)

    async with raw_server(converse) as port:
        with pytest.raises(error):
            await connect(f"ws://127.0.0.1:{port}")


async def test_bytes_outside_ascii_in_a_response():
    async def converse(reader, writer):
        await respond(reader, writer, ACCEPTED + b"X-Name: zo\xeb\r\n\r\n")

    async with raw_server(converse) as port:
        client = await connect(f"ws://127.0.0.1:{port}", close_timeout=0.01)
        value = client.response_headers["X-Name"]
        assert value.encode("ascii", "surrogateescape") == b"zo\xeb"
        await client.close()


async def test_a_server_that_does_not_answer():
    async def converse(reader, writer):
        await reader.read()

    async with raw_server(converse) as port:
        with pytest.raises(TimeoutError):
            await connect(f"ws://127.0.0.1:{port}", open_timeout=0.01)


async def test_a_server_that_hangs_up():
    async def converse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")

    async with raw_server(converse) as port:
        with pytest.raises(InvalidMessage):
            await connect(f"ws://127.0.0.1:{port}")


# Redirects


@contextlib.asynccontextmanager
async def redirecting(location, status=302, **kwargs):
    async def process_request(path, request_headers):
        if path == "/redirect":
            return status, {"Location": location}, b""
        return None

    async with serve(echo, "127.0.0.1", 0, process_request=process_request, **kwargs) as server:
        yield server


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(status):
    async with (
        redirecting("/elsewhere", status) as server,
        connect(f"ws://127.0.0.1:{port_of(server)}/redirect") as client,
    ):
        assert client.path == "/elsewhere"
        await client.send("x")
        assert await client.recv() == "x"


async def test_credentials_do_not_follow_a_redirect_to_another_origin():
    headers = {"Authorization": "secret", "X-Kept": "yes"}
    async with (
        serve(echo, "127.0.0.1", 0) as other,
        redirecting(f"ws://127.0.0.1:{port_of(other)}/") as server,
        connect(f"ws://127.0.0.1:{port_of(server)}/redirect", extra_headers=headers) as client,
    ):
        assert "Authorization" not in client.request_headers
        assert client.request_headers["X-Kept"] == "yes"


async def test_redirects_without_end():
    async with redirecting("/redirect") as server:
        with pytest.raises(SecurityError):
            await connect(f"ws://127.0.0.1:{port_of(server)}/redirect")


async def test_a_redirect_from_tls_to_none(certificates):
    server_context, client_context = certificates
    async with redirecting("ws://127.0.0.1/", ssl=server_context) as server:
        with pytest.raises(SecurityError):
            await connect(f"wss://localhost:{port_of(server)}/redirect", ssl=client_context)


async def test_the_opening_handshake_tells_of_a_redirect():
    async with redirecting("/elsewhere") as server:
        loop = asyncio.get_running_loop()
        uri = parse_uri(f"ws://127.0.0.1:{port_of(server)}/redirect")
        _, client = await loop.create_connection(WebSocketClientProtocol, uri.host, uri.port)
        with pytest.raises(RedirectHandshake) as caught:
            await client.handshake(uri)
        assert caught.value.uri == "/elsewhere"
        await client.wait_closed()


async def test_the_protocol_of_a_connection_of_the_program():
    async with serve(echo, "127.0.0.1", 0) as server:
        loop = asyncio.get_running_loop()
        uri = parse_uri(f"ws://127.0.0.1:{port_of(server)}/")
        _, client = await loop.create_connection(WebSocketClientProtocol, uri.host, uri.port)
        await client.handshake(uri)
        await client.send("x")
        assert await client.recv() == "x"
        await client.close()


# Reconnecting


async def test_reconnecting():
    async def handler(websocket):
        await websocket.send(websocket.path)

    class Impatient(Connect):
        BACKOFF_INITIAL = BACKOFF_MIN = BACKOFF_MAX = 0.001

    refusals = [InvalidStatusCode, InvalidStatusCode]

    async def process_request(path, request_headers):
        return (404, [], b"") if refusals and refusals.pop() else None

    received = []
    async with serve(handler, "127.0.0.1", 0, process_request=process_request) as server:
        async for client in Impatient(f"ws://127.0.0.1:{port_of(server)}/x"):
            try:
                while True:
                    received.append(await client.recv())
            except ConnectionClosed:
                if len(received) == 2:
                    break
    assert received == ["/x", "/x"]
    assert not refusals


async def test_delays_grow_while_the_server_closes_at_once(caplog):
    async def handler(websocket):
        await websocket.close(1013, "later")

    class Impatient(Connect):
        BACKOFF_INITIAL = 0
        BACKOFF_MIN = 0.1
        BACKOFF_MAX = 0.3
        BACKOFF_FACTOR = 2

    caplog.set_level(logging.INFO, "tidegate.client")
    opened = 0
    async with serve(handler, "127.0.0.1", 0) as server:
        async for client in Impatient(f"ws://127.0.0.1:{port_of(server)}/"):
            opened += 1
            if opened == 4:
                break
            await client.wait_closed()
    messages = [record.getMessage() for record in caplog.records]
    told = [message for message in messages if "ended at once" in message]
    assert [message.partition(" in ")[2][:3] for message in told] == ["0.0", "0.1", "0.2"]
    assert all("1013" in message for message in told)


async def test_a_certificate_that_cannot_be_verified_ends_reconnecting(certificates):
    server_context, _ = certificates
    async with serve(echo, "127.0.0.1", 0, ssl=server_context) as server:
        with pytest.raises(OSError, match=r"(?i)certificate.verify.failed"):
            async for _ in connect(f"wss://localhost:{port_of(server)}"):
                pass


# Proxies


async def test_a_proxy():
    async with serve(echo, "127.0.0.1", 0) as server, HTTPProxyServer() as proxy:
        uri = f"ws://127.0.0.1:{port_of(server)}"
        async with connect(uri, proxy=proxy.url) as client:
            await client.send("x")
            assert await client.recv() == "x"
            assert f":{client.remote_address[1]}" in proxy.url
        # Loopback doesn't go through a proxy that was found.
        async with connect(uri) as client:
            assert client.remote_address[1] == port_of(server)


async def test_host_says_where_and_not_to_whom(certificates):
    server_context, client_context = certificates
    async with serve(echo, "127.0.0.1", 0, ssl=server_context) as server:
        where = {"host": "127.0.0.1", "port": port_of(server), "ssl": client_context}
        async with connect("wss://localhost/", **where) as websocket:
            assert websocket.request_headers["Host"] == "localhost"
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)hostname mismatch"):
            await connect("wss://example.com/", **where)


@pytest.mark.parametrize("newer", [False, True])
async def test_ssl_that_contradicts_the_uri(newer):
    function = connect_newer if newer else connect
    # At the call, before anything is awaited.
    with pytest.raises(ValueError, match="ssl argument is incompatible with a ws:// URI"):
        function("ws://localhost/", ssl=True)
    with pytest.raises(ValueError, match="ssl=None is incompatible with a wss:// URI"):
        function("wss://localhost/", ssl=None)
    function("ws://localhost/", ssl=None)
