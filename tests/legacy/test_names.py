"""The names that each older version of websockets had, in programs that were written for it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import tidegate

# Version -> module, "" for the package -> its public names, with spaces between. What the released
# packages have, except for websockets.sync and for what a module imports from elsewhere.
VERSIONS = json.loads(Path(__file__).with_name("names_per_version.json").read_text())

# What no program has a use for.
LEFT_OUT = {
    # How these versions found out about the Python that they ran on.
    "asyncio.async_timeout": "all of it",
    "asyncio.compatibility": "all of it",
    "legacy.compatibility": "all of it",
    # How they worked inside.
    "asyncio.connection": "DATA_OPCODES",
    "asyncio.messages": "all of it",
    "asyncio.server": "is_credentials",
    "auth": "is_credentials",
    "client": "legacy__all__",
    "datastructures": "HeadersLike__doc__",
    "extensions.permessage_deflate": "CTRL_OPCODES OP_CONT",
    "legacy.auth": "is_credentials",
    "legacy.protocol": "OK_CLOSE_CODES",
    "legacy.server": "USER_AGENT remove_path_argument",
    "server": "legacy__all__",
    "typing": "Data__doc__ ExtensionHeader__doc__ ExtensionParameter__doc__",
    # Limits that a program sets rather than reads; to set them here has no effect.
    "http": "MAX_HEADERS MAX_LINE d read_headers read_line websockets_version",
    "http11": "MAX_BODY MAX_HEADERS MAX_LINE websockets_version",
    "legacy.http": "MAX_HEADERS MAX_LINE d read_headers read_line",
}

# Names that have the same meaning in all of them, as programs write them.
SPELLED_OUT = [
    "connection.OPEN",
    "client.connect",
    "exceptions.ConnectionClosed",
    "exceptions.InvalidStatusCode",
    "extensions.permessage_deflate.PerMessageDeflate",
    "frames.OP_TEXT",
    "framing.Frame.read",
    "handshake.build_request",
    "auth.basic_auth_protocol_factory",
    "http.Headers",
    "legacy.client.connect",
    "legacy.server.WebSocketServerProtocol",
    "protocol.WebSocketCommonProtocol",
    "server.serve",
    "typing.Subprotocol",
    "uri.parse_uri",
    "version.version",
    "WebSocketCommonProtocol",
]

FIND_MISSING = """
import importlib, json, sys
from tidegate.integrations.websockets import install
install(13)
import websockets
missing = []
for path in json.load(sys.stdin):
    value = websockets
    try:
        for name in path.split("."):
            value = getattr(value, name)
    except AttributeError:
        missing.append(path)
print(json.dumps(missing))
"""


def run(code: str, text: str = "") -> str:
    """Run a program that neither warns nor fails; give its output."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def missing(paths: list[str]) -> list[str]:
    """Give those of the attributes of websockets that aren't there after its import alone."""
    found: list[str] = json.loads(run(FIND_MISSING, json.dumps(paths)))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_is_an_attribute(version: str) -> None:
    modules = VERSIONS[version]
    paths = [
        f"{module}.{name}".lstrip(".")
        for module, names in modules.items()
        for name in names.split()
        if LEFT_OUT.get(module) != "all of it" and name not in LEFT_OUT.get(module, "").split()
    ]
    assert len(paths) > 100
    assert missing(paths) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_by_star(version: str) -> None:
    code = """
import sys
from tidegate.integrations.websockets import install
install(13)
from websockets import *
print(*sorted(set(sys.stdin.read().split()) - set(globals())))
"""
    assert run(code, VERSIONS[version][""]).split() == []


def test_names_as_programs_write_them() -> None:
    for path in SPELLED_OUT:
        # Each in its own process: one import makes others work.
        assert missing([path]) == [], path


def test_the_meaning_of_connections_without_transport() -> None:
    code = """
from tidegate.integrations.websockets import install
install(13)
import websockets
assert websockets.ClientConnection is websockets.client.ClientProtocol
assert websockets.ServerConnection is websockets.server.ServerProtocol
assert websockets.frames.OP_TEXT == websockets.framing.OP_TEXT == 1
assert websockets.exceptions.format_close(1000, "bye") == "1000 (OK) bye"
assert websockets.handshake.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
websockets.framing.check_close(1000)
try:
    websockets.framing.check_close(1005)
except websockets.ProtocolError:
    print("fine")
"""
    assert run(code) == "fine\n"


# The same without tidegate run


OLD_MODULES = ["auth", "connection", "framing", "handshake", "http"]


@pytest.mark.parametrize("module", [*OLD_MODULES, "asyncio.client", "extensions.base", "proxy"])
def test_modules_are_attributes(module: str) -> None:
    code = f"import tidegate; print(tidegate.{module}.__name__)"
    assert run(code) == f"tidegate.{module}\n"
    assert module.partition(".")[0] in dir(tidegate)


def test_the_package_of_the_older_api_is_an_attribute() -> None:
    with pytest.warns(DeprecationWarning, match="use tidegate.asyncio"):
        value = vars(tidegate).pop("legacy", None)
        legacy = tidegate.legacy
    assert value in (None, legacy)
    assert legacy is importlib.import_module("tidegate.legacy")
    assert legacy.client.connect is importlib.import_module("tidegate.legacy.client").connect
