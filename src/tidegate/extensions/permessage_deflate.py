"""Compression of messages: the extension permessage-deflate (RFC 7692)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Literal

from .. import frames
from ..exceptions import (
    DuplicateParameter,
    InvalidParameterName,
    InvalidParameterValue,
    NegotiationError,
    ProtocolError,
)
from ..frames import Frame
from ..typing import BytesLike, ExtensionName, ExtensionParameter
from .base import ClientExtensionFactory, Extension, ServerExtensionFactory

__all__ = [
    "ClientPerMessageDeflateFactory",
    "PerMessageDeflate",
    "ServerPerMessageDeflateFactory",
    "enable_client_permessage_deflate",
    "enable_server_permessage_deflate",
]

_WINDOW_BITS = {str(bits): bits for bits in range(8, 16)}


class PerMessageDeflate(Extension):
    """permessage-deflate as it was negotiated for one connection.

    Its contexts are made when they are first needed: a connection that never compresses has none.
    They can be used frame by frame (`encode`, `decode`) or message by message (`compress`,
    `compress_fragment`, `decompress`), but not both ways in turn.

    Args:
        remote_no_context_takeover: whether the other side compresses each message by itself.
        local_no_context_takeover: whether this side does.
        remote_max_window_bits: the logarithm of the other side's window size, 8 to 15.
        local_max_window_bits: the logarithm of this side's window size, 9 to 15.
        compress_settings: more arguments for ``zlib.compressobj()``, such as ``level`` and
            ``memLevel``.

    Attributes:
        deflater: what compresses outgoing messages.
        inflater: what decompresses incoming messages.

    Raises:
        ValueError: if window bits are out of range, or ``compress_settings`` has ``wbits``.
    """

    name = ExtensionName("permessage-deflate")

    def __init__(
        self,
        remote_no_context_takeover: bool,
        local_no_context_takeover: bool,
        remote_max_window_bits: int,
        local_max_window_bits: int,
        compress_settings: dict[Any, Any] | None = None,
    ) -> None:
        _check_window_bits("remote_max_window_bits", remote_max_window_bits, 8)
        _check_window_bits("local_max_window_bits", local_max_window_bits, 9)
        _check_compress_settings("local_max_window_bits", compress_settings)
        self.remote_no_context_takeover = remote_no_context_takeover
        self.local_no_context_takeover = local_no_context_takeover
        self.remote_max_window_bits = remote_max_window_bits
        self.local_max_window_bits = local_max_window_bits
        self.compress_settings = compress_settings or {}
        # Together with zlib-ng they are loaded when compression was agreed on.
        from .deflate import MessageDeflater, MessageInflater

        self.deflater = MessageDeflater(
            local_max_window_bits, local_no_context_takeover, self.compress_settings
        )
        self.inflater = MessageInflater(remote_max_window_bits, remote_no_context_takeover)
        # Whether the fragmented message that `decode` receives is compressed.
        self._decodes_continuation = False

    def __repr__(self) -> str:
        return (
            f"PerMessageDeflate("
            f"remote_no_context_takeover={self.remote_no_context_takeover}, "
            f"local_no_context_takeover={self.local_no_context_takeover}, "
            f"remote_max_window_bits={self.remote_max_window_bits}, "
            f"local_max_window_bits={self.local_max_window_bits})"
        )

    def close(self) -> None:
        """Free the memory of the contexts."""
        self.deflater.close()
        self.inflater.close()

    def compress(self, data: BytesLike) -> bytes:
        """Compress a whole message; see `MessageDeflater.compress`."""
        return self.deflater.compress(data)

    def compress_fragment(self, data: BytesLike, fin: bool) -> bytes:
        """Compress a fragment of a message; see `MessageDeflater.compress_fragment`."""
        return self.deflater.compress_fragment(data, fin)

    def decompress(self, data: BytesLike, fin: bool, max_length: int | None = None) -> bytes:
        """Decompress a piece of a message; see `MessageInflater.decompress`."""
        return self.inflater.decompress(data, fin, max_length)

    def encode(self, frame: Frame) -> Frame:
        """Compress the payload of an outgoing frame, unless it is a control frame."""
        if frame.opcode in frames.CTRL_OPCODES:
            return frame
        data = self.deflater.compress_fragment(frame.data, frame.fin)
        # RFC 7692, section 6.1: RSV1 is set on the first frame of a message.
        rsv1 = frame.opcode != frames.CONT
        return Frame(frame.opcode, data, frame.fin, rsv1, frame.rsv2, frame.rsv3)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Decompress the payload of an incoming frame, if it belongs to a compressed message.

        RSV1 on a control frame is left there, for `Frame.check` to refuse.

        Args:
            frame: the frame as it came.
            max_size: the most that the payload may have when decompressed, in bytes.

        Raises:
            PayloadTooBig: if the payload would be larger than ``max_size``; it isn't made.
            ProtocolError: if the payload isn't valid, or RSV1 is set on a continuation frame.
        """
        if frame.opcode in frames.CTRL_OPCODES:
            return frame
        if frame.opcode == frames.CONT:
            # RFC 7692, section 6.1.
            if frame.rsv1:
                raise ProtocolError("RSV1 bit set in continuation frame")
            if not self._decodes_continuation:
                return frame
            if frame.fin:
                self._decodes_continuation = False
        else:
            self._decodes_continuation = frame.rsv1 and not frame.fin
            if not frame.rsv1:
                return frame
        data = self.inflater.decompress(frame.data, frame.fin, max_size)
        return Frame(frame.opcode, data, frame.fin, False, frame.rsv2, frame.rsv3)


