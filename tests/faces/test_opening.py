"""The opening handshake, on every face."""

from __future__ import annotations

import http
import socket

import pytest

from tidegate.client import process_exception
from tidegate.exceptions import (
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    NegotiationError,
    SecurityError,
)
from tidegate.server import ServerProtocol

from . import raw
from .drivers import echo, pair, uri_of


async def test_request_and_response(face):
    async with pair(
        face,
        additional_headers={"X-Mine": "1"},
        user_agent_header="me",
        origin="https://example.com",
        server={"server_header": "them", "origins": ["https://example.com"]},
    ) as (client, server):
        for connection in (client, server):
            assert connection.request.headers["X-Mine"] == "1"
            assert connection.request.headers["User-Agent"] == "me"
            assert connection.request.headers["Origin"] == "https://example.com"
            assert connection.response.status_code == 101
            assert connection.response.headers["Server"] == "them"
        assert client.local_address == server.remote_address
        assert client.remote_address == server.local_address


async def test_subprotocols(face):
    async with pair(face, subprotocols=["a", "b"], server={"subprotocols": ["b", "a"]}) as (
        client,
        server,
    ):
        assert client.subprotocol == server.subprotocol == "b"


async def test_a_function_selects_the_subprotocol(face):
    seen = []

    def select(connection, subprotocols):
        seen.append((connection, subprotocols))
        return subprotocols[-1]

    async with pair(
        face,
        subprotocols=["a", "b"],
        server={"subprotocols": ["a", "b"], "select_subprotocol": select},
    ) as (client, server):
        assert client.subprotocol == server.subprotocol == "b"
        assert seen == [(server, ["a", "b"])]


async def test_no_subprotocol_is_a_refusal(face):
    def select(connection, subprotocols):
        raise NegotiationError("none of these")

    async with face.serve(echo, subprotocols=["a"], select_subprotocol=select) as (address, _):
        with pytest.raises(InvalidStatus, match="400"):
            async with face.connect(uri_of(address), subprotocols=["b"]):
                pass


async def test_a_wrong_origin(face):
    async with face.serve(echo, origins=["https://example.com"]) as (address, _):
        with pytest.raises(InvalidStatus, match="403"):
            async with face.connect(uri_of(address), origin="https://example.org"):
                pass


async def test_process_request(face):
    def process_request(connection, request):
        if request.path != "/right":
            return connection.respond(http.HTTPStatus.NOT_FOUND, "not here\n")

    async with face.serve(echo, process_request=process_request) as (address, _):
        with pytest.raises(InvalidStatus) as raised:
            async with face.connect(uri_of(address, "/wrong")):
                pass
        assert raised.value.response.status_code == 404
        assert raised.value.response.body == b"not here\n"
        async with face.connect(uri_of(address, "/right")) as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"


async def test_process_response(face):
    def process_response(connection, request, response):
        response.headers["X-Theirs"] = "1"

    async with (
        face.serve(echo, process_response=process_response) as (address, _),
        face.connect(uri_of(address)) as connection,
    ):
        assert connection.response.headers["X-Theirs"] == "1"


@pytest.mark.parametrize("function", ["process_request", "process_response"])
@pytest.mark.parametrize("mistake", ["raises", "returns"])
async def test_mistakes_of_the_program(face, function, mistake, caplog):
    def wrong(*args):
        if mistake == "raises":
            raise ZeroDivisionError
        return "text"

    async with face.serve(echo, **{function: wrong}) as (address, _):
        with pytest.raises(InvalidStatus, match="500"):
            async with face.connect(uri_of(address)):
                pass
    assert f"{function} failed" in caplog.text


async def test_nobody_listens(face):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = sock.getsockname()
    with pytest.raises(OSError):
        async with face.connect(uri_of(address)):
            pass


async def test_a_server_that_says_nothing(face):
    async with raw.server(face, lambda sock: None, opened=False) as address:
        with pytest.raises(TimeoutError, match="timed out during opening handshake"):
            async with face.connect(uri_of(address), open_timeout=0.1):
                pass


async def test_a_client_that_says_nothing(face):
    async with face.serve(echo, open_timeout=0.1) as (address, server):

        def exchange():
            return raw.exchange(address, b"GET ", opened=False)

        await face.blocking(exchange)
        while server.all_connections:
            await face.sleep(0.001)


