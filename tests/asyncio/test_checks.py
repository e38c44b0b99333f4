"""What is wrong with a program's functions and classes is said when it starts."""

from __future__ import annotations

import functools
import sys
import types
import unittest.mock
import warnings

import pytest

from tidegate.asyncio.client import ClientConnection, connect
from tidegate.asyncio.listener import Listener
from tidegate.asyncio.server import ServerConnection, basic_auth, serve
from tidegate.protocol import Protocol
from tidegate.proxyprotocol.streams import with_endpoints

with warnings.catch_warnings():
    # That it is the older API.
    warnings.simplefilter("ignore", DeprecationWarning)
    from tidegate.legacy.checks import Handler


async def handler(websocket): ...
async def no_arguments(): ...
async def with_path(websocket, path): ...
async def with_more(websocket, *, channel): ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            no_arguments,
            r"no_arguments has the arguments \(\): write async def handler\(websocket\)$",
        ),
        (with_path, r"\(websocket, path\): write .* and websocket.request.path for the path$"),
        (with_more, r"with_more has the arguments \(websocket, \*, channel\)"),
        (functools.partial(handler, "already"), "the handler is called with the connection"),
        (None, "the handler must be a coroutine function of the connection"),
    ],
)
def test_handlers_that_cannot_be_called(function, message):
    with pytest.raises(TypeError, match=message):
        serve(function, "localhost", 0)


class Callbacks(Listener):
    pass


@pytest.mark.parametrize(
    "function",
    [
        handler,
        Callbacks,
        functools.partial(with_more, channel=1),
        lambda *args: handler(*args),
        lambda websocket, more=None: handler(websocket),
        unittest.mock.AsyncMock(),
    ],
)
def test_handlers_that_can_be_called(function):
    serve(function, "localhost", 0)


class NotAConnection:
    pass


def overriding(base, name, function):
    return type("Mine", (base,), {name: function})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"process_request": lambda path, request_headers: None},
            r"process_request is called with \(connection, request\), but .* has the arguments "
            r"\(path, request_headers\): write def process_request\(connection, request\)",
        ),
        ({"process_request": lambda request: None}, "process_request is called with"),
        ({"process_request": 42}, "process_request must be a function of"),
        ({"process_response": lambda request, response: None}, "process_response is called with"),
        (
            {"select_subprotocol": lambda client_subprotocols, server_subprotocols: None},
            r"select_subprotocol is called with \(connection, subprotocols\)",
        ),
        ({"select_subprotocol": lambda subprotocols: None}, "select_subprotocol is called with"),
        ({"create_connection": 42}, "create_connection must be a subclass of ServerConnection"),
        ({"create_connection": NotAConnection}, "NotAConnection isn't a subclass"),
        ({"create_connection": ClientConnection}, "ClientConnection isn't a subclass"),
        ({"create_connection": Protocol}, "Protocol isn't a subclass of ServerConn"),
        (
            {"create_connection": overriding(ServerConnection, "send", lambda self: None)},
            r"Mine.send is called with \(message\), but has the arguments \(self\): write def "
            r"send\(self, message\)",
        ),
        ({"create_connection": overriding(ServerConnection, "respond", lambda self: 1)}, "respond"),
    ],
)
def test_arguments_of_serve_that_cannot_work(arguments, message):
    with pytest.raises(TypeError, match=message):
        serve(handler, "localhost", 0, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"process_request": lambda connection, request: None},
        {"process_request": basic_auth("sluices", ("keeper", "secret"))},
        {"process_request": unittest.mock.Mock()},
        {"process_response": lambda *args: None},
        {"select_subprotocol": lambda connection, subprotocols: None},
        {"create_connection": overriding(ServerConnection, "recv", lambda self, decode=None: 1)},
        {"create_connection": overriding(ServerConnection, "level", lambda: 1)},
        {"create_connection": functools.partial(ServerConnection)},
    ],
)
def test_arguments_of_serve_that_work(arguments):
    serve(handler, "localhost", 0, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_event": lambda: None}, r"on_event is called with \(event\)"),
        ({"create_connection": ServerConnection}, "ServerConnection isn't a subclass of Client"),
        (
            {"create_connection": overriding(ClientConnection, "close", lambda self: None)},
            r"write def close\(self, code, reason\)",
        ),
    ],
)
def test_arguments_of_connect_that_cannot_work(arguments, message):
    with pytest.raises(TypeError, match=message):
        connect("ws://localhost", **arguments)


# Annotations of names that are imported for type checkers only.

ANNOTATED = """
async def handler(websocket: Unknown, *more: typing.Missing) -> Unknown: ...
async def wrong(websocket: Unknown, path: Unknown): ...
def process_request(connection: Unknown, request: Unknown) -> Unknown | None: ...
def on_event(event: Unknown) -> 1 / 0: ...

class Server(ServerConnection):
    async def send(self, message: Unknown): ...

class Client(ClientConnection):
    async def close(self, code: Unknown = 1000, reason: Unknown = "") -> Unknown: ...

async def older(websocket: Unknown, path: Unknown): ...
"""


def annotated():
    """Give a program's functions, whose annotations can't be evaluated, in a namespace."""
    names = {"ServerConnection": ServerConnection, "ClientConnection": ClientConnection}
    future = "" if sys.version_info >= (3, 14) else "from __future__ import annotations\n"
    exec(compile(future + ANNOTATED, "program", "exec", dont_inherit=True), names)
    return types.SimpleNamespace(**names)


def test_annotations_of_names_unknown_at_run_time():
    program = annotated()
    serve(
        program.handler,
        "localhost",
        0,
        process_request=program.process_request,
        create_connection=program.Server,
    )
    connect("ws://localhost", on_event=program.on_event, create_connection=program.Client)
    assert Handler(program.older).with_path
    # They keep nothing from being found.
    with pytest.raises(TypeError, match=r"wrong has the arguments .*websocket: 'Unknown'"):
        serve(program.wrong, "localhost", 0)


class Late:
    """A function whose signature can't be found out, as it is with annotations before 3.14.1."""

    def __call__(self, *args):
        return args

    @property
    def __signature__(self):
        raise NameError("name 'Unknown' is not defined")


def test_signatures_that_raise():
    serve(Late(), "localhost", 0, process_request=Late(), create_connection=Late())
    connect("ws://localhost", on_event=Late(), create_connection=Late())
    assert not Handler(Late()).with_path
    assert with_endpoints(Late())(1, 2, None) == (1, 2)
