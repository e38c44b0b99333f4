"""The names, arguments and defaults that programs written for websockets 17.4 rely on."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import unittest.mock

import pytest

import tidegate.asyncio.client
import tidegate.asyncio.connection
import tidegate.asyncio.router
import tidegate.asyncio.server
from tidegate.asyncio.client import ClientConnection, connect, unix_connect
from tidegate.asyncio.connection import Connection
from tidegate.asyncio.router import Router, route, unix_route
from tidegate.asyncio.server import (
    Server,
    ServerConnection,
    basic_auth,
    broadcast,
    serve,
    unix_serve,
)
from tidegate.client import backoff, process_exception
from tidegate.http11 import SERVER, USER_AGENT

from .connections import pair

# How a connection behaves, for the arguments that many functions have.
CONNECTION = "ping_interval=20, ping_timeout=20, close_timeout=10, max_queue=16, write_limit=32768"

SIGNATURES = [
    (
        connect,
        "uri, *, origin=None, extensions=None, subprotocols=None, compression='deflate', "
        "additional_headers=None, user_agent_header=USER_AGENT, proxy=True, "
        "process_exception=process_exception, open_timeout=10, ping_interval=20, ping_timeout=20, "
        "close_timeout=10, reconnect_delays=backoff, max_size=1048576, max_queue=16, "
        "write_limit=32768, logger=None, create_connection=None, **kwargs",
    ),
    (unix_connect, "path=None, uri=None, **kwargs"),
    (
        serve,
        "handler, host=None, port=None, *, origins=None, extensions=None, subprotocols=None, "
        "select_subprotocol=None, compression='deflate', process_request=None, "
        "process_response=None, server_header=SERVER, open_timeout=10, ping_interval=20, "
        "ping_timeout=20, close_timeout=10, max_size=1048576, max_queue=16, write_limit=32768, "
        "logger=None, create_connection=None, **kwargs",
    ),
    (unix_serve, "handler, path=None, **kwargs"),
    # It takes *args there, which are these two.
    (
        route,
        "url_map, host=None, port=None, *, server_name=None, ssl=None, create_router=None, "
        "**kwargs",
    ),
    (unix_route, "url_map, path=None, **kwargs"),
    (basic_auth, "realm='', credentials=None, check_credentials=None"),
    (broadcast, "connections, message, *, text=None, raise_exceptions=False"),
    (Router, "url_map, server_name=None, url_scheme='ws'"),
    (Router.get_server_name, "self, connection, request"),
    (Router.handler, "self, connection"),
    (Router.not_found, "self, connection"),
    (Router.redirect, "self, connection, url"),
    (Router.route_request, "self, connection, request"),
    (Connection, f"protocol, *, {CONNECTION}"),
    (ClientConnection, f"protocol, *, {CONNECTION}"),
    (ServerConnection, f"protocol, server, *, {CONNECTION}"),
    (Connection.recv, "self, decode=None"),
    (Connection.recv_streaming, "self, decode=None"),
    (Connection.send, "self, message, *, text=None"),
    (Connection.close, "self, code=1000, reason=''"),
    (Connection.wait_closed, "self"),
    (Connection.ping, "self, data=None"),
    (Connection.pong, "self, data=b''"),
    (ServerConnection.respond, "self, status, text"),
    (Server, "create_server, handler, logger=None"),
    (Server.close, "self, close_connections=True, code=1001, reason=''"),
    (Server.get_loop, "self"),
    (Server.is_serving, "self"),
    (Server.serve_forever, "self"),
    (Server.start_serving, "self"),
    (Server.wait_closed, "self"),
]

DEFAULTS = {
    "USER_AGENT": USER_AGENT,
    "SERVER": SERVER,
    "backoff": backoff,
    "process_exception": process_exception,
}


@pytest.mark.parametrize(
    ("function", "expected"), SIGNATURES, ids=[each.__qualname__ for each, _ in SIGNATURES]
)
def test_arguments(function, expected):
    code = eval(f"lambda {expected}: None", DEFAULTS)
    wanted = list(inspect.signature(code).parameters.values())
    have = list(inspect.signature(function).parameters.values())
    # What we have more can only be given by name, so it is in nobody's way.
    names = [parameter.name for parameter in wanted]
    more = [parameter for parameter in have if parameter.name not in names]
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in more)
    assert all(parameter.default is not inspect.Parameter.empty for parameter in more)
    have = [parameter for parameter in have if parameter.name in names]
    assert [(p.name, p.kind, p.default) for p in have] == [
        (p.name, p.kind, p.default) for p in wanted
    ]


MEMBERS = [
    (
        Connection,
        {
            "__aenter__",
            "__aexit__",
            "__aiter__",
            "close",
            "close_code",
            "close_reason",
            "id",
            "latency",
            "local_address",
            "ping",
            "pong",
            "recv",
            "recv_streaming",
            "remote_address",
            "request",
            "response",
            "send",
            "state",
            "subprotocol",
            "wait_closed",
        },
    ),
    (ServerConnection, {"respond"}),
    (connect, {"__aenter__", "__aexit__", "__aiter__", "__await__"}),
    (
        Server,
        {
            "__aenter__",
            "__aexit__",
            "__await__",
            "close",
            "connections",
            "get_loop",
            "is_serving",
            "serve_forever",
            "sockets",
            "start_serving",
            "wait_closed",
        },
    ),
]


@pytest.mark.parametrize(("kind", "names"), MEMBERS)
def test_members(kind, names):
    assert names <= {*dir(kind)}


@pytest.mark.parametrize(("kind", "names"), MEMBERS)
def test_members_are_documented(kind, names):
    for name in names:
        member = inspect.getattr_static(kind, name)
        if not name.startswith("__") and not isinstance(member, float | None):
            assert inspect.getdoc(getattr(kind, name)), f"{kind.__name__}.{name}"


def test_attributes_of_instances():
    wanted = {"id", "latency", "logger", "protocol", "request", "response", "transport"}
    facts = []

    async def handler(connection):
        facts.append(wanted | {"server", "username"} <= {*dir(connection), "username"})
        facts.append(connection.logger.extra == {"websocket": connection})
        await connection.wait_closed()

    async def main():
        async with serve(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}") as connection:
                facts.append(wanted <= {*dir(connection)})
                assert connection.logger.name == "tidegate.client"

    asyncio.run(main())
    assert facts == [True, True, True]


NAMES = {
    tidegate.asyncio.client: {"connect", "unix_connect", "ClientConnection"},
    tidegate.asyncio.server: {
        "broadcast",
        "serve",
        "unix_serve",
        "ServerConnection",
        "Server",
        "basic_auth",
    },
    tidegate.asyncio.router: {"route", "unix_route", "Router"},
    tidegate.asyncio.connection: {"Connection", "broadcast"},
}


@pytest.mark.parametrize("module", NAMES, ids=[module.__name__ for module in NAMES])
def test_names_of_modules(module):
    assert NAMES[module] <= {*module.__all__}
    assert all(hasattr(module, name) for name in module.__all__)
    for name in module.__all__:
        assert inspect.getdoc(getattr(module, name)), name


OLDER = [
    (connect, "uri", "extra_headers", "additional_headers"),
    (connect, "uri", "timeout", "open_timeout"),
    (connect, "uri", "create_protocol", "create_connection"),
    (connect, "uri", "klass", "create_connection"),
    (connect, "uri", "read_limit", "max_queue"),
    (connect, "uri", "loop", "running event loop"),
    (connect, "uri", "legacy_recv", "recv()"),
    (serve, "handler", "extra_headers", "process_response"),
    (serve, "handler", "timeout", "open_timeout"),
    (serve, "handler", "create_protocol", "create_connection"),
    (serve, "handler", "klass", "create_connection"),
    (serve, "handler", "read_limit", "max_queue"),
    (serve, "handler", "loop", "running event loop"),
    (serve, "handler", "legacy_recv", "recv()"),
]


@pytest.mark.parametrize(
    ("function", "older"),
    [
        (connect, "extra_headers"),
        (functools.partial(unix_connect, "/nowhere"), "timeout"),
        (serve, "klass"),
        (functools.partial(unix_serve, print), "loop"),
        (route, "extra_headers"),
        (unix_route, "create_protocol"),
    ],
)
def test_all_functions_refuse_arguments_of_the_older_api(function, older):
    werkzeug_routing = pytest.importorskip("werkzeug.routing")
    first = {
        connect: "ws://127.0.0.1/",
        serve: print,
        route: werkzeug_routing.Map(),
        unix_route: werkzeug_routing.Map(),
    }.get(function)
    with pytest.raises(TypeError, match=f"{older}=, an argument of the older API.*: "):
        function(*([] if first is None else [first]), **{older: None})


@pytest.mark.parametrize(("function", "first", "name", "advice"), OLDER)
def test_arguments_of_the_older_api_are_refused_by_name(function, first, name, advice):
    argument = "ws://127.0.0.1/" if first == "uri" else print
    with pytest.raises(TypeError, match=rf"{name}.*{advice.replace('()', '')}"):
        function(argument, **{name: None})


class Derived(ClientConnection):
    """A subclass of a program's own."""