def _check_window_bits(name: str, bits: int, least: int) -> None:
    if not least <= bits <= 15:
        raise ValueError(f"{name} must be between {least} and 15")


def _check_compress_settings(name: str, compress_settings: dict[str, Any] | None) -> None:
    if compress_settings and "wbits" in compress_settings:
        raise ValueError(f"compress_settings must not include wbits, set {name} instead")


def _build_parameters(
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: int | None,
    client_max_window_bits: int | Literal[True] | None,
) -> list[ExtensionParameter]:
    """Give the parameters of an offer or an answer."""
    params: list[ExtensionParameter] = []
    if server_no_context_takeover:
        params.append(("server_no_context_takeover", None))
    if client_no_context_takeover:
        params.append(("client_no_context_takeover", None))
    if server_max_window_bits is not None:
        params.append(("server_max_window_bits", str(server_max_window_bits)))
    if client_max_window_bits is True:
        params.append(("client_max_window_bits", None))
    elif client_max_window_bits is not None:
        params.append(("client_max_window_bits", str(client_max_window_bits)))
    return params


def _extract_parameters(
    params: Sequence[ExtensionParameter], *, is_server: bool
) -> tuple[bool, bool, int | None, int | Literal[True] | None]:
    """Give what the parameters of an offer or an answer say (RFC 7692, section 7.1).

    Raises:
        DuplicateParameter: if one comes twice.
        InvalidParameterName: if one isn't known.
        InvalidParameterValue: if one has a value that it cannot have.
    """
    values: dict[str, int | Literal[True]] = {}
    for name, value in params:
        if name in values:
            raise DuplicateParameter(name)
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                raise InvalidParameterValue(name, value)
            values[name] = True
        elif name in ("server_max_window_bits", "client_max_window_bits"):
            if value in _WINDOW_BITS:
                values[name] = _WINDOW_BITS[value]
            elif value is None and is_server and name == "client_max_window_bits":
                values[name] = True
            else:
                raise InvalidParameterValue(name, value)
        else:
            raise InvalidParameterName(name)
    return (
        "server_no_context_takeover" in values,
        "client_no_context_takeover" in values,
        values.get("server_max_window_bits"),
        values.get("client_max_window_bits"),
    )


