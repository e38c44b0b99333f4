"""What is fuzzed by coverage: functions of bytes, as the network or a configuration may give them.

Each takes the name under which the package was imported, so that the compiled one and its sources
can be compared, and gives what can be seen of what happened. What may be refused is refused with
the exceptions that are written here; any other is a finding, and so is a failed assertion.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import unittest.mock
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..protocol.comparing import observe

SEEDS = Path(__file__).parent / "seeds"

# How large an input may be, in bytes: what is larger takes longer, and shows nothing else.
MOST = 2000


def module(package: str, name: str) -> Any:
    """A module of the package."""
    return importlib.import_module(f"{package}.{name}")


def refusal(exc: Exception) -> tuple[str, str]:
    """What can be seen of an exception."""
    return type(exc).__name__, str(exc)


def flags(data: bytes) -> tuple[int, bytes]:
    """The first byte chooses; the others are the input."""
    return (data[0] if data else 0), data[1:]


def in_pieces(data: bytes, size: int) -> list[bytes]:
    """Cut into pieces of one size."""
    return [data[i : i + size] for i in range(0, len(data), size)]


# Frames


def frames(package: str, data: bytes) -> Any:
    """Frames to a server or to a client, the same however they come."""
    how, data = flags(data)
    seen = [receive(package, how, pieces) for pieces in ([data], in_pieces(data, 1 + how % 3))]
    assert without_words(seen[0]) == without_words(seen[1]), seen
    return seen[0]


def without_words(seen: dict[str, Any]) -> dict[str, Any]:
    """Leave out the words in which an error is told: a frame may break several rules at once."""
    code, _, _ = seen["close_sent"].partition(" ")
    words = ("sent", "close_sent", "close_exc")
    return {name: value for name, value in seen.items() if name not in words} | {"code": code}


def receive(package: str, how: int, pieces: list[bytes]) -> Any:
    """Give what a protocol makes of pieces."""
    lib = module(package, "protocol")
    limits = [(None, None), (100, None), (300, 20), (2**16, None)][how >> 2 & 3]
    protocol = lib.Protocol(lib.Side.SERVER if how & 1 else lib.Side.CLIENT, max_size=limits)
    if how & 2:
        deflate = module(package, "extensions.permessage_deflate").PerMessageDeflate
        protocol.extensions = [deflate(bool(how & 16), False, 9 + (how >> 5) % 7, 15)]
    for piece in pieces:
        protocol.receive_data(piece)
    protocol.receive_eof()
    return observe(protocol)


# Compression


def deflate(package: str, data: bytes) -> Any:
    """Compressed messages: no more comes out than the limit, and no exceptions but ours."""
    how, data = flags(data)
    errors = module(package, "exceptions")
    inflater = module(package, "extensions.deflate").MessageInflater(9 + how % 7, bool(how & 8))
    limit = [None, 0, 100, 5000][how >> 4 & 3]
    seen = []
    pieces = in_pieces(data, 1 + (how >> 6) * 7) if how >> 6 else [data]
    for i, piece in enumerate(pieces):
        try:
            inflated = inflater.decompress(piece, i % 3 == 2 or i == len(pieces) - 1, limit)
        except (errors.ProtocolError, errors.PayloadTooBig) as exc:
            return [*seen, type(exc).__name__]
        assert limit is None or len(inflated) <= limit
        if len(inflated) > 2**20:
            return seen
        seen.append(inflated)
    return seen


def negotiation(package: str, data: bytes) -> Any:
    """What a peer offers, or accepts, as extensions."""
    how, data = flags(data)
    errors = module(package, "exceptions")
    headers = module(package, "headers")
    lib = module(package, "extensions.permessage_deflate")
    bits = [None, 9, 12, 15][how >> 2 & 3]
    try:
        offers = headers.parse_extension(data.decode("latin-1"))
        seen = []
        for _, parameters in offers:
            if how & 1:
                factory = lib.ServerPerMessageDeflateFactory(
                    bool(how & 2), bool(how & 16), bits, bits, None, bool(how & 32 and bits)
                )
                answer, extension = factory.process_request_params(parameters, [])
                # A client that has no wishes but those takes what it is answered. That the server
                # needs a smaller window than the client expects isn't always said.
                client = lib.ClientPerMessageDeflateFactory(client_max_window_bits=True)
                again = client.process_response_params(answer, [])
                assert again.remote_max_window_bits >= extension.local_max_window_bits
                assert again.local_max_window_bits <= extension.remote_max_window_bits
                seen.append((answer, repr(extension)))
            else:
                client = lib.ClientPerMessageDeflateFactory(
                    bool(how & 2), bool(how & 16), bits, bits or True
                )
                seen.append(repr(client.process_response_params(parameters, [])))
        return seen
    except errors.InvalidHandshake as exc:
        return refusal(exc)


# The opening handshake


def request(package: str, data: bytes) -> Any:
    """A server: what comes is accepted or refused, the same however it comes."""
    how, data = flags(data)
    seen = [ask(package, how, pieces) for pieces in ([data], in_pieces(data, 1 + how % 5))]
    assert seen[0] == seen[1]
    return seen[0]


def ask(package: str, how: int, pieces: list[bytes]) -> Any:
    """Give what a server makes of pieces."""
    deflate = module(package, "extensions.permessage_deflate")
    lib = module(package, "server")
    server = lib.ServerProtocol(
        origins=["https://example.com", None] if how & 1 else None,
        subprotocols=["chat", "superchat"] if how & 2 else None,
        extensions=[deflate.ServerPerMessageDeflateFactory()],
    )
    requests = []
    for piece in pieces:
        server.receive_data(piece)
        for event in server.events_received():
            if isinstance(event, module(package, "http11").Request):
                requests.append((event.method, event.path, list(event.headers.raw_items())))
                response = server.accept(event)
                response.headers.pop("Date", None)
                server.send_response(response)
    server.receive_eof()
    assert server.state.name == "CLOSED"
    sent = b"".join(server.data_to_send())
    assert not sent or sent[:9] == b"HTTP/1.1 "
    assert not sent.startswith(b"HTTP/1.1 5") or sent.startswith((b"HTTP/1.1 501", b"HTTP/1.1 505"))
    assert len(requests) <= 1
    error = server.handshake_exc
    assert error is None or isinstance(error, module(package, "exceptions").InvalidHandshake)
    return requests, sent[:13], error and refusal(error)


def response(package: str, data: bytes) -> Any:
    """A client: the server's answer is taken or refused, the same however it comes."""
    how, data = flags(data)
    seen = [hear(package, how, pieces) for pieces in ([data], in_pieces(data, 1 + how % 5))]
    assert seen[0] == seen[1]
    return seen[0]


