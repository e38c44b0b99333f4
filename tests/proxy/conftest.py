"""What the tests of proxies have in common."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl

import pytest
import trustme


@dataclasses.dataclass
class Certificates:
    """A certificate authority and what was made with it."""

    authority: trustme.CA
    path: str
    server: ssl.SSLContext
    client: ssl.SSLContext
    pem: str
    wrong_name_pem: str


def make_certificates(directory, name):
    authority = trustme.CA(organization_name=name)
    issued = authority.issue_cert("localhost", "127.0.0.1", "ws.test", "proxy.test")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    path = directory / f"{name}.pem"
    authority.cert_pem.write_to_path(path)
    pem, wrong_name_pem = directory / "server.pem", directory / "wrong-name.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(pem)
    wrong_name = authority.issue_cert("wrong.test")
    wrong_name.private_key_and_cert_chain_pem.write_to_path(wrong_name_pem)
    return Certificates(authority, str(path), server, client, str(pem), str(wrong_name_pem))


@pytest.fixture(scope="session")
def origin(tmp_path_factory):
    """Certificates for servers."""
    return make_certificates(tmp_path_factory.mktemp("origin"), "origin")


@pytest.fixture(scope="session")
def corp(tmp_path_factory):
    """Certificates for proxies, from another authority."""
    return make_certificates(tmp_path_factory.mktemp("corp"), "corp")


@pytest.fixture(params=["poller", "loop"])
def transport_kind(request, monkeypatch):
    """Use each kind of transport."""
    monkeypatch.setenv("TIDEGATE_TRANSPORTS", request.param)
    return request.param


class Recorder(asyncio.BufferedProtocol):
    """A protocol as the engine's: it takes what comes into its own buffer."""

    def __init__(self, size=5):
        self.buffer = bytearray(size)
        self.received = bytearray()
        self.changed = asyncio.Event()
        self.transport = None
        self.made = 0
        self.lost = None

    def connection_made(self, transport):
        self.made += 1
        self.transport = transport

    def get_buffer(self, sizehint):
        # The loop's own TLS would lose what it writes to a slice of a bytearray.
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes):
        assert self.made
        self.received += self.buffer[:nbytes]
        self.changed.set()

    def eof_received(self):
        return None

    def connection_lost(self, exc):
        self.lost = exc or True
        self.changed.set()

    async def receive(self, data):
        """Wait until ``data`` has come."""
        while not self.received.endswith(data):
            assert self.lost is None, self.received
            self.changed.clear()
            await self.changed.wait()


@contextlib.asynccontextmanager
async def echo_server(ssl=None, greeting=b""):
    """A server that sends back what it gets; gives its port."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            connections.append(transport)
            transport.write(greeting)

        def data_received(self, data):
            self.transport.write(data)

    connections = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=ssl)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in connections:
            transport.abort()
