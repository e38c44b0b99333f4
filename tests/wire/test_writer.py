"""What the writer makes, byte by byte."""

from __future__ import annotations

import array
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.extensions.permessage_deflate import PerMessageDeflate
from tidegate.wire.writer import FrameWriter
from tidegate.wire.writer import as_bytes as as_bytes_of

from .exposed import methods
from .frames import BINARY, CONT, PING, TEXT, frame
from .reading import Outcome, cut, make_reader, read_frames, read_messages


def make_writer(*extensions, mask=False):
    writer = FrameWriter(mask, 1)
    writer.configure(extensions)
    return writer


def deflate(**kwargs):
    settings = {
        "remote_no_context_takeover": False,
        "local_no_context_takeover": False,
        "remote_max_window_bits": 15,
        "local_max_window_bits": 15,
    }
    return PerMessageDeflate(**settings | kwargs)


# From this size on, in bytes, a payload is sent as it is.
LARGE = 64 * 1024

# Payloads


BUFFERS = [
    (b"abc", b"abc"),
    (bytearray(b"abc"), b"abc"),
    (memoryview(b"abc"), b"abc"),
    (memoryview(b"a-b-c-")[::2], b"abc"),
    (memoryview(b"cba")[::-1], b"abc"),
    (memoryview(b"abcdef").cast("B", (2, 3)), b"abcdef"),
    (array.array("I", [1, 2]), array.array("I", [1, 2]).tobytes()),
    (memoryview(array.array("I", [1, 2])), array.array("I", [1, 2]).tobytes()),
    (memoryview(array.array("I")), b""),
    (memoryview(array.array("H", range(5000))), array.array("H", range(5000)).tobytes()),
]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(("data", "expected"), BUFFERS, ids=range(len(BUFFERS)))
def test_any_buffer(data, expected, mask, compress):
    extensions = [deflate()] if compress else []
    writer = make_writer(*extensions, mask=mask)
    writer.write_data(BINARY, data, True, None)
    writer.write_data(BINARY, data, False, None)
    writer.write_data(CONT, data, False, None)
    writer.write_data(CONT, memoryview(b""), True, None)
    outcome = read_messages(make_reader(extensions, mask=mask), writer.take())
    assert outcome == Outcome([expected, expected * 2])


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("data", [5, "text", [1, 2], None, {1: 2}])
def test_not_a_buffer(data, compress):
    """A number is not so many zeros, a list is not its items."""
    writer = make_writer(*([deflate()] if compress else []))
    with pytest.raises(TypeError, match="bytes-like object is required"):
        writer.write_data(BINARY, data, False, None)
    assert writer.take() == []
    assert writer.pending == 0
    assert not writer.continuing


@pytest.mark.parametrize("size", [3, LARGE, LARGE + 1])
@pytest.mark.parametrize("split", [False, True])
def test_mutable_buffers_may_change_afterwards(size, split):
    data = bytearray(b"x" * size)
    writer = make_writer()
    writer.split = split
    writer.write_data(BINARY, data, True, None)
    writer.write_data(BINARY, memoryview(data), True, None)
    data[:] = b"y" * size
    assert b"".join(writer.take()) == frame(BINARY, b"x" * size) * 2
    # It isn't held, either.
    data.clear()


def test_as_bytes():
    data = b"abc"
    assert as_bytes_of(data) is data
    assert type(as_bytes_of(type("Bytes", (bytes,), {})(b"abc"))) is bytes


# Large payloads


@pytest.mark.parametrize("size", [LARGE - 1, LARGE])
@pytest.mark.parametrize("mask", [False, True])
def test_large_payloads_are_not_copied(size, mask):
    data = b"x" * size
    writer = make_writer(mask=mask)
    writer.split = True
    writer.write_data(BINARY, data, True, None)
    methods.write_bytes(writer, BINARY, data)
    assert writer.pending == sum(map(len, writer.writes))
    writes = writer.take()
    if size >= LARGE and not mask:
        assert [write is data for write in writes] == [False, True, False, True]
    else:
        assert len(writes) == 2
    outcome = read_frames(make_reader(mask=mask), [b"".join(writes)])
    assert outcome == Outcome([(BINARY, data, True)] * 2)


# Bookkeeping


def test_pending_and_take():
    writer = make_writer()
    methods.write_text(writer, "é")
    methods.write_bytes(writer, BINARY, b"abc")
    writer.append(b"")
    assert writer.pending == 9
    assert writer.take() == [frame(TEXT, "é".encode()), frame(BINARY, b"abc"), b""]
    assert writer.pending == 0
    assert writer.take() == []


def test_continuing():
    writer = make_writer()
    assert not writer.continuing
    writer.write_data(TEXT, b"a", False, None)
    assert writer.continuing
    writer.write_data(CONT, b"b", False, None)
    assert writer.continuing
    writer.write_control(PING, b"")
    assert writer.continuing
    writer.write_data(CONT, b"c", True, None)
    assert not writer.continuing


