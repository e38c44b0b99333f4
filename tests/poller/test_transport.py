"""The poller's transport behaves as asyncio's: each test runs on both."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from .servers import (
    Buffered,
    Echo,
    Plain,
    connected,
    dial,
    exceptions_told,
    kinds,
    listening,
    needs_poller,
    turns,
)

pytestmark = [needs_poller, kinds]

# More than the operating system keeps, in bytes.
MANY = 500_000


def payload(n):
    """Bytes at which a mistake in their order shows."""
    return b"".join(i.to_bytes(4, "big") for i in range(n // 4))


# Receiving


@pytest.mark.parametrize("factory", [Plain, Buffered])
async def test_receive(kind, factory):
    async with connected(kind, factory) as (client, notes):
        await client.send(b"hello")
        await notes.until_received(5)
        data = payload(1_000_000)
        await client.send(data)
        await notes.until_received(5 + len(data))
        assert notes.data == b"hello" + data
        assert notes.names == ["connection_made"]


async def test_small_buffers(kind):
    """Of a buffer that is too small, the rest comes into the next."""

    class Small(Buffered):
        size = 3

    async with connected(kind, Small) as (client, notes):
        await client.send(b"0123456789")
        await notes.until_received(10)
        assert notes.data == b"0123456789"
        assert all(call[1] <= 3 for call in notes.calls if call[0] == "data_received")


async def test_pause_and_resume_reading(kind):
    async with connected(kind, Plain) as (client, notes):
        transport = notes.transport
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        await client.send(b"x")
        await turns()
        assert notes.data == b""
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await notes.until_received(1)


async def test_end_of_stream_while_reading_is_paused(kind):
    async with connected(kind, Plain) as (client, notes):
        notes.transport.pause_reading()
        await client.send(b"x")
        client.shutdown()
        await turns()
        assert notes.calls == [("connection_made",)]
        notes.transport.resume_reading()
        await notes.until_called("connection_lost")
        assert notes.data == b"x"
        assert notes.names == ["connection_made", "eof_received", "connection_lost"]


async def test_pause_in_a_callback(kind):
    class Pausing(Plain):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async with connected(kind, Pausing) as (client, notes):
        await client.send(b"1")
        await notes.until_received(1)
        await client.send(b"2")
        await turns()
        assert notes.data == b"1"
        notes.transport.resume_reading()
        await notes.until_received(2)


# The end of the stream


async def test_end_of_stream(kind):
    async with connected(kind, Plain) as (client, notes):
        client.shutdown()
        await notes.until_called("connection_lost")
        assert notes.names == ["connection_made", "eof_received", "connection_lost"]
        assert notes.lost_because() is None
        assert await client.receive_to_end() == b""


async def test_half_close_by_the_other_side(kind):
    async with connected(kind, Plain) as (client, notes):
        notes.keep_open = True
        client.shutdown()
        await notes.until_called("eof_received")
        await turns()
        assert not notes.transport.is_closing()
        data = payload(MANY)
        notes.transport.write(data)
        notes.transport.close()
        assert await client.receive_to_end() == data
        await notes.until_called("connection_lost")
        assert notes.names.count("eof_received") == 1
        assert notes.lost_because() is None


async def test_reading_cannot_go_on_after_the_end(kind):
    async with connected(kind, Plain) as (client, notes):
        notes.keep_open = True
        client.shutdown()
        await notes.until_called("eof_received")
        notes.transport.resume_reading()
        await turns()
        assert notes.names.count("eof_received") == 1


async def test_what_waits_is_written_after_the_end_of_the_stream(kind):
    """When the protocol doesn't keep the connection open, it is closed, not cut."""
    async with connected(kind, Plain) as (client, notes):
        data = payload(MANY)
        notes.transport.write(data)
        client.shutdown()
        await notes.until_called("eof_received")
        assert notes.transport.is_closing()
        assert await client.receive_to_end() == data
        await notes.until_called("connection_lost")
        assert notes.lost_because() is None