def hear(package: str, how: int, pieces: list[bytes]) -> Any:
    """Give what a client makes of pieces."""
    deflate = module(package, "extensions.permessage_deflate")
    client = module(package, "client").ClientProtocol(
        module(package, "uri").parse_uri("ws://example.com/"),
        subprotocols=["chat"] if how & 1 else None,
        extensions=[deflate.ClientPerMessageDeflateFactory()] if how & 2 else None,
    )
    client.key = "dGhlIHNhbXBsZSBub25jZQ=="
    for piece in pieces:
        client.receive_data(piece)
    client.receive_eof()
    assert client.state.name == "CLOSED"
    error = client.handshake_exc
    assert error is None or isinstance(error, module(package, "exceptions").InvalidHandshake)
    return [
        (event.status_code, list(event.headers.raw_items()), event.body)
        for event in client.events_received()
        if hasattr(event, "status_code")
    ], error and refusal(error)


HEADERS = [
    "parse_connection",
    "parse_upgrade",
    "parse_extension",
    "parse_subprotocol",
    "parse_authorization_basic",
]


def headers(package: str, data: bytes) -> Any:
    """The grammar of headers; what is built of what was read is read as the same."""
    how, data = flags(data)
    lib = module(package, "headers")
    name = HEADERS[how % len(HEADERS)]
    try:
        value = getattr(lib, name)(data.decode("latin-1"))
    except module(package, "exceptions").InvalidHandshake as exc:
        return refusal(exc)
    build = getattr(lib, name.replace("parse", "build"), None)
    if name == "parse_authorization_basic":
        if ":" not in value[0]:
            assert lib.parse_authorization_basic(build(*value)) == value
    elif build is not None:
        assert getattr(lib, name)(build(value)) == value
    return value


def challenges(package: str, data: bytes) -> Any:
    """What proxies want to be told, and the answer to it by Digest."""
    lines = data.decode("latin-1").split("\n")
    found = module(package, "proxy.challenges").parse_challenges(lines)
    digest = module(package, "proxy.digest")
    chosen = digest.choose_digest(found)
    if chosen is not None:
        request = module(package, "proxy.auth").ConnectRequest("example.com:443", "proxy.example")
        steps = digest.DigestAuth("user", "password").flow(request, found)
        try:
            next(steps)
            steps.send(found)
        except (StopIteration, module(package, "exceptions").ProxyError):
            pass
    return [repr(each) for each in found], chosen


