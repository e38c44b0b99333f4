"""TLS without I/O, against itself."""

from __future__ import annotations

import ssl

import pytest
import trustme

from tidegate.core.tls import TLS

AUTHORITY = trustme.CA()
WORDS = "localhost:8765 closed the connection during the TLS handshake: does it speak TLS"


@pytest.fixture
def server():
    """A fresh context, which a test may change."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def client():
    """The same for clients."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def pair(server, client, name="localhost"):
    """Give both sides, before their handshake."""
    return (
        TLS(server, server_side=True, peer="10.0.0.1:5000"),
        TLS(client, server_hostname=name, peer="localhost:8765"),
    )


def carry(a, b):
    """Carry bytes in both directions."""
    b.received(a.output())
    a.received(b.output())


def shake(a, b):
    """Do the handshake of both."""
    for _ in range(10):
        done = [b.handshake(), a.handshake()]
        carry(a, b)
        if all(done):
            return a, b
    raise AssertionError("no end")


def take(side, size=1 << 20):
    """Decrypt what there is."""
    buffer = bytearray(size)
    return bytes(buffer[: side.decrypt_into(buffer)])


def say(a, b, data):
    a.encrypt(data)
    b.received(a.output())
    return take(b)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 300_000])
def test_data(server, client, version, size):
    client.minimum_version = client.maximum_version = version
    a, b = shake(*pair(server, client))
    data = bytes(range(256)) * (size // 256 + 1)
    assert say(a, b, data[:size]) == data[:size]
    assert say(b, a, memoryview(data)[:size]) == data[:size]
    assert not a.ended and not b.ended
    assert isinstance(a.object, ssl.SSLObject)


def test_small_buffers_and_single_bytes(server, client):
    a, b = shake(*pair(server, client))
    a.encrypt(b"what there is")
    taken = b""
    for byte in a.output():
        b.received(bytes([byte]))
        taken += take(b, 5)
    assert b.pending()
    taken += take(b, 5) + take(b, 5)
    assert taken == b"what there is"
    assert not b.pending()


def test_close_both_ways(server, client):
    a, b = shake(*pair(server, client))
    take(b)
    assert a.close() is False
    b.received(a.output())
    assert take(b) == b"" and b.ended and not b.truncated
    assert b.close() is True
    a.received(b.output())
    assert a.close() is True and a.ended and not a.truncated


def test_data_after_close(server, client):
    a, b = shake(*pair(server, client))
    assert a.close() is False
    b.encrypt(b"too late")
    carry(a, b)
    assert a.close() is False


def test_truncated(server, client):
    a, b = shake(*pair(server, client))
    a.encrypt(b"first")
    b.received(a.output())
    b.received_end()
    assert take(b) == b"first"
    assert take(b) == b"" and b.ended and b.truncated


def test_close_before_the_handshake(server, client):
    a, _ = pair(server, client)
    assert a.close() is False
    assert a.output() == b""


@pytest.mark.parametrize("when", ["before", "after"])
def test_end_in_the_handshake(server, client, when):
    a, b = pair(server, client)
    assert not b.handshake()
    if when == "after":
        a.received(b.output())
        a.handshake()
        b.received(a.output()[:50])
    b.received_end()
    with pytest.raises(ConnectionResetError, match=WORDS):
        b.handshake()


def test_what_is_no_tls(server, client):
    a, b = pair(server, client)
    b.handshake()
    b.received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError, match="localhost:8765: ") as info:
        b.handshake()
    assert info.value.errno == ssl.SSL_ERROR_SSL
    assert info.value.reason
    a.received(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError, match=r"10\.0\.0\.1:5000: "):
        a.handshake()


def test_a_wrong_record_behind_data(server, client):
    a, b = shake(*pair(server, client))
    a.encrypt(b"good")
    b.received(a.output() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert take(b) == b"good"
    with pytest.raises(ssl.SSLError, match="localhost:8765: "):
        take(b)


def test_a_wrong_certificate(server, client):
    a, b = pair(server, client, "example.com")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"localhost:8765: .*example\.com"):
        shake(a, b)
    # The server learns why.
    a.received(b.output())
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        a.handshake()


def test_renewed_certificate(server, client):
    serials = []
    for _ in range(2):
        _, b = shake(*pair(server, client))
        serials.append(b.object.getpeercert()["serialNumber"])
        AUTHORITY.issue_cert("localhost").configure_cert(server)
    assert serials[0] != serials[1]


def test_certificates_by_name(server, client):
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("other.test").configure_cert(other)
    names = []

    def choose(sslobject, name, context):
        names.append(name)
        if name == "other.test":
            sslobject.context = other

    server.sni_callback = choose
    for name in ("localhost", "other.test"):
        a, b = shake(*pair(server, client, name))
        assert b.object.getpeercert()["subjectAltName"] == (("DNS", name),)
        assert say(a, b, b"hello") == b"hello"
    assert names == ["localhost", "other.test"]


def test_client_certificate(server, client):
    server.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(server)
    AUTHORITY.issue_cert("me@example.com").configure_cert(client)
    a, _ = shake(*pair(server, client))
    assert a.object.getpeercert()["subjectAltName"] == (("email", "me@example.com"),)


def test_alpn_key_log_and_messages(server, client, tmp_path):
    server.set_alpn_protocols(["http/1.1"])
    client.set_alpn_protocols(["h2", "http/1.1"])
    server.keylog_filename = str(tmp_path / "keys")
    messages = []
    server._msg_callback = lambda *args: messages.append(args)
    a, b = shake(*pair(server, client))
    assert a.object.selected_alpn_protocol() == "http/1.1"
    assert b.object.selected_alpn_protocol() == "http/1.1"
    assert "CLIENT_HANDSHAKE_TRAFFIC_SECRET" in (tmp_path / "keys").read_text()
    assert messages


def test_subclasses(server):
    class Object(ssl.SSLObject):
        pass

    class Context(ssl.SSLContext):
        sslobject_class = Object
        made = 0

        def wrap_bio(self, *args, **kwargs):
            self.made += 1
            return super().wrap_bio(*args, **kwargs)

    client = Context(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(client)
    _, b = shake(*pair(server, client))
    assert client.made == 1
    assert type(b.object) is Object


def test_tls_in_tls(server, client):
    outer = shake(*pair(server, client))
    inner = pair(server, client)
    for _ in range(10):
        done = [side.handshake() for side in inner]
        inner[1].received(say(*outer, inner[0].output()))
        inner[0].received(say(*outer[::-1], inner[1].output()))
        if all(done):
            break
    inner[0].encrypt(b"deep" * 10_000)
    inner[1].received(say(*outer, inner[0].output()))
    assert take(inner[1]) == b"deep" * 10_000
