"""What an extension has to offer, and how it is negotiated (RFC 6455, section 9)."""

from __future__ import annotations

from collections.abc import Sequence

from ..frames import Frame
from ..typing import ExtensionName, ExtensionParameter

__all__ = ["ClientExtensionFactory", "Extension", "ServerExtensionFactory"]


class Extension:
    """An extension as it was negotiated for one connection.

    Attributes:
        name: its name in the ``Sec-WebSocket-Extensions`` header.
    """

    name: ExtensionName

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Give the frame that an incoming frame stands for.

        Args:
            frame: the frame as it came.
            max_size: the most that the payload may have when decoded, in bytes.

        Raises:
            PayloadTooBig: if the payload would be larger than ``max_size``.
            ProtocolError: if the frame breaks the rules of the extension.
        """
        raise NotImplementedError

    def encode(self, frame: Frame) -> Frame:
        """Give the frame to send for an outgoing frame."""
        raise NotImplementedError


class ClientExtensionFactory:
    """A client's side of the negotiation of an extension.

    Attributes:
        name: the name of the extension in the ``Sec-WebSocket-Extensions`` header.
    """

    name: ExtensionName

    def get_request_params(self) -> Sequence[ExtensionParameter]:
        """Give the parameters to offer, each a name and a value or None."""
        raise NotImplementedError

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> Extension:
        """Give the extension that the server's answer describes.

        Args:
            params: the parameters in the answer, each a name and a value or None.
            accepted_extensions: what was agreed on before.

        Raises:
            NegotiationError: if the answer doesn't fit the offer.
        """
        raise NotImplementedError


class ServerExtensionFactory:
    """A server's side of the negotiation of an extension.

    Attributes:
        name: the name of the extension in the ``Sec-WebSocket-Extensions`` header.
    """

    name: ExtensionName

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        """Give the parameters to answer with, and the extension that they describe.

        Args:
            params: the parameters that the client offers, each a name and a value or None.
            accepted_extensions: what was agreed on before.

        Raises:
            NegotiationError: if the offer cannot be accepted.
        """
        raise NotImplementedError
