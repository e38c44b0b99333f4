"""Transports with TLS: those of the poller behave as asyncio's, and their errors say more."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import pytest

from tidegate.asyncio.poller.connecting import connect_tcp
from tidegate.asyncio.poller.server import Securing, listen_tcp
from tidegate.asyncio.poller.tls import TLSTransport, begin_tls
from tidegate.core.limits import Limits
from tidegate.core.tls import TLS

from .servers import Buffered, Echo, Notes, Plain, exceptions_told, kinds, needs_poller, turns

pytestmark = needs_poller

MB = 1024 * 1024


class Viewed(Buffered):
    """Gives views, as asyncio's TLS needs them."""

    def get_buffer(self, sizehint):
        return memoryview(super().get_buffer(sizehint))


class Unbounded(Notes, asyncio.Protocol):
    """Takes notes, and has large buffers below."""

    def connection_made(self, transport):
        self.transport = transport
        self.note("connection_made")

    def data_received(self, data):
        self.data += data
        self.note("data_received", len(data))


@contextlib.asynccontextmanager
async def listening(kind, factory, context, **options):
    """A server with TLS; gives its address and a list of the protocols that it made."""
    made = []

    def make():
        made.append(factory())
        return made[-1]

    loop = asyncio.get_running_loop()
    if kind == "poller":
        limits = options.get("limits")
        securing = Securing(
            loop,
            context,
            make,
            options.get("ssl_handshake_timeout"),
            options.get("ssl_shutdown_timeout"),
            limits,
        )
        server = await listen_tcp(loop, make, host="127.0.0.1", port=0, taking=securing)
    else:
        server = await loop.create_server(make, "127.0.0.1", 0, ssl=context, **options)
    try:
        yield server.sockets[0].getsockname(), made
    finally:
        server.close()
        for notes in made:
            if "connection_lost" not in notes.names:
                notes.transport.abort()
                await notes.until_called("connection_lost")


class Peer:
    """The other side: TLS without a transport, by hand."""

    def __init__(self, sock, context, **options):
        self.sock = sock
        self.tls = TLS(context, peer="the server", **options)
        self.loop = asyncio.get_running_loop()
        self.ended = False

    async def flush(self, step=None):
        data = self.tls.output()
        for start in range(0, len(data), step or len(data) or 1):
            await self.loop.sock_sendall(self.sock, data[start : start + (step or len(data))])
            if step:
                await asyncio.sleep(0)

    async def fill(self):
        data = await self.loop.sock_recv(self.sock, 1 << 18)
        if data:
            self.tls.received(data)
        else:
            self.ended = True
            self.tls.received_end()

    async def handshake(self, step=None):
        while not self.tls.handshake():
            await self.flush(step)
            await self.fill()
        await self.flush(step)

    async def send(self, data, step=None):
        self.tls.encrypt(data)
        await self.flush(step)

    async def receive(self, n):
        """Receive so many bytes, or all to the end of the stream."""
        data = bytearray()
        buffer = bytearray(1 << 16)
        while len(data) < n and not self.tls.ended:
            size = self.tls.decrypt_into(buffer)
            data += buffer[:size]
            if not size and not self.tls.ended:
                await self.fill()
        return bytes(data)

    async def end(self):
        """End TLS in this direction."""
        self.tls.close()
        await self.flush()


@contextlib.asynccontextmanager
async def dial(address, context, *, shakes=True, step=None):
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        await asyncio.get_running_loop().sock_connect(sock, address)
        peer = Peer(sock, context, server_hostname="localhost")
        if shakes:
            await peer.handshake(step)
        yield peer


@contextlib.asynccontextmanager
async def connected(kind, factory, certificates, **options):
    server, client = certificates
    async with (
        listening(kind, factory, server, **options) as (address, made),
        dial(address, client) as peer,
    ):
        while not made or made[0].transport is None:
            await asyncio.sleep(0)
        yield peer, made[0]


# Data


