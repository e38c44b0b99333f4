"""permessage-deflate: negotiation, and frames."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.exceptions import (
    DuplicateParameter,
    InvalidParameterName,
    InvalidParameterValue,
    NegotiationError,
    PayloadTooBig,
    ProtocolError,
)
from tidegate.extensions.base import ClientExtensionFactory, Extension, ServerExtensionFactory
from tidegate.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
    enable_client_permessage_deflate,
    enable_server_permessage_deflate,
)
from tidegate.frames import Frame, Opcode

Params = list[tuple[str, str | None]]

CLIENT_NO = ("client_no_context_takeover", None)
SERVER_NO = ("server_no_context_takeover", None)
CLIENT_BITS = ("client_max_window_bits", None)


def client_bits(bits: int) -> tuple[str, str]:
    return ("client_max_window_bits", str(bits))


def server_bits(bits: int) -> tuple[str, str]:
    return ("server_max_window_bits", str(bits))


def settings_of(extension: PerMessageDeflate) -> tuple[bool, bool, int, int]:
    return (
        extension.remote_no_context_takeover,
        extension.local_no_context_takeover,
        extension.remote_max_window_bits,
        extension.local_max_window_bits,
    )


# Factories


@pytest.mark.parametrize(
    ("kwargs", "params"),
    [
        ({}, [CLIENT_BITS]),
        ({"client_max_window_bits": None}, []),
        ({"client_max_window_bits": 10}, [client_bits(10)]),
        ({"server_max_window_bits": 8}, [server_bits(8), CLIENT_BITS]),
        ({"server_no_context_takeover": True}, [SERVER_NO, CLIENT_BITS]),
        (
            {"client_no_context_takeover": True, "server_no_context_takeover": True},
            [SERVER_NO, CLIENT_NO, CLIENT_BITS],
        ),
    ],
)
def test_offer(kwargs: dict[str, Any], params: Params) -> None:
    assert ClientPerMessageDeflateFactory(**kwargs).get_request_params() == params


@pytest.mark.parametrize(
    ("factory", "kwargs", "error"),
    [
        (factory, kwargs, error)
        for factory, (kwargs, error) in itertools.chain(
            itertools.product(
                [ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory],
                [
                    ({"server_max_window_bits": 7}, "server_max_window_bits must be between"),
                    ({"server_max_window_bits": 16}, "server_max_window_bits must be between"),
                    ({"client_max_window_bits": 7}, "client_max_window_bits must be between"),
                    ({"client_max_window_bits": 16}, "client_max_window_bits must be between"),
                    ({"compress_settings": {"wbits": 12}}, "must not include wbits"),
                ],
            ),
            [
                # The compressor of this side cannot have 8 bits; the other side's can.
                (
                    ClientPerMessageDeflateFactory,
                    ({"client_max_window_bits": 8}, "between 9 and 15"),
                ),
                (
                    ServerPerMessageDeflateFactory,
                    ({"server_max_window_bits": 8}, "between 9 and 15"),
                ),
                (
                    ServerPerMessageDeflateFactory,
                    ({"require_client_max_window_bits": True}, "client_max_window_bits isn't"),
                ),
            ],
        )
    ],
)
def test_invalid_settings(factory: type, kwargs: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        factory(**kwargs)


@pytest.mark.parametrize(
    "factory", [ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory]
)
def test_unknown_compress_settings_are_found_at_once(factory: type) -> None:
    with pytest.raises(TypeError):
        factory(compress_settings={"nope": 1})
    with pytest.raises(ValueError):
        factory(compress_settings={"level": 99})


@pytest.mark.parametrize("bits", [(7, 15), (16, 15), (15, 8), (15, 16)])
def test_invalid_window_bits(bits: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="max_window_bits must be between"):
        PerMessageDeflate(False, False, *bits)
    with pytest.raises(ValueError, match="wbits"):
        PerMessageDeflate(False, False, 15, 15, {"wbits": 15})


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ([SERVER_NO, SERVER_NO], DuplicateParameter),
        ([client_bits(9), client_bits(9)], DuplicateParameter),
        ([("nope", None)], InvalidParameterName),
        ([("__class__", None)], InvalidParameterName),
        ([("server_no_context_takeover", "1")], InvalidParameterValue),
        ([("client_no_context_takeover", "")], InvalidParameterValue),
        ([("server_max_window_bits", None)], InvalidParameterValue),
        *(
            ([(name, value)], InvalidParameterValue)
            for name in ("server_max_window_bits", "client_max_window_bits")
            for value in ("", "7", "16", "08", "+9", "9 ", "９", "1" * 9999)
        ),
    ],
)
def test_malformed_parameters(params: Params, error: type[Exception]) -> None:
    with pytest.raises(error):
        ClientPerMessageDeflateFactory().process_response_params(params, [])
    with pytest.raises(error):
        ServerPerMessageDeflateFactory().process_request_params(params, [])


@pytest.mark.parametrize(
    ("kwargs", "answer", "expected"),
    [
        ({}, [], (False, False, 15, 15)),
        ({}, [SERVER_NO], (True, False, 15, 15)),
        ({}, [CLIENT_NO], (False, True, 15, 15)),
        # A server may choose its window without being asked.
        ({}, [server_bits(8)], (False, False, 8, 15)),
        ({}, [client_bits(9)], (False, False, 15, 9)),
        ({}, [client_bits(8)], "unsupported client_max_window_bits = 8"),
        ({}, [CLIENT_BITS], "missing value for parameter client_max_window_bits"),
        ({"server_no_context_takeover": True}, [], "expected server_no_context_takeover"),
        ({"server_no_context_takeover": True}, [SERVER_NO], (True, False, 15, 15)),
        ({"client_no_context_takeover": True}, [], (False, True, 15, 15)),
        ({"client_no_context_takeover": True}, [CLIENT_NO], (False, True, 15, 15)),
        ({"server_max_window_bits": 10}, [], "expected server_max_window_bits"),
        ({"server_max_window_bits": 10}, [server_bits(10)], (False, False, 10, 15)),
        ({"server_max_window_bits": 10}, [server_bits(9)], (False, False, 9, 15)),
        ({"server_max_window_bits": 10}, [server_bits(11)], "unsupported server_max_window"),
        ({"client_max_window_bits": None}, [], (False, False, 15, 15)),
        ({"client_max_window_bits": None}, [client_bits(12)], "unexpected client_max_window"),
        ({"client_max_window_bits": 10}, [], (False, False, 15, 10)),
        ({"client_max_window_bits": 10}, [client_bits(10)], (False, False, 15, 10)),
        ({"client_max_window_bits": 10}, [client_bits(9)], (False, False, 15, 9)),
        ({"client_max_window_bits": 10}, [client_bits(11)], "unsupported client_max_window"),
    ],
)
def test_answer(kwargs: dict[str, Any], answer: Params, expected: tuple[int, ...] | str) -> None:
    factory = ClientPerMessageDeflateFactory(**kwargs)
    if isinstance(expected, str):
        with pytest.raises(NegotiationError, match=expected):
            factory.process_response_params(answer, [])
    else:
        assert settings_of(factory.process_response_params(answer, [])) == expected


@pytest.mark.parametrize(
    ("kwargs", "offer", "answer", "expected"),
    [
        ({}, [], [], (False, False, 15, 15)),
        ({}, [SERVER_NO], [SERVER_NO], (False, True, 15, 15)),
        ({}, [CLIENT_NO], [CLIENT_NO], (True, False, 15, 15)),
        ({"server_no_context_takeover": True}, [], [SERVER_NO], (False, True, 15, 15)),
        ({"client_no_context_takeover": True}, [], [CLIENT_NO], (True, False, 15, 15)),
        ({}, [server_bits(9)], [server_bits(9)], (False, False, 15, 9)),
        ({}, [server_bits(8)], None, "unsupported server_max_window_bits = 8"),
        # Used, but not announced to those who didn't ask.
        ({"server_max_window_bits": 10}, [], [], (False, False, 15, 10)),
        ({"server_max_window_bits": 10}, [server_bits(9)], [server_bits(9)], (False, False, 15, 9)),
        (
            {"server_max_window_bits": 10},
            [server_bits(15)],
            [server_bits(10)],
            (False, False, 15, 10),
        ),
        ({}, [CLIENT_BITS], [], (False, False, 15, 15)),
        ({}, [client_bits(8)], [client_bits(8)], (False, False, 8, 15)),
        ({"client_max_window_bits": 10}, [], [], (False, False, 15, 15)),
        ({"client_max_window_bits": 10}, [CLIENT_BITS], [client_bits(10)], (False, False, 10, 15)),
        (
            {"client_max_window_bits": 10},
            [client_bits(9)],
            [client_bits(9)],
            (False, False, 9, 15),
        ),
        (
            {"client_max_window_bits": 10},
            [client_bits(11)],
            [client_bits(10)],
            (False, False, 10, 15),
        ),
        (
            {"client_max_window_bits": 10, "require_client_max_window_bits": True},
            [],
            None,
            "required client_max_window_bits",
        ),
        (
            {"client_max_window_bits": 10, "require_client_max_window_bits": True},
            [CLIENT_BITS],
            [client_bits(10)],
            (False, False, 10, 15),
        ),
    ],
)
def test_offer_is_answered(
    kwargs: dict[str, Any],
    offer: Params,
    answer: Params | None,
    expected: tuple[int, ...] | str,
) -> None:
    factory = ServerPerMessageDeflateFactory(**kwargs)
    if isinstance(expected, str):
        with pytest.raises(NegotiationError, match=expected):
            factory.process_request_params(offer, [])
    else:
        params, extension = factory.process_request_params(offer, [])
        assert params == answer
        assert settings_of(extension) == expected


bits_or_none = st.none() | st.integers(9, 15)


@given(
    st.builds(
        ClientPerMessageDeflateFactory,
        st.booleans(),
        st.booleans(),
        bits_or_none,
        st.just(True) | bits_or_none,
    ),
    st.builds(
        ServerPerMessageDeflateFactory, st.booleans(), st.booleans(), bits_or_none, bits_or_none
    ),
    st.lists(st.binary(max_size=600), max_size=4),
)
def test_both_sides_agree_and_understand_each_other(
    client: ClientPerMessageDeflateFactory,
    server: ServerPerMessageDeflateFactory,
    data: list[bytes],
) -> None:
    offer = client.get_request_params()
    answer, ours = server.process_request_params(offer, [])
    theirs = client.process_response_params(answer, [])
    assert ours.local_no_context_takeover == theirs.remote_no_context_takeover
    assert ours.remote_no_context_takeover <= theirs.local_no_context_takeover
    assert ours.local_max_window_bits <= theirs.remote_max_window_bits
    assert theirs.local_max_window_bits <= ours.remote_max_window_bits
    for sender, receiver in ((ours, theirs), (theirs, ours)):
        for message in data:
            assert receiver.decompress(sender.compress(message), True) == message


def test_only_once_on_a_connection() -> None:
    there = [PerMessageDeflate(False, False, 15, 15)]
    with pytest.raises(NegotiationError, match="duplicate permessage-deflate"):
        ClientPerMessageDeflateFactory().process_response_params([], there)
    with pytest.raises(NegotiationError, match="duplicate permessage-deflate"):
        ServerPerMessageDeflateFactory().process_request_params([], there)


def test_enable() -> None:
    (client,) = enable_client_permessage_deflate(None)
    assert client.get_request_params() == [CLIENT_BITS]
    (server,) = enable_server_permessage_deflate(())
    params, extension = server.process_request_params([CLIENT_BITS], [])
    assert params == [client_bits(12)]
    assert isinstance(extension, PerMessageDeflate)
    assert settings_of(extension) == (False, False, 12, 12)
    assert extension.compress_settings == {"memLevel": 5}

    class OtherClient(ClientExtensionFactory):
        name = "x-other"

    class OtherServer(ServerExtensionFactory):
        name = "x-other"

    others = [OtherClient()]
    assert [f.name for f in enable_client_permessage_deflate(others)] == [
        "x-other",
        "permessage-deflate",
    ]
    assert len(others) == 1
    assert len(enable_server_permessage_deflate([OtherServer()])) == 2
    mine = [ClientPerMessageDeflateFactory(), OtherClient()]
    assert enable_client_permessage_deflate(mine) is mine
    assert len(enable_server_permessage_deflate([ServerPerMessageDeflateFactory()])) == 1


def test_base_classes_leave_the_rest_to_others() -> None:
    with pytest.raises(NotImplementedError):
        Extension().encode(Frame(Opcode.TEXT, b""))
    with pytest.raises(NotImplementedError):
        Extension().decode(Frame(Opcode.TEXT, b""))
    with pytest.raises(NotImplementedError):
        ClientExtensionFactory().get_request_params()
    with pytest.raises(NotImplementedError):
        ClientExtensionFactory().process_response_params([], [])
    with pytest.raises(NotImplementedError):
        ServerExtensionFactory().process_request_params([], [])


# Frames


def make_pair() -> tuple[PerMessageDeflate, PerMessageDeflate]:
    return PerMessageDeflate(False, False, 15, 15), PerMessageDeflate(False, False, 15, 15)


@pytest.mark.parametrize("opcode", [Opcode.CLOSE, Opcode.PING, Opcode.PONG])
def test_control_frames_pass(opcode: Opcode) -> None:
    extension, _ = make_pair()
    frame = Frame(opcode, b"\x03\xe8", rsv1=True)
    assert extension.encode(frame) is frame
    assert extension.decode(frame) is frame
    with pytest.raises(ProtocolError, match="reserved bits"):
        frame.check()


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_data_frames(opcode: Opcode) -> None:
    ours, theirs = make_pair()
    for _ in range(2):
        encoded = ours.encode(Frame(opcode, b"hello"))
        assert encoded.rsv1
        assert theirs.decode(encoded) == Frame(opcode, b"hello")
    assert ours.encode(Frame(opcode, b"")) == Frame(opcode, b"\x00", rsv1=True)
    # The well-known example of RFC 7692 section 7.2.3.1.
    example = bytes.fromhex("f248cdc9c90700")
    assert make_pair()[0].encode(Frame(opcode, b"Hello")).data == example


def test_fragments_with_control_frames_between() -> None:
    ours, theirs = make_pair()
    for _ in range(2):
        frames = [
            Frame(Opcode.TEXT, b"one ", fin=False),
            Frame(Opcode.PING, b"ping"),
            Frame(Opcode.CONT, b"", fin=False),
            Frame(Opcode.CONT, b"two"),
        ]
        encoded = [ours.encode(frame) for frame in frames]
        assert [frame.rsv1 for frame in encoded] == [True, False, False, False]
        assert [theirs.decode(frame) for frame in encoded] == frames


def test_messages_that_are_not_compressed_pass() -> None:
    ours, theirs = make_pair()
    frames = [
        Frame(Opcode.TEXT, b"one"),
        Frame(Opcode.BINARY, b"one ", fin=False),
        Frame(Opcode.CONT, b"two", fin=False),
        Frame(Opcode.CONT, b"three"),
    ]
    for _ in range(2):
        for frame in frames:
            assert theirs.decode(frame) is frame
        assert theirs.decode(ours.encode(Frame(Opcode.TEXT, b"x"))).data == b"x"


def test_rsv1_on_a_continuation_frame_is_refused() -> None:
    ours, theirs = make_pair()
    theirs.decode(ours.encode(Frame(Opcode.TEXT, b"one", fin=False)))
    with pytest.raises(ProtocolError, match="RSV1 bit set in continuation frame"):
        theirs.decode(Frame(Opcode.CONT, b"x", rsv1=True))
    with pytest.raises(ProtocolError, match="RSV1 bit set in continuation frame"):
        make_pair()[0].decode(Frame(Opcode.CONT, b"x", rsv1=True))


def test_max_size_counts_decompressed_bytes() -> None:
    ours, theirs = make_pair()
    assert theirs.decode(ours.encode(Frame(Opcode.BINARY, bytes(1000))), max_size=1000)
    with pytest.raises(PayloadTooBig, match="frame exceeds limit of 999 bytes"):
        theirs.decode(ours.encode(Frame(Opcode.BINARY, bytes(1000))), max_size=999)


def test_malformed_payload() -> None:
    with pytest.raises(ProtocolError, match="decompression failed"):
        make_pair()[0].decode(Frame(Opcode.BINARY, b"\xff\xff\xff", rsv1=True))


def test_frames_are_serialized_and_parsed() -> None:
    ours, theirs = make_pair()
    frame = Frame(Opcode.TEXT, b"hello" * 100)
    data = frame.serialize(mask=True, extensions=[ours])
    assert data[0] == 0xC1
    assert len(data) < 50

    def read_exact(n: int):  # type: ignore[no-untyped-def]
        nonlocal data
        piece, data = data[:n], data[n:]
        return piece
        yield

    with pytest.raises(StopIteration) as stop:
        next(Frame.parse(read_exact, mask=True, extensions=[theirs]))
    assert stop.value.value == frame


def test_repr_and_close() -> None:
    extension = PerMessageDeflate(True, False, 15, 9)
    assert repr(extension) == (
        "PerMessageDeflate(remote_no_context_takeover=True, local_no_context_takeover=False,"
        " remote_max_window_bits=15, local_max_window_bits=9)"
    )
    extension.compress(b"abc")
    extension.compress_fragment(b"abc", False)
    extension.close()
    assert extension.deflater._compressor is extension.deflater._current is None