async def test_write_eof(kind):
    async with connected(kind, Plain) as (client, notes):
        transport = notes.transport
        assert transport.can_write_eof()
        transport.write(b"bye")
        transport.write_eof()
        transport.write_eof()
        assert await client.receive_to_end() == b"bye"
        for write in (transport.write, lambda data: transport.writelines([data])):
            with pytest.raises(RuntimeError, match="write_eof"):
                write(b"x")
        # The other direction is still there.
        await client.send(b"x")
        await notes.until_received(1)
        transport.close()
        await notes.until_called("connection_lost")
        assert notes.lost_because() is None


async def test_write_eof_behind_what_waits(kind):
    async with connected(kind, Plain) as (client, notes):
        data = payload(MANY)
        notes.transport.write(data)
        notes.transport.write_eof()
        assert notes.transport.get_write_buffer_size() > 0
        assert await client.receive_to_end() == data
        assert not notes.transport.is_closing()


# Writing


async def test_flow_control(kind):
    async with connected(kind, Plain) as (client, notes):
        transport = notes.transport
        transport.set_write_buffer_limits(high=50_000, low=10_000)
        assert transport.get_write_buffer_limits() == (10_000, 50_000)
        data = payload(100_000)
        sent = b""
        while "pause_writing" not in notes.names:
            assert transport.get_write_buffer_size() <= 50_000
            transport.write(data)
            sent += data
        assert transport.get_write_buffer_size() > 50_000
        transport.write(data)
        sent += data
        assert notes.names.count("pause_writing") == 1
        assert "resume_writing" not in notes.names
        assert await client.receive(len(sent)) == sent
        await notes.until_called("resume_writing")
        assert notes.names == ["connection_made", "pause_writing", "resume_writing"]
        assert transport.get_write_buffer_size() == 0
        # And once more.
        while notes.names.count("pause_writing") == 1:
            transport.write(data)
        transport.abort()


async def test_limits_of_flow_control(kind):
    async with connected(kind, Plain) as (client, notes):
        transport = notes.transport
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        for kwargs, limits in [
            ({"high": 100}, (25, 100)),
            ({"low": 100}, (100, 400)),
            ({"high": 100, "low": 0}, (0, 100)),
            ({"high": 0}, (0, 0)),
            ({}, (16 * 1024, 64 * 1024)),
        ]:
            transport.set_write_buffer_limits(**kwargs)
            assert transport.get_write_buffer_limits() == limits
        for kwargs in [{"high": 1, "low": 2}, {"high": 1, "low": -1}, {"high": -1}]:
            with pytest.raises(ValueError, match="must be >="):
                transport.set_write_buffer_limits(**kwargs)
        transport.write(payload(MANY))
        size = transport.get_write_buffer_size()
        assert size > 64 * 1024
        assert notes.names == ["connection_made", "pause_writing"]
        assert len(await client.receive(MANY)) == MANY


async def test_limits_that_are_lowered(kind):
    """A buffer that is over the new limit pauses at once."""
    async with connected(kind, Plain) as (_, notes):
        transport = notes.transport
        transport.set_write_buffer_limits(high=100_000_000)
        transport.write(payload(MANY))
        assert notes.names == ["connection_made"]
        transport.set_write_buffer_limits(high=1000)
        assert notes.names == ["connection_made", "pause_writing"]


async def test_writing_while_writing_resumes(kind):
    class Writer(Plain):
        left = 5

        def resume_writing(self):
            super().resume_writing()
            if self.left:
                self.left -= 1
                self.transport.write(payload(MANY))

    async with connected(kind, Writer) as (client, notes):
        notes.transport.write(payload(MANY))
        assert await client.receive(MANY * 6) == payload(MANY) * 6
        await notes.until(lambda notes: notes.names.count("resume_writing") == 6)
        assert notes.names.count("pause_writing") == 6


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
async def test_kinds_of_data(kind, make):
    async with connected(kind, Plain) as (client, notes):
        notes.transport.write(make(b"abc"))
        notes.transport.writelines([make(b"def"), make(b""), make(b"ghi")])
        notes.transport.write(make(b""))
        notes.transport.writelines([])
        assert await client.receive(9) == b"abcdefghi"


