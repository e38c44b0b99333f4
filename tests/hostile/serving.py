"""A program that serves one face: python -m tests.hostile.serving FACE CERTIFICATE.

It prints the ports on which it listens, as JSON, and runs until its standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import ssl
import sys
import threading
import warnings

# What has its time limit tested is served with short ones, apart from the others.
BRIEF = {"open_timeout": 0.5, "close_timeout": 0.5, "ping_interval": 0.5, "ping_timeout": 0.5}
ORIGINS = ["https://example.com", None]
CREDENTIALS = ("user", "password")


def listen() -> socket.socket:
    """Listen on a free port."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


def settings(context: ssl.SSLContext, credentials: object) -> dict[str, dict[str, object]]:
    """Give the arguments for each of the servers of a program."""
    return {
        "plain": {},
        "tls": {"ssl": context},
        "brief": BRIEF,
        "brief tls": {**BRIEF, "ssl": context},
        "origins": {"origins": ORIGINS},
        "auth": credentials,
    }


def started(ports: dict[str, int]) -> None:
    """Tell the ports."""
    print(json.dumps(ports), flush=True)


def stopped() -> None:
    """Wait for the end of the input."""
    while sys.stdin.readline():
        pass


async def on_asyncio(context: ssl.SSLContext, *, listener: bool) -> None:
    """Serve with `tidegate.asyncio`."""
    from tidegate.asyncio.listener import Listener
    from tidegate.asyncio.server import basic_auth, serve

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    class Echo(Listener):
        def on_message(self, message):
            self.connection.send_nowait(message)

    handler = Echo if listener else echo
    auth = {"process_request": basic_auth(credentials=CREDENTIALS)}
    async with contextlib.AsyncExitStack() as stack:
        ports = {}
        for name, options in settings(context, auth).items():
            sock = listen()
            ports[name] = sock.getsockname()[1]
            await stack.enter_async_context(serve(handler, sock=sock, **options))
        started(ports)
        await asyncio.to_thread(stopped)


async def on_legacy(context: ssl.SSLContext) -> None:
    """Serve with `tidegate.legacy`."""
    from tidegate.legacy.auth import basic_auth_protocol_factory
    from tidegate.legacy.server import serve

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    auth = {"create_protocol": basic_auth_protocol_factory("", CREDENTIALS)}
    async with contextlib.AsyncExitStack() as stack:
        ports = {}
        for name, options in settings(context, auth).items():
            sock = listen()
            ports[name] = sock.getsockname()[1]
            await stack.enter_async_context(serve(echo, sock=sock, **options))
        started(ports)
        await asyncio.to_thread(stopped)


async def on_trio(context: ssl.SSLContext) -> None:
    """Serve with `tidegate.trio`."""
    import trio

    from tidegate.trio.server import basic_auth, serve

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    auth = {"process_request": basic_auth(credentials=CREDENTIALS)}
    async with trio.open_nursery() as nursery:
        ports = {}
        for name, options in settings(context, auth).items():
            sock = listen()
            ports[name] = sock.getsockname()[1]
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(sock))]
            await nursery.start(functools.partial(serve, echo, listeners=listeners, **options))
        started(ports)
        await trio.to_thread.run_sync(stopped)
        nursery.cancel_scope.cancel()


def on_threads(context: ssl.SSLContext) -> None:
    """Serve with `tidegate.sync`."""
    from tidegate.sync.server import basic_auth, serve

    def echo(connection):
        for message in connection:
            connection.send(message)

    auth = {"process_request": basic_auth(credentials=CREDENTIALS)}
    ports, servers = {}, []
    for name, options in settings(context, auth).items():
        sock = listen()
        ports[name] = sock.getsockname()[1]
        servers.append(serve(echo, sock=sock, **options))
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    started(ports)
    stopped()
    for server in servers:
        server.shutdown()


async def on_uvicorn(certificate: str) -> None:
    """Serve under uvicorn, which has neither origins nor credentials."""
    import uvicorn

    async def echo(scope, receive, send):
        await receive()
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body"})
            return
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})

    ports, tasks = {}, []
    for name, options in {
        "plain": {},
        "tls": {"ssl_certfile": certificate},
        "brief": {"ws_ping_interval": 0.5, "ws_ping_timeout": 0.5},
    }.items():
        config = uvicorn.Config(
            echo,
            ws="tidegate.integrations.uvicorn:WebSocketProtocol",
            ws_max_size=2**20,
            lifespan="off",
            log_config=None,
            access_log=False,
            loop="none",
            **options,
        )
        sock = listen()
        ports[name] = sock.getsockname()[1]
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext
        tasks.append((server, asyncio.create_task(server.serve([sock]))))
    while not all(server.started for server, _ in tasks):
        await asyncio.sleep(0.01)
    started(ports)
    await asyncio.to_thread(stopped)
    for server, _ in tasks:
        server.should_exit = True
    await asyncio.gather(*(task for _, task in tasks))


def main(face: str, certificate: str) -> None:
    """Serve one face."""
    warnings.simplefilter("ignore", DeprecationWarning)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if face == "threads":
        on_threads(context)
    elif face == "trio":
        import trio

        trio.run(on_trio, context)
    elif face == "uvicorn":
        asyncio.run(on_uvicorn(certificate))
    elif face == "uvloop":
        import uvloop

        uvloop.run(on_asyncio(context, listener=False))
    elif face == "legacy":
        asyncio.run(on_legacy(context))
    else:
        asyncio.run(on_asyncio(context, listener=face == "listener"))


if __name__ == "__main__":
    main(*sys.argv[1:])
