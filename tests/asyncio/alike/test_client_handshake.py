"""What a client asks for, and what it makes of the answer."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import socket
import types

from .libraries import address, alike, described, neutral, outcome


def accepting(request, *headers):
    """Give the answer that accepts a request."""
    key = request.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""])


@contextlib.asynccontextmanager
async def answering(answer):
    """Run a server that answers each request, which it collects, with what a function gives."""
    requests = []

    async def serve_one(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode("iso-8859-1")
            requests.append(request)
            data = answer(request)
            if data is None:
                writer.transport.abort()
                return
            writer.write(data.encode("iso-8859-1"))
            if data.startswith("HTTP/1.1 101 "):
                # The closing handshake: an empty Close frame, and the answer.
                writer.write(b"\x88\x00")
                await reader.read(6)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield types.SimpleNamespace(sockets=server.sockets, requests=requests)
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.005)


def fixed(request, key="Sec-WebSocket-Key: "):
    """Give the lines of a request, without what is random."""
    lines = request.split("\r\n")
    lines = [key if line.startswith(key) else line for line in lines]
    return [neutral(line) for line in lines]


async def opened(connecting):
    async with connecting as connection:
        return (
            connection.state.name,
            connection.subprotocol,
            connection.response.status_code,
            type(connection.request).__name__,
            [extension.name for extension in connection.protocol.extensions],
        )


@alike
async def test_requests(lib):
    facts = []
    async with answering(accepting) as server:
        host = address(server).removeprefix("ws://")
        for uri, keywords in (
            ("", {}),
            ("path?query=a%20b", {}),
            ("", {"origin": "https://example.com"}),
            ("", {"subprotocols": ["a", "b"]}),
            ("", {"compression": None}),
            ("", {"user_agent_header": None}),
            ("", {"user_agent_header": "mine"}),
            ("", {"additional_headers": {"X-A": "1", "X-B": "2"}}),
            ("", {"additional_headers": [("X-A", "1"), ("X-A", "2")]}),
            ("", {"additional_headers": lib.Headers([("X-A", "1"), ("X-A", "2")])}),
            ("", {"additional_headers": {"User-Agent": "mine"}}),
        ):
            await opened(lib.connect(f"ws://{host}{uri}", **keywords))
            await opened(lib.connect(f"ws://user:p%40ss@{host}{uri}", **keywords))
        for request in server.requests:
            facts.append([line.replace(host.rstrip("/"), "HOST") for line in fixed(request)])
    return facts


@alike
async def test_answers(lib):
    facts = []
    good = accepting("Sec-WebSocket-Key: x\r\n")
    for answer in (
        accepting,
        lambda request: accepting(request, "Sec-WebSocket-Protocol: a"),
        lambda request: accepting(request, "Sec-WebSocket-Protocol: b"),
        lambda request: accepting(request, "Sec-WebSocket-Protocol: a, a"),
        lambda request: accepting(request, *["Sec-WebSocket-Protocol: a"] * 2),
        lambda request: accepting(request, "Sec-WebSocket-Extensions: permessage-deflate"),
        lambda request: accepting(request, "Sec-WebSocket-Extensions: unknown"),
        lambda request: accepting(request, "Sec-WebSocket-Extensions: permessage-deflate; x=1"),
        lambda request: accepting(request).replace("Connection: Upgrade", "Connection: keep-alive"),
        lambda request: accepting(request).replace("Upgrade: websocket", "Upgrade: h2c"),
        lambda request: accepting(request).replace("Connection: Up", "Connection: keep-alive, Up"),
        lambda request: accepting(request).replace("Connection: Upgrade\r\n", ""),
        lambda request: good,
        lambda request: accepting(request).replace("Accept", "Other"),
        lambda request: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        lambda request: "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        lambda request: "HTTP/1.1 503 Service Unavailable\r\n\r\nuntil the end",
        lambda request: "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        lambda request: "HTTP/1.1 101",
        lambda request: "",
    ):
        async with answering(answer) as server:
            facts.append(await outcome(opened(lib.connect(address(server), subprotocols=["a"]))))
            facts.append(await outcome(opened(lib.connect(address(server), compression=None))))
    return facts


@alike
async def test_the_exception_has_the_response(lib):
    facts = []

    def answer(request):
        return "HTTP/1.1 403 Go Away\r\nX-Reason: mood\r\nContent-Length: 5\r\n\r\nhello"

    async with answering(answer) as server:
        try:
            await lib.connect(address(server))
        except lib.exceptions.InvalidStatus as exc:
            response = exc.response
            facts += [response.status_code, response.reason_phrase, bytes(response.body)]
            facts.append(response.headers["X-Reason"])
    return facts


@alike
async def test_no_connection(lib):
    facts = []
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        try:
            await lib.connect(f"ws://127.0.0.1:{port}/")
        except OSError as exc:
            facts.append((type(exc).__name__, exc.errno))
    async with answering(lambda request: None) as server:
        # Whether the reset is seen before the end is a question of the event loop.
        facts.append((await outcome(lib.connect(address(server)))).split(" <- ")[0])
    return facts


@alike
async def test_wrong_arguments(lib):
    facts = []
    for uri, keywords in (
        ("http://127.0.0.1/", {}),
        ("ws://", {}),
        ("ws://127.0.0.1/#fragment", {}),
        ("wss://127.0.0.1/", {"ssl": None}),
        ("ws://127.0.0.1/", {"ssl": True}),
        ("ws://127.0.0.1/", {"compression": "gzip"}),
        ("ws://127.0.0.1/", {"subprotocols": "chat"}),
        ("ws://127.0.0.1/", {"nonsense": True}),
    ):
        try:
            await lib.connect(uri, **keywords)
        except Exception as exc:
            described_exc = described(exc)
            # What is wrong with a URI is told in other words.
            facts.append(described_exc.split(":")[0] if "isn't" in described_exc else described_exc)
            # The name of the function that was called is another.
            facts[-1] = re.sub(r"(BaseEventLoop\.)?create_connection\(\)", "connect()", facts[-1])
    return facts


@alike
async def test_open_timeout(lib):
    facts = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"ws://127.0.0.1:{silent.getsockname()[1]}/"
        facts.append((await outcome(lib.connect(uri, open_timeout=0.01))).split(" <- ")[0])
    return facts


def redirect(to, status="302 Found"):
    """Answer with a redirect, except at its end."""

    def answer(request):
        if request.startswith("GET /end"):
            return accepting(request)
        return f"HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"

    return answer


@alike
async def test_redirects(lib):
    facts = []
    for status in ("300 a", "301 b", "302 c", "303 d", "304 e", "307 f", "308 g"):
        async with answering(redirect("/end", status)) as server:
            facts.append(await outcome(opened(lib.connect(address(server)))))
            facts += [request.split("\r\n")[0] for request in server.requests]
    for location in ("/end?a=b", "end", "//127.0.0.1:1", "ftp://127.0.0.1/"):
        async with answering(redirect(location)) as server:
            result = await outcome(opened(lib.connect(address(server))))
            facts.append(result.split(":")[0] if isinstance(result, str) else result)
    async with answering(redirect("/again")) as server:
        result = await outcome(opened(lib.connect(address(server))))
        facts += [result, len(server.requests)]
    return facts


@alike
async def test_redirect_elsewhere(lib):
    facts = []
    async with answering(accepting) as end:
        for location in (address(end), address(end).replace("127.0.0.1", "localhost")):
            async with answering(redirect(location)) as server:
                for keywords in (
                    {},
                    {"additional_headers": {"Cookie": "b", "X-Kept": "c"}},
                    {"additional_headers": [("proxy-authorization", "a"), ("cookie", "b")]},
                ):
                    uri = address(server).replace("ws://", "ws://user:password@")
                    facts.append(await outcome(opened(lib.connect(uri, **keywords))))
        for request in [*end.requests, *server.requests]:
            facts.append(
                [
                    line
                    for line in fixed(request)
                    if line.startswith(("Auth", "Cookie", "cookie", "proxy", "Proxy", "X-"))
                ]
            )
    return facts


@alike
async def test_redirect_to_the_same_keeps_credentials(lib):
    facts = []
    async with answering(redirect("/end")) as server:
        uri = address(server).replace("ws://", "ws://user:password@")
        await opened(lib.connect(uri, additional_headers={"Cookie": "kept"}))
        for request in server.requests:
            facts.append([line for line in fixed(request) if line.startswith(("Auth", "Cookie"))])
    return facts


@alike
async def test_redirects_with_an_address_of_its_own(lib):
    facts = []
    async with answering(accepting) as end:
        for location in (address(end), "/end"):
            async with answering(redirect(location)) as server:
                host, port = server.sockets[0].getsockname()
                uri = f"ws://example.com:{port}/"
                for keywords in ({"host": host}, {"host": host, "port": port}, {"port": port}):
                    result = await outcome(opened(lib.connect(address(server), **keywords)))
                    facts.append(str(result).replace(address(end), "END"))
                sock = socket.create_connection((host, port))
                result = await outcome(opened(lib.connect(uri, sock=sock)))
                facts.append(str(result).replace(address(end), "END"))
                if location == "/end":
                    facts[-1] = facts[-1].replace(uri, "URI")
    return facts


@alike
async def test_host_and_port(lib):
    facts = []
    async with answering(accepting) as server:
        host, port = server.sockets[0].getsockname()
        await opened(lib.connect("ws://example.com/", host=host, port=port))
        await opened(lib.connect(f"ws://example.com:{port}/", host=host))
        sock = socket.create_connection((host, port))
        await opened(lib.connect("ws://example.org/", sock=sock))
        for request in server.requests:
            facts.append(
                [line.replace(str(port), "PORT") for line in fixed(request) if "Host" in line]
            )
    return facts
