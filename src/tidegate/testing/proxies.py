"""Proxies to start inside a test: what all kinds have in common."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import ssl as ssl_module
import threading
from collections.abc import Iterator, Mapping
from typing import Self

from ..proxy.url import Proxy

__all__ = ["Faults", "ProxyRequest", "ProxyServer"]


@dataclasses.dataclass
class Faults:
    """What a proxy does wrong, on demand.

    Attributes:
        drop: close each connection as soon as it is made.
        silent: take requests and never answer.
        delay: wait so many seconds before each answer.
        wrong_password: find every password wrong.
        refuse: refuse to connect, with this HTTP status or SOCKS reply code.
        reply: answer with these bytes and close the connection.
        endless: answer with these bytes over and over again.
        truncate: close the connection after so many bytes of the answer.
        fragment: send the answer in pieces of so many bytes.
        early: bytes that come right behind the answer, as if the server had sent them.
        close_on_challenge: close the connection after asking for authentication.
    """

    drop: bool = False
    silent: bool = False
    delay: float = 0
    wrong_password: bool = False
    refuse: int | None = None
    reply: bytes | None = None
    endless: bytes | None = None
    truncate: int | None = None
    fragment: int | None = None
    early: bytes = b""
    close_on_challenge: bool = False


@dataclasses.dataclass
class ProxyRequest:
    """What a proxy was asked for.

    Attributes:
        host: the name or address to connect to, as it was given.
        port: the port.
        username: who authenticated, None for nobody.
        headers: the headers of a ``CONNECT`` request by name in lower case.
        version: the protocol, such as ``HTTP/1.1`` or ``SOCKS4a``.
    """

    host: str
    port: int
    username: str | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    version: str = ""


class Finished(Exception):
    """Raised to end a connection when its answer is out."""


class ProxyServer:
    """A proxy that listens while its ``async with`` block runs, and does what it is told to.

    Args:
        host: the address to listen on.
        port: the port, 0 for a free one.
        unix_path: the path of a Unix socket to listen on instead.
        ssl: the context for TLS with clients, None for none.
        username: the user who may use it, None to let in anybody.
        password: their password.
        hosts: where names that clients ask for really are: an address and a port for each, so that
            tests can use names that nobody else knows.
        faults: what to do wrong; may be set anew at any time.

    Attributes:
        requests: what was asked for, by those who were let in.
        connections: how many connections were made to it.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        unix_path: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        username: str | None = None,
        password: str | None = None,
        hosts: Mapping[str, tuple[str, int]] | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.unix_path = unix_path
        self.ssl = ssl
        self.username = username
        self.password = password
        self.hosts = dict(hosts or {})
        self.faults = faults or Faults()
        self.requests: list[ProxyRequest] = []
        self.connections = 0
        self.server: asyncio.Server | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    # Where it is

    @property
    def url_scheme(self) -> str:
        """The scheme of its URL."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Its URL, with the credentials that it wants."""
        proxy = Proxy(
            self.url_scheme,
            self.host,
            self.port,
            self.username,
            self.password,
            unix_path=self.unix_path,
        )
        return proxy.url(password=True)

    # How it runs

    async def start(self) -> None:
        """Begin to listen."""
        if self.unix_path is not None:
            self.server = await asyncio.start_unix_server(self.accept, self.unix_path, ssl=self.ssl)
            return
        self.server = await asyncio.start_server(self.accept, self.host, self.port, ssl=self.ssl)
        self.port = self.server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        assert self.server is not None
        self.server.close()
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Run it in a thread of its own, for programs that don't use asyncio."""
        running: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        stop: asyncio.Event

        async def main() -> None:
            nonlocal stop
            stop = asyncio.Event()
            async with self:
                running.set_result(asyncio.get_running_loop())
                await stop.wait()

        def run() -> None:
            try:
                asyncio.run(main())
            except BaseException as exc:
                if running.done():
                    raise
                running.set_exception(exc)

        thread = threading.Thread(target=run, name=f"{type(self).__name__}")
        thread.start()
        try:
            loop = running.result()
            try:
                yield self
            finally:
                loop.call_soon_threadsafe(stop.set)
        finally:
            thread.join()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a new connection, and serve it in a task."""
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self.serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        try:
            if not self.faults.drop:
                await self.negotiate(reader, writer)
        except (Finished, OSError, EOFError):
            # Whatever a client does, or doesn't do any more, is its own affair.
            pass
        finally:
            # With TLS, CPython 3.11.2 raises it when the connection is gone already.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()

    async def negotiate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Find out what a client wants, and do it."""
        raise NotImplementedError

    async def dial(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a server."""
        return await asyncio.open_connection(*self.hosts.get(host, (host, port)))

    async def answer(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send an answer, or what the faults make of it."""
        faults = self.faults
        if faults.delay:
            await asyncio.sleep(faults.delay)
        if faults.silent:
            await asyncio.Event().wait()
        if faults.endless:
            while True:
                writer.write(faults.endless)
                await writer.drain()
        if faults.reply is not None:
            data = faults.reply
        if faults.truncate is not None:
            data = data[: faults.truncate]
        size = faults.fragment or len(data) or 1
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            if faults.fragment:
                # Lets each piece arrive by itself, as far as that can be had.
                await asyncio.sleep(0.001)
        if faults.truncate is not None or faults.reply is not None:
            writer.close()
            await writer.wait_closed()
            raise Finished

    async def relay(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Carry bytes both ways until both sides have ended."""
        try:
            if self.faults.early:
                client[1].write(self.faults.early)
            await asyncio.gather(pump(client[0], server[1]), pump(server[0], client[1]))
        finally:
            server[1].transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way, and the end behind them."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()
