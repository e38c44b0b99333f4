"""Servers that say in an alert why there is no TLS, and reset the connection right behind it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

import pytest
import trustme

from tidegate.client import process_exception

# A fatal alert, "handshake failure" (RFC 5246, section 7.2).
ALERT = bytes([21, 3, 3, 0, 2, 2, 40])


class SlowObject(ssl.SSLObject):
    """TLS of a client that sends only when its server is gone."""

    def do_handshake(self):
        try:
            super().do_handshake()
        finally:
            self.context.in_handshake()

    def write(self, data):
        self.context.before_write()
        return super().write(data)


class Scene:
    """A server in a thread, and what a client that connects to it waits for.

    Args:
        version: the version of TLS.

    """

    def __init__(self, version):
        authority = trustme.CA()
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.server_context)
        authority.configure_trust(self.server_context)
        self.server_context.verify_mode = ssl.CERT_REQUIRED
        self.server_context.maximum_version = version
        self.context = ssl.create_default_context()
        authority.configure_trust(self.context)
        self.context.sslobject_class = SlowObject
        self.context.in_handshake = self.in_handshake
        self.context.before_write = self.before_write
        self.in_handshake_only = version < ssl.TLSVersion.TLSv1_3
        self.steps = 0
        self.answered = threading.Event()
        self.gone = threading.Event()
        self.connections = 0

    def in_handshake(self):
        """Have the server go before the client's answer to what it says is sent."""
        self.steps += 1
        if self.in_handshake_only and self.steps > 1:
            self.answered.set()
            assert self.gone.wait(10)

    def before_write(self):
        """Have the server go before the request is sent."""
        assert self.gone.wait(10)

    def accept(self, listening):
        """Be the server."""
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listening.accept()
                self.connections += 1
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                with sock:
                    self.shake(sock)
                    if self.in_handshake_only:
                        assert self.answered.wait(10)
                        sock.sendall(ALERT)
                self.gone.set()

    def shake(self, sock):
        """Do the handshake, up to where the client's certificate should come, or to the alert."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.server_context.wrap_bio(incoming, outgoing, server_side=True)
        sent = False
        while not (self.in_handshake_only and sent):
            incoming.write(sock.recv(65536))
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                sock.sendall(outgoing.read())
                return
            if data := outgoing.read():
                sock.sendall(data)
                sent = True


@pytest.mark.parametrize(
    "version",
    [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3],
    ids=lambda version: version.name,
)
@pytest.mark.parametrize("whose", ["server", "proxy"])
async def test_an_alert_before_a_reset_is_seen(face, version, whose):
    """So that it isn't taken for an error of the network, after which connecting is tried again."""
    scene = Scene(version)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=scene.accept, args=[listening])
        thread.start()
        try:
            address = f"127.0.0.1:{listening.getsockname()[1]}"
            uri, options = f"wss://{address}/", {"ssl": scene.context}
            if whose == "proxy":
                uri = "ws://ws.test/"
                options = {"proxy": f"https://{address}", "proxy_ssl": scene.context}
            with pytest.raises(Exception) as caught:
                async for _ in face.reconnect(uri, reconnect_limit=1, **options):
                    raise AssertionError("there is no connection")
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert scene.gone.is_set()
    assert scene.connections == 1
    assert process_exception(caught.value) is caught.value
    chain = [caught.value]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    assert "ALERT" in chain[-1].reason
