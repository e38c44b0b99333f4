"""Arguments that can't be are refused where they are given, with their names, on both APIs."""

from __future__ import annotations

import asyncio
import datetime
import math
import re
import warnings

import pytest

import tidegate
from tidegate.exceptions import InvalidHeaderValue

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from tidegate.legacy.client import connect as connect_older
    from tidegate.legacy.server import serve as serve_older


async def handler(websocket):
    pass


def serve(**kwargs):
    return tidegate.serve(handler, "localhost", 0, **kwargs)


def connect(**kwargs):
    return tidegate.connect("ws://localhost", **kwargs)


def older_serve(**kwargs):
    return serve_older(handler, "localhost", 0, **kwargs)


def older_connect(**kwargs):
    return connect_older("ws://localhost", **kwargs)


SERVERS = [serve, older_serve]
CLIENTS = [connect, older_connect]


@pytest.mark.parametrize("face", SERVERS)
@pytest.mark.parametrize(
    "origins",
    ["http://example.com", b"http://example.com", re.compile("http://.*"), [b"x"], iter(())],
    ids=lambda origins: type(origins).__name__,
)
async def test_origins(face, origins):
    with pytest.raises(TypeError, match=r"^origins must be"):
        face(origins=origins)
    for right in (["http://example.com", None], ("x",), {"x"}, [re.compile("x")], [], None):
        face(origins=right)


async def test_origins_show_what_to_write():
    with pytest.raises(TypeError, match=r"write origins=\['http://example\.com'\]$"):
        serve(origins="http://example.com")


@pytest.mark.parametrize(
    ("face", "name"),
    [
        (connect, "additional_headers"),
        (older_connect, "extra_headers"),
        (older_serve, "extra_headers"),
    ],
)
@pytest.mark.parametrize(
    "headers", [["X: y"], "X: y", b"X: y", 5, [("X",)], [5], {5: "x"}, ["ab"]], ids=repr
)
async def test_headers(face, name, headers):
    with pytest.raises(TypeError, match=rf"^{name} must be a mapping or pairs.*write {name}=\{{"):
        face(**{name: headers})
    for right in ({"X": "y"}, [("X", "y")], (["X", "y"],), tidegate.Headers(X="y"), {}, []):
        face(**{name: right})
    # What can't be sent has an exception of its own.
    with pytest.raises(InvalidHeaderValue):
        face(**{name: {"X": "y\n"}})


@pytest.mark.parametrize("face", SERVERS + CLIENTS)
@pytest.mark.parametrize("name", ["open_timeout", "ping_interval", "ping_timeout", "close_timeout"])
async def test_times(face, name):
    for wrong in ("10", "1s", [10], datetime.timedelta(seconds=10)):
        with pytest.raises(TypeError, match=f"^{name} must be a number of seconds"):
            face(**{name: wrong})
    with pytest.raises(ValueError, match=f"^{name} must be a number of seconds"):
        face(**{name: math.nan})
    for right in (10, 0.5, None):
        face(**{name: right})


@pytest.mark.parametrize("face", SERVERS + CLIENTS)
async def test_extensions(face):
    for wrong in ("permessage-deflate", 5):
        with pytest.raises(TypeError, match=r"^extensions must be a list"):
            face(extensions=wrong)


async def test_limits():
    with pytest.raises(TypeError, match=r"^limits must be a tidegate.Limits, not 100$"):
        serve(limits=100)


@pytest.mark.parametrize(
    ("face", "written", "meant"),
    [
        (serve, "ping_intervall", "ping_interval"),
        (serve, "reuseport", "reuse_port"),
        (serve, "procces_request", "process_request"),
        (connect, "open_timeot", "open_timeout"),
        (connect, "serverhostname", "server_hostname"),
        (connect, "proxy_authentication", "proxy_auth"),
        (connect, "additional_header", "additional_headers"),
        (older_serve, "extra_header", "extra_headers"),
        (older_serve, "ssl_handshake_timeuot", "ssl_handshake_timeout"),
        (older_connect, "create_protocl", "create_protocol"),
        (older_connect, "extra_haeders", "extra_headers"),
    ],
)
async def test_misspelt(face, written, meant):
    function = face.__name__.removeprefix("older_")
    message = rf"^{function}\(\) got an unexpected keyword argument '{written}'; .*{meant}=\?$"
    with pytest.raises(TypeError, match=message):
        face(**{written: None})


@pytest.mark.parametrize("face", SERVERS + CLIENTS)
async def test_unknown(face):
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'x'$"):
        face(x=None)


async def test_misspelt_at_a_client_and_at_routes():
    with pytest.raises(TypeError, match=r"did you mean proxy_ssl=\?"):
        tidegate.Client(proxyssl=True)
    with pytest.raises(TypeError, match=r"did you mean reuse_port=\?"):
        tidegate.unix_serve(handler, "/run/x", reuse_prt=True)
    with pytest.raises(TypeError, match=r"did you mean server_hostname=\?"):
        tidegate.unix_connect("/run/x", server_hotname="x")


async def test_misspelt_at_routes():
    routing = pytest.importorskip("werkzeug.routing")
    with pytest.raises(TypeError, match=r"did you mean server_name=\?"):
        tidegate.route(routing.Map(), "localhost", 0, server_nam="x")


@pytest.mark.parametrize("face", SERVERS + CLIENTS)
async def test_what_the_loop_takes_is_known(face, monkeypatch):
    def method(self, *, sluices=None): ...

    # As a Python to come may have it.
    for name in ("create_server", "create_connection"):
        monkeypatch.setattr(asyncio.AbstractEventLoop, name, method)
    face(sluices=True)