class ClientPerMessageDeflateFactory(ClientExtensionFactory):
    """A client's side of the negotiation of permessage-deflate.

    Args:
        server_no_context_takeover: whether the server has to compress each message by itself, which
            saves memory here.
        client_no_context_takeover: whether this side compresses each message by itself.
        server_max_window_bits: the logarithm of the largest window that the server may use, 8 to
            15; None leaves it to the server.
        client_max_window_bits: the logarithm of the largest window that this side uses, 9 to 15;
            True leaves it to the server, None says nothing to the server, which cannot choose then.
        compress_settings: more arguments for ``zlib.compressobj()``, such as ``level`` and
            ``memLevel``.

    Raises:
        ValueError: if window bits are out of range, or ``compress_settings`` has ``wbits``.
        TypeError: if ``zlib.compressobj()`` doesn't take the ``compress_settings``.

    See RFC 7692, section 7.1.
    """

    name = ExtensionName("permessage-deflate")

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | Literal[True] | None = True,
        compress_settings: dict[str, Any] | None = None,
    ) -> None:
        if server_max_window_bits is not None:
            _check_window_bits("server_max_window_bits", server_max_window_bits, 8)
        if client_max_window_bits is not None and client_max_window_bits is not True:
            _check_window_bits("client_max_window_bits", client_max_window_bits, 9)
        _check_compress_settings("client_max_window_bits", compress_settings)
        zlib.compressobj(**(compress_settings or {}))
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.compress_settings = compress_settings

    def get_request_params(self) -> Sequence[ExtensionParameter]:
        """Give the parameters to offer."""
        return _build_parameters(
            self.server_no_context_takeover,
            self.client_no_context_takeover,
            self.server_max_window_bits,
            self.client_max_window_bits,
        )

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> PerMessageDeflate:
        """Give the extension that the server's answer describes.

        Raises:
            NegotiationError: if the answer doesn't fit the offer.
        """
        if any(other.name == self.name for other in accepted_extensions):
            raise NegotiationError(f"received duplicate {self.name}")
        (
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
        ) = _extract_parameters(params, is_server=False)

        # Without the offer the server decides; with it the server has to agree (RFC 7692
        # sections 7.1.1.1, 7.1.2.1).
        if self.server_no_context_takeover and not server_no_context_takeover:
            raise NegotiationError("expected server_no_context_takeover")
        if self.server_max_window_bits is not None:
            if server_max_window_bits is None:
                raise NegotiationError("expected server_max_window_bits")
            if server_max_window_bits > self.server_max_window_bits:
                raise NegotiationError("unsupported server_max_window_bits")

        # This side's own settings hold whether the server repeats them or not; it may demand more
        # (RFC 7692, sections 7.1.1.2, 7.1.2.2).
        if client_max_window_bits is None:
            if self.client_max_window_bits is not True:
                client_max_window_bits = self.client_max_window_bits
        elif self.client_max_window_bits is None:
            raise NegotiationError("unexpected client_max_window_bits")
        elif client_max_window_bits == 8:
            # zlib has no raw deflate with 8 bits.
            raise NegotiationError("unsupported client_max_window_bits = 8, use 9")
        elif (
            self.client_max_window_bits is not True
            and client_max_window_bits > self.client_max_window_bits
        ):
            raise NegotiationError("unsupported client_max_window_bits")

        return PerMessageDeflate(
            server_no_context_takeover,
            self.client_no_context_takeover or client_no_context_takeover,
            server_max_window_bits or 15,
            client_max_window_bits or 15,
            self.compress_settings,
        )