async def test_what_is_no_data(kind):
    async with connected(kind, Plain) as (client, notes):
        for data in ("text", 5, None, [1]):
            with pytest.raises(TypeError):
                notes.transport.write(data)
        notes.transport.write(b"abc")
        assert await client.receive(3) == b"abc"


async def test_mutable_data_may_change_afterwards(kind):
    if kind == "loop" and sys.version_info >= (3, 12):
        pytest.skip("asyncio keeps a view of what it couldn't write")
    async with connected(kind, Plain) as (client, notes):
        data = bytearray(payload(MANY))
        expected = bytes(data)
        notes.transport.write(data)
        data[:] = bytes(len(data))
        notes.transport.write(memoryview(data))
        assert await client.receive(2 * len(expected)) == expected + bytes(len(data))


@pytest.mark.parametrize("count", [1, 3, 64, 65, 2000])
async def test_writelines(kind, count):
    """More pieces than the operating system takes at once, small and large ones."""
    async with connected(kind, Plain) as (client, notes):
        pieces = [payload(4 * (1 + i % 7)) * (1 + i % 3) for i in range(count)]
        pieces[count // 2] = payload(MANY // 2)
        notes.transport.writelines(pieces)
        notes.transport.writelines(iter(pieces))
        expected = b"".join(pieces) * 2
        assert await client.receive(len(expected)) == expected
        assert notes.transport.get_write_buffer_size() == 0


async def test_small_writes_behind_a_large_one(kind):
    async with connected(kind, Plain) as (client, notes):
        transport = notes.transport
        transport.write(payload(MANY))
        for i in range(100):
            transport.write(b"%d;" % i)
        transport.writelines([b"a", b"b"])
        data = await client.receive(MANY + 292)
        assert data[:MANY] == payload(MANY)
        assert data[MANY:] == b"".join(b"%d;" % i for i in range(100)) + b"ab"


# Closing


async def test_close(kind):
    async with connected(kind, Plain) as (client, notes):
        transport = notes.transport
        assert not transport.is_closing()
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert not transport.is_reading()
        # It is told later.
        assert notes.names == ["connection_made"]
        await notes.until_called("connection_lost")
        assert notes.lost_because() is None
        assert await client.receive_to_end() == b""
        transport.close()
        transport.abort()
        await turns()
        assert notes.names == ["connection_made", "connection_lost"]


async def test_close_with_backlog(kind):
    async with connected(kind, Plain) as (client, notes):
        transport = notes.transport
        transport.write(payload(MANY))
        transport.close()
        assert transport.is_closing()
        await turns()
        assert "connection_lost" not in notes.names
        assert await client.receive_to_end() == payload(MANY)
        await notes.until_called("connection_lost")
        assert notes.lost_because() is None
        assert notes.data == b""


async def test_abort_with_backlog(kind):
    async with connected(kind, Plain) as (client, notes):
        transport = notes.transport
        transport.write(payload(MANY))
        transport.abort()
        assert transport.is_closing()
        assert "connection_lost" not in notes.names
        await notes.until_called("connection_lost")
        assert notes.lost_because() is None
        try:
            assert len(await client.receive_to_end()) < MANY
        except ConnectionResetError:
            pass


async def test_abort_after_close(kind):
    async with connected(kind, Plain) as (_, notes):
        notes.transport.write(payload(MANY))
        notes.transport.close()
        notes.transport.abort()
        await notes.until_called("connection_lost")
        assert notes.lost_because() is None


async def test_close_in_a_callback(kind):
    """Nothing is received after it, also if it has come already."""

    class Closing(Buffered):
        size = 1

        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.transport.close()

    async with connected(kind, Closing) as (client, notes):
        await client.send(b"xyz")
        await notes.until_called("connection_lost")
        assert notes.data == b"x"


async def test_writes_after_the_end_are_ignored(kind):
    async with connected(kind, Plain) as (_, notes):
        transport = notes.transport
        transport.abort()
        await notes.until_called("connection_lost")
        transport.write(b"x")
        transport.write_eof()
        transport.pause_reading()
        transport.resume_reading()
        assert transport.get_write_buffer_size() == 0
        await turns()
        assert notes.names == ["connection_made", "connection_lost"]


# Errors of the network


async def test_reset_by_the_other_side(kind):
    async with connected(kind, Plain) as (client, notes):
        client.reset()
        await notes.until_called("connection_lost")
        assert isinstance(notes.lost_because(), ConnectionResetError)
        assert notes.names == ["connection_made", "connection_lost"]


async def test_reset_while_data_waits(kind):
    async with connected(kind, Plain) as (client, notes):
        notes.transport.write(payload(MANY))
        notes.transport.pause_reading()
        client.reset()
        await notes.until_called("connection_lost")
        assert isinstance(notes.lost_because(), ConnectionError)
        assert notes.transport.get_write_buffer_size() == 0


async def test_reset_while_closing(kind):
    async with connected(kind, Plain) as (client, notes):
        notes.transport.write(payload(MANY))
        notes.transport.close()
        client.reset()
        await notes.until_called("connection_lost")
        assert isinstance(notes.lost_because(), ConnectionError)


@pytest.mark.parametrize("lines", [False, True])
async def test_write_to_a_connection_that_is_lost(kind, lines):
    """It doesn't raise; connection_lost() tells."""
    if kind == "loop" and lines and sys.version_info >= (3, 12):
        pytest.skip("asyncio's writelines() raises AttributeError")
    async with connected(kind, Plain) as (client, notes):
        transport = notes.transport
        transport.pause_reading()
        client.reset()
        for _ in range(1000):
            if lines:
                transport.writelines([b"x", b"y"])
            else:
                transport.write(b"x")
            if "connection_lost" in notes.names:
                break
            await asyncio.sleep(0)
        assert isinstance(notes.lost_because(), ConnectionError)


# Errors of protocols


class Bug(Exception):
    pass


def buggy(name, base=Plain):
    """A protocol that raises in one of its methods."""

    def method(self, *args):
        self.note(name)
        raise Bug(name)

    return type("Buggy", (base,), {name: method})


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("data_received", Plain),
        ("buffer_updated", Buffered),
        ("get_buffer", Buffered),
        ("eof_received", Plain),
        ("eof_received", Buffered),
    ],
)
async def test_an_exception_ends_the_connection(kind, name, base):
    with exceptions_told() as told:
        async with connected(kind, buggy(name, base)) as (client, notes):
            if name == "eof_received":
                client.shutdown()
            else:
                await client.send(b"x")
            await notes.until_called("connection_lost")
            exc = notes.lost_because()
            assert isinstance(exc, Bug)
        assert [context["exception"] for context in told] == [exc]
        assert told[0]["transport"] is notes.transport
        assert told[0]["protocol"] is notes


