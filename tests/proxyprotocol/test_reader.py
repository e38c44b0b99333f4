"""Headers from asyncio streams, in the interface of ``proxy-protocol``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import types

import pytest

from tidegate.proxyprotocol import ProxyProtocolSyntaxError, parse
from tidegate.proxyprotocol.detect import ProxyProtocolDetect
from tidegate.proxyprotocol.noop import ProxyProtocolNoop
from tidegate.proxyprotocol.reader import ProxyProtocolReader
from tidegate.proxyprotocol.result import ProxyResultLocal, is_unknown
from tidegate.proxyprotocol.sock import SocketInfoLocal, SocketInfoProxy
from tidegate.proxyprotocol.v1 import ProxyProtocolV1
from tidegate.proxyprotocol.v2 import ProxyProtocolV2
from tidegate.testing.installed import free_port

from .captures import CAPTURES, DATA

LINE = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n"
DETECT = ProxyProtocolReader(ProxyProtocolDetect())


def stream(data, eof=True):
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    if eof:
        reader.feed_eof()
    return reader


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
async def test_nothing_after_the_header_is_read(capture):
    for pp in (
        ProxyProtocolDetect(),
        ProxyProtocolV1() if capture.header[:1] == b"P" else ProxyProtocolV2(),
    ):
        reader = stream(capture.header + b"payload")
        assert await ProxyProtocolReader(pp).read(reader) == pp.unpack(capture.header)
        assert await reader.read() == b"payload"


@pytest.mark.parametrize("data", [LINE, CAPTURES[2].header])
async def test_end_of_connection(data):
    """18 bytes and a FIN once made a loop without end, which even a time limit didn't stop."""
    for at in range(len(data)):
        with pytest.raises(asyncio.IncompleteReadError):
            await DETECT.read(stream(data[:at]))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n",
        b"PROXY UNKNOWN " + b"x" * 100_000,
    ],
)
async def test_no_header(data):
    with pytest.raises(ProxyProtocolSyntaxError):
        await DETECT.read(stream(data, eof=False))


async def test_noop(caplog):
    caplog.set_level(logging.INFO, "tidegate.proxyprotocol")
    noop = ProxyProtocolReader(ProxyProtocolNoop())
    # Whoever sets this by mistake finds it in the log.
    assert "no PROXY protocol headers will be read" in caplog.text
    reader = stream(LINE)
    assert await noop.read(reader) == ProxyResultLocal()
    assert await reader.read() == LINE


class Writer:
    """As much of a stream writer as a callback needs."""

    transport = None

    def __init__(self):
        self.closed = False

    def close(self):
        self.closed = True

    def get_extra_info(self, name, default=None):
        sock = types.SimpleNamespace(family=2, type=1)
        extra = {"socket": sock, "peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}
        return extra.get(name, default)


async def test_callback():
    seen = []

    async def callback(reader, writer, info):
        seen.append((await reader.read(), info))

    connected = DETECT.get_callback(callback)
    writer = Writer()
    await connected(stream(LINE + b"hello"), writer)
    ((data, info),) = seen
    assert data == b"hello"
    assert isinstance(info, SocketInfoProxy)
    assert info.peername == ("192.0.2.1", 4711)
    assert not writer.closed
    await connected(stream(CAPTURES[6].header + b"hello"), writer)
    data, info = seen[1]
    assert isinstance(info, SocketInfoLocal)
    assert info.peername == ("127.0.0.1", 1)
    assert len(info.unique_id) == 16


@pytest.mark.parametrize(
    ("data", "eof", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", False, ProxyProtocolSyntaxError),
        (LINE[:20], True, asyncio.IncompleteReadError),
        (LINE[:20], False, TimeoutError),
    ],
)
async def test_callback_without_a_header(data, eof, reason):
    seen = []

    async def callback(reader, writer, info):
        seen.append((await reader.read(), info))

    writer = Writer()
    await DETECT.get_callback(callback, timeout=0.02)(stream(data, eof), writer)
    assert writer.closed
    ((data, info),) = seen
    # What came instead of a header isn't given to anybody.
    assert data == b""
    assert is_unknown(info._result)
    assert isinstance(info._result.exception, reason)


async def test_callback_that_fails():
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def callback(reader, writer, info):
        raise LookupError("where was I?")

    writer = Writer()
    await DETECT.get_callback(callback)(stream(LINE), writer)
    assert [str(context["exception"]) for context in reported] == ["where was I?"]
    assert writer.closed


@pytest.fixture
def quickstart():
    """The program that the description of ``proxy-protocol`` shows, with the imports changed."""
    text = (DATA / "quickstart.txt").read_text()
    changed = text.replace("from proxyprotocol.", "from tidegate.proxyprotocol.")
    names = {"__name__": "quickstart"}
    exec(changed, names)
    return names


async def test_quickstart(quickstart, capsys):
    port = free_port()
    task = asyncio.create_task(quickstart["main"]("127.0.0.1", port))
    lines = []
    for header in (LINE, *(capture.header for capture in CAPTURES), b"GET / HTTP/1.1\r\n"):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
        client = writer.get_extra_info("sockname")
        writer.write(header + b"hello")
        if header[:3] != b"GET":
            assert await reader.readexactly(5) == b"hello"
            writer.write_eof()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
        lines.append((header, client))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    printed = capsys.readouterr().out.splitlines()
    for i, (header, client) in enumerate(lines):
        family, source, destination = "AF_INET", client, ("127.0.0.1", port)
        peername = client
        parsed = None if header[:3] == b"GET" else parse(header)[0]
        if parsed is None or (parsed.source is None and parsed.command == "PROXY"):
            # The header says that the client isn't known, or there is none.
            family, peername = "AF_UNSPEC", None
        elif parsed.source is not None:
            family, source, destination = parsed.family, parsed.source, parsed.destination
            peername = source if family == "AF_INET" else (*source, 0, 0)
        assert printed[2 * i] == f"Connection from: {family} {peername}"
        assert printed[2 * i + 1] == (
            f"Original client: {source[0]}:{source[1]} -> {destination[0]}:{destination[1]}"
        )
    assert len(printed) == 2 * len(lines)
