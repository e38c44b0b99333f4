"""Redirects: credentials stay with the origin that they are meant for."""

from __future__ import annotations

import asyncio
import contextlib
import http

import pytest

from tidegate.asyncio.client import MAX_REDIRECTS, connect
from tidegate.asyncio.server import serve
from tidegate.exceptions import InvalidStatus, InvalidURI, SecurityError

from .connections import address, until

SECRETS = ("Authorization", "Cookie", "Proxy-Authorization")


async def keep(connection):
    await connection.wait_closed()


class Origin:
    """A server that redirects as a test says, and takes down what it was asked."""

    def __init__(self):
        self.where = {}
        self.asked = []
        self.uri = ""

    def process_request(self, connection, request):
        self.asked.append(request)
        location = self.where.get(request.path)
        if location is None:
            return None
        response = connection.respond(http.HTTPStatus.TEMPORARY_REDIRECT, "Elsewhere\n")
        response.headers["Location"] = location
        return response

    @property
    def secrets(self):
        """Which secrets came, per request."""
        return [{name for name in SECRETS if name in request.headers} for request in self.asked]


@contextlib.asynccontextmanager
async def origins(count=2, **kwargs):
    async with contextlib.AsyncExitStack() as stack:
        made = [Origin() for _ in range(count)]
        for origin in made:
            server = await stack.enter_async_context(
                serve(keep, "127.0.0.1", 0, process_request=origin.process_request, **kwargs)
            )
            origin.uri = address(server, secure="ssl" in kwargs)
        yield made


def with_user(uri):
    return uri.replace("://", "://keeper:secret@")


HEADERS = [
    {"Authorization": "Bearer secret", "Cookie": "secret", "X-Kept": "yes"},
    [("AUTHORIZATION", "Bearer secret"), ("cookie", "a=secret"), ("X-Kept", "yes")],
    [("Proxy-authorization", "secret"), ("Cookie", "a"), ("Cookie", "b"), ("X-Kept", "yes")],
]


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("location", ["/end", "end", "{}end"])
async def test_the_same_origin_gets_them(headers, location):
    async with origins(1) as (one,):
        one.where["/"] = location.format(one.uri)
        async with connect(one.uri, additional_headers=headers):
            pass
        assert one.secrets[0]
        assert one.secrets[1] == one.secrets[0]
        one.asked.clear()
        async with connect(with_user(one.uri)):
            pass
        assert one.secrets == [{"Authorization"}] * 2


@pytest.mark.parametrize("headers", HEADERS)
async def test_another_origin_does_not_get_them(headers):
    async with origins() as (one, other):
        one.where["/"] = other.uri
        async with connect(with_user(one.uri), additional_headers=headers):
            pass
        assert one.secrets[0]
        assert other.secrets == [set()]
        assert "secret" not in str(dict(other.asked[0].headers.raw_items()))
        assert other.asked[0].headers["X-Kept"] == "yes"


async def test_another_host_at_the_same_address_is_another_origin():
    async with origins(1) as (one,):
        one.where["/"] = one.uri.replace("127.0.0.1", "localhost") + "end"
        async with connect(with_user(one.uri), additional_headers={"Cookie": "secret"}):
            pass
        assert one.secrets == [{"Authorization", "Cookie"}, set()]


async def test_once_given_up_they_do_not_come_back():
    """Else another origin could choose where they go at the first."""
    async with origins() as (one, other):
        one.where["/"] = other.uri + "back"
        other.where["/back"] = one.uri + "end"
        async with connect(with_user(one.uri), additional_headers={"Cookie": "secret"}):
            pass
        assert one.secrets == [{"Authorization", "Cookie"}, set()]
        assert other.secrets == [set()]


async def test_user_information_of_the_redirect_itself_is_used():
    async with origins() as (one, other):
        one.where["/"] = with_user(other.uri)
        async with connect(one.uri, additional_headers={"Authorization": "Bearer own"}):
            pass
        assert other.asked[0].headers["Authorization"].startswith("Basic ")


async def test_the_next_connection_begins_where_the_first_did():
    async with origins() as (one, other):
        one.where["/"] = other.uri
        connecting = connect(with_user(one.uri), additional_headers={"Cookie": "secret"})
        count = 0
        async for connection in connecting:
            count += 1
            await connection.close()
            if count == 2:
                break
        assert one.secrets == [{"Authorization", "Cookie"}] * 2
        assert other.secrets == [set()] * 2


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_tls_is_not_given_up(scheme, certificates):
    async with (
        origins(1, ssl=certificates[0]) as (one,),
        origins(1) as (other,),
    ):
        one.where["/"] = other.uri.replace("ws:", f"{scheme}:")
        with pytest.raises(SecurityError, match="non-secure"):
            await connect(one.uri, ssl=certificates[1])
        assert other.asked == []


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_the_way_to_tls_is_another_origin(scheme, certificates, monkeypatch):
    # Where TLS begins, the context is the default one, which has to trust the server.
    monkeypatch.setattr("ssl.create_default_context", lambda *args, **kwargs: certificates[1])
    async with (
        origins(1) as (one,),
        origins(1, ssl=certificates[0]) as (other,),
    ):
        one.where["/"] = other.uri.replace("ws", scheme)
        async with connect(one.uri, additional_headers={"Cookie": "secret"}):
            pass
        assert other.secrets == [set()]


async def test_redirects_come_to_an_end():
    async with origins(1) as (one,):
        one.where["/"] = "/"
        with pytest.raises(SecurityError, match=f"more than {MAX_REDIRECTS} redirects"):
            await connect(one.uri)
        assert len(one.asked) == MAX_REDIRECTS


async def test_redirects_to_nowhere():
    async with origins(1) as (one,):
        for location in ("ftp://127.0.0.1/", "mailto:keeper@example.com", "ws://["):
            one.where["/"] = location
            with pytest.raises(InvalidURI):
                await connect(one.uri)


async def test_redirects_are_within_the_time_limit():
    asked = []

    async def process_request(connection, request):
        asked.append(request)
        await asyncio.sleep(0.01)
        response = connection.respond(302, "")
        response.headers["Location"] = f"/{len(asked)}"
        return response

    async with serve(keep, "127.0.0.1", 0, process_request=process_request) as server:
        # When time is up just after an answer came, that is what is told.
        with pytest.raises((TimeoutError, InvalidStatus)):
            await connect(address(server), open_timeout=0.03)
        await until(lambda: not server.all_connections)
    assert len(asked) < MAX_REDIRECTS


async def test_what_is_no_redirect():
    def process_request(connection, request):
        response = connection.respond(http.HTTPStatus.NOT_MODIFIED, "")
        response.headers["Location"] = "/end"
        return response

    async with serve(keep, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(InvalidStatus, match="304"):
            await connect(address(server))
