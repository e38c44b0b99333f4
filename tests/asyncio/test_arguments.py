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


@pytest.mark.parametrize("entry", SERVERS)
@pytest.mark.parametrize(
    "origins",
    ["http://example.com", b"http://example.com", re.compile("http://.*"), [b"x"], iter(())],
    ids=lambda origins: type(origins).__name__,
)
async def test_origins(entry, origins):
    with pytest.raises(TypeError, match=r"^origins must be"):
        entry(origins=origins)
    for right in (["http://example.com", None], ("x",), {"x"}, [re.compile("x")], [], None):
        entry(origins=right)


async def test_origins_show_what_to_write():
    with pytest.raises(TypeError, match=r"write origins=\['http://example\.com'\]$"):
        serve(origins="http://example.com")


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (connect, "additional_headers"),
        (older_connect, "extra_headers"),
        (older_serve, "extra_headers"),
    ],
)
@pytest.mark.parametrize(
    "headers", [["X: y"], "X: y", b"X: y", 5, [("X",)], [5], {5: "x"}, ["ab"]], ids=repr
)
async def test_headers(entry, name, headers):
    with pytest.raises(TypeError, match=rf"^{name} must be a mapping or pairs.*write {name}=\{{"):
        entry(**{name: headers})
    for right in ({"X": "y"}, [("X", "y")], (["X", "y"],), tidegate.Headers(X="y"), {}, []):
        entry(**{name: right})
    # What can't be sent has an exception of its own.
    with pytest.raises(InvalidHeaderValue):
        entry(**{name: {"X": "y\n"}})


@pytest.mark.parametrize("entry", SERVERS + CLIENTS)
@pytest.mark.parametrize("name", ["open_timeout", "ping_interval", "ping_timeout", "close_timeout"])
async def test_times(entry, name):
    for wrong in ("10", "1s", [10], datetime.timedelta(seconds=10)):
        with pytest.raises(TypeError, match=f"^{name} must be a number of seconds"):
            entry(**{name: wrong})
    with pytest.raises(ValueError, match=f"^{name} must be a number of seconds"):
        entry(**{name: math.nan})
    for right in (10, 0.5, None):
        entry(**{name: right})


@pytest.mark.parametrize("entry", SERVERS + CLIENTS)
async def test_extensions(entry):
    for wrong in ("permessage-deflate", 5):
        with pytest.raises(TypeError, match=r"^extensions must be a list"):
            entry(extensions=wrong)


async def test_limits():
    with pytest.raises(TypeError, match=r"^limits must be a tidegate.Limits, not 100$"):
        serve(limits=100)


@pytest.mark.parametrize(
    ("entry", "written", "meant"),
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
async def test_misspelt(entry, written, meant):
    function = entry.__name__.removeprefix("older_")
    message = rf"^{function}\(\) got an unexpected keyword argument '{written}'; .*{meant}=\?$"
    with pytest.raises(TypeError, match=message):
        entry(**{written: None})


@pytest.mark.parametrize("entry", SERVERS + CLIENTS)
async def test_unknown(entry):
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'x'$"):
        entry(x=None)


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


@pytest.mark.parametrize("entry", SERVERS + CLIENTS)
async def test_what_the_loop_takes_is_known(entry, monkeypatch):
    def newer(self, *, sluices=None): ...

    # As a Python to come may have it.
    for name in ("create_server", "create_connection"):
        monkeypatch.setattr(asyncio.AbstractEventLoop, name, newer)
    entry(sluices=True)