@pytest.mark.parametrize("kind", [ClientConnection, ServerConnection, Derived])
@pytest.mark.parametrize("name", ["recv", "send"])
def test_receiving_and_sending_are_coroutine_functions_to_those_who_ask(kind, name):
    assert inspect.iscoroutinefunction(getattr(kind, name))
    if sys.version_info < (3, 14):  # From there on it is deprecated.
        assert asyncio.iscoroutinefunction(getattr(kind, name))


async def test_methods_of_a_connection_are_coroutine_functions_to_those_who_ask():
    async with pair() as (client, server):
        for method in (client.recv, client.send, server.recv, server.send):
            assert inspect.ismethod(method)
            assert inspect.iscoroutinefunction(method)
            assert inspect.iscoroutinefunction(functools.partial(method))
            assert "Raises:" in method.__doc__
        assert list(inspect.signature(client.recv).parameters) == ["decode"]
        assert list(inspect.signature(client.send).parameters) == [
            "message",
            "text",
            "compress",
            "timeout",
        ]
        # They do what they did.
        await functools.partial(client.send, text=True)(b"hello")
        assert await server.recv(decode=False) == b"hello"


async def test_a_mock_of_a_connection_can_be_awaited():
    mock = unittest.mock.create_autospec(ClientConnection, instance=True)
    mock.recv.return_value = "message"
    assert await mock.recv() == "message"
    await mock.send("message")
    await mock.close()
