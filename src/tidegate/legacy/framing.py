"""Reading and writing single frames, by way of a program's own streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .. import frames
from ..exceptions import ProtocolError
from ..frames import Close, Opcode
from ..typing import BytesLike

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence
    from typing import Any

    from ..extensions.base import Extension
    from ..typing import DataLike

__all__ = [
    "Frame",
    "check_close",
    "encode_data",
    "format_close",
    "parse_close",
    "prepare_ctrl",
    "prepare_data",
    "serialize_close",
]


class Frame(NamedTuple):
    """A frame. Mask and length are seen to by `read` and `write`.

    Attributes:
        fin: whether it is the last of its message.
        opcode: what it is.
        data: its payload, not masked.
        rsv1: the first reserved bit, used by extensions.
        rsv2: the second reserved bit.
        rsv3: the third reserved bit.

    """

    fin: bool
    opcode: Opcode | int
    data: BytesLike
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False

    @property
    def new_frame(self) -> frames.Frame:
        """The same frame as `tidegate.frames.Frame`.

        Raises:
            ProtocolError: if the opcode isn't one of RFC 6455.

        """
        try:
            opcode = Opcode(self.opcode)
        except ValueError:
            raise ProtocolError(f"invalid opcode: {self.opcode}") from None
        return frames.Frame(opcode, self.data, self.fin, self.rsv1, self.rsv2, self.rsv3)

    def __str__(self) -> str:
        return str(frames.Frame(self.opcode, self.data, self.fin))  # type: ignore[arg-type]

    def check(self) -> None:
        """Check the opcode, the reserved bits and, of a control frame, length and ``fin``.

        Raises:
            ProtocolError: if they aren't what RFC 6455, section 5.2 allows.

        """
        self.new_frame.check()

    @classmethod
    async def read(
        cls,
        reader: Callable[[int], Awaitable[bytes]],
        *,
        mask: bool,
        max_size: int | None = None,
        extensions: Sequence[Extension] | None = None,
    ) -> Frame:
        """Read a frame.

        Args:
            reader: coroutine function that reads so many bytes, such as
                `asyncio.StreamReader.readexactly`.
            mask: whether the frame must be masked, which a server expects, or must not.
            max_size: the most that the payload may have, in bytes.
            extensions: what decodes the frame, in reverse order.

        Raises:
            PayloadTooBig: if the payload is larger than ``max_size``.
            ProtocolError: if the frame breaks the rules for frames.

        """
        wanted = 0
        received = b""

        def read_exact(size: int) -> Generator[None, None, bytes]:
            nonlocal wanted
            wanted = size
            yield
            return received

        steps = frames.Frame.parse(read_exact, mask=mask, max_size=max_size, extensions=extensions)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                frame: frames.Frame = stop.value
                return cls(frame.fin, frame.opcode, frame.data, frame.rsv1, frame.rsv2, frame.rsv3)
            received = await reader(wanted)
            if len(received) < wanted:
                raise EOFError(f"stream ends after {len(received)} bytes, expected {wanted} bytes")

    def write(
        self,
        write: Callable[[bytes], Any],
        *,
        mask: bool,
        extensions: Sequence[Extension] | None = None,
    ) -> None:
        """Write a frame, in one piece.

        Args:
            write: function that writes bytes.
            mask: whether to mask the payload, which clients do and servers don't.
            extensions: what encodes the frame first, in this order.

        Raises:
            ProtocolError: if the frame breaks the rules for frames.

        """
        write(self.new_frame.serialize(mask=mask, extensions=extensions))


def prepare_data(data: DataLike) -> tuple[Opcode, BytesLike]:
    """Give the opcode and the payload for the data of a message.

    Args:
        data: ``str``, which is encoded in UTF-8, or a bytes-like object, which is given as it is.

    Raises:
        TypeError: if it is something else.

    """
    if isinstance(data, str):
        return Opcode.TEXT, data.encode()
    if isinstance(data, memoryview) and not data.c_contiguous:
        return Opcode.BINARY, data.tobytes()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return Opcode.BINARY, data
    raise TypeError("data must be str or bytes-like")


def prepare_ctrl(data: DataLike) -> bytes:
    """Give the payload for the data of a ping or a pong.

    Args:
        data: ``str``, which is encoded in UTF-8, or a bytes-like object.

    Raises:
        TypeError: if it is something else.

    """
    return bytes(prepare_data(data)[1])


encode_data = prepare_ctrl


def parse_close(data: BytesLike) -> tuple[int, str]:
    """Read the payload of a Close frame.

    Returns:
        The code, 1005 if the payload is empty, and the reason.

    Raises:
        ProtocolError: if it is malformed.
        UnicodeDecodeError: if the reason isn't UTF-8.

    """
    close = Close.parse(data)
    return close.code, close.reason


def serialize_close(code: int, reason: str) -> bytes:
    """Give the payload of a Close frame.

    Raises:
        ProtocolError: if the code isn't one that may be sent.

    """
    return Close(code, reason).serialize()


def check_close(code: int) -> None:
    """Check the code of a Close frame.

    Raises:
        ProtocolError: if it isn't one that may be sent.

    """
    Close(code, "").check()


def format_close(code: int, reason: str) -> str:
    """Give the code of a Close frame, what it means and the reason, for a message."""
    return str(Close(code, reason))