# Addresses


def uri(package: str, data: bytes) -> Any:
    """The URI of a server, from a program's user."""
    text = data.decode(errors="replace")
    try:
        parsed = module(package, "uri").parse_uri(text)
    except module(package, "exceptions").InvalidURI as exc:
        return refusal(exc)
    assert 0 <= parsed.port <= 65535
    for part in (parsed.host, parsed.resource_name):
        assert part
        # It goes into the request.
        assert not set(part) & set("\r\n \0"), part
        # The name of a network interface stays on this machine (RFC 6874, section 4).
        assert part.partition("%")[0].isascii() or part.isascii()
    return repr(parsed), parsed.resource_name, parsed.user_info


def proxy_url(package: str, data: bytes) -> Any:
    """The URL of a proxy, or of several: refused without its password, or read."""
    how, data = flags(data)
    text = data.decode(errors="replace")
    lib = module(package, "proxy.url")
    try:
        proxy = lib.parse_proxy(text, default_scheme=[None, "http", "socks5h"][how % 3])
    except module(package, "exceptions").InvalidProxy as exc:
        return refusal(exc)
    for each in proxy.hops:
        # What is shown of it is read as the same.
        again = lib.parse_proxy(each.url(password=True))
        assert again == dataclasses.replace(each, via=None), (again, each)
        assert 0 <= each.port <= 65535
        assert not set(each.host) & set("\r\n \0")
        if each.password and len(each.password) > 8:
            assert each.password not in str(each)
    return str(proxy), repr(proxy)


def no_proxy(package: str, data: bytes) -> Any:
    """Rules of who is connected to directly."""
    rules, _, host = data.decode(errors="replace").partition("\n")
    lib = module(package, "proxy.bypass")
    target = module(package, "proxy.hop").Target(host or "www.example.com", 443)
    return lib.find_rule(rules, target), list(lib.doubts(rules)), lib.shown_rules(rules)


# Ways through proxies


def connect_reply(package: str, data: bytes) -> Any:
    """What an HTTP proxy answers to CONNECT."""
    how, data = flags(data)
    url = ["http://proxy:3128", "http://user:secret@proxy:3128"][how & 1]
    return negotiate(package, "proxy.http_connect", "HTTPConnectHop", url, "example.com", how, data)


SOCKS = [
    ("SOCKS5Hop", "socks5h://proxy"),
    ("SOCKS5Hop", "socks5h://user:secret@proxy"),
    ("SOCKS4Hop", "socks4a://user@proxy"),
    ("SOCKS4Hop", "socks4://proxy"),
]


def socks_reply(package: str, data: bytes) -> Any:
    """What a SOCKS proxy answers."""
    how, data = flags(data)
    kind, url = SOCKS[how & 3]
    host = ["example.com", "192.0.2.1"][how & 3 == 3 or how >> 2 & 1]
    return negotiate(package, "proxy.socks", kind, url, host, how, data)


def negotiate(
    package: str, name: str, kind: str, url: str, host: str, how: int, data: bytes
) -> Any:
    """Give what comes of a negotiation, the same however the proxy's bytes come."""
    seen = []
    for pieces in ([data], in_pieces(data, 1 + (how >> 3) % 7)):
        target = module(package, "proxy.hop").Target(host, 443)
        proxy = module(package, "proxy.url").parse_proxy(url)
        # What a client chooses at random for Digest.
        with unittest.mock.patch("secrets.token_hex", lambda n=8: "0" * 2 * n):
            hop = getattr(module(package, name), kind)(proxy, target)
            hop.start()
            sent = [hop.data_to_send()]
            for piece in pieces:
                hop.receive_data(piece)
                sent.append(hop.data_to_send())
                assert len(hop.input) <= MOST
            hop.receive_eof()
        assert hop.state.value != "negotiating"
        assert (hop.error is not None) == (hop.state.value == "failed")
        error = None
        if hop.error is not None:
            assert "secret" not in str(hop.error)
            # Its message may quote what has come so far.
            error = type(hop.error).__name__
        rest = b"" if error else hop.leftover
        seen.append((hop.state.value, error, rest, b"".join(sent)))
    assert seen[0] == seen[1], seen
    return seen[0]


# Who is calling


