"""The module paths of all generations, with one warning per name that says what to use instead."""

from __future__ import annotations

import importlib
import json
import pickle
import re
import subprocess
import sys

import pytest

from tidegate.exceptions import ConnectionClosed, ConnectionClosedError
from tidegate.frames import Close
from tidegate.uri import WebSocketURI, parse_uri

EXCEPTIONS = (
    "ConnectionClosed ConnectionClosedError ConnectionClosedOK DuplicateParameter "
    "InvalidHandshake InvalidHeader InvalidHeaderFormat InvalidHeaderValue InvalidMessage "
    "InvalidOrigin InvalidParameterName InvalidParameterValue InvalidState InvalidURI "
    "InvalidUpgrade NegotiationError PayloadTooBig ProtocolError SecurityError WebSocketException"
)
OLDER_EXCEPTIONS = "AbortHandshake InvalidStatusCode RedirectHandshake WebSocketProtocolError"
AUTH = "BasicAuthWebSocketServerProtocol basic_auth_protocol_factory"
CLIENT = "WebSocketClientProtocol connect unix_connect"
SERVER = "WebSocketServer WebSocketServerProtocol serve unix_serve"
HANDSHAKE = "build_request build_response check_request check_response"
FRAMING = "Frame parse_close prepare_data serialize_close"

# Module -> names that are there to stay, names whose first use warns.
NAMES = {
    "tidegate": (
        f"{EXCEPTIONS} Data ExtensionParameter Origin Subprotocol connect serve unix_connect "
        "unix_serve",
        f"{OLDER_EXCEPTIONS} {AUTH} WebSocketClientProtocol WebSocketCommonProtocol "
        "WebSocketServer WebSocketServerProtocol ExtensionHeader WebSocketURI parse_uri "
        f"{HANDSHAKE} encode_data parse_close prepare_data serialize_close "
        "ClientPerMessageDeflateFactory ServerPerMessageDeflateFactory",
    ),
    "tidegate.auth": ("", AUTH),
    "tidegate.client": ("ClientProtocol", f"{CLIENT} Connect ClientConnection"),
    "tidegate.connection": ("", "Connection Event SEND_EOF Side State"),
    "tidegate.exceptions": (EXCEPTIONS, OLDER_EXCEPTIONS),
    "tidegate.extensions.base": ("ClientExtensionFactory Extension ServerExtensionFactory", ""),
    "tidegate.extensions.permessage_deflate": (
        "ClientPerMessageDeflateFactory PerMessageDeflate ServerPerMessageDeflateFactory",
        "",
    ),
    "tidegate.framing": (
        "",
        f"{FRAMING} encode_data prepare_ctrl CTRL_OPCODES DATA_OPCODES OP_BINARY OP_CLOSE OP_CONT "
        "OP_PING OP_PONG OP_TEXT",
    ),
    "tidegate.handshake": ("", HANDSHAKE),
    "tidegate.headers": (
        "build_authorization_basic build_extension build_subprotocol build_www_authenticate_basic "
        "parse_authorization_basic parse_connection parse_extension parse_subprotocol "
        "parse_upgrade",
        "",
    ),
    "tidegate.http": ("", "Headers MultipleValuesError USER_AGENT read_request read_response"),
    "tidegate.protocol": ("Protocol State Side SEND_EOF", "WebSocketCommonProtocol broadcast"),
    "tidegate.server": ("ServerProtocol", f"{SERVER} Serve ServerConnection broadcast"),
    "tidegate.typing": ("Data ExtensionHeader ExtensionParameter Origin Subprotocol", ""),
    "tidegate.uri": ("WebSocketURI parse_uri", ""),
    "tidegate.utils": ("apply_mask", ""),
    "tidegate.legacy": (
        f"{AUTH} {CLIENT} {OLDER_EXCEPTIONS} {FRAMING} encode_data {HANDSHAKE} read_request "
        f"read_response WebSocketCommonProtocol {SERVER} broadcast",
        "",
    ),
    "tidegate.legacy.auth": (AUTH, ""),
    "tidegate.legacy.client": (f"{CLIENT} Connect", ""),
    "tidegate.legacy.exceptions": (f"{OLDER_EXCEPTIONS} InvalidMessage", ""),
    "tidegate.legacy.framing": (f"{FRAMING} prepare_ctrl", ""),
    "tidegate.legacy.handshake": (HANDSHAKE, ""),
    "tidegate.legacy.http": ("read_request read_response", ""),
    "tidegate.legacy.protocol": ("WebSocketCommonProtocol broadcast", ""),
    "tidegate.legacy.server": (f"{SERVER} Serve broadcast HTTPResponse", ""),
}