async def test_an_oserror_of_the_protocol_is_told_as_well(kind):
    """It isn't one of the network, for which asyncio takes it."""
    if kind == "loop":
        return

    class Buggy(Plain):
        def data_received(self, data):
            raise FileNotFoundError("config")

    with exceptions_told() as told:
        async with connected(kind, Buggy) as (client, notes):
            await client.send(b"x")
            await notes.until_called("connection_lost")
        assert [type(context["exception"]) for context in told] == [FileNotFoundError]


async def test_an_empty_buffer_is_an_error(kind):
    """It is not the end of the stream."""

    class Empty(Buffered):
        size = 0

    with exceptions_told() as told:
        async with connected(kind, Empty) as (client, notes):
            await client.send(b"x")
            await notes.until_called("connection_lost")
            assert isinstance(notes.lost_because(), RuntimeError)
        assert len(told) == 1
        assert "eof_received" not in notes.names


async def test_exceptions_of_flow_control_do_not_end_the_connection(kind):
    class Buggy(Plain):
        def pause_writing(self):
            super().pause_writing()
            raise Bug("pause_writing")

        def resume_writing(self):
            super().resume_writing()
            raise Bug("resume_writing")

    with exceptions_told() as told:
        async with connected(kind, Buggy) as (client, notes):
            notes.transport.write(payload(MANY))
            assert await client.receive(MANY) == payload(MANY)
            await notes.until_called("resume_writing")
            notes.transport.write(b"x")
            assert await client.receive(1) == b"x"
        assert [str(context["exception"]) for context in told] == [
            "pause_writing",
            "resume_writing",
        ]