def test_compression_is_chosen_for_a_whole_message():
    """By its first frame; permessage-deflate's RSV1 is there and only there."""
    writer = make_writer(deflate())
    for compress in (True, False, None):
        writer.write_data(TEXT, b"a" * 100, False, compress)
        writer.write_data(CONT, b"a" * 100, True, not compress)
    frames = writer.take()
    assert [each[0] for each in frames] == [0x41, 0x80, 0x01, 0x80, 0x41, 0x80]
    assert [len(each) < 50 for each in frames] == [True, True, False, False, True, True]
    outcome = read_messages(make_reader([deflate()]), frames)
    assert outcome == Outcome(["a" * 200] * 3)


@pytest.mark.parametrize("extensions", [(), (deflate(),)])
def test_log(extensions):
    """Everything that is written is told, as it was before compression."""
    told = []
    writer = FrameWriter(False, 1)
    writer.log = lambda *args: told.append(args)
    writer.configure(extensions)
    methods.write_text(writer, "é")
    methods.write_bytes(writer, BINARY, b"x")
    writer.write_data(TEXT, b"a", False, None)
    writer.write_control(PING, b"p")
    writer.write_data(CONT, bytearray(b"b"), True, None)
    writer.write_shared(BINARY, b"s", {})
    assert told == [
        (TEXT, "é".encode(), True),
        (BINARY, b"x", True),
        (TEXT, b"a", False),
        (PING, b"p", True),
        (CONT, b"b", True),
        (BINARY, b"s", True),
    ]


# Masks


def keys_of(frames: list[bytes]) -> list[bytes]:
    return [each[2:6] for each in frames]


def test_mask_keys_come_from_the_system(monkeypatch):
    """From its CSPRNG, each used once (RFC 6455, section 10.3)."""
    made = []

    def urandom(n):
        made.append(real(n))
        return made[-1]

    real = os.urandom
    monkeypatch.setattr(os, "urandom", urandom)
    writer = make_writer(mask=True)
    while not made:
        methods.write_text(writer, "x")
    writer.take()
    made.clear()
    methods.write_text(writer, "x")
    while not made:
        methods.write_bytes(writer, BINARY, b"x")
        writer.write_data(TEXT, b"x", True, None)
        writer.write_control(PING, b"x")
        writer.write_shared(BINARY, b"x", {})
    writer.take()
    made.clear()
    # The pool is new now: what comes out is what comes in.
    while not made:
        methods.write_text(writer, "x")
    frames = writer.take()[-1:]
    while len(made) == 1:
        methods.write_text(writer, "x")
    keys = keys_of(frames + writer.take())
    pools = b"".join(made)
    assert keys == [pools[i : i + 4] for i in range(0, 4 * len(keys), 4)]
    assert len(set(keys)) > len(keys) - 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_process_has_mask_keys_of_its_own():
    writer = make_writer(mask=True)
    methods.write_text(writer, "x")
    writer.take()
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        try:
            for _ in range(50):
                methods.write_text(writer, "x")
            os.write(sending, b"".join(keys_of(writer.take())))
        finally:
            os._exit(0)
    os.close(sending)
    with open(receiving, "rb") as file:
        data = file.read()
    os.waitpid(child, 0)
    for _ in range(50):
        methods.write_text(writer, "x")
    mine = set(keys_of(writer.take()))
    others = {data[i : i + 4] for i in range(0, len(data), 4)}
    assert len(others) == len(mine) == 50
    assert not mine & others


def test_servers_do_not_mask():
    writer = make_writer()
    methods.write_text(writer, "abc")
    writer.write_control(PING, b"p")
    assert writer.take() == [b"\x81\x03abc", b"\x89\x01p"]


# Round trips

messages = st.text(max_size=200) | st.binary(max_size=2000)
window = st.integers(9, 15)


@given(
    st.lists(st.tuples(messages, st.lists(st.integers(0, 300), max_size=3)), max_size=5),
    st.lists(st.integers(0, 3000), max_size=6),
    st.booleans(),
    st.none() | st.tuples(window, st.booleans(), st.integers(0, 9), st.integers(1, 9)),
    st.booleans(),
)
def test_what_is_written_is_read(items, cuts, mask, parameters, lend):
    """Over all sizes, fragments, masks, chunks and parameters of compression."""
    sender, receiver = [], []
    if parameters is not None:
        bits, alone, level, memory = parameters
        settings = {"level": level, "memLevel": memory}
        sender = [PerMessageDeflate(False, alone, 15, bits, settings)]
        receiver = [PerMessageDeflate(alone, False, bits, 15)]
    writer = make_writer(*sender, mask=mask)
    for message, places in items:
        opcode = TEXT if isinstance(message, str) else BINARY
        data = message.encode() if isinstance(message, str) else message
        parts = cut(data, places)
        for i, part in enumerate(parts):
            writer.write_data(opcode if i == 0 else CONT, part, i == len(parts) - 1, None)
            writer.write_control(PING, b"?")
    chunks = cut(b"".join(writer.take()), cuts)
    outcome = read_messages(make_reader(receiver, mask=mask), chunks, lend=lend)
    assert outcome.error is None
    assert outcome.data == [message for message, _ in items]
    assert len(outcome.control) == sum(len(places) + 1 for _, places in items)