def proxy_header(package: str, data: bytes) -> Any:
    """A header of the PROXY protocol, as it grows; what is read is what would be built."""
    lib = module(package, "proxyprotocol")
    errors = (lib.ProxyProtocolSyntaxError, lib.ProxyProtocolChecksumError)
    parse = module(package, "proxyprotocol.parser")
    seen: Any = None
    try:
        seen = parse.parse(data)
        if seen is None:
            assert parse.bytes_needed(data) >= 1
    except errors as exc:
        seen = refusal(exc)
    whole = seen is not None and not isinstance(seen[0], str)
    if whole:
        header, size = seen
        assert 0 < size <= len(data)
        # No less is enough, and no more changes it.
        for end in {0, 1, size // 2, size - 1}:
            assert parse.parse(data[:end]) is None
        assert repr(parse.parse(data[:size])) == repr(seen) == repr(parse.parse(data + b"more"))
        _ = repr(header), header.command
    return repr(seen)


def forwarded(package: str, data: bytes) -> Any:
    """What proxies say in headers about the client."""
    how, data = flags(data)
    name = ["Forwarded", "X-Forwarded-For"][how & 1]
    lib = module(package, "proxyprotocol.forwarded")
    headers = module(package, "datastructures").Headers()
    for i, line in enumerate(data.decode("latin-1").split("\n")[:20]):
        others = [name, name, "X-Forwarded-Proto", "X-Forwarded-Host"]
        headers.set_insecure(others[i % 4 if how & 2 else 0], line)
    trusted = ["10.0.0.0/8", "::1", "unix"]
    policy = lib.ForwardedPolicy(trusted=trusted, header=name)
    found = policy.resolve(("10.0.0.1", 80), headers)
    for text in (found.proto, found.host):
        # It may go into a log or a page.
        assert text is None or not set(text) & set("\r\n\0"), text
    # Whom nobody trusts changes nothing.
    assert policy.resolve(("192.0.2.1", 80), headers).remote_address == ("192.0.2.1", 80)
    return repr(found)


# Hubs


class Hub:
    """What the engines of a hub need of it."""

    node = "0123456789abcdef"
    backlog = 100
    _presence = False

    def __init__(self, package: str) -> None:
        self.received: list[Any] = []
        self.stats = unittest.mock.Mock(failed=0)
        self.logger = logging.getLogger(__name__)
        self.history = module(package, "pubsub").History(10)

    def _received(self, message: Any) -> None:
        # What isn't text can't be sent as text.
        self.received.append((message.topic, message.data, repr(message.position)))

    def seen(self) -> Any:
        """What has come of one message: it was given to members, or counted, or neither."""
        assert len(self.received) + self.stats.failed <= 1
        return self.received, self.stats.failed


def redis_push(package: str, data: bytes) -> Any:
    """What others publish on a hub's channels in Redis."""
    how, data = flags(data)
    name, _, envelope = data.partition(b"\n")
    hub = Hub(package)
    engine = module(package, "pubsub.redis").RedisEngine(hub, "redis://localhost", "tidegate")
    channel = b"tidegate:m:"
    engine.take([b"subscribe", channel + b"news", 1])
    engine.patterns.add("news.*")
    engine.take([b"psubscribe", engine.glob("news.*").encode(), 1])
    if how & 1:
        engine.take([b"message", channel + b"news", envelope])
    else:
        engine.take([b"pmessage", engine.glob("news.*").encode(), channel + name, envelope])
    return hub.seen()


def nats_message(package: str, data: bytes) -> Any:
    """What others publish on a hub's subjects in NATS, with headers of the server."""
    how, data = flags(data)
    headers, _, envelope = data.partition(b"\0")
    hub = Hub(package)
    engine = module(package, "pubsub.nats").NatsEngine(hub, "nats://localhost", "tidegate")
    engine.history.epoch = "a" * 16
    subject = ["tidegate.m.news", "tidegate.m.a.b", "tidegate.h.x", "$JS.EVENT"][how & 3]
    engine.take(subject, envelope, headers)
    return hub.seen(), repr(module(package, "pubsub.nats_wire").answer_of(envelope, headers))


TARGETS: list[Callable[[str, bytes], Any]] = [
    frames,
    deflate,
    negotiation,
    request,
    response,
    headers,
    challenges,
    uri,
    proxy_url,
    no_proxy,
    connect_reply,
    socks_reply,
    proxy_header,
    forwarded,
    redis_push,
    nats_message,
]


def seeds(target: Callable[[str, bytes], Any]) -> list[bytes]:
    """The inputs in the tree that a target begins with."""
    return [path.read_bytes() for path in sorted((SEEDS / target.__name__).iterdir())]
