"""Messages through the compressor and the decompressor of permessage-deflate."""

from __future__ import annotations

import importlib.util
import itertools
import os
import random
import subprocess
import sys
import weakref
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.exceptions import InvalidData, PayloadTooBig, ProtocolError
from tidegate.extensions import deflate
from tidegate.extensions.contexts import KeptContexts
from tidegate.extensions.deflate import MessageDeflater, MessageInflater

TAIL = b"\x00\x00\xff\xff"

messages = st.lists(st.binary(max_size=50).map(lambda b: b * (1 + len(b))), max_size=8)


def make_deflater(bits: int = 15, no_takeover: bool = False, **settings: int) -> MessageDeflater:
    return MessageDeflater(bits, no_takeover, settings)


def sync_flushed(data: bytes, bits: int = 15, zdict: bytes = b"") -> bytes:
    """Compress as RFC 7692 section 7.2.1 says, without any code of ours."""
    c = zlib.compressobj(wbits=-bits, zdict=zdict) if zdict else zlib.compressobj(wbits=-bits)
    compressed = c.compress(data) + c.flush(zlib.Z_SYNC_FLUSH)
    assert compressed.endswith(TAIL)
    return compressed[:-4]


def finished(data: bytes, bits: int = 15, zdict: bytes = b"") -> bytes:
    """Compress into a stream whose last block has BFINAL set."""
    c = zlib.compressobj(wbits=-bits, zdict=zdict) if zdict else zlib.compressobj(wbits=-bits)
    return c.compress(data) + c.flush(zlib.Z_FINISH)


class ReferencePeer:
    """An inflater that knows nothing of ours: strict about the window, one stream for all."""

    def __init__(self, bits: int) -> None:
        self.inflater = zlib.decompressobj(wbits=-bits)

    def receive(self, compressed: bytes) -> bytes:
        return self.inflater.decompress(compressed + TAIL)


@given(
    messages,
    st.integers(9, 15),
    st.booleans(),
    st.integers(-1, 9),
    st.integers(1, 9),
)
def test_messages_arrive_as_they_were_sent(
    data: list[bytes], bits: int, no_takeover: bool, level: int, mem_level: int
) -> None:
    deflater = make_deflater(bits, no_takeover, level=level, memLevel=mem_level)
    inflater = MessageInflater(bits, no_takeover)
    for message in data:
        compressed = deflater.compress(message)
        assert inflater.decompress(compressed, True, len(message)) == message


@given(messages, st.integers(9, 15), st.data())
def test_fragments_arrive_as_they_were_sent(
    data: list[bytes], bits: int, draw: st.DataObject
) -> None:
    deflater, inflater = make_deflater(bits), MessageInflater(bits, False)
    for message in data:
        cuts = sorted(draw.draw(st.lists(st.integers(0, len(message)), max_size=4)))
        parts = [message[a:b] for a, b in itertools.pairwise([0, *cuts, len(message)])]
        received = b""
        for i, part in enumerate(parts):
            fin = i == len(parts) - 1
            received += inflater.decompress(deflater.compress_fragment(part, fin), fin)
        assert received == message


@given(st.binary(max_size=2000), st.data())
def test_pieces_give_the_same_as_the_whole(message: bytes, draw: st.DataObject) -> None:
    inflater = MessageInflater(15, False)
    for _ in range(2):
        compressed = sync_flushed(message)
        cuts = sorted(draw.draw(st.lists(st.integers(0, len(compressed)), max_size=6)))
        received = b""
        for a, b in itertools.pairwise([0, *cuts]):
            received += inflater.decompress(compressed[a:b], False)
        received += inflater.decompress(compressed[cuts[-1] if cuts else 0 :], True)
        assert received == message