@pytest.mark.parametrize(
    "response",
    [b"", b"HTTP/1.1 101 Switching", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n\r\n"],
    ids=["nothing", "half", "ssh", "200"],
)
async def test_servers_that_are_none(face, response):
    def script(sock):
        raw.read_head(sock)
        sock.sendall(response)
        sock.close()

    async with raw.server(face, script, opened=False) as address:
        with pytest.raises(InvalidHandshake) as raised:
            async with face.connect(uri_of(address)):
                pass
    assert isinstance(raised.value, InvalidStatus if b"200" in response else InvalidMessage)


@pytest.mark.parametrize("request_", [b"\x16\x03\x01\x02", b"HELO", b"GET / HTTP/1.1"])
async def test_clients_that_are_none(face, request_):
    async with face.serve(echo) as (address, _):

        def exchange():
            return raw.exchange(address, request_ + b"\r\n\r\n", opened=False)

        assert (await face.blocking(exchange)).startswith(b"HTTP/1.1 4")


async def redirecting(face, location, status=302):
    def process_request(connection, request):
        if request.path != "/there":
            response = connection.respond(status, "over there")
            response.headers["Location"] = location
            return response

    return face.serve(echo, process_request=process_request)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects(face, status):
    async with (
        await redirecting(face, "/there", status) as (address, _),
        face.connect(uri_of(address, "/here")) as connection,
    ):
        assert connection.request.path == "/there"


async def test_redirects_without_end(face):
    async with await redirecting(face, "/here") as (address, _):
        with pytest.raises(SecurityError, match="redirects"):
            async with face.connect(uri_of(address)):
                pass


async def test_a_redirect_elsewhere_takes_no_credentials_along(face):
    async with (
        face.serve(echo) as (address, _),
        await redirecting(face, uri_of(address, "/there")) as (first, _),
    ):
        headers = {"Authorization": "secret", "X-Mine": "1"}
        async with face.connect(uri_of(first), additional_headers=headers) as connection:
            assert connection.request.path == "/there"
            assert "Authorization" not in connection.request.headers
            assert connection.request.headers["X-Mine"] == "1"


async def test_limits(face):
    from tidegate.core.limits import Limits

    limits = Limits(connections=2)
    async with face.serve(echo, limits=limits) as (address, _):
        for _ in range(2):
            async with face.connect(uri_of(address)), face.connect(uri_of(address)):
                with pytest.raises(InvalidStatus, match="503"):
                    async with face.connect(uri_of(address)):
                        pass
            while limits._total:
                await face.sleep(0.001)


async def test_limits_behind_a_proxy(face):
    from tidegate.core.limits import Limits
    from tidegate.proxyprotocol import ForwardedPolicy

    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    limits = Limits(connections_per_address=1)

    def through(client):
        return face.connect(uri_of(address), additional_headers={"X-Forwarded-For": client})

    async with face.serve(echo, limits=limits, forwarded=policy) as (address, _):
        async with through("192.0.2.1"), through("192.0.2.2"), face.connect(uri_of(address)):
            with pytest.raises(InvalidStatus, match="429"):
                async with through("192.0.2.1"):
                    pass
        while limits._total:
            await face.sleep(0.001)
        assert limits._counts == {}


async def test_basic_auth(face):
    check = face.server.basic_auth(realm="here", credentials=("me", "secret"))
    async with face.serve(echo, process_request=check) as (address, _):
        with pytest.raises(InvalidStatus, match="401"):
            async with face.connect(uri_of(address)):
                pass
        uri = uri_of(address).replace("//", "//me:secret@")
        async with face.connect(uri) as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"


async def test_forwarded(face):
    from tidegate.proxyprotocol import ForwardedPolicy

    policy = ForwardedPolicy(trusted=["127.0.0.1"], header="X-Forwarded-For")
    headers = {"X-Forwarded-For": "203.0.113.7"}
    async with pair(face, additional_headers=headers, server={"forwarded": policy}) as (_, server):
        assert server.remote_address[0] == "203.0.113.7"
        assert server.peer_address[0] == "127.0.0.1"


async def test_a_response_of_several_packets(face):
    def script(sock):
        data = raw.read_head(sock)
        protocol = ServerProtocol()
        protocol.receive_data(data)
        (request,) = protocol.events_received()
        protocol.send_response(protocol.accept(request))
        protocol.send_text(b"early")
        for byte in b"".join(protocol.data_to_send()):
            sock.sendall(bytes([byte]))

    async with (
        raw.server(face, script, opened=False) as address,
        face.connect(uri_of(address), close_timeout=0.1) as connection,
    ):
        assert await connection.recv() == "early"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nonly th", b"only th"),
        (b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly th", b""),
    ],
)
async def test_a_refusal_whose_body_is_cut_off(face, answer, body):
    """It isn't taken for an error of the network, after which connecting is tried again."""

    def script(sock):
        raw.read_head(sock)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)

    async with raw.server(face, script, opened=False) as address:
        with pytest.raises(InvalidStatus) as caught:
            async with face.connect(uri_of(address)):
                pass
    assert caught.value.response.status_code == 403
    assert caught.value.response.body == body
    assert isinstance(caught.value.__cause__, EOFError)
    assert process_exception(caught.value) is caught.value


async def test_a_refusal_whose_body_does_not_end(face):
    """Its status is known when the time is up."""

    def script(sock):
        raw.read_head(sock)
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nhalf")

    async with raw.server(face, script, opened=False) as address:
        with pytest.raises(InvalidStatus, match="403") as raised:
            async with face.connect(uri_of(address), open_timeout=0.2):
                pass
    assert raised.value.response.body == b"half"