async def test_an_exception_in_connection_lost(kind):
    with exceptions_told() as told:
        async with connected(kind, buggy("connection_lost")) as (client, notes):
            notes.transport.close()
            assert await client.receive_to_end() == b""
            await turns()
        assert [type(context["exception"]) for context in told] == [Bug]


# The rest


async def test_another_protocol(kind):
    """A connection can be handed on, to one with buffers or without."""
    async with connected(kind, Plain) as (client, first):
        transport = first.transport
        await client.send(b"1")
        await first.until_received(1)
        for factory in (Buffered, Plain, Buffered):
            second = factory()
            second.transport = transport
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            await client.send(b"2")
            await second.until_received(1)
        client.shutdown()
        await second.until_called("connection_lost")
        assert first.data == b"1"
        assert first.names == ["connection_made"]
        first.note("connection_lost")


async def test_extra_info(kind):
    async with listening(kind, Plain) as (address, made), dial(address) as client:
        while not made or made[0].transport is None:
            await asyncio.sleep(0.001)
        transport = made[0].transport
        assert transport.get_extra_info("peername") == client.sock.getsockname()
        assert transport.get_extra_info("sockname") == address
        sock = transport.get_extra_info("socket")
        assert sock.getpeername() == client.sock.getsockname()
        assert sock.family == socket.AF_INET
        assert transport.get_extra_info("sslcontext") is None
        assert transport.get_extra_info("nothing", 5) == 5
        transport.close()
        await made[0].until_called("connection_lost")
        # Logs want these when all is over.
        assert transport.get_extra_info("peername") == client.sock.getsockname()
        assert transport.get_extra_info("sockname") == address


async def test_many_connections(kind):
    """More than are served in one turn."""
    async with listening(kind, Echo) as (address, made):
        clients = []
        managers = [dial(address) for _ in range(150)]
        for manager in managers:
            clients.append(await manager.__aenter__())
        for round_ in range(3):
            for i, client in enumerate(clients):
                await client.send(b"%d:%d;" % (round_, i))
            for i, client in enumerate(clients):
                expected = b"%d:%d;" % (round_, i)
                assert await client.receive(len(expected)) == expected
        for manager in managers:
            await manager.__aexit__(None, None, None)
        for notes in made:
            await notes.until_called("connection_lost")
            assert notes.lost_because() is None


async def test_streams(kind):
    """asyncio's own streams work on top of it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    done = loop.create_future()

    async def serve(reader, writer):
        data = await reader.readexactly(5)
        writer.write(data[::-1])
        await writer.drain()
        writer.write_eof()
        assert await reader.read() == b"!"
        writer.close()
        await writer.wait_closed()
        done.set_result(None)

    def factory():
        return asyncio.StreamReaderProtocol(reader, serve)

    async with listening(kind, factory) as (address, _), dial(address) as client:
        await client.send(b"hello")
        assert await client.receive_to_end() == b"olleh"
        await client.send(b"!")
        client.shutdown()
        await done