@kinds
@pytest.mark.parametrize("factory", [Plain, Viewed])
@pytest.mark.parametrize("size", [1, 16384, 16385, 3 * MB])
async def test_receive(kind, factory, size, certificates):
    data = bytes(range(256)) * (size // 256 + 1)
    async with connected(kind, factory, certificates) as (peer, notes):
        await peer.send(data)
        await notes.until_received(len(data))
        assert notes.data == data
        assert notes.names == ["connection_made"]


@kinds
async def test_bytes_one_by_one(kind, certificates):
    server, client = certificates
    async with (
        listening(kind, Echo, server) as (address, _),
        dial(address, client, step=1) as peer,
    ):
        await peer.send(b"x" * 300, step=1)
        assert await peer.receive(300) == b"x" * 300


@kinds
@pytest.mark.parametrize("lines", [False, True])
async def test_send(kind, lines, certificates):
    async with connected(kind, Plain, certificates) as (peer, notes):
        pieces = [b"first", bytearray(b"x") * (3 * MB), memoryview(b""), b"last"]
        if lines:
            notes.transport.writelines(pieces)
        else:
            for piece in pieces:
                notes.transport.write(piece)
        whole = b"".join(pieces)
        assert await peer.receive(len(whole)) == whole
        with pytest.raises(TypeError):
            notes.transport.write("text")


async def test_flow_control(certificates):
    async with connected("poller", Unbounded, certificates) as (peer, notes):
        notes.transport.set_write_buffer_limits(high=1000)
        notes.transport.write(b"x" * (20 * MB))
        assert notes.names == ["connection_made", "pause_writing"]
        assert notes.transport.get_write_buffer_size() > 1000
        assert len(await peer.receive(20 * MB)) == 20 * MB
        await notes.until_called("resume_writing")
        assert notes.transport.get_write_buffer_size() <= 1000


@kinds
async def test_pause_in_a_callback(kind, certificates):
    """What came with it waits, in its order, and goes on without another byte."""

    class Pausing(Plain):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async with connected(kind, Pausing, certificates) as (peer, notes):
        data = b"".join(bytes([i]) * 16384 for i in range(100))
        sending = asyncio.create_task(peer.send(data))
        while len(notes.data) < len(data):
            before = len(notes.data)
            await notes.until_received(before + 1)
            size = len(notes.data)
            await turns(2)
            assert len(notes.data) == size
            assert not notes.transport.is_reading()
            notes.transport.resume_reading()
        await sending
        assert notes.data == data


# Ends


@kinds
@pytest.mark.parametrize("shuts", [False, True])
async def test_end_of_tls(kind, shuts, certificates):
    """With the end of TCP behind it or without: the other side has said that it's the end."""
    async with connected(kind, Plain, certificates) as (peer, notes):
        await peer.send(b"last words")
        peer.tls.close()
        await peer.flush()
        if shuts:
            peer.sock.shutdown(socket.SHUT_WR)
        await notes.until_called("connection_lost")
        assert notes.data == b"last words"
        assert notes.names == ["connection_made", "eof_received", "connection_lost"]
        assert notes.lost_because() is None
        assert await peer.receive(1) == b""
        assert not peer.tls.truncated


async def test_stream_that_breaks_off(certificates):
    async with connected("poller", Plain, certificates) as (peer, notes):
        await peer.send(b"last words")
        peer.sock.shutdown(socket.SHUT_WR)
        await notes.until_called("connection_lost")
        assert notes.data == b"last words"
        assert notes.names == ["connection_made", "eof_received", "connection_lost"]
        assert notes.lost_because() is None


async def test_close(certificates):
    """All that was written arrives, and an end that is one."""
    async with connected("poller", Unbounded, certificates) as (peer, notes):
        await peer.send(b"not read any more" * 1000)
        notes.transport.write(b"x" * (5 * MB))
        notes.transport.close()
        assert notes.transport.is_closing()
        notes.transport.write(b"too late")
        assert len(await peer.receive(6 * MB)) == 5 * MB
        assert peer.tls.ended
        assert not peer.tls.truncated
        await peer.end()
        await notes.until_called("connection_lost")
        assert notes.lost_because() is None
        assert "eof_received" not in notes.names


@kinds
async def test_a_peer_that_does_not_end_tls(kind, certificates):
    async with connected(kind, Plain, certificates, ssl_shutdown_timeout=0.05) as (peer, notes):
        notes.transport.close()
        await notes.until_called("connection_lost")
        assert await peer.receive(1) == b""


async def test_data_after_the_end_is_dropped(certificates):
    """It neither is delivered nor grows, and the connection ends when TLS does."""
    async with connected("poller", Plain, certificates) as (peer, notes):
        notes.transport.close()
        for _ in range(20):
            await peer.send(b"x" * 100_000)
        await peer.end()
        await notes.until_called("connection_lost")
        assert notes.lost_because() is None
        assert not notes.data


@kinds
async def test_abort(kind, certificates):
    async with connected(kind, Unbounded, certificates) as (peer, notes):
        notes.transport.write(b"x" * (20 * MB))
        notes.transport.abort()
        await notes.until_called("connection_lost")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            while not peer.tls.ended:
                await peer.receive(1 << 30)
            raise ConnectionError("cut off")


async def test_bytes_that_are_no_tls(certificates):
    async with connected("poller", Plain, certificates) as (peer, notes):
        await peer.loop.sock_sendall(peer.sock, b"\x17\x03\x03\x00\x20" + b"x" * 32)
        await notes.until_called("connection_lost")
        assert isinstance(notes.lost_because(), ssl.SSLError)
        with pytest.raises(ssl.SSLError, match="alert"):
            await peer.receive(1)


@pytest.mark.parametrize("name", ["connection_made", "data_received", "eof_received"])
async def test_an_exception_of_the_protocol_ends_the_connection(name, certificates):
    class Failing(Plain):
        def fail(self, *args):
            raise ZeroDivisionError

    setattr(Failing, name, Failing.fail)
    server, client = certificates
    with exceptions_told() as told:
        async with (
            listening("poller", Failing, server) as (address, made),
            dial(address, client) as peer,
        ):
            await peer.send(b"x")
            await peer.end()
            while not made:
                await asyncio.sleep(0)
            await made[0].until_called("connection_lost")
            made[0].transport = None
    [context] = told
    assert isinstance(context["exception"], ZeroDivisionError)


async def test_abort_in_connection_made(certificates):
    """The next connection may get the same descriptor."""

    class Refusing(Echo):
        refused = True

        def connection_made(self, transport):
            super().connection_made(transport)
            Refusing.refused = not Refusing.refused
            if not Refusing.refused:
                transport.abort()

    server, client = certificates
    async with listening("poller", Refusing, server) as (address, _):
        for _ in range(5):
            async with dial(address, client) as peer:
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    await peer.receive(1)
            async with dial(address, client) as peer:
                await peer.send(b"hello")
                assert await peer.receive(5) == b"hello"


# The handshake


async def test_silent_clients(certificates):
    """Nobody tells of those who only look whether somebody listens."""
    limits = Limits(connections=2)
    async with listening("poller", Plain, certificates[0], limits=limits) as (address, made):
        for _ in range(10):
            async with dial(address, certificates[1], shakes=False):
                await turns(3)
        assert made == []
        await turns()
        async with dial(address, certificates[1]) as peer:
            await peer.send(b"x")
            await turns()
            assert len(made) == 1


@pytest.mark.parametrize("begins", [False, True])
async def test_handshake_that_takes_too_long(begins, certificates):
    server, client = certificates
    options = {"ssl_handshake_timeout": 0.05}
    async with (
        listening("poller", Plain, server, **options) as (address, made),
        dial(address, client, shakes=False) as peer,
    ):
        if begins:
            peer.tls.handshake()
            await peer.flush()
        while not peer.ended:
            with contextlib.suppress(ConnectionError):
                await peer.fill()
                continue
            break
        assert made == []


async def test_garbage_instead_of_a_handshake(certificates):
    async with (
        listening("poller", Plain, certificates[0]) as (address, made),
        dial(address, certificates[1], shakes=False) as peer,
    ):
        await peer.loop.sock_sendall(peer.sock, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises((ConnectionError, ssl.SSLError)):
            peer.tls.handshake()
            while not peer.ended:
                await peer.fill()
            peer.tls.handshake()
        assert made == []


async def test_a_context_that_cannot_serve(certificates):
    """Whoever runs the server learns of it: nobody will ever get through."""
    with exceptions_told() as told:
        async with (
            listening("poller", Plain, certificates[1]) as (address, made),
            dial(address, certificates[1], shakes=False) as peer,
        ):
            with pytest.raises(ConnectionError):
                await peer.handshake()
            assert made == []
    [context] = told
    # Python itself says so from 3.14 on, OpenSSL before.
    assert isinstance(context["exception"], (ssl.SSLError, ValueError))


async def test_a_client_tells_what_went_wrong(certificates):
    loop = asyncio.get_running_loop()
    untrusting = ssl.create_default_context()
    async with listening("poller", Plain, certificates[0]) as (address, made):
        host, port = address
        with pytest.raises(ssl.SSLCertVerificationError, match=f"{host}:{port}: ") as caught:
            await connect_tcp(loop, Plain, host=host, port=port, ssl=untrusting)
        assert caught.value.verify_code in (18, 19, 20)
        assert caught.value.errno == 1
        assert made == []


async def test_a_client_gives_up(certificates):
    """Neither a socket nor a task is left."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        with pytest.raises(ConnectionAbortedError, match=f"{host}:{port}: the TLS handshake took"):
            await connect_tcp(
                loop,
                Plain,
                host=host,
                port=port,
                ssl=certificates[1],
                ssl_handshake_timeout=0.05,
            )
        task = asyncio.create_task(
            connect_tcp(loop, Plain, host=host, port=port, ssl=certificates[1])
        )
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(2):
            accepted, _ = silent.accept()
            with accepted:
                accepted.settimeout(10)
                with contextlib.suppress(ConnectionError):
                    while accepted.recv(65536):
                        pass


async def test_tls_in_tls(certificates):
    """Each layer stands on the other, as it does behind an HTTPS proxy."""
    server, client = certificates
    loop = asyncio.get_running_loop()

    class Inner(Echo):
        pass

    inner = []

    class Outer(Plain):
        def connection_made(self, transport):
            super().connection_made(transport)
            inner.append(Inner())
            TLSTransport(
                loop, transport, server, lambda: inner[0], lambda exc: None, server_side=True
            ).begin()

    async with listening("poller", Outer, server) as (address, made):
        host, port = address
        notes = Plain()
        below, _ = await connect_tcp(loop, Plain, host=host, port=port, ssl=client)
        transport = await begin_tls(loop, below, notes, client, server_hostname="localhost")
        data = bytes(range(256)) * 8192
        transport.write(data)
        await notes.until_received(len(data))
        assert notes.data == data
        assert transport.get_extra_info("ssl_object") is not below.get_extra_info("ssl_object")
        transport.close()
        await notes.until_called("connection_lost")
        assert notes.lost_because() is None
        await inner[0].until_called("connection_lost")
        assert inner[0].lost_because() is None
        made.clear()


@kinds
async def test_what_is_known(kind, certificates):
    async with connected(kind, Plain, certificates) as (peer, notes):
        known = notes.transport.get_extra_info
        assert isinstance(known("ssl_object"), ssl.SSLObject)
        assert known("sslcontext") is certificates[0]
        assert known("cipher") == peer.tls.object.cipher()
        assert known("compression") is None
        assert known("peername") == peer.sock.getsockname()
        assert known("sockname") == peer.sock.getpeername()
        assert known("socket").getpeername() == peer.sock.getsockname()
        assert known("nothing", "default") == "default"
        assert not notes.transport.can_write_eof()
        with pytest.raises(NotImplementedError):
            notes.transport.write_eof()
