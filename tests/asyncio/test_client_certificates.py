"""Servers and proxies that want a certificate of the client: it doesn't help to ask again."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import warnings

import pytest
import trustme

from tidegate.asyncio.client import connect
from tidegate.client import process_exception
from tidegate.exceptions import ProxyTLSError
from tidegate.testing import HTTPProxyServer

with warnings.catch_warnings():
    # That it is the older API.
    warnings.simplefilter("ignore", DeprecationWarning)
    from tidegate.legacy.client import connect as connect_legacy

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def contexts():
    """TLS contexts of a server that wants a certificate, and of a client that has none."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def strict(request, contexts):
    """A server that wants a certificate; gives its port, and how often it was connected to."""
    context, _ = contexts
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = request.param
    listener = socket.create_server(("127.0.0.1", 0))
    connections = []

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            connections.append(sock)
            wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            with wrapped, contextlib.suppress(OSError):
                try:
                    wrapped.do_handshake()
                except ssl.SSLError:
                    # The alert is sent; unread bytes would have it reset.
                    wrapped.shutdown(socket.SHUT_WR)
                    while wrapped.recv(4096):
                        pass

    thread = threading.Thread(target=accept)
    thread.start()
    yield listener.getsockname()[1], connections
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize("api", [connect, connect_legacy], ids=["today", "older"])
@pytest.mark.parametrize("way", ["direct", "through a proxy", "proxy", "SOCKS proxy"])
async def test_it_is_not_tried_again(api, way, strict, contexts):
    port, connections = strict
    uri, arguments = f"wss://127.0.0.1:{port}/", {"ssl": contexts[1], "proxy": None}
    async with contextlib.AsyncExitStack() as stack:
        if way == "through a proxy":
            arguments["proxy"] = (await stack.enter_async_context(HTTPProxyServer())).url
        elif way != "direct":
            scheme = "https" if way == "proxy" else "socks5h+tls"
            uri = "ws://ws.test/"
            arguments = {"proxy_ssl": contexts[1], "proxy": f"{scheme}://127.0.0.1:{port}"}
        with pytest.raises(Exception) as caught:
            async for _ in api(uri, **arguments):
                raise AssertionError("there is no connection")
    assert len(connections) == 1
    chain, exc = [], caught.value
    while exc is not None:
        chain.append(exc)
        exc = exc.__cause__
    assert isinstance(chain[-1], ssl.SSLError)
    if "proxy" in way.lower() and way != "through a proxy":
        assert isinstance(caught.value, ProxyTLSError)


def test_exceptions_that_are_their_own_cause():
    exc = OSError()
    exc.__cause__ = exc
    assert process_exception(exc) is None