class ServerPerMessageDeflateFactory(ServerExtensionFactory):
    """A server's side of the negotiation of permessage-deflate.

    Args:
        server_no_context_takeover: whether this side compresses each message by itself.
        client_no_context_takeover: whether the client has to, which saves memory here.
        server_max_window_bits: the logarithm of the largest window that this side uses, 9 to 15;
            None means 15, or what the client asks for.
        client_max_window_bits: the logarithm of the largest window that the client may use, 8 to
            15; None leaves it to the client. Only a client that offers the parameter is told.
        compress_settings: more arguments for ``zlib.compressobj()``, such as ``level`` and
            ``memLevel``.
        require_client_max_window_bits: whether to decline offers of clients that cannot be told
            ``client_max_window_bits``.

    Raises:
        ValueError: if window bits are out of range, or ``compress_settings`` has ``wbits``, or
            ``require_client_max_window_bits`` is set and ``client_max_window_bits`` isn't.
        TypeError: if ``zlib.compressobj()`` doesn't take the ``compress_settings``.

    See RFC 7692, section 7.1.
    """

    name = ExtensionName("permessage-deflate")

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | None = None,
        compress_settings: dict[str, Any] | None = None,
        require_client_max_window_bits: bool = False,
    ) -> None:
        if server_max_window_bits is not None:
            _check_window_bits("server_max_window_bits", server_max_window_bits, 9)
        if client_max_window_bits is not None:
            _check_window_bits("client_max_window_bits", client_max_window_bits, 8)
        elif require_client_max_window_bits:
            raise ValueError(
                "require_client_max_window_bits is enabled,"
                " but client_max_window_bits isn't configured"
            )
        _check_compress_settings("server_max_window_bits", compress_settings)
        zlib.compressobj(**(compress_settings or {}))
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.compress_settings = compress_settings
        self.require_client_max_window_bits = require_client_max_window_bits
        # What its connections need: when these come, there may be no descriptors left to load it.
        from . import deflate  # noqa: F401

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        """Give the parameters to answer an offer with, and the extension that they describe.

        Raises:
            NegotiationError: if the offer cannot be accepted.
        """
        if any(other.name == self.name for other in accepted_extensions):
            raise NegotiationError(f"skipped duplicate {self.name}")
        (
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
        ) = _extract_parameters(params, is_server=True)

        # What the client asks for has to be granted; this side's settings come on top.
        server_no_context_takeover = server_no_context_takeover or self.server_no_context_takeover
        client_no_context_takeover = client_no_context_takeover or self.client_no_context_takeover

        # A window smaller than the client expects needs no announcement, and some clients refuse
        # one that they didn't ask for (RFC 7692, section 7.1.2.1).
        local_max_window_bits = self.server_max_window_bits or 15
        if server_max_window_bits is not None:
            if server_max_window_bits == 8:
                # zlib has no raw deflate with 8 bits.
                raise NegotiationError("unsupported server_max_window_bits = 8, use 9")
            local_max_window_bits = min(local_max_window_bits, server_max_window_bits)
            server_max_window_bits = local_max_window_bits

        # Only a client that offers the parameter can be told (RFC 7692, section 7.1.2.2).
        if client_max_window_bits is None:
            if self.require_client_max_window_bits:
                raise NegotiationError("required client_max_window_bits")
        elif client_max_window_bits is True:
            client_max_window_bits = self.client_max_window_bits
        elif self.client_max_window_bits is not None:
            client_max_window_bits = min(client_max_window_bits, self.client_max_window_bits)

        return (
            _build_parameters(
                server_no_context_takeover,
                client_no_context_takeover,
                server_max_window_bits,
                client_max_window_bits,
            ),
            PerMessageDeflate(
                client_no_context_takeover,
                server_no_context_takeover,
                client_max_window_bits or 15,
                local_max_window_bits,
                self.compress_settings,
            ),
        )


def enable_client_permessage_deflate(
    extensions: Sequence[ClientExtensionFactory] | None,
) -> Sequence[ClientExtensionFactory]:
    """Give the extensions of a client, with permessage-deflate if it isn't among them.

    Its settings are those that suit messages of a few kilobytes.
    """
    if extensions is None:
        extensions = []
    if any(extension.name == PerMessageDeflate.name for extension in extensions):
        return extensions
    return [*extensions, ClientPerMessageDeflateFactory(compress_settings={"memLevel": 5})]


def enable_server_permessage_deflate(
    extensions: Sequence[ServerExtensionFactory] | None,
) -> Sequence[ServerExtensionFactory]:
    """Give the extensions of a server, with permessage-deflate if it isn't among them.

    Its settings are those that suit messages of a few kilobytes on many connections.
    """
    if extensions is None:
        extensions = []
    if any(extension.name == PerMessageDeflate.name for extension in extensions):
        return extensions
    return [
        *extensions,
        ServerPerMessageDeflateFactory(
            server_max_window_bits=12,
            client_max_window_bits=12,
            compress_settings={"memLevel": 5},
        ),
    ]