def test_mixed_sizes_keep_the_peers_window_right() -> None:
    """Short messages keep a context and long ones get their own: distances must still fit."""
    rng = random.Random(7692)
    words = [rng.randbytes(20) for _ in range(50)]
    for bits in (9, 12, 15):
        deflater, peer = make_deflater(bits, memLevel=5), ReferencePeer(bits)
        for _ in range(200):
            size = rng.choice([1, 3, 20, 100, 500, 2000 if bits < 15 else 20000, 4100, 9000])
            if rng.random() < 0.02:
                size = 70_000
            message = b"".join(rng.choice(words) for _ in range(size // 20 + 1))[:size]
            if rng.random() < 0.1:
                deflater.restart()
            if rng.random() < 0.2:
                cut = rng.randrange(size + 1)
                first = deflater.compress_fragment(message[:cut], False)
                last = deflater.compress_fragment(message[cut:], True)
                assert peer.inflater.decompress(first) + peer.receive(last) == message
            else:
                assert peer.receive(deflater.compress(message)) == message


def test_context_is_taken_over() -> None:
    message = random.Random(1).randbytes(500)
    deflater = make_deflater()
    first, second = deflater.compress(message), deflater.compress(message)
    assert len(first) > 500
    assert len(second) < 50


def test_context_is_taken_over_from_a_long_message_to_a_short_one() -> None:
    message = random.Random(1).randbytes(5000)
    deflater = make_deflater(12)
    deflater.compress(message)
    assert len(deflater.compress(message[-1000:])) < 50


def test_context_is_not_taken_over() -> None:
    message = random.Random(1).randbytes(500)
    deflater = make_deflater(no_takeover=True)
    assert deflater.compress(message) == deflater.compress(message)
    for fragments in range(2):
        assert len(deflater.compress_fragment(message, False)) > 500, fragments
        deflater.compress_fragment(b"", True)


@pytest.mark.parametrize("no_takeover", [False, True])
def test_empty_message_is_one_byte(no_takeover: bool) -> None:
    deflater, peer = make_deflater(no_takeover=no_takeover), ReferencePeer(15)
    for message in (b"", b"abc", b"", b"", b"abc"):
        compressed = deflater.compress(message)
        assert peer.receive(compressed) == message
        if not message:
            # RFC 7692 section 7.2.3.6
            assert compressed == b"\x00"


def test_empty_fragments() -> None:
    deflater, peer = make_deflater(), ReferencePeer(15)
    for message in ([b"", b""], [b"", b"a", b""], [b"a", b"", b"b"], [b"", b"", b"c"]):
        received = b""
        for part in message[:-1]:
            received += peer.inflater.decompress(deflater.compress_fragment(part, False))
        received += peer.receive(deflater.compress_fragment(message[-1], True))
        assert received == b"".join(message)


def test_alone_fits_every_window_if_the_context_is_restarted() -> None:
    message = random.Random(2).randbytes(300)
    deflaters = [make_deflater(12), make_deflater(12)]
    peers = [ReferencePeer(12), ReferencePeer(12)]
    assert deflaters[0].key == deflaters[1].key
    assert deflaters[0].key != make_deflater(11).key != make_deflater(11, level=1).key
    for _ in range(3):
        peers[0].receive(deflaters[0].compress(message[:100]))
        shared = deflaters[0].compress_alone(message)
        for deflater, peer in zip(deflaters, peers, strict=True):
            deflater.restart()
            assert peer.receive(shared) == message
            assert peer.receive(deflater.compress(message)) == message
    assert deflaters[0].compress_alone(b"") == b"\x00"


def test_buffers_are_accepted() -> None:
    for make in (bytes, bytearray, memoryview):
        deflater, inflater = make_deflater(9), MessageInflater(9, False)
        for message in (b"", b"abc" * 10, b"abc" * 1000):
            compressed = deflater.compress(make(message))
            assert inflater.decompress(make(compressed), True) == message
        assert deflater.compress_alone(make(b"abc")) == sync_flushed(b"abc", 9)


@pytest.mark.parametrize("compressed", [b"", b"\x00"])
def test_an_empty_payload_is_an_empty_message(compressed: bytes) -> None:
    """A sender may leave out even the one byte; the next message has to be understood."""
    inflater, peer = MessageInflater(15, False), zlib.compressobj(wbits=-15)
    for _ in range(3):
        message = peer.compress(b"hello hello") + peer.flush(zlib.Z_SYNC_FLUSH)
        assert inflater.decompress(message[:-4], True) == b"hello hello"
        assert inflater.decompress(compressed, True) == b""
        for fin in (False, False, True):
            assert inflater.decompress(compressed if fin else b"", fin) == b""


def test_peer_with_a_window_of_eight_bits() -> None:
    # zlib#171: a compressor that is told to use 8 bits may use 9.
    message = random.Random(3).randbytes(300)
    inflater = MessageInflater(8, False)
    peer = zlib.compressobj(wbits=-9)
    for _ in range(5):
        compressed = peer.compress(message) + peer.flush(zlib.Z_SYNC_FLUSH)
        assert inflater.decompress(compressed[:-4], True) == message


class TestFinalBlocks:
    """Streams that end within a connection: RFC 7692 section 7.2.3.4."""

    @pytest.mark.parametrize("padding", [b"", b"\x00"])
    @pytest.mark.parametrize("no_takeover", [False, True])
    def test_at_the_end_of_each_message(self, padding: bytes, no_takeover: bool) -> None:
        inflater = MessageInflater(15, no_takeover)
        for message in (b"hello", b"", b"hello" * 100, b"x"):
            assert inflater.decompress(finished(message) + padding, True) == message
            assert inflater.decompress(sync_flushed(message), True) == message

    def test_the_example_of_the_rfc(self) -> None:
        compressed = bytes([0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00])
        assert MessageInflater(15, False).decompress(compressed, True) == b"Hello"

    @pytest.mark.parametrize("bits", [9, 12, 15])
    def test_what_follows_may_refer_to_what_was_before(self, bits: int) -> None:
        rng = random.Random(bits)
        inflater = MessageInflater(bits, False)
        history = b""
        for i in range(60):
            new = rng.randbytes(rng.choice([10, 100, 700]))
            start = rng.randrange(max(len(history) - 200, 0), len(history) + 1)
            message = history[start:] + new
            window = history[-(1 << bits) :]
            make = finished if i % 3 else sync_flushed
            compressed = make(message, bits, window)
            if len(history) > 300:
                assert len(compressed) < len(message) + 50
            assert inflater.decompress(compressed, True) == message
            history += message

    def test_in_the_middle_of_fragments(self) -> None:
        one, two, three = b"one " * 30, b"two " * 30, b"one two " * 30
        first = finished(one)
        second = finished(two, zdict=one)
        third = sync_flushed(three, zdict=one + two)
        stream = first + second + third
        for cuts in itertools.combinations(range(len(stream) + 1), 2):
            inflater = MessageInflater(15, False)
            received = inflater.decompress(stream[: cuts[0]], False)
            received += inflater.decompress(stream[cuts[0] : cuts[1]], False)
            received += inflater.decompress(stream[cuts[1] :], True)
            assert received == one + two + three, cuts
            again = sync_flushed(three, zdict=one + two + three)
            assert inflater.decompress(again, True) == three

    @pytest.mark.parametrize("last", [b"", b"\x00"])
    def test_in_the_last_but_one_fragment(self, last: bytes) -> None:
        inflater = MessageInflater(15, False)
        for _ in range(2):
            assert inflater.decompress(finished(b"hello"), False) == b"hello"
            assert inflater.decompress(b"", False) == b""
            assert inflater.decompress(last, True) == b""

    def test_limit_counts_all_streams(self) -> None:
        stream = finished(b"a" * 100) + finished(b"b" * 100) + sync_flushed(b"c" * 100)
        assert len(MessageInflater(15, False).decompress(stream, True, 300)) == 300
        for limit in (0, 99, 100, 199, 200, 299):
            with pytest.raises(PayloadTooBig, match=f"limit of {limit} bytes"):
                MessageInflater(15, False).decompress(stream, True, limit)

    def test_too_many_are_refused(self) -> None:
        empty = finished(b"")
        assert len(empty) == 2
        inflater = MessageInflater(15, False)
        assert inflater.decompress(empty * 16, True) == b""
        with pytest.raises(ProtocolError, match="too many final blocks"):
            inflater.decompress(empty * 17, True)
        inflater = MessageInflater(15, False)
        with pytest.raises(ProtocolError, match="too many final blocks"):
            for _ in range(1000):
                inflater.decompress(empty, False)

    def test_many_in_a_long_message_are_fine(self) -> None:
        rng = random.Random(4)
        parts = [rng.randbytes(1500) for _ in range(100)]
        stream = b"".join(map(finished, parts))
        assert MessageInflater(15, False).decompress(stream, True) == b"".join(parts)

    def test_malformed_data_behind(self) -> None:
        with pytest.raises(ProtocolError, match="decompression failed"):
            MessageInflater(15, False).decompress(finished(b"a") + b"\xff\xff\xff", True)


def test_bomb_is_bounded_before_it_goes_off() -> None:
    bomb = sync_flushed(bytes(50_000_000))
    assert len(bomb) < 60_000
    limit = 1000
    calls = []

    class Counting:
        def __init__(self) -> None:
            self.inflater = zlib.decompressobj(wbits=-15)
            self.eof = False

        def decompress(self, data: bytes, max_length: int) -> bytes:
            calls.append(max_length)
            return self.inflater.decompress(data, max_length)

    inflater = MessageInflater(15, False)
    inflater._inflater = Counting()
    with pytest.raises(PayloadTooBig, match="exceeds limit of 1000 bytes"):
        inflater.decompress(bomb, True, limit)
    assert calls == [limit + 1]


def test_exactly_the_limit_is_allowed() -> None:
    for size in (0, 1, 17, 100_000):
        message = bytes(size)
        compressed = sync_flushed(message)
        assert MessageInflater(15, False).decompress(compressed, True, size) == message
        if size:
            with pytest.raises(PayloadTooBig):
                MessageInflater(15, False).decompress(compressed, True, size - 1)
    assert len(MessageInflater(15, False).decompress(sync_flushed(bytes(10)), True, None)) == 10


@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=10), st.integers(8, 15))
def test_nothing_but_our_exceptions(pieces: list[tuple[bytes, bool]], bits: int) -> None:
    inflater = MessageInflater(bits, False)
    try:
        for piece, fin in pieces:
            assert len(inflater.decompress(piece, fin, 1000)) <= 1000
    except (ProtocolError, PayloadTooBig):
        pass


