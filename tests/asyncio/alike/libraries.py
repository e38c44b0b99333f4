"""The same program on tidegate and on websockets, whose outcomes are compared."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import logging
import types

import pytest

websockets = pytest.importorskip("websockets", minversion="17.4")

# Of each library, what programs import.
NAMES = {
    "asyncio.client": ["ClientConnection", "connect", "unix_connect"],
    "asyncio.server": [
        "Server",
        "ServerConnection",
        "basic_auth",
        "broadcast",
        "serve",
        "unix_serve",
    ],
    "asyncio.router": ["Router", "route", "unix_route"],
    "client": ["backoff", "process_exception"],
    "datastructures": ["Headers"],
    "frames": ["CloseCode", "Frame", "Opcode"],
    "http11": ["Request", "Response"],
    "protocol": ["State"],
}


def library(name):
    """Give the names of a library in one namespace."""
    names = {
        attribute: getattr(importlib.import_module(f"{name}.{module}"), attribute)
        for module, attributes in NAMES.items()
        for attribute in attributes
    }
    exceptions = importlib.import_module(f"{name}.exceptions")
    return types.SimpleNamespace(name=name, exceptions=exceptions, **names)


LIBRARIES = [library("websockets"), library("tidegate")]


def alike(program, libraries=LIBRARIES):
    """Make a test of a coroutine function that gives facts: they are the same in both libraries."""

    async def test():
        theirs, ours = [await program(lib) for lib in libraries]
        assert theirs, "a program that finds nothing proves nothing"
        different = [
            f"{place}: {fact!r:.500}\n   not {other!r:.500}"
            for place, (fact, other) in enumerate(itertools.zip_longest(ours, theirs))
            if fact != other
        ]
        assert not different, "\n" + "\n".join(different)

    test.__name__ = program.__name__
    test.__doc__ = program.__doc__
    return test


def neutral(text):
    """Give a text without the name and the version of the library."""
    from tidegate.version import version

    for name in (
        f"tidegate/{version}",
        f"websockets/{websockets.__version__}",
        "tidegate",
        "websockets",
    ):
        text = text.replace(name, "LIBRARY")
    return text


def described(exc):
    """Give the type and the text of an exception, and of its cause."""
    text = neutral(f"{type(exc).__name__}: {exc}")
    if exc.__cause__ is not None:
        text += f" <- {described(exc.__cause__)}"
    return text


async def outcome(awaitable):
    """Give what comes of an awaitable, which is what it returns or the exception as text."""
    try:
        return await awaitable
    except Exception as exc:
        return described(exc)


def address(server, secure=False):
    """Give the URI of a server of this machine."""
    return f"{'wss' if secure else 'ws'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@contextlib.asynccontextmanager
async def pair(lib, *, server=None, client=None):
    """Give a connection's two ends: the server's and the client's."""
    accepted = asyncio.get_running_loop().create_future()

    async def handler(connection):
        accepted.set_result(connection)
        await connection.wait_closed()

    async with (
        lib.serve(handler, "127.0.0.1", 0, **(server or {})) as listening,
        lib.connect(address(listening), **(client or {})) as connection,
    ):
        yield await accepted, connection


@contextlib.contextmanager
def log_records(name, level=logging.INFO):
    """Collect what a logger gets."""
    records = []
    handler = logging.Handler(level)
    handler.emit = records.append
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
