"""Headers that a program adds to a request: each that may occur once does."""

from __future__ import annotations

import warnings

import pytest

from tidegate.asyncio.client import connect
from tidegate.asyncio.server import serve
from tidegate.datastructures import Headers

from .connections import address

with warnings.catch_warnings():
    # That it is the older API.
    warnings.simplefilter("ignore", DeprecationWarning)
    from tidegate.legacy.client import connect as connect_legacy

APIS = {"today": (connect, "additional_headers"), "older": (connect_legacy, "extra_headers")}


@pytest.fixture(params=APIS)
def api(request):
    return APIS[request.param]


async def keep(connection):
    await connection.wait_closed()


async def requested(api, *, user="", headers=None, **options):
    """Give the headers with which a server is asked."""
    function, name = api
    async with serve(keep, "127.0.0.1", 0) as server:
        uri = address(server).replace("://", f"://{user}")
        async with function(uri, **{name: headers}, **options):
            [connection] = server.connections
            return connection.request.headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "elsewhere.test"),
        ("host", "elsewhere.test"),
        ("AUTHORIZATION", "Bearer mine"),
        ("Origin", "https://mine.test"),
        ("User-Agent", "mine"),
    ],
)
async def test_those_of_the_program_replace_ours(api, name, value):
    headers = await requested(
        api,
        user="me:pw@",
        origin="https://argument.test",
        user_agent_header="argument",
        headers=[(name, value), ("X-Kept", "a"), ("X-Kept", "b")],
    )
    assert headers.get_all(name) == [value]
    assert headers.get_all("X-Kept") == ["a", "b"]
    for once in ("Host", "Authorization", "Origin", "User-Agent"):
        assert len(headers.get_all(once)) == 1


@pytest.mark.parametrize("kind", [dict, list, Headers, iter])
async def test_whatever_they_come_in(api, kind):
    headers = kind({"Host": "elsewhere.test", "Cookie": "a=b"}.items())
    headers = await requested(api, headers=headers)
    assert headers.get_all("Host") == ["elsewhere.test"]
    assert headers.get_all("Cookie") == ["a=b"]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Upgrade", "it always says websocket"),
        ("connection", "it always says Upgrade"),
        ("Sec-WebSocket-Key", "a new one for each connection"),
        ("SEC-WEBSOCKET-VERSION", "always 13"),
        ("Sec-WebSocket-Extensions", "use the arguments extensions and compression"),
        ("Sec-WebSocket-Protocol", "use the argument subprotocols"),
        ("Content-Length", "no body"),
        ("Transfer-Encoding", "no body"),
    ],
)
def test_those_of_the_opening_handshake_are_refused(api, name, advice):
    function, argument = api
    with pytest.raises(ValueError, match=f"^{name} can't be .*{advice}"):
        function("ws://localhost/", **{argument: {"X-Other": "a", name: "b"}})


async def test_a_host_is_for_the_first_origin_only():
    def redirect(connection, request):
        response = connection.respond(302, "Elsewhere\n")
        response.headers["Location"] = end
        return response

    async with serve(keep, "127.0.0.1", 0) as second:
        end = address(second)
        async with (
            serve(keep, "127.0.0.1", 0, process_request=redirect) as first,
            connect(address(first), additional_headers={"Host": "first.test"}),
        ):
            [connection] = second.connections
            assert connection.request.headers.get_all("Host") == [end.split("/")[2]]