def test_nothing_is_held_before_the_first_message_and_after_the_last() -> None:
    deflater, inflater = make_deflater(), MessageInflater(15, False)
    assert deflater._compressor is None
    assert inflater._inflater is None
    inflater.decompress(deflater.compress(b"abc"), True)
    deflater.compress_fragment(b"abc", False)
    assert deflater._compressor is not None
    assert inflater._inflater is not None
    deflater.close()
    inflater.close()
    assert deflater._compressor is deflater._current is inflater._inflater is None
    assert not inflater._window


def exchange(deflater: MessageDeflater, inflater: MessageInflater, *messages: bytes) -> None:
    for message in messages:
        assert inflater.decompress(deflater.compress(message), True) == message


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Callable[..., KeptContexts]:
    """Give a function that makes other places for contexts; so many are for those of zlib-ng."""

    def make(size: int, fast: int = 0) -> KeptContexts:
        contexts = KeptContexts(size)
        monkeypatch.setattr(deflate, "KEPT", contexts)
        monkeypatch.setattr(deflate, "_FAST_PLACES", fast)
        return contexts

    return make


@pytest.mark.parametrize(("bits", "module"), [(12, zlib), (15, deflate.FAST_ZLIB)])
def test_what_is_kept_with_a_small_window_is_small(
    bits: int, module: Any, kept: Callable[..., KeptContexts]
) -> None:
    """A context of zlib-ng holds several times the memory of one of zlib."""
    kept(10)
    deflater, inflater = make_deflater(bits), MessageInflater(bits, False)
    exchange(deflater, inflater, *map(bytes, (10, 100_000, 10)))
    assert type(deflater._compressor) is type(module.compressobj())
    assert type(inflater._inflater) is type(module.decompressobj())


