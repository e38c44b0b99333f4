"""The examples about load balancers do what they say; real_client_address is in the other file."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import pytest

from tidegate import connect
from tidegate.proxyprotocol import Header, build

from ..test_examples import load, run, running

HEADER = Header(source=("192.0.2.1", 4711), destination=("192.0.2.2", 443))
TRUSTED = {"balancers": ["127.0.0.1", "::1"]}


@pytest.mark.asyncio_only
async def test_behind_an_http_proxy():
    headers = {"X-Forwarded-For": "192.0.2.9, 192.0.2.1", "X-Forwarded-Proto": "https"}
    headers["X-Forwarded-Host"] = "example.com"
    async with (
        running(load("behind_an_http_proxy")["main"], proxies=["127.0.0.1", "::1"]) as uri,
        connect(uri, additional_headers=headers) as websocket,
    ):
        assert await websocket.recv() == "You are 192.0.2.1."
        assert await websocket.recv() == "You asked for https://example.com."


@pytest.mark.parametrize(
    ("ssl_tlv", "line"),
    [
        (None, "You don't use TLS."),
        (b"\1\0\0\0\0\x21\0\7TLSv1.3", "You use TLSv1.3, but gave no certificate."),
        (b"\3\0\0\0\1\x21\0\7TLSv1.3", "You use TLSv1.3, but gave no certificate."),
        (b"\3\0\0\0\0\x22\0\2me", "Your certificate says that you are me."),
    ],
)
@pytest.mark.asyncio_only
async def test_what_the_balancer_says(ssl_tlv, line, capsys):
    tlvs = [(2, b"example.com"), (5, b"7"), *([] if ssl_tlv is None else [(0x20, ssl_tlv)])]
    async with (
        running(load("what_the_balancer_says")["main"], **TRUSTED) as uri,
        connect(uri, send_proxy_header=HEADER.replace(tlvs=tlvs)) as websocket,
    ):
        assert await websocket.recv() == line
        assert await websocket.recv() == "You asked for example.com."
        assert await websocket.recv() == "The balancer calls this connection b'7'."
        await websocket.wait_closed()
    assert "TLV 0x02: b'example.com'\n" in capsys.readouterr().out


@pytest.mark.asyncio_only
async def test_what_the_balancer_says_of_others():
    async with (
        running(load("what_the_balancer_says")["main"], balancers=["192.0.2.1"]) as uri,
        connect(uri) as websocket,
    ):
        assert await websocket.recv() == "You came without a load balancer."


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.asyncio_only
async def test_any_server_behind_a_balancer(tls, tmp_path):
    files, context = [], None
    if tls:
        trustme = pytest.importorskip("trustme")
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        files = [str(tmp_path / name) for name in ("certificate.pem", "key.pem")]
        certificate.cert_chain_pems[0].write_to_path(files[0])
        certificate.private_key_pem.write_to_path(files[1])
        context = ssl.create_default_context()
        authority.configure_trust(context)
    main = load("any_server_behind_a_balancer")["main"]
    async with running(main, *files, **TRUSTED) as uri:
        reader, writer = await asyncio.open_connection("localhost", urlsplit(uri).port)
        writer.write(build(HEADER))
        if context is not None:
            await writer.start_tls(context, server_hostname="localhost")
        assert await reader.readline() == b"Hello 192.0.2.1, port 4711!\n"
        writer.write(b"and back\n")
        assert await reader.readline() == b"and back\n"
        writer.transport.abort()
        await asyncio.sleep(0.01)


@pytest.mark.asyncio_only
async def test_pretend_to_be_a_balancer(capsys):
    async with running(load("real_client_address")["main"], **TRUSTED) as uri:
        await load("pretend_to_be_a_balancer")["main"](uri)
    own, *others = capsys.readouterr().out.splitlines()
    assert own.startswith(("You are 127.0.0.1, port ", "You are ::1, port "))
    assert others == ["You are 192.0.2.1, port 4711."] * 2


def test_headers_by_hand():
    lines = run("headers_by_hand").splitlines()
    assert lines == [
        "from ('203.0.113.7', 56324) for example.com as b'request-1'",
        "then b'GET / HTTP/1.1\\r\\n'",
        "refused: b'203.0.113.07' is not a source address: b'PROXY TCP4 203.0.113.07 '",
        "datagram from ('203.0.113.7', 53124): b'a question'",
    ]


@pytest.mark.asyncio_only
async def test_moved_from_proxy_protocol():
    async with running(load("moved_from_proxy_protocol")["main"]) as uri:
        for data, answer in [
            (build(HEADER, version=1), b"Hello 192.0.2.1:4711, you called 192.0.2.2:443.\n"),
            (build(HEADER), b"Hello 192.0.2.1:4711, you called 192.0.2.2:443.\n"),
            (b"GET / HTTP/1.1\r\n", b""),
        ]:
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(uri).port)
            writer.write(data)
            try:
                assert await reader.read() == answer
            except ConnectionResetError:
                assert not answer
            writer.transport.abort()
