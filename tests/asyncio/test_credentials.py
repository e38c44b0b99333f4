"""Passwords: who gets them, and what the time that it takes to compare them tells."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import basic_auth, serve
from tidegate.core import credentials as auth_module
from tidegate.exceptions import InvalidStatus
from tidegate.testing import HTTPProxyServer, SOCKSProxyServer

from .connections import address

KNOWN = [("alice", "secret"), ("bob", "p:ä")]


async def who(connection):
    await connection.send(connection.username)


@pytest.mark.parametrize(
    ("user", "password", "right"),
    [
        ("alice", "secret", True),
        ("bob", "p:ä", True),
        ("alice", "wrong", False),
        ("nobody", "secret", False),
        ("alice", "", False),
        ("", "", False),
        ("bob", "secret", False),
    ],
)
async def test_all_is_compared_in_constant_time(user, password, right, monkeypatch):
    """A29: user name and password, of everybody, whichever of them is wrong (CVE-2021-33880)."""
    compared = []

    def compare_digest(one, other):
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    class Hmac:
        pass

    Hmac.compare_digest = staticmethod(compare_digest)
    monkeypatch.setattr(auth_module, "hmac", Hmac)
    auth = basic_auth(credentials=KNOWN)
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    async with serve(who, "127.0.0.1", 0, process_request=auth) as server:
        headers = {"Authorization": f"Basic {token}"}
        connecting = connect(address(server), additional_headers=headers)
        if right:
            async with connecting as connection:
                assert await connection.recv() == user
        else:
            with pytest.raises(InvalidStatus):
                await connecting
    given = user.encode(), password.encode()
    assert compared == [
        (known.encode(), mine)
        for credentials in KNOWN
        for known, mine in zip(credentials, given, strict=True)
    ]


@contextlib.asynccontextmanager
async def answering(location):
    """Run a server that redirects to a location; give its URI, and the requests it got."""
    requests = []

    async def answer(reader, writer):
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n".encode())
        writer.write(b"Content-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield address(server), requests


def authorizations(requests):
    return [
        base64.b64decode(line.removeprefix("Authorization: Basic ")).decode()
        for request in requests
        for line in request.split("\r\n")
        if line.startswith("Authorization")
    ]


async def test_user_information_goes_to_its_origin_only():
    """A26: not to where a redirect leads, which may have its own; and it isn't in the path."""
    seen = []

    def process_request(connection, request):
        seen.append(request)
        return connection.respond(403, "No\n")

    async with serve(
        lambda connection: None, "127.0.0.1", 0, process_request=process_request
    ) as end:
        target = address(end)
        own = target.replace("//", "//carol:other@")
        for location, expected in ((target, []), (own, ["carol:other"])):
            async with answering(location) as (uri, requests):
                with pytest.raises(InvalidStatus) as info:
                    await connect(uri.replace("//", "//alice:secret@"))
            assert authorizations(requests) == ["alice:secret"]
            (request,) = seen
            seen.clear()
            lines = [f"{name}: {value}" for name, value in request.headers.raw_items()]
            assert authorizations(["\r\n".join(lines)]) == expected
            for text in (*requests, request.path, *lines, str(info.value)):
                assert "secret" not in text
                assert "alice" not in text


async def test_user_information_is_not_in_exceptions():
    async with await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0) as server:
        uri = address(server).replace("//", "//alice:secret@")
    # Nobody listens there any more.
    for wrong in (uri, f"{uri}#fragment", f"{uri} "):
        with pytest.raises((OSError, ValueError)) as info:
            await connect(wrong)
        exc = info.value
        while exc is not None:
            assert "secret" not in str(exc)
            exc = exc.__cause__


@pytest.mark.parametrize("server_class", [HTTPProxyServer, SOCKSProxyServer])
async def test_each_gets_its_own(server_class):
    """A28: the proxy those for the proxy, the server those for the server."""
    seen = []

    def process_request(connection, request):
        seen.append(request)

    async with (
        server_class(username="proxyuser", password="proxysecret") as proxy,
        serve(who, "127.0.0.1", 0, process_request=process_request) as server,
    ):
        uri = address(server).replace("//", "//alice:secret@")
        headers = {"Cookie": "session=cookiesecret"}
        async with connect(uri, proxy=proxy.url, additional_headers=headers):
            pass
    (request,) = seen
    lines = [f"{name}: {value}" for name, value in request.headers.raw_items()]
    assert authorizations(["\r\n".join(lines)]) == ["alice:secret"]
    assert "Proxy-Authorization" not in request.headers
    assert request.headers["Cookie"] == "session=cookiesecret"
    (asked,) = proxy.requests
    assert asked.username == "proxyuser"
    assert not {"authorization", "cookie"} & set(asked.headers)
    assert "secret" not in f"{asked.host} {asked.headers}".replace("proxysecret", "")