def test_first_contexts_are_fast_ones(kept: Callable[..., KeptContexts]) -> None:
    kept(4, 1)
    first, second = make_deflater(12), make_deflater(12)
    first.compress(b"a")
    second.compress(b"a")
    assert type(first._compressor) is type(deflate.FAST_ZLIB.compressobj())
    assert type(second._compressor) is type(zlib.compressobj())
    # Its place is for the next one.
    first.close()
    third = make_deflater(12)
    third.compress(b"a")
    assert type(third._compressor) is type(deflate.FAST_ZLIB.compressobj())


@pytest.mark.parametrize("bits", [9, 12, 15])
def test_contexts_are_as_many_as_there_are_places(
    bits: int, kept: Callable[..., KeptContexts]
) -> None:
    """Those who lose theirs go on with the same window."""
    kept(6, 3)
    pairs = [(make_deflater(bits), MessageInflater(bits, False)) for _ in range(20)]
    peers = [ReferencePeer(bits) for _ in pairs]
    rng = random.Random(bits)
    text = rng.randbytes(300)
    for _ in range(300):
        which = rng.randrange(len(pairs))
        deflater, inflater = pairs[which]
        message = text * rng.choice((1, 1, 1, 10)) + rng.randbytes(20)
        compressed = deflater.compress(message)
        # It refers to messages before.
        assert bits == 9 or deflater.window_size < 301 or len(compressed) < 600
        assert inflater.decompress(compressed, True) == message
        assert peers[which].receive(compressed) == message
        assert sum(d._compressor is not None for d, _ in pairs) <= 6
        held = sum(d._place >= 0 for d, _ in pairs) + sum(i._place >= 0 for _, i in pairs)
        assert held <= 6
        assert all(i._place >= 0 for _, i in pairs if i._inflater is not None)