# Uses every name twice and tells of the warnings of each time.
USE_NAMES = """
import importlib, json, sys, warnings
warnings.simplefilter("always")
told = {}
for module_name, names in json.loads(sys.argv[1]).items():
    module = importlib.import_module(module_name)
    for name in names.split():
        for turn in 1, 2:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                value = getattr(module, name)
            key = f"{module_name}.{name}"
            told.setdefault(key, []).append([str(w.message) for w in caught])
            assert not caught or caught[0].filename == "<string>", caught[0].filename
print(json.dumps(told))
"""


def resolve(path: str) -> object:
    """Give what a dotted path stands for."""
    parts = path.split(".")
    value = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        try:
            value = getattr(value, part)
        except AttributeError:
            value = importlib.import_module(".".join(parts[:i]))
    return value


def run(code: str, *args: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, *args], check=True, capture_output=True, text=True
    ).stdout


def test_names_of_all_generations() -> None:
    # The package of the older API, which warns as a whole, comes last.
    wanted = {module: " ".join(names) for module, names in NAMES.items()}
    told = json.loads(run(USE_NAMES, json.dumps(wanted)))
    for module, (current, deprecated) in NAMES.items():
        for name in current.split():
            assert told[f"{module}.{name}"] == [[], []], f"{module}.{name}"
        for name in deprecated.split():
            first, second = told[f"{module}.{name}"]
            assert len(first) == 1, f"{module}.{name}: {first}"
            old, _, advice = first[0].partition(" is deprecated: ")
            assert old == f"{module}.{name}"
            # What it advises exists.
            assert [resolve(path) for path in re.findall(r"tidegate[.\w]+", advice)] or (
                "str.encode()" in advice or "return a Response" in advice
            )
            assert second == []


def test_the_package_of_the_older_api_warns() -> None:
    code = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import tidegate.legacy.server
    import tidegate.legacy.client
print([(str(w.message), w.filename) for w in caught])
"""
    (warning,) = eval(run(code))
    assert warning[0].startswith("tidegate.legacy is the older API: use tidegate.asyncio")
    assert warning[1] == "<string>"


def test_the_same_objects_on_all_paths() -> None:
    code = """
import warnings
warnings.simplefilter("ignore")
import tidegate
from tidegate import client, server, protocol, connection, framing, exceptions, legacy
import tidegate.legacy.client, tidegate.legacy.server, tidegate.legacy.framing
assert client.connect is legacy.client.connect
assert tidegate.connect is not client.connect
assert server.serve is legacy.server.serve
assert server.WebSocketServerProtocol is tidegate.WebSocketServerProtocol
assert issubclass(server.WebSocketServerProtocol, protocol.WebSocketCommonProtocol)
assert connection.Connection is protocol.Protocol
assert server.ServerConnection is server.ServerProtocol
assert framing.Frame is legacy.framing.Frame
assert framing.OP_PING == 9
assert exceptions.WebSocketProtocolError is exceptions.ProtocolError
"""
    run(code)


def test_warnings_can_be_errors() -> None:
    code = """
import warnings
warnings.simplefilter("error")
try:
    from tidegate.server import serve
except DeprecationWarning as exc:
    print(exc)
"""
    assert run(code) == "tidegate.server.serve is deprecated: use tidegate.serve\n"


# Classes that were made of other things once


def test_connection_closed_of_code_and_reason() -> None:
    with pytest.warns(DeprecationWarning, match="use ConnectionClosed"):
        exc = ConnectionClosedError(4000, "enough")
    assert (exc.rcvd, exc.sent) == (Close(4000, "enough"), None)
    with pytest.warns(DeprecationWarning):
        assert (exc.code, exc.reason) == (4000, "enough")
    with pytest.warns(DeprecationWarning):
        exc = ConnectionClosed(code=1006, reason="")
    assert exc.rcvd is None
    assert str(exc) == "no close frame received or sent"
    # No warning any more.
    assert pickle.loads(pickle.dumps(exc)).rcvd is None


def test_uris_of_resource_name_and_user_info() -> None:
    parsed = parse_uri("wss://user:pass@example.com/path?query")
    assert parsed.resource_name == "/path?query"
    assert parsed.user_info == ("user", "pass")
    for older in (
        WebSocketURI(True, "example.com", 443, "/path?query", ("user", "pass")),
        WebSocketURI(
            secure=True,
            host="example.com",
            port=443,
            resource_name="/path?query",
            user_info=("user", "pass"),
        ),
    ):
        assert older == parsed
    assert WebSocketURI(False, "x", 80, "/", None) == WebSocketURI(False, "x", 80, "/", "")
    assert WebSocketURI(False, "x", 80, "/", "a=?").resource_name == "/?a=?"
