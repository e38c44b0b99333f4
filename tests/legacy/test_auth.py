"""Basic authentication of the older API."""

from __future__ import annotations

import hmac

import pytest

from tidegate.headers import build_authorization_basic
from tidegate.legacy.auth import BasicAuthWebSocketServerProtocol, basic_auth_protocol_factory
from tidegate.legacy.client import connect
from tidegate.legacy.exceptions import InvalidStatusCode
from tidegate.legacy.server import serve

from .peers import echo, port_of


async def check(username, password):
    return hmac.compare_digest(username + password, "mesecret")


class Protocol(BasicAuthWebSocketServerProtocol):
    realm = "sluices"

    async def check_credentials(self, username, password):
        return await check(username, password)


class WithHook(BasicAuthWebSocketServerProtocol):
    async def process_request(self, path, request_headers):
        if path == "/healthz":
            return 200, [], b"OK"
        return await super().process_request(path, request_headers)


@pytest.mark.parametrize(
    "create_protocol",
    [
        basic_auth_protocol_factory("sluices", ("me", "secret")),
        basic_auth_protocol_factory("sluices", [("you", "other"), ("me", "secret")]),
        basic_auth_protocol_factory("sluices", check_credentials=check),
        basic_auth_protocol_factory("sluices", check_credentials=lambda u, p: u + p == "mesecret"),
        basic_auth_protocol_factory("sluices", ("me", "secret"), create_protocol=WithHook),
        Protocol,
    ],
)
async def test_basic_authentication(create_protocol):
    async with serve(echo, "127.0.0.1", 0, create_protocol=create_protocol) as server:
        host = f"127.0.0.1:{port_of(server)}"
        async with connect(f"ws://me:secret@{host}") as client:
            (websocket,) = server.websockets
            assert websocket.username == "me"
            await client.send("x")
            assert await client.recv() == "x"
        for headers in (
            {},
            {"Authorization": build_authorization_basic("me", "wrong")},
            {"Authorization": build_authorization_basic("you", "secret")},
            {"Authorization": "Bearer token"},
            {"Authorization": "Basic !"},
        ):
            with pytest.raises(InvalidStatusCode) as caught:
                await connect(f"ws://{host}", extra_headers=headers)
            assert caught.value.status_code == 401
            challenge = caught.value.headers["WWW-Authenticate"]
            assert challenge == 'Basic realm="sluices", charset="UTF-8"'


async def test_what_a_subclass_lets_pass():
    factory = basic_auth_protocol_factory("x", ("me", "secret"), create_protocol=WithHook)
    async with serve(echo, "127.0.0.1", 0, create_protocol=factory) as server:
        with pytest.raises(InvalidStatusCode) as caught:
            await connect(f"ws://127.0.0.1:{port_of(server)}/healthz")
        assert caught.value.status_code == 200


async def test_process_request_comes_after_authentication():
    async def process_request(path, request_headers):
        return 418, [], b""

    factory = basic_auth_protocol_factory("x", ("me", "secret"))
    async with serve(
        echo, "127.0.0.1", 0, create_protocol=factory, process_request=process_request
    ) as server:
        for user, status in ("me", 418), ("you", 401):
            with pytest.raises(InvalidStatusCode) as caught:
                await connect(f"ws://{user}:secret@127.0.0.1:{port_of(server)}/")
            assert caught.value.status_code == status


async def test_nobody_is_let_in_without_a_check():
    async with serve(
        echo, "127.0.0.1", 0, create_protocol=BasicAuthWebSocketServerProtocol
    ) as server:
        with pytest.raises(InvalidStatusCode):
            await connect(f"ws://me:secret@127.0.0.1:{port_of(server)}/")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"credentials": ("a", "b"), "check_credentials": check},
        {"credentials": 42},
        {"credentials": ("secret", 42)},
        {"credentials": [("a", "b"), "secret"]},
        {"check_credentials": lambda username: True},
        {"check_credentials": 42},
    ],
)
def test_arguments_that_cannot_work(arguments):
    with pytest.raises(TypeError):
        basic_auth_protocol_factory("realm", **arguments)