def test_compressed_size_does_not_suffer_from_lack_of_places(
    kept: Callable[..., KeptContexts],
) -> None:
    message = random.Random(0).randbytes(200)
    sizes = []
    for places in (1, 2):
        kept(places)
        one, other = make_deflater(12), make_deflater(12)
        for deflater in (one, other) * 5:
            size = len(deflater.compress(message))
        sizes.append(size)
    assert sizes[0] <= sizes[1] + 4 < 20


def test_busy_contexts_stay(kept: Callable[..., KeptContexts]) -> None:
    kept(3)
    busy, *others = (make_deflater(12) for _ in range(20))
    contexts = []
    for other in others:
        busy.compress(b"a")
        contexts.append(busy._compressor)
        other.compress(b"a")
    # At first there is no telling who is busy.
    assert all(context is contexts[-1] for context in contexts[3:])
    assert sum(other._compressor is not None for other in others) == 2


def test_fragmented_messages_survive_the_loss_of_the_context(
    kept: Callable[..., KeptContexts],
) -> None:
    kept(1)
    deflater, inflater, peer = make_deflater(12), MessageInflater(12, False), ReferencePeer(12)
    disturbing = make_deflater(12), MessageInflater(12, False)
    rng = random.Random(1)
    for _ in range(20):
        message = b""
        received = b""
        for fin in (False, False, True):
            piece = rng.randbytes(rng.choice((0, 50, 5000)))
            message += piece
            compressed = deflater.compress_fragment(piece, fin)
            exchange(*disturbing, b"something else")
            half = len(compressed) // 2
            received += inflater.decompress(compressed[:half], False)
            exchange(*disturbing, b"something else")
            received += inflater.decompress(compressed[half:], fin)
            assert peer.inflater.decompress(compressed + (TAIL if fin else b"")) == piece
        assert received == message
        assert inflater._inflater is None or inflater._place >= 0


def test_holders_that_are_gone_without_closing_leave_their_places(
    kept: Callable[..., KeptContexts],
) -> None:
    contexts = kept(2)
    for _ in range(10):
        exchange(make_deflater(12), MessageInflater(12, False), b"abc")
    assert len(contexts._holders) == 2
    deflater = make_deflater(12)
    reference = weakref.ref(deflater)
    deflater.compress(b"abc")
    del deflater
    assert reference() is None


def test_window_is_bounded() -> None:
    inflater, deflater = MessageInflater(9, False), make_deflater(9)
    for size in (10, 511, 512, 513, 5000, 100_000) * 20:
        inflater.decompress(deflater.compress(random.Random(size).randbytes(size)), True)
        assert len(inflater._window) <= 512 + deflate._PIECE_SIZE


