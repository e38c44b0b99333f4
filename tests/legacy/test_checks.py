"""What is wrong with a program's functions and classes is said when it starts."""

from __future__ import annotations

import functools

import pytest

from tidegate.asyncio.client import ClientConnection
from tidegate.asyncio.server import ServerConnection
from tidegate.exceptions import InvalidHeader
from tidegate.legacy.auth import BasicAuthWebSocketServerProtocol
from tidegate.legacy.client import WebSocketClientProtocol, connect
from tidegate.legacy.server import WebSocketServerProtocol, serve

from .peers import echo


async def no_arguments(): ...
async def three_arguments(websocket, path, more): ...
async def keyword_only(websocket, *, channel): ...


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (
            no_arguments,
            r"no_arguments has the arguments \(\): write async def handler",
        ),
        (three_arguments, r"write async def handler\(websocket\)"),
        (keyword_only, r"write async def handler\(websocket\)"),
        (functools.partial(echo, "already"), r"write async def handler\(websocket\)"),
        (None, "the handler must be a coroutine function"),
        ("handler", "the handler must be a coroutine function"),
    ],
)
def test_handlers_of_the_wrong_arity(handler, message):
    with pytest.raises(TypeError, match=message):
        serve(handler, "localhost", 0)


class Handlers:
    async def method(self, websocket): ...

    @staticmethod
    async def static(websocket): ...

    async def __call__(self, websocket): ...


@pytest.mark.parametrize(
    "handler",
    [
        echo,
        Handlers().method,
        Handlers.static,
        Handlers(),
        functools.partial(three_arguments, path="/", more=1),
        functools.partial(keyword_only, channel=1),
        lambda *args: echo(*args),
        lambda websocket, channel=None: echo(websocket),
    ],
)
def test_handlers_that_take_the_connection(handler):
    serve(handler, "localhost", 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"process_request": lambda request: None}, "process_request is called with"),
        ({"process_request": 42}, r"process_request must be a function of \(path, request_headers"),
        (
            {"process_request": lambda connection, request: None},
            r"write def process_request\(path, request_headers\)",
        ),
        ({"select_subprotocol": lambda subprotocols: None}, "select_subprotocol is called with"),
        (
            {"select_subprotocol": lambda connection, subprotocols: None},
            r"write def select_subprotocol\(client_subprotocols, server_subprotocols\)",
        ),
        ({"extra_headers": lambda: {}}, r"extra_headers is called with \(path, request_headers\)"),
        ({"subprotocols": "chat"}, "subprotocols must be a list"),
        ({"create_protocol": 42}, "create_protocol must be a subclass of WebSocketServerProtocol"),
        ({"create_protocol": dict}, "dict isn't a subclass of WebSocketServerProtocol"),
        (
            {"create_protocol": ServerConnection},
            "ServerConnection is a connection of the newer API: give it to tidegate.connect or",
        ),
        (
            {"create_protocol": WebSocketClientProtocol},
            "WebSocketClientProtocol isn't a subclass of WebSocketServerProtocol",
        ),
        (
            {"create_protocol": lambda: None},
            r"take \*\*kwargs and hand them on to WebSocketServerProtocol",
        ),
        ({"process_response": echo}, "process_response=, an argument of the newer API"),
        (
            {"create_connection": ServerConnection},
            "use create_protocol= with a subclass of WebSocketServerProtocol",
        ),
    ],
)
def test_arguments_of_serve_that_cannot_work(arguments, message):
    with pytest.raises(TypeError, match=message):
        serve(echo, "localhost", 0, **arguments)


def test_headers_that_cannot_be_sent():
    with pytest.raises(InvalidHeader):
        serve(echo, "localhost", 0, extra_headers={"A": "b\r\n"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"additional_headers": {}},
            "additional_headers=, .* newer API; .* use extra_headers=",
        ),
        ({"create_protocol": ClientConnection}, "ClientConnection is a connection of the newer"),
        (
            {"create_protocol": WebSocketServerProtocol},
            "isn't a subclass of WebSocketClient",
        ),
        ({"create_protocol": lambda **kwargs: None, "reconnect_limit": 2}, "tidegate.connect"),
    ],
)
def test_arguments_of_connect_that_cannot_work(arguments, message):
    with pytest.raises(TypeError, match=message):
        connect("ws://localhost", **arguments)


def overriding(base, name, function):
    return type("Mine", (base,), {name: function})


@pytest.mark.parametrize(
    ("base", "name", "function", "message"),
    [
        (
            WebSocketServerProtocol,
            "process_request",
            lambda self, path: None,
            r"Mine.process_request is called with \(path, request_headers\), but has the arguments "
            r"\(self, path\): write def process_request\(self, path, request_headers\)",
        ),
        (WebSocketServerProtocol, "select_subprotocol", lambda self, names: None, "select_sub"),
        (WebSocketServerProtocol, "select_subprotocol", staticmethod(lambda a: None), "select_sub"),
        (
            WebSocketServerProtocol,
            "process_origin",
            lambda headers, origins: None,
            "process_origin",
        ),
        (WebSocketServerProtocol, "recv", lambda self, decode: None, "Mine.recv"),
        (WebSocketServerProtocol, "handler", lambda self, path: None, "Mine.handler"),
        (BasicAuthWebSocketServerProtocol, "check_credentials", lambda self, user: 1, "check_cred"),
    ],
)
def test_methods_that_cannot_be_called(base, name, function, message):
    for factory in (
        overriding(base, name, function),
        functools.partial(overriding(base, name, function), max_size=1),
    ):
        with pytest.raises(TypeError, match=message):
            serve(echo, "localhost", 0, create_protocol=factory)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("process_request", lambda self, *args: None),
        ("process_request", lambda self, path, request_headers, more=None: None),
        ("process_origin", staticmethod(lambda headers, origins: None)),
        ("process_origin", lambda self, headers, origins: None),
        ("process_request", functools.partial(print)),
        ("unrelated", lambda: None),
    ],
)
def test_methods_that_can_be_called(name, function):
    serve(
        echo,
        "localhost",
        0,
        create_protocol=overriding(WebSocketServerProtocol, name, function),
    )


def test_methods_of_clients():
    mine = overriding(WebSocketClientProtocol, "send", lambda self: None)
    with pytest.raises(TypeError, match=r"Mine.send is called with \(message\)"):
        connect("ws://localhost", create_protocol=mine)
    connect("ws://localhost", create_protocol=overriding(WebSocketClientProtocol, "x", None))
