"""What is fuzzed: functions of a seed that raise when something is wrong.

A seed gives the same input for ever, so a finding is told by the target's name and the seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import unittest.mock
from collections.abc import Callable
from importlib import metadata
from typing import Any

from tidegate import headers as header_parsers
from tidegate.client import ClientProtocol
from tidegate.exceptions import InvalidHandshake, PayloadTooBig, ProtocolError
from tidegate.extensions.deflate import MessageDeflater, MessageInflater
from tidegate.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from tidegate.protocol import CLOSED, SEND_EOF
from tidegate.server import ServerProtocol
from tidegate.uri import parse_uri

from ..asyncio.scripts import check_script as check_connection
from ..protocol.test_twins import compare_twins
from ..proxyprotocol.fuzzed import check_damaged, check_round_trip
from ..wire.exposed import compiled, compiled_kernels, python_kernels
from ..wire.scripts import cut_at_random
from ..wire.test_kernels import meaning
from ..wire.test_reader import check_script

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\nOrigin: https://example.com\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\nContent-Length: 0\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n\r\n"
)
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Encoding: gzip\r\n\r\n5;x=1\r\nhello\r\n0\r\nX: y\r\n\r\n"
)
TOKENS = [
    b"\r\n", b"\n", b"\r", b": ", b":", b",", b";", b"=", b'"', b"\\", b" ", b"\t", b"\0", b"\x0b",
    b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff", b"0", b"-1", b"9" * 30, b"chunked", b"HTTP/1.1",
    b"Host: ", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"x" * 9000,
    b"permessage-deflate", b"server_max_window_bits=8", b"__proto__", b"()", b"%00", b"\x81\x80",
]  # fmt: skip


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Change a few things."""
    changed = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        place = rng.randint(0, len(changed))
        how = rng.randrange(5)
        if how == 0:
            changed[place:place] = rng.choice(TOKENS)
        elif how == 1:
            del changed[place : place + rng.choice([1, 1, 5, 40])]
        elif how == 2 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif how == 3:
            end = place + rng.randint(1, 60)
            changed[place:place] = changed[place:end] * rng.choice([1, 1, 200])
        else:
            changed[place:place] = rng.randbytes(rng.choice([1, 3, 10]))
    return bytes(changed)


def frames(seed: int) -> None:
    """The frame parser: the same however the bytes come."""
    check_script(seed)


def twins(seed: int) -> None:
    """The compiled modules and their sources."""
    compare_twins(seed)


def websockets(seed: int) -> None:
    """The protocol, and that of websockets."""
    from ..protocol.test_differential import compare_calls, compare_received

    compare_received(seed)
    compare_calls(seed)


def request(seed: int) -> None:
    """A server, and the head of a request: it is accepted or refused, without an exception."""
    rng = random.Random(seed)
    server = ServerProtocol(
        origins=["https://example.com", None],
        extensions=[ServerPerMessageDeflateFactory()],
        select_subprotocol=lambda protocol, offered: offered[0] if offered else None,
    )
    for chunk in cut_at_random(rng, mutated(rng, REQUEST)):
        server.receive_data(chunk)
    for event in server.events_received():
        server.send_response(server.accept(event))
    server.receive_eof()
    assert server.state is CLOSED, seed
    sent = server.data_to_send()
    assert sent[-1] == SEND_EOF, seed
    assert b"".join(sent)[:9] in (b"", b"HTTP/1.1 "), seed
    assert b" 500 " not in b"".join(sent)[:20], seed
    assert isinstance(server.handshake_exc, (InvalidHandshake, type(None))), seed


def response(seed: int) -> None:
    """A client, and the head of a response."""
    rng = random.Random(seed)
    client = ClientProtocol(
        parse_uri("ws://example.com/"),
        extensions=[ClientPerMessageDeflateFactory()],
        subprotocols=["chat"],
    )
    client.key = "dGhlIHNhbXBsZSBub25jZQ=="
    for chunk in cut_at_random(rng, mutated(rng, rng.choice([RESPONSE, REFUSAL]))):
        client.receive_data(chunk)
    client.receive_eof()
    assert client.state is CLOSED, seed
    assert client.data_to_send()[-1] == SEND_EOF, seed
    assert isinstance(client.handshake_exc, (InvalidHandshake, type(None))), seed


PARSERS: list[tuple[Callable[[str], Any], str]] = [
    (header_parsers.parse_extension, 'permessage-deflate; client_max_window_bits="10", x; y; z=1'),
    (header_parsers.parse_subprotocol, "chat, superchat"),
    (header_parsers.parse_connection, "keep-alive, Upgrade"),
    (header_parsers.parse_upgrade, "websocket, h2c/1"),
    (header_parsers.parse_authorization_basic, "Basic dXNlcjpwYXNz"),
]


def headers(seed: int) -> None:
    """The parsers of header values: a value, or an exception of the handshake."""
    rng = random.Random(seed)
    parse, value = rng.choice(PARSERS)
    text = mutated(rng, value.encode()).decode("latin-1")
    try:
        parse(text)
    except InvalidHandshake:
        pass


def utf8(seed: int) -> None:
    """The UTF-8 scans in C and in Python, and the decoder."""
    rng = random.Random(seed)
    ranges = [(0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000)]
    text = "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(20))
    data = mutated(rng, text.encode())
    states = []
    for kernels in [python_kernels, compiled_kernels] if compiled else [python_kernels]:
        state = 0
        for chunk in cut_at_random(random.Random(seed), data):
            state = kernels.payload_utf8(chunk, 0, len(chunk), state)
            if state >= kernels.UTF8_INVALID:
                break
        states.append(state)
    assert len(set(states)) == 1, seed
    try:
        data.decode()
        expected = {True}
    except UnicodeDecodeError as exc:
        expected = {None, False} if exc.reason == "unexpected end of data" else {False}
    assert meaning(states[0]) in expected, seed


def deflate(seed: int) -> None:
    """Decompression: bounded, and nothing but exceptions of ours."""
    rng = random.Random(seed)
    bits, alone = rng.randint(9, 15), rng.random() < 0.3
    deflater, inflater = MessageDeflater(bits, alone, {}), MessageInflater(bits, alone)
    limit = rng.choice([None, 0, 100, 5000])
    for _ in range(3):
        message = rng.randbytes(5) * rng.choice([0, 1, 20, 2000])
        compressed = mutated(rng, deflater.compress(message))
        chunks = cut_at_random(rng, compressed)
        for i, chunk in enumerate(chunks):
            try:
                inflated = inflater.decompress(chunk, i == len(chunks) - 1, limit)
            except (ProtocolError, PayloadTooBig):
                return
            assert limit is None or len(inflated) <= limit, seed


def proxyprotocol(seed: int) -> None:
    """Headers of the PROXY protocol: read as they were built, or refused, in linear work."""
    check_round_trip(seed)
    check_damaged(seed)


def connections(seed: int) -> None:
    """A connection on asyncio, and the state machine: the same messages and the same end."""
    transports = random.Random(seed).choice(["poller", "loop"])
    with unittest.mock.patch.dict(os.environ, {"TIDEGATE_TRANSPORTS": transports}):
        asyncio.run(check_connection(seed))


TARGETS = [connections, frames, request, response, headers, utf8, deflate, proxyprotocol]
if compiled:
    TARGETS.append(twins)
try:
    if int(metadata.version("websockets").split(".")[0]) >= 17:
        TARGETS.append(websockets)
except metadata.PackageNotFoundError:
    pass