def test_zlib_of_the_standard_library_can_be_forced() -> None:
    code = "from tidegate.extensions.deflate import FAST_ZLIB; print(FAST_ZLIB.__name__)"
    installed = importlib.util.find_spec("zlib_ng") is not None
    for value, expected in [("stdlib", "zlib"), ("", "zlib_ng.zlib_ng" if installed else "zlib")]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"TIDEGATE_ZLIB": value},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


# Messages that are cut off


def compressed_by(module: Any, data: bytes, level: int, strategy: int) -> bytes:
    """Give a message as a peer sends it, without regard to others."""
    compressor = module.compressobj(level=level, wbits=-12, strategy=strategy)
    compressed: bytes = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return compressed[:-4]


def is_whole(compressed: bytes) -> bool:
    """Say whether a message ends where a block does, as zlib sees it."""
    inflater = zlib.decompressobj(wbits=-12)
    try:
        inflater.decompress(compressed)
        # An end that is said to be the last is taken for one only between blocks.
        nothing = inflater.decompress(b"\x00\x00\xff\xff")
        nothing += inflater.decompress(b"\x01\x00\x00\xff\xff")
    except zlib.error:
        return False
    return inflater.eof and not nothing and not inflater.unused_data


MODULES = [zlib] if deflate.FAST_ZLIB is zlib else [zlib, deflate.FAST_ZLIB]


@pytest.mark.parametrize("no_takeover", [False, True])
@pytest.mark.parametrize("fragments", [1, 2])
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_messages_that_are_cut_off(
    module: Any, fragments: int, no_takeover: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deflate, "FAST_ZLIB", module)
    rng = random.Random(7)
    kinds = itertools.product(
        (5, 50, 500), (0, 1, 6), (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED)
    )
    for size, level, strategy in kinds:
        data = bytes(rng.choice(b"abcdefgh \x00\xff") for _ in range(size))
        whole = compressed_by(zlib, data, level, strategy)
        assert is_whole(whole)
        for cut in {rng.randrange(2, len(whole)) for _ in range(12)}:
            compressed = whole[:cut]
            if is_whole(compressed):
                continue
            inflater = MessageInflater(12, no_takeover)
            # A message before it doesn't matter.
            assert inflater.decompress(whole, True) == data
            with pytest.raises(InvalidData, match="ends within a block"):
                if fragments == 2:
                    inflater.decompress(compressed[:1], False)
                    compressed = compressed[1:]
                inflater.decompress(compressed, True)


@pytest.mark.parametrize("no_takeover", [False, True])
def test_a_stream_behind_a_final_block_that_is_cut_off(no_takeover: bool) -> None:
    final = b"\x01\x01\x00\xfe\xffx"
    inflater = MessageInflater(12, no_takeover)
    assert inflater.decompress(final, True) == b"x"
    assert inflater.decompress(final + b"\x00\x01\x00\xfe\xffy\x00", True) == b"xy"
    with pytest.raises(InvalidData):
        inflater.decompress(final + b"\x00\x05\x00\xfa\xffy", True)


@pytest.mark.parametrize("no_takeover", [False, True])
def test_a_last_fragment_that_is_empty(no_takeover: bool) -> None:
    compressed = compressed_by(zlib, b"hello", 6, zlib.Z_DEFAULT_STRATEGY)
    inflater = MessageInflater(12, no_takeover)
    # A sender may have flushed the fragment before, or cut what it had compressed into pieces.
    for first in (compressed, compressed + b"\x00\x00\xff\xff", compressed):
        assert inflater.decompress(first, False) == b"hello"
        assert inflater.decompress(b"", True) == b""
    assert inflater.decompress(compressed, False) == b"hello"
    assert inflater.decompress(b"\x00\x00\xff\xff\x00", True) == b""
    inflater.decompress(compressed[:3], False)
    with pytest.raises(InvalidData):
        inflater.decompress(b"", True)


@pytest.mark.parametrize("limit", [100, 101])
def test_the_end_is_looked_for_at_the_limit(limit: int) -> None:
    compressed = compressed_by(zlib, bytes(100), 0, zlib.Z_DEFAULT_STRATEGY)
    inflater = MessageInflater(12, False)
    for _ in range(3):
        assert inflater.decompress(compressed, True, limit) == bytes(100)
    with pytest.raises(InvalidData):
        inflater.decompress(compressed[:-5], True, limit)
