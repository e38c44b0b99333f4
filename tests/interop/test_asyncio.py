"""Our clients with the servers of websockets and aiohttp, our servers with their clients."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

import tidegate.asyncio.client
import tidegate.asyncio.server
from tidegate.exceptions import ConnectionClosed

aiohttp = pytest.importorskip("aiohttp")
aiohttp_web = pytest.importorskip("aiohttp.web")
websockets_client = pytest.importorskip("websockets.asyncio.client")
websockets_server = pytest.importorskip("websockets.asyncio.server")

MESSAGES = [
    "",
    b"",
    "text",
    b"\x00\xff",
    "é🌊" * 20,
    *["x" * length for length in (125, 126, 127, 65_535, 65_536)],
    *[bytes(range(256)) * (length // 256) for length in (65_536, 500_000)],
    "tide " * 100_000,
]


# A server echoes messages, except these: it closes, or tells what there is.
BYE, WHAT = "bye", "what"


class TidegateServer:
    """The server that a test runs: ours."""

    @staticmethod
    @contextlib.asynccontextmanager
    async def run(tls, compression):
        async with tidegate.asyncio.server.serve(
            echo_all,
            "127.0.0.1",
            0,
            ssl=tls,
            compression=compression,
            subprotocols=["gate"],
        ) as server:
            yield server.sockets[0].getsockname()[1]


class WebsocketsServer:
    @staticmethod
    @contextlib.asynccontextmanager
    async def run(tls, compression):
        async with websockets_server.serve(
            echo_all, "127.0.0.1", 0, ssl=tls, compression=compression, subprotocols=["gate"]
        ) as server:
            yield server.sockets[0].getsockname()[1]


async def echo_all(connection):
    async for message in connection:
        if message == BYE:
            await connection.close(4001, "as you wish")
        elif message == WHAT:
            await (await connection.ping())
            names = [extension.name for extension in connection.protocol.extensions]
            await connection.send(f"{connection.subprotocol} {names}")
        else:
            await connection.send(message)


class AiohttpServer:
    @staticmethod
    @contextlib.asynccontextmanager
    async def run(tls, compression):
        async def echo(request):
            socket = aiohttp_web.WebSocketResponse(
                protocols=["gate"], compress=compression is not None, max_msg_size=2**20
            )
            await socket.prepare(request)
            async for message in socket:
                if message.data == BYE:
                    await socket.close(code=4001, message=b"as you wish")
                elif message.data == WHAT:
                    await socket.ping()
                    names = ["permessage-deflate"] if socket.compress else []
                    await socket.send_str(f"{socket.ws_protocol} {names}")
                elif message.type is aiohttp.WSMsgType.TEXT:
                    await socket.send_str(message.data)
                else:
                    await socket.send_bytes(message.data)
            return socket

        application = aiohttp_web.Application()
        application.router.add_get("/", echo)
        runner = aiohttp_web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = aiohttp_web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


class TidegateClient:
    """The client that a test runs: ours."""

    connect = tidegate.asyncio.client.connect

    @classmethod
    @contextlib.asynccontextmanager
    async def run(cls, uri, tls, compression):
        async with cls.connect(
            uri, ssl=tls, compression=compression, subprotocols=["other", "gate"]
        ) as connection:
            yield cls(connection)

    def __init__(self, connection):
        self.connection = connection

    async def send(self, message):
        await self.connection.send(message)

    async def receive(self):
        return await self.connection.recv()

    async def ping(self):
        await (await self.connection.ping(b"payload"))

    async def close(self, code, reason):
        await self.connection.close(code, reason)

    async def closed(self):
        """Wait for the end, and give what the other side said."""
        await self.connection.wait_closed()
        return self.connection.close_code, self.connection.close_reason


class WebsocketsClient(TidegateClient):
    connect = websockets_client.connect


class AiohttpClient:
    @classmethod
    @contextlib.asynccontextmanager
    async def run(cls, uri, tls, compression):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                uri.replace("ws", "http", 1),
                ssl=True if tls is None else tls,
                compress=0 if compression is None else 15,
                protocols=["other", "gate"],
                max_msg_size=2**20,
            ) as socket,
        ):
            yield cls(socket)

    def __init__(self, socket):
        self.socket = socket

    async def send(self, message):
        if isinstance(message, str):
            await self.socket.send_str(message)
        else:
            await self.socket.send_bytes(message)

    async def receive(self):
        message = await self.socket.receive()
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
        return message.data

    async def ping(self):
        # Its pongs are not shown; a server that didn't answer would not be alive.
        await self.socket.ping(b"payload")

    async def close(self, code, reason):
        await self.socket.close(code=code, message=reason.encode())

    async def closed(self):
        message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        return message.data, message.extra


PAIRS = [
    (TidegateClient, WebsocketsServer),
    (TidegateClient, AiohttpServer),
    (WebsocketsClient, TidegateServer),
    (AiohttpClient, TidegateServer),
]


@contextlib.asynccontextmanager
async def connected(client, server, *, tls=(None, None), compression="deflate"):
    scheme = "ws" if tls[0] is None else "wss"
    async with (
        server.run(tls[0], compression) as port,
        client.run(f"{scheme}://127.0.0.1:{port}/", tls[1], compression) as end,
    ):
        yield end


pairs = pytest.mark.parametrize(
    ("client", "server"),
    PAIRS,
    ids=[f"{client.__name__}-{server.__name__}" for client, server in PAIRS],
)


@pairs
@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("kind", ["plain", "tls"])
async def test_messages_come_back(client, server, compression, kind, certificates):
    tls = certificates if kind == "tls" else (None, None)
    async with connected(client, server, tls=tls, compression=compression) as end:
        await end.send(WHAT)
        negotiated = [] if compression is None else ["permessage-deflate"]
        assert await end.receive() == f"gate {negotiated}"
        for message in MESSAGES:
            await end.send(message)
            assert await end.receive() == message
        # The context of earlier messages is there still.
        for message in MESSAGES[:5]:
            await end.send(message)
        for message in MESSAGES[:5]:
            assert await end.receive() == message


@pairs
async def test_pings(client, server):
    async with connected(client, server) as end:
        for _ in range(3):
            await end.ping()
            await end.send("still there")
            assert await end.receive() == "still there"


@pairs
async def test_close_by_the_server(client, server):
    async with connected(client, server) as end:
        await end.send(BYE)
        assert await end.closed() == (4001, "as you wish")


@pairs
async def test_close_by_the_client(client, server):
    async with connected(client, server) as end:
        await end.close(4002, "enough")
        if isinstance(end, AiohttpClient):
            assert end.socket.close_code == 4002
        elif server is AiohttpServer:
            # It doesn't repeat what it got.
            assert await end.closed() == (1000, "")
        else:
            assert await end.closed() == (4002, "enough")


@pytest.mark.parametrize("server", [WebsocketsServer, AiohttpServer])
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_fragments_arrive_as_one_message(server, compression):
    async with connected(TidegateClient, server, compression=compression) as end:
        await end.send(["tide", "", "gate"])
        assert await end.receive() == "tidegate"

        async def pieces():
            for number in range(20):
                await asyncio.sleep(0)
                yield bytes([number]) * 1000

        await end.send(pieces())
        assert await end.receive() == b"".join(bytes([number]) * 1000 for number in range(20))


@pytest.mark.parametrize("server", [WebsocketsServer, AiohttpServer])
async def test_without_compression_message_by_message(server):
    async with connected(TidegateClient, server) as end:
        for number in range(10):
            message = f"message {number} " * 100
            await end.connection.send(message, compress=number % 2 == 0)
            assert await end.receive() == message


@pytest.mark.parametrize("client", [WebsocketsClient, AiohttpClient])
async def test_messages_that_are_too_large(client):
    async with connected(client, TidegateServer) as end:
        await end.send("x" * (2**20 + 1))
        code, _ = await end.closed()
        assert code == 1009


@pytest.mark.parametrize("server", [WebsocketsServer, AiohttpServer])
async def test_the_end_of_the_server(server):
    async with contextlib.AsyncExitStack() as stack:
        running = contextlib.AsyncExitStack()
        port = await running.enter_async_context(server.run(None, "deflate"))
        end = await stack.enter_async_context(
            TidegateClient.run(f"ws://127.0.0.1:{port}/", None, "deflate")
        )
        receiving = asyncio.create_task(end.receive())
        closing = asyncio.create_task(running.aclose())
        with pytest.raises(ConnectionClosed):
            await receiving
        await closing
        assert (await end.closed())[0] in (1001, 1006)
